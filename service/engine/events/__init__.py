"""Everything that changes a model. An event is data, and applying it is the only transition.

The state after an event depends on the state before it and the event alone, so a journal of events
replayed from a checkpoint gives the same state.
"""

from service.engine.events.changes import (
    AppliedDecision,
    LearningSet,
    SessionOpened,
    StateReplaced,
    StructureDecided,
)
from service.engine.events.event import Event, apply
from service.engine.events.records import decode, encode
from service.engine.events.samples import LabelArrived, SampleArrived, one_hot

__all__ = [
    "AppliedDecision",
    "Event",
    "LabelArrived",
    "LearningSet",
    "SampleArrived",
    "SessionOpened",
    "StateReplaced",
    "StructureDecided",
    "apply",
    "decode",
    "encode",
    "one_hot",
]
