"""The models that are served, and requests to them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service._generated import scatonline_pb2 as pb
from service.wire import to_tensor

SESSION = "bench"
PREDICT, UPDATE = "/scatonline.v1.ScatOnline/Predict", "/scatonline.v1.ScatOnline/Update"

SMALL: dict[str, Any] = {
    "name": "small",
    "channels": 1,
    "shape": [64],
    "bank": {"J": 3, "Q": [2, 1], "max_order": 1},
    "features": {"orders": [0, 1], "calibration": 16},
    "learning": {"warmup": 16},
    "structure": {"enabled": False, "window": 64},
}
# The same with filters that stay: the service's share of the cost is largest there.
SMALL_FIXED: dict[str, Any] = {**SMALL, "name": "fixed", "learning": {"enabled": False}}
MOVIE: dict[str, Any] = {
    "name": "movie",
    "channels": 1,
    "shape": [64, 64],
    "bank": {"J": 3, "L": 8, "max_order": 2},
    "features": {"calibration": 64},
    "learning": {"warmup": 64, "every": 1},
    "structure": {"enabled": False, "window": 512, "min_effective": 10.0},
}


def outputs(count: int) -> list[str]:
    """Names of units."""
    return [f"unit-{number}" for number in range(count)]


def frame(model: dict[str, Any], number: int) -> NDArray[np.float32]:
    """A smooth random input, the same for the same number."""
    draw = np.random.default_rng(number)
    shape: tuple[int, ...] = (model["channels"], *model["shape"])
    noise: NDArray[np.float32] = draw.standard_normal(shape).astype(np.float32)
    for axis in range(1, noise.ndim):
        noise += np.roll(noise, 1, axis) + np.roll(noise, 2, axis)
    return noise


def counts(number: int, x: NDArray[np.float32], units: int) -> NDArray[np.float32]:
    """Spike counts that depend on an input."""
    draw = np.random.default_rng(10**6 + number)
    drive = float(np.abs(x).mean()) + 0.3 * np.sin(np.arange(units))
    spikes: NDArray[np.int64] = draw.poisson(np.clip(drive, 0.1, 5.0))
    return spikes.astype(np.float32)


def open_session(model: dict[str, Any], units: int) -> pb.OpenSessionRequest:
    """Opens the one session."""
    return pb.OpenSessionRequest(model=model["name"], session=SESSION, outputs=outputs(units))


def predict(model: dict[str, Any], number: int, *, at_least_event: int = 0) -> bytes:
    """A prediction as it travels."""
    return pb.PredictRequest(
        model=model["name"],
        session=SESSION,
        input=to_tensor(frame(model, number)),
        at_least_event=at_least_event,
    ).SerializeToString()


def update(model: dict[str, Any], number: int, units: int, *, early: bool = False) -> bytes:
    """A labelled sample as it travels; `early`: to be answered before it is learned from."""
    x = frame(model, number)
    return pb.UpdateRequest(
        model=model["name"],
        session=SESSION,
        sample_id=f"sample-{number}",
        input=to_tensor(x),
        target=pb.Target(values=to_tensor(counts(number, x, units))),
        sequence=number,
        answer_early=early,
    ).SerializeToString()
