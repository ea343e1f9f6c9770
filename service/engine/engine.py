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

from scatonline.config import ModelSpec
from scatonline.errors import ScatOnlineError
from scatonline.sample import Prediction
from service.engine.admission import Admission, Linger
from service.engine.checks import StructureChecks
from service.engine.events import (
    AppliedDecision,
    Event,
    SampleArrived,
    StateReplaced,
    apply,
    encode,
)
from service.engine.export import packed, renamed, unpacked
from service.engine.inbox import Change, Inbox, Question
from service.engine.reactions import Reactions
from service.engine.recovery import recovered
from service.engine.reporter import Reporter
from service.engine.saver import CheckpointSaver
from service.engine.served import Served
from service.engine.status import EngineStatus
from service.engine.waiting import Waiting
from service.errors import Overloaded, ServiceError, StorageFull, Unavailable, UnknownCheckpoint
from service.storage.checkpoints import CheckpointSummary
from service.storage.failpoints import reach
from service.storage.journal import Journal
from service.telemetry import Latency, ModelInstruments, ModelReport

MOVES_TOLD = 1000
T = TypeVar("T")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class EngineLimits:
    """Bounds of an engine.

    Attributes:
        queue_depth: Events, and predictions, that may wait.
        batch: Events that share one flush of the journal.
        linger_s: Most seconds that a flush waits for more events.
        readers: Threads that predict.
        report_every_s: Least seconds between two reports for Prometheus.
        probe_every_s: Seconds between two looks at a disk that takes nothing.
        check_grace_s: Seconds that a running check may take to end when the engine stops.
    """

    queue_depth: int = 256
    batch: int = 64
    linger_s: float = 0.002
    readers: int = 2
    report_every_s: float = 1.0
    probe_every_s: float = 1.0
    check_grace_s: float = 2.0


