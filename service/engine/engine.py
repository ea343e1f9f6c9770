"""The single writer of one model."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from scatonline.model import Model
from scatonline.sample import Outcome, Prediction
from service.engine.checks import StructureChecks
from service.engine.events import (
    AppliedDecision,
    Event,
    LabelArrived,
    SampleArrived,
)
from service.engine.inbox import Change, Inbox, Question
from service.engine.reporter import Reporter
from service.engine.saver import CheckpointSaver
from service.engine.status import EngineStatus
from service.errors import Overloaded, Unavailable
from service.telemetry import Latency, ModelInstruments, ModelReport

MOVES_TOLD = 1000
T = TypeVar("T")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class EngineLimits:
    """Bounds of an engine.

    Attributes:
        queue_depth: Events, and predictions, that may wait.
        readers: Threads that predict.
        report_every_s: Least seconds between two reports for Prometheus.
        check_grace_s: Seconds that a running check may take to end when the engine stops.
    """

    queue_depth: int = 256
    readers: int = 2
    report_every_s: float = 1.0
    check_grace_s: float = 5.0


class Engine:
    """Owns a model: one thread applies its events in order and publishes a reader after each.

    A result is given out only after the reader that contains it was published, so a prediction
    asked for after an update was answered has learned from it. Acknowledged events survive a stop
    (:meth:`drain`); a killed process falls back to the newest checkpoint.

    Args:
        model: The model; nothing else may touch it from :meth:`start` on.
        saver: Writes its checkpoints.
        instruments: Its Prometheus instruments.
        limits: Bounds.
        on_failure: Called once if the writer's thread dies of an unexpected error.
    """

    def __init__(
        self,
        model: Model,
        saver: CheckpointSaver,
        instruments: ModelInstruments,
        limits: EngineLimits,
        on_failure: Callable[[], object],
    ) -> None:
        self.name = model.spec.name
        self._model = model
        self._saver = saver
        self._instruments = instruments
        self._limits = limits
        self._on_failure = on_failure
        self._inbox = Inbox(self.name, limits.queue_depth)
        instruments.watch_queue(self._inbox.depth, limits.queue_depth)
        self._checks = StructureChecks(self._inbox, instruments)
        self._reporter = Reporter(model, instruments, limits.report_every_s)
        self._seen = _reactions(model)
        self._reader = model.reader()
        self._readers = ThreadPoolExecutor(limits.readers, thread_name_prefix=f"read-{self.name}")
        self._predictions = threading.BoundedSemaphore(limits.queue_depth)
        self._saved = False
        self._writer = threading.Thread(target=self._run, name=f"write-{self.name}")

    @property
    def report(self) -> ModelReport:
        """The newest report for Prometheus."""
        return self._reporter.report

    def start(self) -> None:
        """Starts the writer's thread."""
        self._writer.start()

    def submit(self, event: Event[T]) -> "Future[T]":
        """Queues an event; the future gets its result once the new reader is published.

        A future that is cancelled before the event's turn takes the event back.

        Raises:
            Overloaded: too many events wait.
            Unavailable: the engine is stopping.
        """
        change = Change(event)
        if isinstance(event, SampleArrived):
            _time(self._instruments.update_latency, change.result, time.perf_counter())
        self._inbox.put(change)
        return change.result

    def predict(self, session: str, x: NDArray[np.float32]) -> "Future[Prediction]":
        """Predicts with the newest published reader; x: (channels, *shape).

        Raises:
            Overloaded: too many predictions wait.
            Unavailable: the engine is stopping.
        """
        if self._inbox.closed:
            raise Unavailable(f"model {self.name!r} is stopping and takes nothing new")
        if not self._predictions.acquire(blocking=False):
            raise Overloaded(
                f"model {self.name!r}: {self._limits.queue_depth} predictions wait already; "
                "send again later, or use fewer at a time"
            )
        arrived_s = time.perf_counter()
        prediction: Future[Prediction] = self._readers.submit(self._predict, session, x)
        prediction.add_done_callback(lambda _: self._predictions.release())
        _time(self._instruments.predict_latency, prediction, arrived_s)
        return prediction

    def report_now(self) -> "Future[ModelReport]":
        """A report of the model at its present event.

        Raises:
            Unavailable: the engine is stopping.
        """
        return self._ask(self._reporter.refresh)

    def status(self, *, with_hash: bool) -> "Future[EngineStatus]":
        """State of the model and its writer; the hash reads the whole state.

        Raises:
            Unavailable: the engine is stopping.
        """
        return self._ask(lambda model: self._status(model, with_hash))

    def check_structure(self) -> "Future[AppliedDecision]":
        """Runs a structure check now and applies its decision.

        The future fails with NotReady if a check is running or the window is too short.

        Raises:
            Unavailable: the engine is stopping.
        """
        applied: Future[AppliedDecision] = Future()

        def refuse(begun: "Future[None]") -> None:
            error = begun.exception()
            if error is not None and not applied.done():
                applied.set_exception(error)

        self._ask(lambda model: self._checks.begin(model, applied)).add_done_callback(refuse)
        return applied

    def drain(self) -> bool:
        """Refuses new work, applies what waits, writes a checkpoint and ends the writer's thread.

        The decision of a check that is still running is dropped; the next process checks anew.

        Returns:
            True if the checkpoint holds every acknowledged event.
        """
        self._inbox.close()
        self._writer.join()
        self._readers.shutdown(wait=True)
        if not self._checks.wait(self._limits.check_grace_s):
            _log.warning("structure_check_abandoned", model=self.name)
        return self._saved

    def _ask(self, ask: Callable[[Model], T]) -> "Future[T]":
        question = Question(ask)
        self._inbox.put(question)
        return question.result

    def _run(self) -> None:
        try:
            while not self._inbox.finished:
                task = self._inbox.take(self._seconds_until_chore())
                if task is not None:
                    self._perform(task)
                self._do_chores()
            self._saved = self._saver.finish(self._model)
        except Exception:  # noqa: BLE001 (logged; the process stops)
            _log.exception("writer_failed", model=self.name)
            self._on_failure()
        finally:
            self._inbox.close()
            self._inbox.refuse_rest()
            self._checks.drop()

    def _perform(self, task: Change[Any] | Question[Any]) -> None:
        if not task.result.set_running_or_notify_cancel():
            return
        try:
            result = (
                task.ask(self._model) if isinstance(task, Question) else self._apply(task.event)
            )
        except Exception as error:  # noqa: BLE001 (answered to whoever asked)
            task.result.set_exception(error)
        else:
            task.result.set_result(result)

    def _apply(self, event: Event[T]) -> T:
        result = event.apply(self._model)
        self._reader = self._model.reader()
        if isinstance(event, SampleArrived):
            self._instruments.samples.inc()
        elif isinstance(event, LabelArrived):
            self._instruments.labels.inc()
        if isinstance(result, Outcome) and result.loss is not None:
            self._tell_reactions()
        if isinstance(result, AppliedDecision) and result.decision.moves:
            for move in result.decision.moves:
                self._instruments.moves[move.kind].inc()
            self._reporter.hasten()
            self._saver.hasten()
        return result

    def _tell_reactions(self) -> None:
        """Counts and logs what the model did by itself at the last sample."""
        before, self._seen = self._seen, _reactions(self._model)
        if self._seen[0] > before[0]:
            alarm = self._model.alarms[-1]
            self._instruments.loss_changes.inc()
            _log.info(
                "loss_changed",
                model=self.name,
                session=alarm.session,
                detector=alarm.detector,
                event_number=alarm.event,
            )
        if self._seen[1] > before[1]:
            retreat = self._model.retreats[-1]
            self._instruments.retreats.inc()
            _log.warning(
                "filters_given_up",
                model=self.name,
                worse_by=retreat.worse,
                se=retreat.se,
                event_number=retreat.event,
            )

    def _seconds_until_chore(self) -> float | None:
        """How long the writer may sleep; None while no chore is in sight."""
        waits = (
            self._saver.seconds_until_due(self._model.event),
            self._reporter.seconds_until_due(self._model.event),
        )
        return min((wait for wait in waits if wait is not None), default=None)

    def _do_chores(self) -> None:
        self._reporter.refresh_if_due(self._model)
        self._saver.begin_if_due(self._model)
        self._checks.begin_if_due(self._model)

    def _predict(self, session: str, x: NDArray[np.float32]) -> Prediction:
        return self._reader.predict(session, x)

    def _status(self, model: Model, with_hash: bool) -> EngineStatus:
        return EngineStatus(
            spec=model.spec,
            event=model.event,
            sessions=dict(model.sessions),
            scores=model.scores(),
            pending_labels=model.pending,
            expired_labels=model.expired,
            queue_depth=self._inbox.depth(),
            queue_capacity=self._inbox.capacity,
            update_latency=self._instruments.update_latency.summary(),
            predict_latency=self._instruments.predict_latency.summary(),
            moves=model.moves[-MOVES_TOLD:],
            check_running=self._checks.running,
            checks=self._checks.ended,
            check_failures=self._checks.failures,
            last_decision=self._checks.last_decision,
            checkpoint_event=self._saver.saved_event,
            state_hash=model.state_hash() if with_hash else None,
        )


def _reactions(model: Model) -> tuple[int, int]:
    """Changes found and retreats made so far."""
    return model.watch.found, model.learner.retreats


def _time(latency: Latency, result: "Future[Any]", arrived_s: float) -> None:
    """Counts the time from arrival to a result; what is refused or taken back is not counted."""

    def count(done: "Future[Any]") -> None:
        if not done.cancelled() and done.exception() is None:
            latency.observe(time.perf_counter() - arrived_s)

    result.add_done_callback(count)
