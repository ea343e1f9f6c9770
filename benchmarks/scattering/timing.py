"""Times of several ways to do the same work, measured in turn.

Machines are shared and change their speed, so ways are compared in one run: each has short turns,
one after the other, again and again. Within a turn a way is called many times, as a stream of
samples would call it; the first call of a turn, which finds the caches full of the other's data, is
not counted.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

_TURN_S = 0.15
_FEWEST = 3


@dataclass(frozen=True)
class Times:
    """Seconds of one way.

    Attributes:
        median: Over all counted calls.
        low: First quartile.
        high: Third quartile.
        calls: How many were counted.
    """

    median: float
    low: float
    high: float
    calls: int


def measure(
    ways: Mapping[str, Callable[[], object]], device: torch.device, seconds: float
) -> dict[str, Times]:
    """Times of every way.

    Args:
        ways: What to call.
        device: Where it runs; a GPU is waited for.
        seconds: How long the whole measurement may take, about.
    """
    found: dict[str, list[float]] = {name: [] for name in ways}
    for call in ways.values():
        for _ in range(_FEWEST):
            _timed(call, device)
    ending = time.perf_counter() + seconds
    while time.perf_counter() < ending:
        for name, call in ways.items():
            found[name] += _turn(call, device)
    return {name: _summary(values) for name, values in found.items()}


def _turn(call: Callable[[], object], device: torch.device) -> list[float]:
    _timed(call, device)
    times: list[float] = []
    while len(times) < _FEWEST or sum(times) < _TURN_S:
        times.append(_timed(call, device))
    return times


def _timed(call: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _summary(values: list[float]) -> Times:
    low, median, high = statistics.quantiles(values, n=4)
    return Times(median, low, high, len(values))
