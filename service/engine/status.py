"""What an engine tells about its model and itself, at one moment between two events."""

from dataclasses import dataclass

from scatonline.config import ModelSpec
from scatonline.scores import ScoreReport
from scatonline.structure import Move
from service.engine.events import AppliedDecision
from service.telemetry import LatencySummary


@dataclass(frozen=True)
class EngineStatus:
    """State of one model and its writer.

    Attributes:
        spec: The model's specification.
        event: Number of events of the model.
        sessions: Session id → names of its outputs.
        scores: Prequential scores.
        pending_labels: Samples that wait for their label.
        expired_labels: Samples that gave up their place before their label came.
        queue_depth: Events that wait for the writer.
        queue_capacity: Events that may wait.
        update_latency: From a sample's arrival to its published result.
        predict_latency: From a request's arrival to its prediction.
        moves: Newest structure moves, oldest first.
        check_running: True while a structure check runs beside the writer.
        checks: Structure checks that ended since the process started.
        check_failures: Those of them that failed.
        last_decision: Newest decision since the process started.
        checkpoint_event: Event number of the newest checkpoint.
        state_hash: sha256 of the model's state, where it was asked for.
        frozen: True while nothing is learned.
        journal_record: Number of the newest record in the journal.
        journal_bytes: Bytes of the journal on disk.
        storage_ready: False while the disk takes nothing.
        repeated_requests: Requests answered from memory since the process started.
        orphan_labels: Labels of samples that never came, since the process started.
        missing_samples: Samples that their sequence numbers say were lost on the way.
    """

    spec: ModelSpec
    event: int
    sessions: dict[str, tuple[str, ...]]
    scores: ScoreReport
    pending_labels: int
    expired_labels: int
    queue_depth: int
    queue_capacity: int
    update_latency: LatencySummary
    predict_latency: LatencySummary
    moves: tuple[Move, ...]
    check_running: bool
    checks: int
    check_failures: int
    last_decision: AppliedDecision | None
    checkpoint_event: int | None
    state_hash: str | None
    frozen: bool
    journal_record: int
    journal_bytes: int
    storage_ready: bool
    repeated_requests: int
    orphan_labels: int
    missing_samples: int
