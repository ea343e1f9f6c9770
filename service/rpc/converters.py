"""Requests → events, results → replies."""

import time
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from scatonline.config import AUTO, ModelSpec
from scatonline.sample import Outcome, Prediction, Sample
from service._generated import scatonline_pb2 as pb
from service.engine import LabelArrived, SampleArrived, SessionOpened
from service.errors import InvalidRequest, SettingsError
from service.settings import model_spec
from service.wire import floats, to_tensor

NAME_BYTES = 256
SPECIFICATION_CHARACTERS = 2**16
LARGEST_SEQUENCE = 2**53


def session_opened(request: pb.OpenSessionRequest) -> SessionOpened:
    """Raises InvalidRequest unless the session and its outputs are named, each output once."""
    outputs = tuple(request.outputs)
    twice = [name for name, times in Counter(outputs).items() if times > 1]
    if twice:
        raise InvalidRequest(f"outputs: got {min(twice)!r} twice, expected distinct names")
    if not outputs:
        raise InvalidRequest("outputs: got none, expected the names of units or classes")
    for name in outputs:
        named(name, "outputs")
    return SessionOpened(named(request.session, "session"), outputs)


def predict_input(request: pb.PredictRequest) -> tuple[str, NDArray[np.float32]]:
    """Session and input of a prediction; raises InvalidRequest if the tensor is malformed."""
    return named(request.session, "session"), floats(request.input, "input")


def sample_arrived(request: pb.UpdateRequest) -> SampleArrived:
    """Raises InvalidRequest if a name is missing or a tensor malformed."""
    target = read_target(request.target) if request.HasField("target") else None
    sample = Sample(
        id=named(request.sample_id, "sample_id"),
        session=named(request.session, "session"),
        input=floats(request.input, "input"),
        target=None if isinstance(target, str) else target,
        device_time_s=request.device_time_s if request.HasField("device_time_s") else None,
        host_time_s=request.host_time_s if request.HasField("host_time_s") else None,
        arrived_s=time.time(),
    )
    return SampleArrived(
        sample,
        class_name=target if isinstance(target, str) else None,
        sequence=sequence_number(request),
        early=request.answer_early,
    )


def sequence_number(request: pb.UpdateRequest) -> int | None:
    """Number of a sample in its session, if it has one; raises InvalidRequest if it is too large.

    So large that the numbers missing between them, of all sessions, would not fit into a reply.
    """
    if not request.HasField("sequence"):
        return None
    if request.sequence > LARGEST_SEQUENCE:
        raise InvalidRequest(
            f"sequence: got {request.sequence}, expected at most {LARGEST_SEQUENCE}"
        )
    return request.sequence


def label_arrived(request: pb.LabelRequest) -> LabelArrived:
    """Raises InvalidRequest if a name or the target is missing or malformed."""
    return LabelArrived(
        session=named(request.session, "session"),
        sample_id=named(request.sample_id, "sample_id"),
        target=read_target(request.target),
        arrived_s=time.time(),
    )


def specification(request: pb.CreateModelRequest) -> ModelSpec:
    """Raises InvalidRequest unless it is a whole specification with a family of its own."""
    size = len(request.specification)
    if size > SPECIFICATION_CHARACTERS:
        raise InvalidRequest(
            f"specification: got {size} characters, expected at most {SPECIFICATION_CHARACTERS}"
        )
    try:
        spec = model_spec(request.specification)
    except SettingsError as error:
        raise InvalidRequest(str(error)) from error
    if spec.bank.family == AUTO:
        raise InvalidRequest(
            f"specification: bank.family: got {AUTO!r}, expected the name of a family: choosing "
            "one needs a recording, which only the settings can name"
        )
    return spec


def read_target(target: pb.Target) -> NDArray[np.float32] | str:
    """Values or the name of a class; raises InvalidRequest if it is neither."""
    match target.WhichOneof("value"):
        case "values":
            return floats(target.values, "target.values")
        case "class_name":
            return named(target.class_name, "target.class_name")
        case _:
            raise InvalidRequest("target: got nothing, expected values or class_name")


def named(name: str, what: str) -> str:
    """A name that is present and of bounded length; raises InvalidRequest otherwise."""
    size = len(name.encode())
    if not 0 < size <= NAME_BYTES:
        raise InvalidRequest(f"{what}: got {size} bytes, expected 1 to {NAME_BYTES}")
    return name


def prediction_message(prediction: Prediction) -> pb.Prediction:
    """A prediction as it travels."""
    return pb.Prediction(values=to_tensor(prediction.values), event=prediction.event)


def outcome_message(outcome: Outcome) -> pb.Outcome:
    """An outcome as it travels."""
    return pb.Outcome(
        sample_id=outcome.sample_id,
        prediction=prediction_message(outcome.prediction),
        learned=outcome.learned,
        pending=outcome.pending,
        loss=outcome.loss,
        event=outcome.event,
    )
