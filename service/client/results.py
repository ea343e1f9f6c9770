"""What the client gives back. Units are those of the wire contract."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Prediction:
    """Expected counts, values or class probabilities.

    Attributes:
        values: float32 (outputs,).
        event: Number of events that the predicting version of the model had seen.
    """

    values: NDArray[np.float32]
    event: int


@dataclass(frozen=True)
class Outcome:
    """What became of one sample.

    Attributes:
        sample_id: Id of the sample.
        prediction: Made before learning.
        learned: The model learned from it.
        pending: It waits for its label.
        loss: Loss per recorded output; None without a target.
        event: Number of this event in the model.
    """

    sample_id: str
    prediction: Prediction
    learned: bool
    pending: bool
    loss: float | None
    event: int


@dataclass(frozen=True)
class Parameter:
    """A filter's parameter: present and initial value in `unit`."""

    value: float
    unit: str
    initial: float


@dataclass(frozen=True)
class Drift:
    """Distance of a filter from its start: radians (None in 1-D), octaves, octaves, ratio."""

    angle_rad: float | None
    log2_frequency: float
    log2_bandwidth: float
    spectral_distance: float


@dataclass(frozen=True)
class Filter:
    """One wavelet; the CAR numbers are None before the first structure check."""

    id: str
    layer: int
    scale: int
    parameters: dict[str, Parameter]
    drift: Drift
    car: float | None
    car_standard_error: float | None
    car_upper: float | None
    born_event: int


@dataclass(frozen=True)
class Filters:
    """All filters of a model and its Littlewood–Paley bounds: layer → (min, max)."""

    event: int
    filters: tuple[Filter, ...]
    bounds: dict[int, tuple[float, float]]


@dataclass(frozen=True)
class GroupCar:
    """CAR index of one filter with its error, bound and the share of restarts that agree.

    `accuracy_loss` is for class models, None for others.
    """

    filter_id: str
    layer: int
    scale: int
    car: float
    standard_error: float
    upper: float
    agreement: float
    removable: bool
    accuracy_loss: float | None


@dataclass(frozen=True)
class Move:
    """A filter that was added or dropped, why, and the numbers behind it."""

    kind: Literal["add", "drop"]
    filter_id: str
    layer: int
    scale: int
    reason: str
    numbers: dict[str, float]
    event: int


@dataclass(frozen=True)
class Decision:
    """What one structure check found and decided."""

    look: int
    session: str
    samples: int
    effective_samples: float
    baseline_score: float
    cars: tuple[GroupCar, ...]
    moves: tuple[Move, ...]
    reason: str


@dataclass(frozen=True)
class CheckResult:
    """A decision and the model's event number after it was applied."""

    decision: Decision
    event: int


@dataclass(frozen=True)
class Latency:
    """Percentiles in seconds over the newest `count` requests."""

    count: int
    p50_s: float
    p99_s: float


@dataclass(frozen=True)
class Scores:
    """Prequential scores by name: over all samples and over the recent ones."""

    samples: int
    primary: str
    values: dict[str, float]
    recent: dict[str, float]


@dataclass(frozen=True)
class ModelStatus:
    """State of one model and its writer; `state_hash` is empty unless asked for."""

    name: str
    readout: str
    channels: int
    shape: tuple[int, ...]
    event: int
    sessions: dict[str, tuple[str, ...]]
    scores: Scores
    pending_labels: int
    expired_labels: int
    queue_depth: int
    queue_capacity: int
    update_latency: Latency
    predict_latency: Latency
    moves: tuple[Move, ...]
    structure_check_running: bool
    structure_checks: int
    structure_check_failures: int
    last_decision: Decision | None
    checkpoint_event: int | None
    state_hash: str


@dataclass(frozen=True)
class ServiceStatus:
    """State of the service; `models` by name."""

    version: str
    uptime_s: float
    models: dict[str, ModelStatus]
