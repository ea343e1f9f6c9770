"""What is on disk → the state that was: the newest whole checkpoint, and the journal from there."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import structlog

from scatonline.config import ModelSpec
from scatonline.errors import ScatOnlineError
from service.engine.ahead import look_ahead
from service.engine.events import Event, apply, decode
from service.engine.served import Served, ServedLimits
from service.errors import CorruptRecord, ServiceError, StorageError
from service.storage.checkpoints import Checkpoint
from service.storage.journal import Journal
from service.storage.records import Position
from service.telemetry import ModelInstruments

_TOLD_EVERY_S = 5.0
# Records that are read before they are applied.
_AT_A_TIME = 32
_log = structlog.get_logger(__name__)


class _Broke(Exception):
    """Applying a record ended in an error that nothing foresaw."""

    def __init__(self, number: int) -> None:
        super().__init__(f"record {number}")
        self.number = number


def recovered(
    spec: ModelSpec,
    checkpoint: Checkpoint,
    journal: Journal,
    limits: ServedLimits,
    *,
    instruments: ModelInstruments,
    device: str,
    unanswered_from: int | None = None,
) -> Served:
    """The state after every record of the journal.

    Args:
        spec: The model's specification.
        checkpoint: Where to begin.
        journal: What came since.
        limits: Bounds of what is kept.
        instruments: Show how far it is.
        device: Where the model lives.
        unanswered_from: Record from which on nothing was answered; one of these that cannot be
            applied is left out for good.

    Raises:
        CorruptRecord: the journal does not go on from the checkpoint, or holds what is no event.
        StorageError: it cannot be read, or a record cannot be applied.
        StateVersionError: the checkpoint is of another format or specification.
    """
    while True:
        served = Served.restore(spec, checkpoint, limits, device)
        try:
            _replay(served, journal, checkpoint.position, instruments)
        except _Broke as broke:
            if unanswered_from is None or broke.number < unanswered_from:
                raise StorageError(
                    f"model {spec.name!r}: record {broke.number} of the journal, which was stored "
                    f"and perhaps answered, cannot be applied: {broke.__cause__!r}. Nothing was "
                    "touched: start the version that wrote it, or free memory, and report this"
                ) from broke
            journal.skip(broke.number)
        else:
            return served


def _replay(
    served: Served, journal: Journal, after: Position, instruments: ModelInstruments
) -> None:
    """Applies what a journal holds after a place."""
    started_s = told_s = time.monotonic()
    name, first, last = served.model.spec.name, after.number, journal.position.number
    for number, event in _read(served, journal, after):
        try:
            apply_again(served, event)
        except CorruptRecord:
            raise
        except Exception as error:
            raise _Broke(number) from error
        instruments.journal_replayed.inc()
        now_s = time.monotonic()
        if now_s - told_s > _TOLD_EVERY_S:
            told_s = now_s
            done = (number - first) / (last - first)
            instruments.recovery_progress.set(done)
            instruments.recovery_seconds.set(now_s - started_s)
            _log.info("replaying", model=name, done=round(done, 3))
    instruments.recovery_progress.set(1.0)
    instruments.recovery_seconds.set(time.monotonic() - started_s)
    if last > first:
        _log.info("replayed", model=name, records=last - first, event_number=served.model.event)


def _read(served: Served, journal: Journal, after: Position) -> Iterator[tuple[int, Event[Any]]]:
    """Events with their records' numbers; some at a time, so that they can be looked at ahead."""
    records = journal.replay(after)
    while some := [(r.position.number, decode(r.body)) for r in islice(records, _AT_A_TIME)]:
        look_ahead([event for _, event in some], served)
        yield from some


def apply_again(served: Served, event: Event[Any]) -> None:
    """Applies an event that was stored; one that was refused then is refused again."""
    try:
        apply(event, event.request(), served)
    except CorruptRecord:
        raise
    except (ScatOnlineError, ServiceError) as refusal:
        _log.warning("refused_again", model=served.model.spec.name, reason=str(refusal))
