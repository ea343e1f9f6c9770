"""Whether a step costs at the end of a long stream what it cost at its beginning."""

import gc
import re
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.scattering import ways
from benchmarks.scattering.cases import STREAM
from benchmarks.scattering.steps import online_step

_EARLY = 200
_AROUND = 100


@dataclass(frozen=True)
class Stream:
    """What a stream of steps cost.

    Attributes:
        steps: How many.
        early_s: Median seconds of the 100 steps either side of step 200.
        late_s: Median seconds of the last 200 steps.
        growth_bytes: Resident memory at the end less that at step 1 000.
    """

    steps: int
    early_s: float
    late_s: float
    growth_bytes: int


def run(steps: int) -> Stream:
    """Streams new signals through one learning transform."""
    transform = ways.ours(STREAM)
    x = torch.empty(1, *STREAM.shape)
    step = online_step(transform, x.normal_())
    generator = torch.Generator().manual_seed(1)
    times, memory = [], 0
    for number in range(steps):
        x.normal_(generator=generator)
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
        if number == min(1_000, steps // 2):
            memory = _resident()
    early = statistics.median(times[_EARLY - _AROUND : _EARLY + _AROUND])
    late = statistics.median(times[-2 * _AROUND :])
    return Stream(steps, early, late, _resident() - memory)


def _resident() -> int:
    gc.collect()
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found.group(1))