class Engine:
    """Owns a model: one thread stores its events, applies them in order and publishes a reader.

    A result is given out only after its event is on disk and the reader that contains it was
    published. So an answered event survives any crash, and a prediction asked for after an update
    was answered has learned from it.

    Args:
        served: The state; nothing else may touch it from :meth:`start` on.
        journal: The model's journal.
        saver: Writes its checkpoints.
        instruments: Its Prometheus instruments.
        reactions: Tells the world what happens to the model.
        limits: Bounds.
        on_failure: Called once if the writer's thread dies of an unexpected error.
    """

    def __init__(
        self,
        served: Served,
        journal: Journal,
        saver: CheckpointSaver,
        instruments: ModelInstruments,
        reactions: Reactions,
        limits: EngineLimits,
        on_failure: Callable[[], object],
    ) -> None:
        model = served.model
        self.name = model.spec.name
        self.spec: ModelSpec = model.spec
        self.storage_ready = True
        self._served = served
        self._journal = journal
        self._saver = saver
        self._instruments = instruments
        self._reactions = reactions
        self._limits = limits
        self._on_failure = on_failure
        self._inbox = Inbox(self.name, limits.queue_depth)
        instruments.watch_queue(self._inbox.depth, limits.queue_depth)
        self._linger = Linger(limits.linger_s)
        self._admission = Admission(
            self._inbox, limits.batch, reactions.repeated_request, reactions.refused
        )
        self._checks = StructureChecks(self._inbox, instruments)
        self._reporter = Reporter(model, instruments, limits.report_every_s, reactions.drifted)
        self._reader = model.reader()
        self._waiting = Waiting(model.event)
        self._readers = ThreadPoolExecutor(limits.readers, thread_name_prefix=f"read-{self.name}")
        self._predictions = threading.BoundedSemaphore(limits.queue_depth)
        self._saved = False
        self._hurried = threading.Event()
        self._probed_s = 0.0
        self._writer = threading.Thread(target=self._run, name=f"write-{self.name}")

    @property
    def report(self) -> ModelReport:
        """The newest report for Prometheus."""
        return self._reporter.report

    def start(self) -> None:
        """Starts the writer's thread."""
        self._writer.start()

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
        self._inbox.put(change)
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
        if self._inbox.closed:
            raise Unavailable(f"model {self.name!r} is stopping and takes nothing new")
        if not self._predictions.acquire(blocking=False):
            raise Overloaded(
                f"model {self.name!r}: {self._limits.queue_depth} predictions wait already; "
                "send again later, or use fewer at a time"
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
        return self._ask(lambda served: self._reporter.refresh(served.model))

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

        asked = self._ask(lambda served: self._checks.begin(served.model, applied))
        asked.add_done_callback(refuse)
        return applied

    def checkpoints(self) -> list[CheckpointSummary]:
        """What the model can be rolled back to, newest first; reads the disk."""
        return self._saver.summaries()

    def roll_back(self, to_event: int) -> "Future[int]":
        """Returns to a checkpoint; the future gets the model's event number. Reads the disk.

        Raises:
            UnknownCheckpoint: there is no checkpoint of that event.
            CorruptRecord, StorageError: it cannot be read.
            Overloaded, Unavailable: as :meth:`submit`.
        """
        checkpoint = self._saver.load(to_event)
        if checkpoint is None:
            known = ", ".join(str(each.event) for each in self.checkpoints()) or "none yet"
            raise UnknownCheckpoint(
                f"to_event: got {to_event}, expected that of a checkpoint: {known}"
            )
        return self.submit(StateReplaced(packed(checkpoint), "rollback", to_event))

    def export(self) -> "Future[Callable[[], bytes]]":
        """What makes a file of the model's present state; calling it takes a while.

        Raises:
            Unavailable: the engine is stopping.
        """

        def copied(served: Served) -> Callable[[], bytes]:
            checkpoint = served.checkpoint(self._journal.position)
            return lambda: packed(checkpoint)

        return self._ask(copied)

    def take_over(self, content: bytes) -> "Future[int]":
        """Takes an exported state over; the future gets the model's event number.

        Raises:
            CorruptRecord: it is no exported model, or has changed.
            Overloaded, Unavailable: as :meth:`submit`.
        """
        checkpoint = renamed(unpacked(content), self.name)
        return self.submit(StateReplaced(packed(checkpoint), "import", checkpoint.event))

    def drain(self) -> bool:
        """Refuses new work, applies what waits, writes a checkpoint and ends the writer's thread.

        The decision of a check that is still running is dropped; the next process checks anew.

        Returns:
            True if everything acknowledged is stored and the checkpoint was written or not wanted.
        """
        self._inbox.close()
        self._writer.join()
        self._readers.shutdown(wait=True)
        if not self._checks.wait(0.0 if self._hurried.is_set() else self._limits.check_grace_s):
            _log.warning("structure_check_abandoned", model=self.name)
        return self._saved

    def hurry(self) -> None:
        """Makes :meth:`drain` refuse what waits and leave the rest to the journal."""
        self._hurried.set()
        self._inbox.close()

    def _ask(self, ask: Callable[[Served], T]) -> "Future[T]":
        question = Question(ask)
        self._inbox.put(question)
        return question.result

    def _run(self) -> None:
        try:
            while not (self._inbox.finished or self._hurried.is_set()):
                task = self._inbox.take(self._seconds_until_chore())
                if isinstance(task, Question):
                    self._answer(task)
                elif task is not None:
                    self._store_and_apply(task)
                self._do_chores()
            self._saved = self._saver.finish(self._served, write=not self._hurried.is_set())
        except Exception:  # noqa: BLE001 (logged; the process stops)
            _log.exception("writer_failed", model=self.name)
            self._on_failure()
        finally:
            self._inbox.close()
            self._inbox.refuse_rest()
            self._checks.drop()
            self._waiting.release()
            self._journal.close()

    def _answer(self, question: Question[Any]) -> None:
        if not question.result.set_running_or_notify_cancel():
            return
        try:
            result = question.ask(self._served)
        except Exception as error:  # noqa: BLE001 (answered to whoever asked)
            question.result.set_exception(error)
        else:
            question.result.set_result(result)

    def _store_and_apply(self, first: Change[Any]) -> None:
        """One flush of the journal, and what it made durable."""
        self._linger.wait(self._inbox)
        batch = self._admission.batch(first, self._served)
        if not batch:
            return
        try:
            number = self._store(batch)
        except ServiceError as error:
            for change in batch:
                change.result.set_exception(error)
            if isinstance(error, StorageFull):
                self._set_storage_ready(False)
                return
            raise
        self._set_storage_ready(True)
        while batch:
            change = batch.pop(0)
            try:
                result = self._apply(change.event)
            except (ScatOnlineError, ServiceError) as error:
                change.result.set_exception(error)
            except Exception as error:  # noqa: BLE001 (told; the state is made anew)
                change.result.set_exception(error)
                self._heal(number, batch)
                return
            else:
                change.result.set_result(result)
            number += 1

    def _store(self, batch: list[Change[Any]]) -> int:
        """Makes events durable; returns the number of the first one's record."""
        bodies = [encode(change.event) for change in batch]
        first = self._journal.position.number + 1
        started_s = time.perf_counter()
        self._journal.append(bodies)
        seconds = time.perf_counter() - started_s
        self._linger.flushed(len(batch), seconds)
        self._instruments.journal_flush.observe(seconds)
        self._instruments.journal_batch.observe(len(batch))
        self._instruments.journal_record.set(self._journal.position.number)
        return first

    def _apply(self, event: Event[T]) -> T:
        result = apply(event, self._served)
        reach("event.applied")
        self._publish()
        if self._reactions.applied(event, result, self._served):
            self._reporter.hasten()
            self._saver.hasten()
        reach("event.published")
        return result

    def _publish(self) -> None:
        self._reader = self._served.model.reader()
        self._waiting.reached(self._served.model.event)

    def _heal(self, number: int, rest: list[Change[Any]]) -> None:
        """Takes an event that broke out of the model's life, and makes the state anew from disk.

        Nobody knows what an error that nothing foresaw has left behind.

        Args:
            number: Record of the event.
            rest: Events of the same flush that come after it; they are on disk too.
        """
        _log.error("event_broke", model=self.name, record=number)
        self._journal.skip(number)
        checkpoint = self._saver.newest()
        if checkpoint is None:
            raise Unavailable(f"model {self.name!r} has no checkpoint to begin from")
        before = self._served
        self._served = recovered(
            before.model.spec,
            checkpoint,
            self._journal,
            before.limits,
            self._instruments,
            before.model.device,
        )
        self._publish()
        for change in rest:
            request = change.event.request()
            outcome = None if request is None else self._served.answers.find(request)
            if outcome is None:
                change.result.set_exception(
                    Unavailable(f"model {self.name!r} had to begin anew; send it again")
                )
            else:
                change.result.set_result(outcome)

    def _set_storage_ready(self, ready: bool) -> None:
        if ready != self.storage_ready:
            self.storage_ready = ready
            self._probed_s = time.monotonic()
            self._reactions.storage(ready, self._served.model.event)

    def _seconds_until_chore(self) -> float | None:
        """How long the writer may sleep; None while no chore is in sight."""
        waits = (
            self._saver.seconds_until_due(),
            self._reporter.seconds_until_due(self._served.model.event),
            None if self.storage_ready else self._limits.probe_every_s,
        )
        return min((wait for wait in waits if wait is not None), default=None)

    def _do_chores(self) -> None:
        if not self.storage_ready and (
            time.monotonic() - self._probed_s >= self._limits.probe_every_s
        ):
            self._probed_s = time.monotonic()
            self._set_storage_ready(self._journal.probe())
        self._reporter.refresh_if_due(self._served.model)
        self._saver.begin_if_due(self._served)
        self._instruments.journal_bytes.set(self._journal.size)
        self._checks.begin_if_due(self._served.model)

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
            reader = self._reader
            if reader.event < at_least_event:
                raise Unavailable(
                    f"model {self.name!r} has stopped at event {reader.event}, before "
                    f"{at_least_event}"
                )
            predicted = reader.predict(session, x)
        except Exception as error:  # noqa: BLE001 (answered to whoever asked)
            prediction.set_exception(error)
        else:
            prediction.set_result(predicted)

    def _status(self, served: Served, with_hash: bool) -> EngineStatus:
        model = served.model
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
