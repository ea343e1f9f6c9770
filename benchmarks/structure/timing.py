"""What the CARs of one check cost: refits without every filter, in closed form and by brute force.

Times are processor times of one thread, so that what else the machine does counts little.
"""

import statistics
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from scatonline.structure.bags import Bags
from scatonline.structure.ridge import fit
from scatonline.structure.window import BLOCK, Evidence

# Seconds of one core in which all CARs of a check are to be there.
GOAL_S = 2.0
_RIDGE = 100.0


@dataclass(frozen=True)
class Size:
    """Of a check.

    Attributes:
        columns: Columns that the readout sees.
        samples: In the window.
        filters: Groups of columns.
        restarts: Block bootstraps.
        outputs: Of the readout.
    """

    columns: int
    samples: int
    filters: int
    restarts: int
    outputs: int


SIZES = (
    Size(200, 1000, 24, 5, 32),
    Size(1000, 600, 24, 5, 32),
    Size(2000, 1000, 24, 5, 32),
    Size(4000, 1000, 48, 5, 32),
)


@dataclass(frozen=True)
class Timing:
    """Seconds of one thread, median of several runs.

    Attributes:
        size: What was asked.
        way: ``primal`` or ``dual``.
        fit_s: The restarts' regressions.
        cars_s: Those, and every filter's predictions, scores and statistics.
        brute_s: The same predictions by fitting anew without each filter, with the same
            factorisations; from two filters, times their number.
        error: Largest difference of any of those predictions.
    """

    size: Size
    way: str
    fit_s: float
    cars_s: float
    brute_s: float
    error: float


def measure(size: Size, repeats: int = 3) -> Timing:
    """On random columns, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measure(size, repeats)
    finally:
        torch.set_num_threads(threads)


def _measure(size: Size, repeats: int) -> Timing:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(size.samples, size.columns, generator=generator, dtype=torch.float64)
    mixing = torch.randn(size.columns, size.outputs, generator=generator, dtype=torch.float64)
    noise = torch.randn(size.samples, size.outputs, generator=generator, dtype=torch.float64)
    y = x @ mixing / size.columns**0.5 + noise
    groups = list(torch.arange(size.columns).tensor_split(size.filters))
    fits, cars = [], []
    for _ in range(repeats):
        start = time.process_time()
        evidence = Evidence.of(y, "gaussian", size.restarts, 0)
        refits = fit(x, evidence.filled, evidence.bags, _RIDGE, groups)
        fits.append(time.process_time() - start)
        full = [refit.predictions() for refit in refits]
        for group in groups:
            evidence.loss(full, [refit.without(group) for refit in refits])
        cars.append(time.process_time() - start)
    bags = Bags.of(size.samples, BLOCK, size.restarts, torch.Generator().manual_seed(0))
    start = time.process_time()
    anew = [_left_out(x, y, bags, group) for group in groups[:2]]
    brute = (time.process_time() - start) / 2 * size.filters
    refits = fit(x, y, bags, _RIDGE, groups)
    error = max(
        float((a - refit.without(group)).abs().max())
        for group, found in zip(groups, anew, strict=False)
        for a, refit in zip(found, refits, strict=True)
    )
    way = type(refits[0]).__name__.lower()
    return Timing(size, way, statistics.median(fits), statistics.median(cars), brute, error)


def _left_out(x: Tensor, y: Tensor, bags: Bags, group: Tensor) -> list[Tensor]:
    kept = torch.ones(x.shape[1], dtype=torch.bool)
    kept[group] = False
    return [refit.predictions() for refit in fit(x[:, kept], y, bags, _RIDGE)]
