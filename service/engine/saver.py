"""Writes a model's checkpoints beside its writer.

The state is copied in the writer's thread; the slow part (hashing, writing, waiting for the disk)
happens in another. A checkpoint begins a new segment of the journal, and segments that every kept
checkpoint is past go.
"""

import threading
import time
from collections.abc import Callable
from contextvars import copy_context

import structlog

from service.engine.served import Served
from service.errors import StorageError, StorageFull
from service.storage.checkpoints import Checkpoint, CheckpointStore, CheckpointSummary
from service.storage.journal import Journal
from service.telemetry import ModelInstruments

_WRITING_POLL_S = 0.05
_log = structlog.get_logger(__name__)


class CheckpointSaver:
    """Decides when a checkpoint is due and writes one at a time.

    Args:
        store: Where checkpoints go.
        journal: The model's journal.
        instruments: The model's instruments.
        every_s: Seconds between checkpoints of a model that changes.
        journal_bytes: Bytes that the journal may grow by before one is due all the same.
        saved: Record up to which the newest checkpoint goes, and its event number.
        written: Called with the event number of each checkpoint that was written.
    """

    def __init__(
        self,
        store: CheckpointStore,
        journal: Journal,
        instruments: ModelInstruments,
        *,
        every_s: float,
        journal_bytes: int,
        saved: tuple[int, int],
        written: Callable[[int], object],
    ) -> None:
        self.saved_record, self.saved_event = saved
        self._store = store
        self._journal = journal
        self._instruments = instruments
        self._every_s = every_s
        self._journal_bytes = journal_bytes
        self._written = written
        self._due_at_s = time.monotonic() + every_s
        self._prunable = 0
        self._size = journal.size
        self._thread: threading.Thread | None = None

    def hasten(self) -> None:
        """Makes a checkpoint due now."""
        self._due_at_s = time.monotonic()

    def seconds_until_due(self) -> float | None:
        """Seconds until a checkpoint is wanted; None while nothing changed since the last one."""
        if self._journal.position.number == self.saved_record:
            return None
        if self._writing():
            return _WRITING_POLL_S
        if self._journal.size - self._size > self._journal_bytes:
            return 0.0
        return max(0.0, self._due_at_s - time.monotonic())

    def begin_if_due(self, served: Served) -> None:
        """Copies the state if a checkpoint is due and writes it in another thread."""
        self._prune()
        if self.seconds_until_due() != 0.0:
            return
        self._due_at_s = time.monotonic() + self._every_s
        self._size = self._journal.size
        try:
            checkpoint = served.checkpoint(self._journal.position)
            self._rotate()
        except Exception:  # noqa: BLE001 (counted and logged; the experiment goes on)
            self._instruments.checkpoint_failures.inc()
            _log.exception(
                "checkpoint_failed", model=served.model.spec.name, event_number=served.model.event
            )
            return
        # In the writer's context, which its lines in the log name.
        self._thread = threading.Thread(
            target=copy_context().run,
            args=(self._write, checkpoint),
            name=f"checkpoint-{served.model.spec.name}",
        )
        self._thread.start()

    def finish(self, served: Served, *, write: bool = True) -> bool:
        """Waits for a checkpoint under way, then writes the last one if anything changed since.

        Args:
            served: The state.
            write: False leaves what is not in a checkpoint to the journal.

        Returns:
            True if the last one was written, or was not wanted.
        """
        if self._thread is not None:
            self._thread.join()
        if write and self._journal.position.number != self.saved_record:
            self._write(served.checkpoint(self._journal.position))
            return self._journal.position.number == self.saved_record
        return True

    def summaries(self) -> list[CheckpointSummary]:
        """The checkpoints that the model can be rolled back to, newest first."""
        return self._store.summaries()

    def load(self, event: int) -> Checkpoint | None:
        """The newest checkpoint of an event number; None if there is none.

        Raises:
            CorruptRecord, StorageError: it cannot be read.
        """
        return self._store.load(event)

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole.

        Raises:
            CorruptRecord, StorageError: none is, or it is of another format.
        """
        return self._store.load_newest()[0]

    def _writing(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _rotate(self) -> None:
        try:
            self._journal.rotate()
        except StorageFull as error:
            # The segment goes on, and the checkpoint is tried all the same.
            _log.warning("journal_not_rotated", reason=str(error))

    def _prune(self) -> None:
        if self._prunable >= self._journal.first:
            try:
                self._journal.prune(self._prunable)
            except StorageError as error:
                _log.error("journal_not_pruned", reason=str(error))
            self._size = min(self._size, self._journal.size)
            self._prunable = 0

    def _write(self, checkpoint: Checkpoint) -> None:
        try:
            path = self._store.save(checkpoint)
        except StorageError as error:
            self._instruments.checkpoint_failures.inc()
            _log.error("checkpoint_failed", event_number=checkpoint.event, reason=str(error))
            return
        self.saved_record, self.saved_event = checkpoint.position.number, checkpoint.event
        self._prunable = self._store.oldest_position()
        self._instruments.checkpoint_event.set(checkpoint.event)
        self._instruments.checkpoint_timestamp.set(checkpoint.written_s)
        self._written(checkpoint.event)
        _log.info("checkpoint_written", event_number=checkpoint.event, path=str(path))
