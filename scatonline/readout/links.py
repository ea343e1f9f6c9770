"""What each kind of target means: mean, residual, curvature and loss of a linear predictor η.

Generalised linear models with canonical links (McCullagh & Nelder 1989): the gradient of the loss in
η is always mean − target. A missing target (NaN) has residual 0 and loss NaN.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# Rates beyond e^±_RATE_LIMIT per bin mean a runaway predictor, not a cell.
_RATE_LIMIT = 8.0
_RATE_FLOOR = 1e-6


@dataclass(frozen=True)
class Link:
    """One kind of readout.

    Attributes:
        mean: η → prediction.
        curvature: prediction → d mean / dη.
        loss: (prediction, target) → loss of each output: squared error, Poisson deviance or log
            loss, NaN where the target is missing.
        anchored: The curvature scales with the target's own mean, by which steps are divided.
        classes: Outputs are classes of one choice.
    """

    mean: Callable[[Tensor], Tensor]
    curvature: Callable[[Tensor], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]
    anchored: bool = False
    classes: bool = False

    def residual(self, prediction: Tensor, target: Tensor) -> Tensor:
        """target − prediction, 0 where the target is missing."""
        return torch.nan_to_num(target - prediction, nan=0.0)


def _poisson_deviance(rate: Tensor, count: Tensor) -> Tensor:
    rate = rate.clamp_min(_RATE_FLOOR)
    return 2 * (torch.xlogy(count, count / rate) - (count - rate))


LINKS: dict[str, Link] = {
    "gaussian": Link(
        mean=lambda eta: eta,
        curvature=torch.ones_like,
        loss=lambda p, y: (y - p).square(),
    ),
    "poisson": Link(
        mean=lambda eta: eta.clamp(-_RATE_LIMIT, _RATE_LIMIT).exp(),
        curvature=lambda p: p,
        loss=_poisson_deviance,
        anchored=True,
    ),
    "softmax": Link(
        mean=lambda eta: torch.softmax(eta, -1),
        curvature=lambda p: p * (1 - p),
        loss=lambda p, y: -y * torch.log(p.clamp_min(1e-12)),
        classes=True,
    ),
}
