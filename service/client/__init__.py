"""The Python client: NumPy arrays in, typed results out. Needs neither torch nor the models.

from service.client import Client

with Client("localhost:50051") as client:
    client.open_session("v4", "day1", outputs=units)
    outcome = client.update("v4", "day1", "frame-1", frame, counts)
    print(outcome.prediction.values, outcome.loss)
"""

from service.client.async_client import AsyncClient
from service.client.async_stream import AsyncStream
from service.client.async_watch import AsyncWatch
from service.client.client import Client
from service.client.credentials import Tls
from service.client.errors import ClientError
from service.client.notices import (
    CheckpointWritten,
    FilterDrifted,
    FiltersGivenUp,
    LearningFrozen,
    LossChanged,
    ModelExists,
    Notice,
    RolledBack,
    StorageReady,
)
from service.client.results import (
    Checkpoint,
    CheckResult,
    Decision,
    Drift,
    Filter,
    Filters,
    GroupCar,
    ImportedModel,
    Latency,
    ModelDescription,
    ModelStatus,
    Move,
    Outcome,
    Parameter,
    Prediction,
    Scores,
    ServiceStatus,
)
from service.client.stream import Stream
from service.client.watch import Watch

__all__ = [
    "AsyncClient",
    "AsyncStream",
    "AsyncWatch",
    "CheckResult",
    "Checkpoint",
    "CheckpointWritten",
    "Client",
    "ClientError",
    "Decision",
    "Drift",
    "Filter",
    "FilterDrifted",
    "Filters",
    "FiltersGivenUp",
    "GroupCar",
    "ImportedModel",
    "Latency",
    "LearningFrozen",
    "LossChanged",
    "ModelDescription",
    "ModelExists",
    "ModelStatus",
    "Move",
    "Notice",
    "Outcome",
    "Parameter",
    "Prediction",
    "RolledBack",
    "Scores",
    "ServiceStatus",
    "StorageReady",
    "Stream",
    "Tls",
    "Watch",
]
