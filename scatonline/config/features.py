"""From scattering maps to the columns that a readout sees."""

import math
from dataclasses import dataclass
from typing import Literal

from scatonline.config.checks import one_of, positive, require

Compression = Literal["none", "sqrt", "log"]
# Inputs before a sample whose columns a readout may see: they multiply its columns.
_MOST_LAGS = 16
# An input of few samples has nothing to show from farther away, nor from nearer.
_DILATIONS = (0.25, 4.0)


@dataclass(frozen=True)
class FeatureSpec:
    """From scattering maps to the columns that a readout sees.

    Attributes:
        orders: Scattering orders used; empty: no scattering at all.
        grid: Cells along each axis to which maps of order 0, 1, … are averaged; the last one
            repeats, 0 keeps the map as it is.
        compression: Applied to the averaged maps of order ≥ 1.
        order_weight: Factor on the standardised columns of order 0, 1, …; the last one repeats. A
            column with a smaller factor is held closer to zero by the readout's ridge.
        balanced: The factors above are those for eight orientations (2-D): with L of them at the
            start, columns of order m are multiplied by √(8/L)ᵐ more, so that an order counts for as
            much with any L. Filters that come and go later change no factor.
        raw_grid: Cells along each axis to which the input itself is averaged and used as linear
            terms beside scattering; 0: none.
        raw_weight: Factor on the standardised raw columns.
        contrast: Where above 0, coefficients of order ≥ 1 are divided by this much more than the
            mean of order 1 at the same place, in the input's units: what a contour is made of then
            counts, and not how bright the light was. 0: they are not.
        dilations: Factors by which an input is dilated, in [1/4, 4]; scattering columns are means
            over these views of it, 1 being the input itself; see :mod:`scatonline.views`. For
            what is seen from changing distances. A factor up to 1 costs as much as one transform,
            one above 1 as many along each axis as it says, rounded up: (0.5, 1.0, 2.0) of an image
            cost 1 + 1 + 4 transforms a sample.
        calibration: Samples after which the columns' means and scales are frozen.
        lags: Inputs before a sample, of the same session, whose columns stand beside its own, at
            most 16; see :mod:`scatonline.past`. For responses that come some frames late.
    """

    orders: tuple[int, ...] = (0, 1, 2)
    grid: tuple[int, ...] = (4, 4, 2)
    compression: Compression = "sqrt"
    order_weight: tuple[float, ...] = (1.0, 1.0, 0.4)
    balanced: bool = False
    raw_grid: int = 0
    raw_weight: float = 1.0
    contrast: float = 0.0
    dilations: tuple[float, ...] = (1.0,)
    calibration: int = 64
    lags: int = 0

    def __post_init__(self) -> None:
        require(
            len(set(self.orders)) == len(self.orders) and all(o >= 0 for o in self.orders),
            "features.orders",
            self.orders,
            "distinct orders of at least 0",
        )
        require(
            len(self.grid) > 0 and min(self.grid) >= 0,
            "features.grid",
            self.grid,
            "integers of at least 0",
        )
        one_of("features.compression", self.compression, ("none", "sqrt", "log"))
        require(
            len(self.order_weight) > 0 and all(0 < w < math.inf for w in self.order_weight),
            "features.order_weight",
            self.order_weight,
            "positive finite factors",
        )
        require(self.raw_grid >= 0, "features.raw_grid", self.raw_grid, "at least 0")
        positive("features.raw_weight", self.raw_weight)
        require(
            0 <= self.contrast < math.inf, "features.contrast", self.contrast, "finite, at least 0"
        )
        lowest, highest = _DILATIONS
        require(
            bool(self.dilations)
            and len(set(self.dilations)) == len(self.dilations)
            and all(lowest <= factor <= highest for factor in self.dilations),
            "features.dilations",
            self.dilations,
            f"distinct factors in [{lowest}, {highest}]",
        )
        require(self.calibration >= 2, "features.calibration", self.calibration, "at least 2")
        require(0 <= self.lags <= _MOST_LAGS, "features.lags", self.lags, f"from 0 to {_MOST_LAGS}")
