"""What goes into a model and what comes out of it, one sample at a time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scatonline.config import ModelSpec
from scatonline.errors import NumericalError, ShapeError

Array = NDArray[np.float32]

# Squares of sums of this many, over a million of them, are still finite in single precision.
LARGEST_INPUT = 1e12


@dataclass(frozen=True)
class Sample:
    """One thing that an experiment sends.

    Attributes:
        id: Name of the sample, unique within its session.
        session: Session (recording) it belongs to.
        input: ``(channels, *shape)``; any real dtype, the model multiplies by its input scale.
        target: ``(outputs,)`` float32: counts, values or a one-hot class. NaN marks an output that
            was not observed (not for classes). None: the label comes later.
        device_time_s: Clock of the recording device, seconds. Kept, never interpreted.
        host_time_s: Clock of the sender, seconds. Kept, never interpreted.
        arrived_s: Clock of whoever keeps the model, seconds, never going back: what
            ``pending_age_s`` is measured on. None: nothing grows too old by this sample.
    """

    id: str
    session: str
    input: NDArray[np.generic]
    target: Array | None = None
    device_time_s: float | None = None
    host_time_s: float | None = None
    arrived_s: float | None = None


@dataclass(frozen=True)
class Prediction:
    """What a model expects.

    Attributes:
        values: ``(outputs,)`` float32: rates (Poisson), values (Gaussian) or class probabilities.
        event: Version of the model, the number of events it had seen.
    """

    values: Array
    event: int


@dataclass(frozen=True)
class Outcome:
    """What became of one sample.

    Attributes:
        sample_id: The sample.
        prediction: Made before anything was learned from this sample.
        learned: The model has learned from it.
        pending: The sample waits for its label.
        loss: Loss of ``prediction`` per observed output (deviance, squared error or log loss), None
            without a label.
        event: Version of the model after this sample.
    """

    sample_id: str
    prediction: Prediction
    learned: bool
    pending: bool
    loss: float | None
    event: int


def prepare(spec: ModelSpec, x: NDArray[np.generic], device: str) -> Tensor:
    """Any real array ``(channels, *shape)`` → float32 tensor, scaled."""
    return prepare_all(spec, [x], device)[0]


def prepare_all(spec: ModelSpec, inputs: Sequence[NDArray[np.generic]], device: str) -> Tensor:
    """Several of them, of any types: ``(inputs, channels, *shape)``."""
    # A copy, so the tensor never shares memory that a sender may reuse.
    stacked = np.stack([x.astype(np.float32, copy=False) for x in inputs])
    scale = torch.tensor(spec.input_scale, device=device)
    return torch.from_numpy(stacked).to(device) * scale.view(-1, *(1 for _ in spec.shape))


def fits(spec: ModelSpec, x: NDArray[np.generic]) -> bool:
    """Whether an input has the shape and a type that a model of ``spec`` takes."""
    return tuple(x.shape) == (spec.channels, *spec.shape) and x.dtype.kind in "fiu"


def check_input(spec: ModelSpec, x: NDArray[np.generic]) -> None:
    """Refuses an input that a model of ``spec`` cannot take.

    Raises:
        ShapeError: wrong shape or not a real number type.
        NumericalError: an entry is NaN or infinite, or too large for single precision.
    """
    expected = (spec.channels, *spec.shape)
    if tuple(x.shape) != expected:
        raise ShapeError(
            f"input has shape {tuple(x.shape)}, model {spec.name!r} expects {expected} "
            "(channels first)"
        )
    if x.dtype.kind not in "fiu":
        raise ShapeError(f"input has type {x.dtype}, expected a real float or integer type")
    # Both are NaN where an entry is, so that nothing else need be looked at on most days.
    largest = max(float(x.max()), -float(x.min()))
    if not math.isfinite(largest):
        bad = int(np.size(x) - np.isfinite(x).sum())
        raise NumericalError(f"input has {bad} entries that are NaN or infinite, expected none")
    largest *= max(abs(s) for s in spec.input_scale)
    if largest > LARGEST_INPUT:
        raise NumericalError(
            f"input times the input scale reaches {largest:.3g}, too large to be transformed in "
            f"single precision: expected at most {LARGEST_INPUT:g}"
        )


def check_target(spec: ModelSpec, outputs: int, target: NDArray[np.generic]) -> None:
    """Refuses a target that a session cannot learn from.

    Raises:
        ShapeError: not one number an output.
        NumericalError: infinite, a negative count, nothing observed, or not one-hot for classes.
    """
    kind = spec.readout.kind
    if target.shape != (outputs,) or target.dtype.kind not in "fiu":
        raise ShapeError(
            f"target has shape {tuple(target.shape)} and type {target.dtype}, expected "
            f"({outputs},) real numbers, one an output of the session"
        )
    values = target
    if target.dtype != np.float32:
        with np.errstate(over="ignore"):
            values = target.astype(np.float32)
    if math.isfinite(values.sum(dtype=np.float64)):
        seen = values
    else:
        seen = values[~np.isnan(values)]
        if len(seen) == 0:
            raise NumericalError("target has only missing entries: send no target instead")
        if not math.isfinite(seen.sum(dtype=np.float64)):
            raise NumericalError(
                "target has infinite entries, expected finite ones or NaN for missing"
            )
    if kind == "softmax" and not (
        len(seen) == outputs and sorted(seen)[:-1] == [0] * (outputs - 1) and seen.sum() == 1
    ):
        raise NumericalError(
            f"target {target.tolist()} is not one-hot, expected a single 1 among 0"
        )
    if kind == "poisson" and seen.min() < 0:
        raise NumericalError(f"target has the negative count {seen.min():g}, expected at least 0")
