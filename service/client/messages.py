"""What can be asked of the service: arguments → request, and how its reply is read.

Both clients and both streams send these, so each request is described in this file alone.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc
import numpy as np
from google.protobuf.message import Message
from numpy.typing import ArrayLike, NDArray

from service._generated import scatonline_pb2 as pb
from service.client import replies
from service.client.errors import ClientError
from service.client.results import (
    Checkpoint,
    CheckResult,
    Filters,
    ModelDescription,
    Outcome,
    Prediction,
    ServiceStatus,
)
from service.errors import InvalidRequest
from service.wire import to_tensor

TargetLike = NDArray[np.generic] | ArrayLike | str
R = TypeVar("R")


@dataclass(frozen=True)
class Request(Generic[R]):
    """A message that one reply answers.

    Attributes:
        method: Its method in the contract.
        message: What is sent.
        read: Makes the result from the reply.
        repeatable: It can be sent again when nobody knows whether it arrived: it changes nothing,
            or the service answers it as the first time.
        timeout_s: Seconds that it may take; None: the client's own.
    """

    method: str
    message: Message
    read: Callable[[Any], R]
    repeatable: bool = True
    timeout_s: float | None = None


def open_session(model: str, session: str, outputs: Sequence[str]) -> Request[int]:
    """Starts a session with these units or classes; gives the model's event number.

    Opening it again with the same outputs changes nothing.
    """
    message = pb.OpenSessionRequest(model=model, session=session, outputs=outputs)
    return Request("OpenSession", message, _event)


def predict(
    model: str, session: str, x: NDArray[np.generic], *, at_least_event: int | None = None
) -> Request[Prediction]:
    """Predicts without learning.

    Args:
        model: Name of the model.
        session: Id of an open session.
        x: (channels, *shape) of any real type that travels.
        at_least_event: Waits until the model has seen this many events; None: predicts at once.
    """
    message = pb.PredictRequest(
        model=model, session=session, input=_tensor(x), at_least_event=at_least_event
    )
    return Request("Predict", message, lambda reply: replies.prediction(reply.prediction))


def update(  # noqa: PLR0913 (as many as the message has)
    model: str,
    session: str,
    sample_id: str,
    x: NDArray[np.generic],
    target: TargetLike | None = None,
    *,
    device_time_s: float | None = None,
    host_time_s: float | None = None,
    sequence: int | None = None,
    answer_early: bool = False,
) -> Request[Outcome]:
    """Predicts a sample, scores the prediction and learns from it.

    Args:
        model: Name of the model.
        session: Id of an open session.
        sample_id: Id of the sample, unique in the session.
        x: (channels, *shape) of any real type that travels.
        target: (outputs,) with NaN for what was not recorded, a class name, or None if the label
            comes later.
        device_time_s: Time on the recording device's clock.
        host_time_s: Time since the Unix epoch on this machine's clock.
        sequence: Number of the sample in its session; what it skips is counted as lost.
        answer_early: Answer once the sample is on disk, predicted and scored, before the model has
            learned from it; a prediction that is to know it asks for `at_least_event`.
    """
    message = pb.UpdateRequest(
        model=model,
        session=session,
        sample_id=sample_id,
        input=_tensor(x),
        target=None if target is None else _target(target),
        device_time_s=device_time_s,
        host_time_s=host_time_s,
        sequence=sequence,
        answer_early=answer_early,
    )
    return Request("Update", message, _outcome)


def label(model: str, session: str, sample_id: str, target: TargetLike) -> Request[Outcome]:
    """Gives a waiting sample its target: (outputs,) or a class name."""
    message = pb.LabelRequest(
        model=model, session=session, sample_id=sample_id, target=_target(target)
    )
    return Request("Label", message, _outcome)


def filters(model: str) -> Request[Filters]:
    """Filters of a model with parameters, drift and CAR index."""
    return Request("GetFilters", pb.GetFiltersRequest(model=model), replies.filters)


def check_structure(model: str, *, timeout_s: float = 600.0) -> Request[CheckResult]:
    """Runs a structure check now and applies its decision.

    Args:
        model: Name of the model; the window is that of the session it learned from last.
        timeout_s: Seconds that the check may take.
    """
    message = pb.CheckStructureRequest(model=model)
    return Request("CheckStructure", message, replies.check_result, False, timeout_s)


def status(
    models: Sequence[str] = (), *, include_state_hash: bool = False
) -> Request[ServiceStatus]:
    """State of the service and of the models named, all if none is."""
    message = pb.StatusRequest(models=models, include_state_hash=include_state_hash)
    return Request("Status", message, replies.status)


def freeze(model: str) -> Request[int]:
    """Stops learning until :meth:`resume`; gives the model's event number.

    Samples that come meanwhile are predicted and scored, and never learned from.
    """
    return Request("Freeze", pb.FreezeRequest(model=model), _event)


def resume(model: str) -> Request[int]:
    """Learns again from what comes from now on; gives the model's event number."""
    return Request("Resume", pb.ResumeRequest(model=model), _event)


