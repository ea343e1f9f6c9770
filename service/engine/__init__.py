"""The single writer of each model: a bounded queue in front of one thread that owns the model.

An event goes through the files in this order: `inbox` (queued), `admission` (checked, and put
together with others), the journal (stored), `events` (applied to what is `served`), `writer`
(published and answered), `reactions` (told).
"""

from service.engine.checking import CheckPlace, InProcess, InThreads
from service.engine.engine import Engine, EngineLimits
from service.engine.events import (
    AppliedDecision,
    Event,
    LabelArrived,
    LearningSet,
    SampleArrived,
    SessionOpened,
    StateReplaced,
    StructureDecided,
)
from service.engine.models import Models
from service.engine.notices import (
    CheckpointWritten,
    Exists,
    Frozen,
    Notice,
    Notices,
    RolledBack,
    StorageReady,
    Watcher,
)
from service.engine.reactions import Reactions
from service.engine.recovery import recovered
from service.engine.saver import CheckpointSaver
from service.engine.served import Served, ServedLimits
from service.engine.status import EngineStatus
from service.engine.writer import WriterLimits

__all__ = [
    "AppliedDecision",
    "CheckPlace",
    "CheckpointSaver",
    "CheckpointWritten",
    "Engine",
    "EngineLimits",
    "EngineStatus",
    "Event",
    "Exists",
    "Frozen",
    "InProcess",
    "InThreads",
    "LabelArrived",
    "LearningSet",
    "Models",
    "Notice",
    "Notices",
    "Reactions",
    "RolledBack",
    "SampleArrived",
    "Served",
    "ServedLimits",
    "SessionOpened",
    "StateReplaced",
    "StorageReady",
    "StructureDecided",
    "Watcher",
    "WriterLimits",
    "recovered",
]
