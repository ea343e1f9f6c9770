"""Events as a journal keeps them."""

from collections.abc import Mapping
from typing import Any

from service.engine.events.changes import (
    LearningSet,
    SessionOpened,
    StateReplaced,
    StructureDecided,
)
from service.engine.events.event import Event
from service.engine.events.samples import LabelArrived, SampleArrived
from service.engine.packing import pack, unpack
from service.errors import CorruptRecord

_KINDS: Mapping[str, type[Event[Any]]] = {
    event.kind: event
    for event in (
        SessionOpened,
        SampleArrived,
        LabelArrived,
        StructureDecided,
        LearningSet,
        StateReplaced,
    )
}


def encode(event: Event[Any]) -> bytes:
    """An event as a journal keeps it."""
    values, arrays = event.record()
    return pack({"kind": event.kind, **values}, arrays)


def decode(body: bytes) -> Event[Any]:
    """Inverse of :func:`encode`.

    Raises:
        CorruptRecord: it is no event that this version knows.
    """
    values, arrays = unpack(body)
    kind = values.pop("kind", None)
    if kind not in _KINDS:
        raise CorruptRecord(f"a record of the unknown kind {kind!r}: another version wrote it")
    return _KINDS[kind].from_record(values, arrays)
