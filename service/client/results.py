"""What the client gives back. Units are those of the wire contract."""

from dataclasses import dataclass
from typing import Any, Literal

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
    """One wavelet; the CAR numbers are None before the first structure check.

    `freed` is True if the filter moves by itself, where those of a scale move together at first.
    """

    id: str
    layer: int
    scale: int
    parameters: dict[str, Parameter]
    drift: Drift
    car: float | None
    car_standard_error: float | None
    car_upper: float | None
    born_event: int
    freed: bool


@dataclass(frozen=True)
class Filters:
    """All filters of a model and its Littlewood–Paley bounds: layer → (min, max)."""

    event: int
    filters: tuple[Filter, ...]
    bounds: dict[int, tuple[float, float]]


@dataclass(frozen=True)
class GroupCar:
    """CAR index of one filter with its error, bound and the share of restarts that agree.

    `accuracy_loss` is for class models and `deviance_loss` for Poisson models, None for others.
    `by_output` is what each of the decision's outputs loses.
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
    deviance_loss: float | None
    by_output: tuple[float, ...]


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
    """What one structure check found and decided; `outputs` are the names of the session's."""

    look: int
    session: str
    samples: int
    effective_samples: float
    baseline_score: float
    cars: tuple[GroupCar, ...]
    moves: tuple[Move, ...]
    reason: str
    outputs: tuple[str, ...]


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
    """State of one model and its writer.

    Attributes:
        name: Name of the model.
        readout: "poisson", "gaussian" or "softmax".
        channels: Channels of an input.
        shape: Shape of one channel.
        event: Number of events so far.
        sessions: Names of the outputs of every session, by its id.
        scores: Running scores.
        pending_labels: Samples that wait for their label.
        expired_labels: Samples that gave up their place before their label came.
        orphan_labels: Labels of samples that never came.
        missing_samples: Samples that their sequence numbers say were lost on the way.
        repeated_requests: Requests answered from memory, as they had been answered before.
        queue_depth: Events that wait for the writer.
        queue_capacity: The most that may wait.
        update_latency: From the arrival of a sample to its published result.
        predict_latency: From the arrival of a request to its prediction.
        moves: The newest structure moves, oldest first.
        structure_check_running: A check runs beside the writer.
        structure_checks: Checks that ended since the process started.
        structure_check_failures: Checks that failed since then.
        last_decision: The last since then.
        frozen: Nothing is learned.
        checkpoint_event: Event number of the newest checkpoint; None before the first.
        journal_record: Number of the newest record in the journal.
        journal_bytes: Size of the journal on disk.
        storage_ready: False while the disk takes nothing and updates are refused.
        state_hash: sha256 in hexadecimal; empty unless asked for.
    """

    name: str
    readout: str
    channels: int
    shape: tuple[int, ...]
    event: int
    sessions: dict[str, tuple[str, ...]]
    scores: Scores
    pending_labels: int
    expired_labels: int
    orphan_labels: int
    missing_samples: int
    repeated_requests: int
    queue_depth: int
    queue_capacity: int
    update_latency: Latency
    predict_latency: Latency
    moves: tuple[Move, ...]
    structure_check_running: bool
    structure_checks: int
    structure_check_failures: int
    last_decision: Decision | None
    frozen: bool
    checkpoint_event: int | None
    journal_record: int
    journal_bytes: int
    storage_ready: bool
    state_hash: str


@dataclass(frozen=True)
class ServiceStatus:
    """State of the service; `models` by name."""

    version: str
    uptime_s: float
    models: dict[str, ModelStatus]


@dataclass(frozen=True)
class Checkpoint:
    """A state that a model can be rolled back to.

    Attributes:
        event: Number of events that it has seen; names the checkpoint.
        written_s: When it was written, in seconds since the Unix epoch.
    """

    event: int
    written_s: float


@dataclass(frozen=True)
class ModelDescription:
    """The whole specification of a model.

    Attributes:
        model: Name of the model.
        specification: Every key with its value, as `models` in the settings has it.
        in_settings: It stands in the settings, and can be deleted only there.
    """

    model: str
    specification: dict[str, Any]
    in_settings: bool


@dataclass(frozen=True)
class ImportedModel:
    """Name of a model that was made or replaced, and the number of its events."""

    model: str
    event: int