def checkpoints(model: str) -> Request[tuple[Checkpoint, ...]]:
    """Checkpoints that the model can be rolled back to, newest first."""
    return Request("ListCheckpoints", pb.ListCheckpointsRequest(model=model), replies.checkpoints)


def rollback(model: str, to_event: int, *, timeout_s: float = 600.0) -> Request[int]:
    """Returns a model to a checkpoint; gives the model's event number, which goes on counting.

    Args:
        model: Name of the model.
        to_event: Event number of one of its :meth:`checkpoints`.
        timeout_s: Seconds that it may take.
    """
    message = pb.RollbackRequest(model=model, to_event=to_event)
    return Request("Rollback", message, _event, False, timeout_s)


def models() -> Request[tuple[str, ...]]:
    """Names of all models, sorted."""
    return Request("ListModels", pb.ListModelsRequest(), lambda reply: tuple(reply.models))


def describe(model: str) -> Request[ModelDescription]:
    """The whole specification of a model."""
    return Request("DescribeModel", pb.DescribeModelRequest(model=model), replies.description)


def create_model(
    specification: str | Mapping[str, Any], *, timeout_s: float = 600.0
) -> Request[str]:
    """Makes a model that is kept as those of the settings are; gives its name.

    Args:
        specification: One entry of `models` in the settings, as keys and values, YAML or JSON.
        timeout_s: Seconds that it may take.
    """
    text = specification if isinstance(specification, str) else json.dumps(dict(specification))
    message = pb.CreateModelRequest(specification=text)
    return Request("CreateModel", message, lambda reply: str(reply.model), False, timeout_s)


def delete_model(model: str, *, confirm: str, timeout_s: float = 600.0) -> Request[None]:
    """Deletes a model that was created or imported, with everything stored of it.

    Args:
        model: Name of the model.
        confirm: The name once more: what is deleted cannot be brought back.
        timeout_s: Seconds that it may take.
    """
    message = pb.DeleteModelRequest(model=model, confirm=confirm)
    return Request("DeleteModel", message, lambda _: None, False, timeout_s)


def _event(reply: pb.OpenSessionReply | pb.FreezeReply | pb.ResumeReply | pb.RollbackReply) -> int:
    return reply.event


def _outcome(reply: pb.UpdateReply | pb.LabelReply) -> Outcome:
    return replies.outcome(reply.outcome)


def _target(target: TargetLike) -> pb.Target:
    """Values travel as float32."""
    if isinstance(target, str):
        return pb.Target(class_name=target)
    return pb.Target(values=_tensor(np.asarray(target, dtype=np.float32)))


def _tensor(array: NDArray[np.generic]) -> pb.Tensor:
    try:
        return to_tensor(array)
    except InvalidRequest as error:
        raise ClientError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
