"""Arguments → requests, replies → results."""

import grpc
import numpy as np
from numpy.typing import ArrayLike, NDArray

from service._generated import scatonline_pb2 as pb
from service.client.errors import ClientError
from service.client.results import (
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
from service.errors import InvalidRequest
from service.wire import floats, to_tensor

TargetLike = NDArray[np.generic] | ArrayLike | str


def predict_request(model: str, session: str, x: NDArray[np.generic]) -> pb.PredictRequest:
    """x: (channels, *shape)."""
    return pb.PredictRequest(model=model, session=session, input=_tensor(x))


def update_request(
    model: str,
    session: str,
    sample_id: str,
    x: NDArray[np.generic],
    target: TargetLike | None,
    *,
    device_time_s: float | None,
    host_time_s: float | None,
) -> pb.UpdateRequest:
    """x: (channels, *shape); target: (outputs,), a class name, or None for a late label."""
    return pb.UpdateRequest(
        model=model,
        session=session,
        sample_id=sample_id,
        input=_tensor(x),
        target=None if target is None else target_message(target),
        device_time_s=device_time_s,
        host_time_s=host_time_s,
    )


def label_request(model: str, session: str, sample_id: str, target: TargetLike) -> pb.LabelRequest:
    """target: (outputs,) or a class name."""
    return pb.LabelRequest(
        model=model, session=session, sample_id=sample_id, target=target_message(target)
    )


def target_message(target: TargetLike) -> pb.Target:
    """Values travel as float32."""
    if isinstance(target, str):
        return pb.Target(class_name=target)
    return pb.Target(values=_tensor(np.asarray(target, dtype=np.float32)))


def prediction(message: pb.Prediction) -> Prediction:
    """A prediction as the service made it."""
    return Prediction(floats(message.values, "values"), message.event)


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
    )


def status(reply: pb.StatusReply) -> ServiceStatus:
    """State of the service."""
    return ServiceStatus(
        version=reply.version,
        uptime_s=reply.uptime_s,
        models={message.name: _model_status(message) for message in reply.models},
    )


def _tensor(array: NDArray[np.generic]) -> pb.Tensor:
    try:
        return to_tensor(array)
    except InvalidRequest as error:
        raise ClientError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error


def _filter(message: pb.Filter) -> Filter:
    return Filter(
        id=message.id,
        layer=message.layer,
        scale=message.scale,
        parameters={
            each.name: Parameter(each.value, each.unit, each.initial) for each in message.parameters
        },
        drift=Drift(
            angle_rad=message.drift.angle_rad if message.drift.HasField("angle_rad") else None,
            log2_frequency=message.drift.log2_frequency,
            log2_bandwidth=message.drift.log2_bandwidth,
            spectral_distance=message.drift.spectral_distance,
        ),
        car=message.car if message.HasField("car") else None,
        car_standard_error=(
            message.car_standard_error if message.HasField("car_standard_error") else None
        ),
        car_upper=message.car_upper if message.HasField("car_upper") else None,
        born_event=message.born_event,
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
        checkpoint_event=(
            message.checkpoint_event if message.HasField("checkpoint_event") else None
        ),
        state_hash=message.state_hash,
    )
