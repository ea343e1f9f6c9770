"""The single writer of each model: a bounded queue in front of one thread that owns the model."""

from service.engine.engine import Engine, EngineLimits
from service.engine.events import (
    AppliedDecision,
    Event,
    LabelArrived,
    SampleArrived,
    SessionOpened,
    StructureDecided,
)
from service.engine.saver import CheckpointSaver
from service.engine.status import EngineStatus

__all__ = [
    "AppliedDecision",
    "CheckpointSaver",
    "Engine",
    "EngineLimits",
    "EngineStatus",
    "Event",
    "LabelArrived",
    "SampleArrived",
    "SessionOpened",
    "StructureDecided",
]
