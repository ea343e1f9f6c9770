"""What the rest of the service sees of a model: submit events, predict, ask, roll back, stop."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from scatonline.config import ModelSpec
from scatonline.reader import Reader
from scatonline.sample import Prediction
from service.engine.checking import CheckPlace
from service.engine.events import AppliedDecision, Event, SampleArrived, StateReplaced
from service.engine.export import packed
from service.engine.inbox import Change, Question
from service.engine.reactions import Reactions
from service.engine.saver import CheckpointSaver
from service.engine.served import Served
from service.engine.status import EngineStatus
from service.engine.waiting import Waiting
from service.engine.writer import Writer, WriterLimits
from service.errors import Overloaded, Unavailable, UnknownCheckpoint
from service.storage.checkpoints import CheckpointSummary
from service.storage.journal import Journal
from service.telemetry import Latency, ModelInstruments, ModelReport

T = TypeVar("T")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class EngineLimits:
    """Bounds of an engine.

    Attributes:
        writer: Those of its writer; as many predictions may wait as events.
        readers: Threads that predict.
        check_grace_s: Seconds that a running check may take to end when the engine stops.
    """

    writer: WriterLimits = field(default_factory=WriterLimits)
    readers: int = 2
    check_grace_s: float = 2.0


class Engine:
    """Owns a model: one thread stores its events, applies them in order and publishes a reader.

    A result is given out only after its event is on disk and, unless it was to be early, the reader
    that contains it was published. So an answered event survives any crash, and a prediction asked
    for after an update was answered has learned from it; after an early answer one waits for that
    with ``at_least_event``.

    Args:
        served: The state; nothing else may touch it from :meth:`start` on.
        journal: The model's journal.
        saver: Writes its checkpoints.
        instruments: Its Prometheus instruments.
        reactions: Tells the world what happens to the model.
        place: Where structure checks run.
        limits: Bounds.
        on_failure: Called once if the writer's thread dies of an unexpected error.
    """

    def __init__(
        self,
        served: Served,
        journal: Journal,
        saver: CheckpointSaver,
        instruments: ModelInstruments,
        *,
        reactions: Reactions,
        place: CheckPlace,
        limits: EngineLimits,
        on_failure: Callable[[], object],
    ) -> None:
        self.spec: ModelSpec = served.model.spec
        self.name = self.spec.name
        self._journal = journal
        self._saver = saver
        self._instruments = instruments
        self._reactions = reactions
        self._limits = limits
        self._on_failure = on_failure
        self._writer = Writer(
            served,
            journal,
            saver,
            instruments,
            reactions=reactions,
            place=place,
            limits=limits.writer,
        )
        self._waiting = Waiting(served.model.event)
        self._readers = ThreadPoolExecutor(limits.readers, thread_name_prefix=f"read-{self.name}")
        self._predictions = threading.BoundedSemaphore(limits.writer.queue_depth)

    @property
    def report(self) -> ModelReport:
        """The newest report for Prometheus."""
        return self._writer.reporter.report

    @property
    def storage_ready(self) -> bool:
        """False while the disk takes nothing: events are refused, predictions answered."""
        return self._writer.storage_ready

    def start(self) -> None:
        """Starts its threads.

        Those that predict are there before the writer can ask for one, which would inherit the
        writer's priority.
        """
        together = threading.Barrier(self._limits.readers)
        wait([self._readers.submit(together.wait) for _ in range(self._limits.readers)])
        self._writer.start(self._waiting.reached, self._ended)

    def submit(self, event: Event[T]) -> "Future[T]":
        """Queues an event; the future gets its result once it is stored and published.

        A future that is cancelled before the event's turn takes the event back.

        Raises:
            Overloaded: too many events wait.
            Unavailable: the engine is stopping.
        """
        change = Change(event)
        if isinstance(event, SampleArrived):
            _time(self._instruments.update_latency, change.result, time.perf_counter())
        self._writer.inbox.put(change)
        return change.result

    def predict(
        self, session: str, x: NDArray[np.float32], at_least_event: int = 0
    ) -> "Future[Prediction]":
        """Predicts with the newest published reader.

        Args:
            session: The session whose outputs are predicted.
            x: (channels, *shape).
            at_least_event: Waits until the model has seen this many events.

        Raises:
            Overloaded: too many predictions wait.
            Unavailable: the engine is stopping.
        """
        if self._writer.inbox.closed:
            raise Unavailable(f"model {self.name!r} is stopping and takes nothing new")
        if not self._predictions.acquire(blocking=False):
            raise Overloaded(
                f"model {self.name!r}: {self._limits.writer.queue_depth} predictions wait already, "
                "expected fewer; send again later, or use fewer at a time"
            )
        prediction: Future[Prediction] = Future()
        prediction.add_done_callback(lambda _: self._predictions.release())
        _time(self._instruments.predict_latency, prediction, time.perf_counter())
        ticket = self._waiting.when(
            at_least_event,
            lambda: self._readers.submit(self._predict, prediction, session, x, at_least_event),
        )
        if ticket is not None:
            prediction.add_done_callback(lambda _: self._waiting.forget(ticket))
        return prediction

    def report_now(self) -> "Future[ModelReport]":
        """A report of the model at its present event.

        Raises:
            Unavailable: the engine is stopping.
        """
        return self._ask(lambda served: self._writer.reporter.refresh(served.model))

    def status(self, *, with_hash: bool) -> "Future[EngineStatus]":
        """State of the model and its writer; the hash reads the whole state.

        Raises:
            Unavailable: the engine is stopping.
        """
        return self._ask(lambda served: self._status(served, with_hash))

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

        asked = self._ask(lambda served: self._writer.checks.begin(served.model, applied))
        asked.add_done_callback(refuse)
        return applied

    def checkpoints(self) -> list[CheckpointSummary]:
        """What the model can be rolled back to, newest first; reads the disk."""
        return self._saver.summaries()

    def rollback(self, to_event: int) -> StateReplaced:
        """The event that returns to a checkpoint, to be submitted. Reads the disk.

        Raises:
            UnknownCheckpoint: there is no checkpoint of that event.
            CorruptRecord, StorageError: it cannot be read.
        """
        checkpoint = self._saver.load(to_event)
        if checkpoint is None:
            known = ", ".join(str(each.event) for each in self.checkpoints()) or "none yet"
            raise UnknownCheckpoint(
                f"to_event: got {to_event}, expected that of a checkpoint: {known}"
            )
        return StateReplaced.by(checkpoint, "rollback")

    def export(self) -> "Future[Callable[[], bytes]]":
        """What makes a file of the model's present state; calling it takes a while.

        Raises:
            Unavailable: the engine is stopping.
        """

        def copied(served: Served) -> Callable[[], bytes]:
            checkpoint = served.checkpoint(self._journal.position)
            return lambda: packed(checkpoint)

        return self._ask(copied)

    def drain(self) -> bool:
        """Refuses new work, applies what waits, writes a checkpoint and ends the writer's thread.

        The decision of a check that is still running is dropped; the next process checks anew.

        Returns:
            True if everything acknowledged is stored and the checkpoint was written or not wanted.
        """
        self._writer.inbox.close()
        self._writer.join()
        self._readers.shutdown(wait=True)
        grace_s = 0.0 if self._writer.hurried else self._limits.check_grace_s
        if not self._writer.checks.wait(grace_s):
            _log.warning("structure_check_abandoned", model=self.name)
        return self._writer.saved

    def hurry(self) -> None:
        """Makes :meth:`drain` refuse what waits and leave the rest to the journal."""
        self._writer.hurry()

    def _ask(self, ask: Callable[[Served], T]) -> "Future[T]":
        question = Question(ask)
        self._writer.inbox.put(question)
        return question.result

    def _ended(self, failed: bool) -> None:
        self._waiting.release()
        if failed:
            self._on_failure()

    def _predict(
        self,
        prediction: "Future[Prediction]",
        session: str,
        x: NDArray[np.float32],
        at_least_event: int,
    ) -> None:
        if not prediction.set_running_or_notify_cancel():
            return
        try:
            predicted = self._reader(at_least_event).predict(session, x)
        except Exception as error:  # noqa: BLE001 (answered to whoever asked)
            prediction.set_exception(error)
        else:
            prediction.set_result(predicted)

    def _reader(self, at_least_event: int) -> Reader:
        reader = self._writer.reader
        if reader.event < at_least_event:
            raise Unavailable(
                f"model {self.name!r} has stopped at event {reader.event}, before {at_least_event}"
            )
        return reader

    def _status(self, served: Served, with_hash: bool) -> EngineStatus:
        model = served.model
        return EngineStatus(
            spec=model.spec,
            event=model.event,
            sessions=dict(model.sessions),
            scores=model.scores(),
            pending_labels=model.pending,
            expired_labels=model.expired,
            queue_depth=self._writer.inbox.depth(),
            queue_capacity=self._writer.inbox.capacity,
            update_latency=self._instruments.update_latency.summary(),
            predict_latency=self._instruments.predict_latency.summary(),
            moves=model.moves,
            check_running=self._writer.checks.running,
            checks=self._writer.checks.ended,
            check_failures=self._writer.checks.failures,
            last_decision=self._writer.checks.last_decision,
            checkpoint_event=self._saver.saved_event,
            state_hash=model.state_hash() if with_hash else None,
            frozen=model.frozen,
            journal_record=self._journal.position.number,
            journal_bytes=self._journal.size,
            storage_ready=self.storage_ready,
            repeated_requests=self._reactions.repeated,
            orphan_labels=self._reactions.orphans,
            missing_samples=served.sequences.missing,
        )


def _time(latency: Latency, result: "Future[Any]", arrived_s: float) -> None:
    """Counts the time from arrival to a result; what is refused or taken back is not counted."""

    def count(done: "Future[Any]") -> None:
        if not done.cancelled() and done.exception() is None:
            latency.observe(time.perf_counter() - arrived_s)

    result.add_done_callback(count)
