"""Replies → results."""

import json
from collections.abc import Callable

import grpc

from service._generated import scatonline_pb2 as pb
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
    What,
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
from service.errors import InvalidRequest
from service.wire import floats


def prediction(message: pb.Prediction) -> Prediction:
    """A prediction as the service made it."""
    try:
        return Prediction(floats(message.values, "values"), message.event)
    except InvalidRequest as error:
        raise ClientError(grpc.StatusCode.INTERNAL, f"reply: {error}") from error


def outcome(message: pb.Outcome) -> Outcome:
    """What became of a sample."""
    return Outcome(
        sample_id=message.sample_id,
        prediction=prediction(message.prediction),
        learned=message.learned,
        pending=message.pending,
        loss=message.loss if message.HasField("loss") else None,
        event=message.event,
    )


def filters(reply: pb.GetFiltersReply) -> Filters:
    """All filters of a model."""
    return Filters(
        event=reply.event,
        filters=tuple(_filter(message) for message in reply.filters),
        bounds={bound.layer: (bound.min, bound.max) for bound in reply.bounds},
    )


def decision(message: pb.Decision) -> Decision:
    """A structure decision."""
    return Decision(
        look=message.look,
        session=message.session,
        samples=message.samples,
        effective_samples=message.effective_samples,
        baseline_score=message.baseline_score,
        cars=tuple(_group_car(car) for car in message.cars),
        moves=tuple(_move(move) for move in message.moves),
        reason=message.reason,
        outputs=tuple(message.outputs),
    )


def check_result(reply: pb.CheckStructureReply) -> CheckResult:
    """A decision that was applied."""
    return CheckResult(decision(reply.decision), reply.event)


def checkpoints(reply: pb.ListCheckpointsReply) -> tuple[Checkpoint, ...]:
    """Checkpoints, newest first."""
    return tuple(Checkpoint(each.event, each.written_s) for each in reply.checkpoints)


def description(reply: pb.DescribeModelReply) -> ModelDescription:
    """A model's specification."""
    return ModelDescription(reply.model, json.loads(reply.specification), reply.in_settings)


def imported(reply: pb.ImportModelReply) -> ImportedModel:
    """A model that was made or replaced."""
    return ImportedModel(reply.model, reply.event)


def notice(message: pb.Notice, *, after_outage: bool) -> Notice:
    """Something that happened; `after_outage`: the connection was lost before it."""
    return Notice(
        model=message.model,
        event=message.event,
        time_s=message.time_s,
        missed=message.missed,
        after_outage=after_outage,
        what=_what(message),
    )


def status(reply: pb.StatusReply) -> ServiceStatus:
    """State of the service."""
    return ServiceStatus(
        version=reply.version,
        uptime_s=reply.uptime_s,
        models={message.name: _model_status(message) for message in reply.models},
    )


def _filter(message: pb.Filter) -> Filter:
    return Filter(
        id=message.id,
        layer=message.layer,
        scale=message.scale,
        parameters={
            each.name: Parameter(each.value, each.unit, each.initial) for each in message.parameters
        },
        drift=_drift(message.drift),
        car=message.car if message.HasField("car") else None,
        car_standard_error=(
            message.car_standard_error if message.HasField("car_standard_error") else None
        ),
        car_upper=message.car_upper if message.HasField("car_upper") else None,
        born_event=message.born_event,
        freed=message.freed,
    )


def _drift(message: pb.Drift) -> Drift:
    return Drift(
        angle_rad=message.angle_rad if message.HasField("angle_rad") else None,
        log2_frequency=message.log2_frequency,
        log2_bandwidth=message.log2_bandwidth,
        spectral_distance=message.spectral_distance,
    )


def _group_car(message: pb.GroupCar) -> GroupCar:
    return GroupCar(
        filter_id=message.filter_id,
        layer=message.layer,
        scale=message.scale,
        car=message.car,
        standard_error=message.standard_error,
        upper=message.upper,
        agreement=message.agreement,
        removable=message.removable,
        accuracy_loss=message.accuracy_loss if message.HasField("accuracy_loss") else None,
        deviance_loss=message.deviance_loss if message.HasField("deviance_loss") else None,
        by_output=tuple(message.by_output),
    )


def _move(message: pb.Move) -> Move:
    return Move(
        kind="add" if message.kind == pb.MOVE_KIND_ADD else "drop",
        filter_id=message.filter_id,
        layer=message.layer,
        scale=message.scale,
        reason=message.reason,
        numbers=dict(message.numbers),
        event=message.event,
    )


def _what(message: pb.Notice) -> What | None:
    """What happened; None if it is of a kind that this version does not know."""
    readers: dict[str | None, Callable[[], What]] = {
        "decision": lambda: decision(message.decision),
        "loss_changed": lambda: LossChanged(
            message.loss_changed.session, message.loss_changed.detector
        ),
        "filters_given_up": lambda: FiltersGivenUp(
            message.filters_given_up.worse, message.filters_given_up.standard_error
        ),
        "filter_drifted": lambda: FilterDrifted(
            message.filter_drifted.filter_id, _drift(message.filter_drifted.drift)
        ),
        "frozen": lambda: LearningFrozen(message.frozen),
        "rolled_back_to": lambda: RolledBack(message.rolled_back_to),
        "storage_ready": lambda: StorageReady(message.storage_ready),
        "checkpoint": lambda: CheckpointWritten(message.checkpoint),
        "exists": lambda: ModelExists(message.exists),
    }
    read = readers.get(message.WhichOneof("what"))
    return None if read is None else read()


def _latency(message: pb.Latency) -> Latency:
    return Latency(message.count, message.p50_s, message.p99_s)


def _model_status(message: pb.ModelStatus) -> ModelStatus:
    scores = message.scores
    return ModelStatus(
        name=message.name,
        readout=message.readout,
        channels=message.channels,
        shape=tuple(message.shape),
        event=message.event,
        sessions={session.id: tuple(session.outputs) for session in message.sessions},
        scores=Scores(scores.samples, scores.primary, dict(scores.values), dict(scores.recent)),
        pending_labels=message.pending_labels,
        expired_labels=message.expired_labels,
        orphan_labels=message.orphan_labels,
        missing_samples=message.missing_samples,
        repeated_requests=message.repeated_requests,
        queue_depth=message.queue_depth,
        queue_capacity=message.queue_capacity,
        update_latency=_latency(message.update_latency),
        predict_latency=_latency(message.predict_latency),
        moves=tuple(_move(move) for move in message.moves),
        structure_check_running=message.structure_check_running,
        structure_checks=message.structure_checks,
        structure_check_failures=message.structure_check_failures,
        last_decision=(
            decision(message.last_decision) if message.HasField("last_decision") else None
        ),
        frozen=message.frozen,
        checkpoint_event=(
            message.checkpoint_event if message.HasField("checkpoint_event") else None
        ),
        journal_record=message.journal_record,
        journal_bytes=message.journal_bytes,
        storage_ready=message.storage_ready,
        state_hash=message.state_hash,
    )
