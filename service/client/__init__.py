"""The Python client: NumPy arrays in, typed results out. Needs neither torch nor the models.

from service.client import Client

with Client("localhost:50051") as client:
    client.open_session("v4", "day1", outputs=units)
    outcome = client.update("v4", "day1", "frame-1", frame, counts)
    print(outcome.prediction.values, outcome.loss)
"""

from service.client.client import Client
from service.client.errors import ClientError
from service.client.results import (
    CheckResult,
    Decision,
    Drift,
    Filter,
    Filters,
    GroupCar,
    Latency,
    ModelStatus,
    Move,
    Outcome,
    Parameter,
    Prediction,
    Scores,
    ServiceStatus,
)
from service.client.stream import Stream

__all__ = [
    "CheckResult",
    "Client",
    "ClientError",
    "Decision",
    "Drift",
    "Filter",
    "Filters",
    "GroupCar",
    "Latency",
    "ModelStatus",
    "Move",
    "Outcome",
    "Parameter",
    "Prediction",
    "Scores",
    "ServiceStatus",
    "Stream",
]
