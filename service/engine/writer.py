"""The one thread that owns a model: it stores events, applies them, publishes what came of it."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from structlog.contextvars import bind_contextvars

from scatonline.errors import ScatOnlineError
from scatonline.reader import Reader
from service.engine.admission import Admission, Linger
from service.engine.ahead import look_ahead
from service.engine.checking import CheckPlace
from service.engine.checks import StructureChecks
from service.engine.events import Event, apply, encode
from service.engine.inbox import Change, Inbox, Question
from service.engine.outbox import Outbox
from service.engine.priority import LEARNING, give_way
from service.engine.reactions import Reactions
from service.engine.recovery import recovered
from service.engine.reporter import Reporter
from service.engine.saver import CheckpointSaver
from service.engine.served import Served
from service.errors import ServiceError, StorageBroken, StorageFull, Unavailable
from service.storage.failpoints import reach
from service.storage.journal import Journal
from service.telemetry import ModelInstruments

T = TypeVar("T")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class WriterLimits:
    """Bounds of a writer.

    Attributes:
        queue_depth: Events that may wait.
        batch: Events that share one flush of the journal.
        linger_s: Most seconds that a flush waits for more events.
        report_every_s: Least seconds between two reports for Prometheus.
        probe_every_s: Seconds between two looks at a disk that takes nothing.
    """

    queue_depth: int = 256
    batch: int = 64
    linger_s: float = 0.002
    report_every_s: float = 1.0
    probe_every_s: float = 1.0


@dataclass
class _Applied:
    """What came of an event: its result, or the error that it ended in."""

    result: object = None
    error: Exception | None = None


class Writer:
    """Takes events from its inbox until that is closed and empty.

    A result is given out only after its event is on disk and, unless it was to be early, the reader
    that contains it was published.

    Args:
        served: The state; nothing else may touch it from :meth:`start` on.
        journal: The model's journal.
        saver: Writes its checkpoints.
        instruments: Its Prometheus instruments.
        reactions: Tells the world what happens to the model.
        place: Where structure checks run.
        limits: Bounds.

    Attributes:
        inbox: Where events and questions come in.
        checks: Structure checks.
        reporter: Reports for Prometheus.
        reader: The newest published reader; safe from any thread.
        storage_ready: False while the disk takes nothing.
        saved: True once it has ended as asked, and the last checkpoint was written or not wanted.
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
        limits: WriterLimits,
    ) -> None:
        model = served.model
        self.inbox = Inbox(model.spec.name, limits.queue_depth)
        self.checks = StructureChecks(self.inbox, place, instruments)
        self.reporter = Reporter(model, instruments, limits.report_every_s, reactions.drifted)
        self.reader: Reader = model.reader()
        self.storage_ready = True
        self.saved = False
        self._name = model.spec.name
        self._served = served
        self._journal = journal
        self._saver = saver
        self._instruments = instruments
        self._reactions = reactions
        self._limits = limits
        self._linger = Linger(limits.linger_s)
        self._admission = Admission(
            self.inbox, limits.batch, reactions.repeated_request, reactions.refused
        )
        self._under_way: list[Change[Any]] = []
        self._hurried = threading.Event()
        self._outbox = Outbox()
        self._probed_s = 0.0
        self._published: Callable[[int], object] = lambda _: None
        self._ended: Callable[[bool], object] = lambda _: None
        self._flusher = ThreadPoolExecutor(1, thread_name_prefix=f"flush-{self._name}")
        self._thread = threading.Thread(target=self._run, name=f"write-{self._name}")
        instruments.watch_queue(self.inbox.depth, limits.queue_depth)

    def start(self, published: Callable[[int], object], ended: Callable[[bool], object]) -> None:
        """Starts the thread.

        Args:
            published: Called in it with the event number of each new reader.
            ended: Called at its end; with True if an unexpected error ended it.
        """
        self._published, self._ended = published, ended
        self._thread.start()

    def join(self) -> None:
        """Waits for the thread to end."""
        self._thread.join()

    def hurry(self) -> None:
        """Ends the thread soon: what waits is refused, and no checkpoint is written."""
        self._hurried.set()
        self.inbox.close()

    @property
    def hurried(self) -> bool:
        """True after :meth:`hurry`."""
        return self._hurried.is_set()

    def _run(self) -> None:
        bind_contextvars(model=self._name)
        failed = False
        try:
            give_way(LEARNING)
            while not (self.inbox.finished or self.hurried):
                task = self.inbox.take(self._seconds_until_chore())
                if isinstance(task, Question):
                    self._answer(task)
                elif task is not None:
                    self._store_and_apply(task)
                if not self.hurried:
                    self._do_chores()
            self.saved = self._saver.finish(self._served, write=not self.hurried)
        except Exception:  # noqa: BLE001 (logged; the process stops)
            _log.exception("writer_failed", model=self._name)
            failed = True
        finally:
            self.inbox.close()
            self.inbox.refuse_rest()
            _refuse(
                self._under_way, Unavailable(f"model {self._name!r} has stopped; send it again")
            )
            self.checks.drop()
            self._ended(failed)
            self._flusher.shutdown()
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
        """One flush of the journal, and what it made durable.

        The disk works while the first event is applied; nothing is published or answered before it
        has done so.
        """
        self._linger.wait(self.inbox)
        batch = self._under_way = self._admission.batch(first, self._served)
        if not batch:
            return
        try:
            durable = self._write(batch)
        except StorageFull as error:
            _refuse(batch, error)
            self._set_storage_ready(False)
            return
        except StorageBroken as error:
            _refuse(batch, error)
            raise
        self._set_storage_ready(True)
        look_ahead([change.event for change in batch], self._served)
        self._apply_all(batch, durable)
        self._give_out()

    def _apply_all(self, batch: list[Change[Any]], durable: "Future[None]") -> None:
        number = self._journal.position.number - len(batch)
        for place, change in enumerate(batch, 1):
            if self.hurried:
                # The journal has the rest for the next process, and no checkpoint will claim it.
                return
            applied = self._apply(change)
            try:
                durable.result()
            except StorageBroken as error:
                _refuse(batch[place - 1 :], error)
                raise
            if not self._answered(change, applied):
                # What was applied before it goes out once the state is whole again.
                self._heal(number + place, batch[place:])
                return

    def _write(self, batch: list[Change[Any]]) -> "Future[None]":
        """Writes events; the future is done once the disk has them."""
        self._journal.write([encode(change.event) for change in batch])
        self._instruments.journal_batch.observe(len(batch))
        self._instruments.journal_record.set(self._journal.position.number)
        return self._flusher.submit(self._flush, batch)

    def _flush(self, batch: list[Change[Any]]) -> None:
        """In the flusher's thread."""
        started_s = time.perf_counter()
        self._journal.flush()
        seconds = time.perf_counter() - started_s
        self._linger.flushed(len(batch), seconds)
        self._instruments.journal_flush.observe(seconds)
        for change in batch:
            if change.early is not None:
                change.early.durable()

    def _apply(self, change: Change[Any]) -> _Applied:
        applied = _Applied()
        expected = None if change.early is None else change.early.expected
        try:
            applied.result = apply(change.event, change.request, self._served, expected)
        except Exception as error:  # noqa: BLE001 (told; what nobody foresaw is healed)
            applied.error = error
        reach("event.applied")
        return applied

    def _answered(self, change: Change[Any], applied: _Applied) -> bool:
        """Has an event answered; False if something that nobody foresaw broke it."""
        given = change.early is not None and change.early.given
        error = applied.error
        if error is not None:
            foreseen = isinstance(error, ScatOnlineError | ServiceError) and not given
            if not foreseen:
                _log.error("event_broke", exc_info=error, answered=given, **_place(change))
            if not given:
                change.result.set_exception(error)
            return foreseen
        self._react(change.event, applied.result)
        self._outbox.put(change, applied.result)
        if self._outbox.due():
            self._give_out()
        return True

    def _give_out(self) -> None:
        """Publishes a reader, and answers the events that it contains."""
        if self._outbox:
            self._publish()
            reach("event.published")
            self._outbox.empty()

    def _react(self, event: Event[Any], result: object) -> None:
        if self._reactions.applied(event, result, self._served):
            self.reporter.hasten()
            self._saver.hasten()

    def _publish(self) -> None:
        self.reader = self._served.model.reader()
        self._published(self.reader.event)

    def _heal(self, number: int, rest: list[Change[Any]]) -> None:
        """Takes an event that broke out of the model's life, and makes the state anew from disk.

        Nobody knows what an error that nothing foresaw has left behind.

        Args:
            number: Record of the event.
            rest: Events of the same flush that come after it; they are on disk too.
        """
        _log.warning("record_skipped", record=number)
        self._journal.skip(number)
        checkpoint = self._saver.newest()
        assert checkpoint is not None, "a model has a checkpoint from its beginning on"
        model, limits = self._served.model, self._served.limits
        self._served = recovered(
            model.spec,
            checkpoint,
            self._journal,
            limits,
            instruments=self._instruments,
            device=model.device,
            unanswered_from=number,
        )
        self._publish()
        for change in rest:
            request = change.request
            outcome = None if request is None else self._served.answers.find(request)
            if outcome is None:
                change.result.set_exception(
                    Unavailable(f"model {self._name!r} had to begin anew; send it again")
                )
            else:
                change.result.set_result(outcome)

    def _set_storage_ready(self, ready: bool) -> None:
        if ready != self.storage_ready:
            self.storage_ready = ready
            self._probed_s = time.monotonic()
            self._reactions.storage(ready, self._served.model.event)

    def _seconds_until_chore(self) -> float | None:
        """How long the thread may sleep; None while no chore is in sight."""
        waits = (
            self._saver.seconds_until_due(),
            self.reporter.seconds_until_due(self._served.model.event),
            None if self.storage_ready else self._limits.probe_every_s,
        )
        return min((wait for wait in waits if wait is not None), default=None)

    def _do_chores(self) -> None:
        if not self.storage_ready:
            self._probe()
        self.reporter.refresh_if_due(self._served.model)
        self._saver.begin_if_due(self._served)
        self._instruments.journal_bytes.set(self._journal.size)
        self.checks.begin_if_due(self._served.model)

    def _probe(self) -> None:
        if time.monotonic() - self._probed_s >= self._limits.probe_every_s:
            self._probed_s = time.monotonic()
            self._set_storage_ready(self._journal.probe())


def _place(change: Change[Any]) -> dict[str, str]:
    """Session and sample of a change that has them, for the log."""
    request = change.request
    return {} if request is None else {"session": request.session, "sample_id": request.sample_id}


def _refuse(batch: list[Change[Any]], error: Exception) -> None:
    for change in batch:
        if not change.result.done():
            change.result.set_exception(error)
