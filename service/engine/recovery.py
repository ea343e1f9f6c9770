"""What is on disk → the state that was: the newest whole checkpoint, and the journal from there."""

import time
from typing import Any

import structlog

from scatonline.config import ModelSpec
from scatonline.errors import ScatOnlineError
from service.engine.events import Event, apply, decode
from service.engine.served import Served, ServedLimits
from service.errors import ServiceError
from service.storage.checkpoints import Checkpoint
from service.storage.journal import Journal
from service.telemetry import ModelInstruments

_TOLD_EVERY_S = 5.0
_log = structlog.get_logger(__name__)


def recovered(
    spec: ModelSpec,
    checkpoint: Checkpoint,
    journal: Journal,
    limits: ServedLimits,
    instruments: ModelInstruments,
    device: str,
) -> Served:
    """The state after every record of the journal.

    Args:
        spec: The model's specification.
        checkpoint: Where to begin.
        journal: What came since.
        limits: Bounds of what is kept.
        instruments: Show how far it is.
        device: Where the model lives.

    Raises:
        CorruptRecord: the journal does not go on from the checkpoint, or holds what is no event.
        StorageError: it cannot be read.
        StateVersionError: the checkpoint is of another format or specification.
    """
    started_s = told_s = time.monotonic()
    served = Served.restore(spec, checkpoint, limits, device)
    first, last = checkpoint.position.number, journal.position.number
    for record in journal.replay(checkpoint.position):
        apply_again(served, decode(record.body))
        instruments.journal_replayed.inc()
        now_s = time.monotonic()
        if now_s - told_s > _TOLD_EVERY_S:
            told_s = now_s
            done = (record.position.number - first) / (last - first)
            instruments.recovery_progress.set(done)
            instruments.recovery_seconds.set(now_s - started_s)
            _log.info("replaying", model=spec.name, done=round(done, 3))
    instruments.recovery_progress.set(1.0)
    instruments.recovery_seconds.set(time.monotonic() - started_s)
    if last > first:
        _log.info(
            "replayed", model=spec.name, records=last - first, event_number=served.model.event
        )
    return served


def apply_again(served: Served, event: Event[Any]) -> None:
    """Applies an event that was stored; one that was refused then is refused again."""
    try:
        apply(event, served)
    except (ScatOnlineError, ServiceError) as refusal:
        _log.warning("refused_again", model=served.model.spec.name, reason=str(refusal))
