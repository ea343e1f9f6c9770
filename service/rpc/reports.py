"""What an engine tells about filters, decisions and itself, as messages."""

from scatonline.drift import FilterReport
from scatonline.structure import GroupCar, Move
from service._generated import scatonline_pb2 as pb
from service.engine import AppliedDecision, EngineStatus
from service.telemetry import LatencySummary, ModelReport

_KINDS = {"add": pb.MOVE_KIND_ADD, "drop": pb.MOVE_KIND_DROP}


def filters_reply(report: ModelReport) -> pb.GetFiltersReply:
    """All filters and bounds of a model."""
    return pb.GetFiltersReply(
        event=report.event,
        filters=[_filter(each) for each in report.filters],
        bounds=[
            pb.FrameBounds(layer=layer, min=low, max=high)
            for layer, (low, high) in report.bounds.items()
        ],
    )


def decision_message(applied: AppliedDecision) -> pb.Decision:
    """A structure decision with all its numbers."""
    decision = applied.decision
    return pb.Decision(
        look=decision.look,
        session=decision.session,
        samples=decision.samples,
        effective_samples=decision.n_eff,
        baseline_score=decision.baseline_score,
        cars=[_group_car(car) for car in decision.cars],
        moves=[_move(move) for move in decision.moves],
        reason=decision.reason,
        outputs=applied.outputs,
    )


def status_message(status: EngineStatus) -> pb.ModelStatus:
    """State of one model and its writer."""
    scores = status.scores
    return pb.ModelStatus(
        name=status.spec.name,
        readout=status.spec.readout.kind,
        channels=status.spec.channels,
        shape=status.spec.shape,
        event=status.event,
        sessions=[
            pb.Session(id=session, outputs=outputs) for session, outputs in status.sessions.items()
        ],
        scores=pb.Scores(
            samples=scores.samples,
            primary=scores.primary,
            values=scores.values,
            recent=scores.recent,
        ),
        pending_labels=status.pending_labels,
        expired_labels=status.expired_labels,
        queue_depth=status.queue_depth,
        queue_capacity=status.queue_capacity,
        update_latency=_latency(status.update_latency),
        predict_latency=_latency(status.predict_latency),
        moves=[_move(move) for move in status.moves],
        structure_check_running=status.check_running,
        structure_checks=status.checks,
        structure_check_failures=status.check_failures,
        last_decision=(
            None if status.last_decision is None else decision_message(status.last_decision)
        ),
        checkpoint_event=status.checkpoint_event,
        state_hash=status.state_hash or "",
        frozen=status.frozen,
        journal_record=status.journal_record,
        journal_bytes=status.journal_bytes,
        storage_ready=status.storage_ready,
        repeated_requests=status.repeated_requests,
        orphan_labels=status.orphan_labels,
        missing_samples=status.missing_samples,
    )


def _filter(report: FilterReport) -> pb.Filter:
    return pb.Filter(
        id=report.id,
        layer=report.layer,
        scale=report.scale,
        parameters=[
            pb.Parameter(
                name=name, value=parameter.value, unit=parameter.unit, initial=parameter.initial
            )
            for name, parameter in report.parameters.items()
        ],
        drift=drift_message(report),
        car=report.car,
        car_standard_error=report.car_se,
        car_upper=report.car_upper,
        born_event=report.born_event,
        freed=report.freed,
    )


def drift_message(report: FilterReport) -> pb.Drift:
    """How far a filter has moved."""
    return pb.Drift(
        angle_rad=report.drift.get("angle_rad"),
        log2_frequency=report.drift["log2_frequency"],
        log2_bandwidth=report.drift["log2_bandwidth"],
        spectral_distance=report.drift["spectral_distance"],
    )


def _group_car(car: GroupCar) -> pb.GroupCar:
    return pb.GroupCar(
        filter_id=car.filter_id,
        layer=car.layer,
        scale=car.scale,
        car=car.car,
        standard_error=car.se,
        upper=car.upper,
        agreement=car.agreement,
        removable=car.removable,
        accuracy_loss=car.accuracy_loss,
        deviance_loss=car.deviance_loss,
        by_output=car.by_output,
    )


def _move(move: Move) -> pb.Move:
    return pb.Move(
        kind=_KINDS[move.kind],
        filter_id=move.filter_id,
        layer=move.layer,
        scale=move.scale,
        reason=move.reason,
        numbers=move.numbers,
        event=move.event,
    )


def _latency(summary: LatencySummary) -> pb.Latency:
    return pb.Latency(count=summary.count, p50_s=summary.p50_s, p99_s=summary.p99_s)
