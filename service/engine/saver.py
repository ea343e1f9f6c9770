"""Writes a model's checkpoints beside its writer.

The state is copied in the writer's thread; the slow part (hashing, writing, waiting for the disk)
happens in another.
"""

import threading
import time

import structlog

from scatonline.model import Model
from service.errors import StorageError
from service.storage.checkpoints import Checkpoint, CheckpointStore, now_s
from service.telemetry import ModelInstruments

_WRITING_POLL_S = 0.05
_log = structlog.get_logger(__name__)


class CheckpointSaver:
    """Decides when a checkpoint is due and writes one at a time.

    Args:
        store: Where checkpoints go.
        instruments: The model's instruments.
        every_s: Seconds between checkpoints of a model that changes.
        saved_event: Event number of the checkpoint that the model was restored from.
    """

    def __init__(
        self,
        store: CheckpointStore,
        instruments: ModelInstruments,
        every_s: float,
        saved_event: int | None,
    ) -> None:
        self.saved_event = saved_event
        self._store = store
        self._instruments = instruments
        self._every_s = every_s
        self._due_at_s = time.monotonic() + every_s
        self._thread: threading.Thread | None = None

    def hasten(self) -> None:
        """Makes a checkpoint due now."""
        self._due_at_s = time.monotonic()

    def seconds_until_due(self, event: int) -> float | None:
        """Seconds until a model at this event wants a checkpoint; None while nothing changed."""
        if event == self.saved_event:
            return None
        if self._writing():
            return _WRITING_POLL_S
        return max(0.0, self._due_at_s - time.monotonic())

    def begin_if_due(self, model: Model) -> None:
        """Copies the state of a model that wants a checkpoint and writes it in another thread."""
        if self.seconds_until_due(model.event) != 0.0:
            return
        self._due_at_s = time.monotonic() + self._every_s
        try:
            checkpoint = _checkpoint(model)
        except Exception:  # noqa: BLE001 (counted and logged; the experiment goes on)
            self._instruments.checkpoint_failures.inc()
            _log.exception("checkpoint_failed", model=model.spec.name, event_number=model.event)
            return
        self._thread = threading.Thread(
            target=self._write, args=(checkpoint,), name=f"checkpoint-{model.spec.name}"
        )
        self._thread.start()

    def finish(self, model: Model) -> bool:
        """Waits for a checkpoint under way, then writes the last one if anything changed since.

        Returns:
            True if the newest checkpoint holds the model's present state.
        """
        if self._thread is not None:
            self._thread.join()
        if model.event != self.saved_event:
            self._write(_checkpoint(model))
        return model.event == self.saved_event

    def _writing(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _write(self, checkpoint: Checkpoint) -> None:
        try:
            path = self._store.save(checkpoint)
        except StorageError as error:
            self._instruments.checkpoint_failures.inc()
            _log.error("checkpoint_failed", event_number=checkpoint.event, reason=str(error))
            return
        self.saved_event = checkpoint.event
        self._instruments.checkpoint_event.set(checkpoint.event)
        self._instruments.checkpoint_timestamp.set(checkpoint.written_s)
        _log.info("checkpoint_written", event_number=checkpoint.event, path=str(path))


def _checkpoint(model: Model) -> Checkpoint:
    tensors, meta = model.state()
    return Checkpoint(
        event=model.event,
        spec=model.spec.to_dict(),
        tensors={
            name: tensor.detach().to("cpu", copy=True).contiguous()
            for name, tensor in tensors.items()
        },
        meta=meta,
        written_s=now_s(),
    )
