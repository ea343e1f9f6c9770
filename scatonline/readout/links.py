"""What each kind of target means: mean, residual, curvature and loss of a linear predictor η.

Generalised linear models with canonical links (McCullagh & Nelder 1989): the gradient of the
negative log-likelihood in η is always mean − target. A missing target (NaN) has residual 0 and loss
NaN.

Steps are *implicit* (Kulis & Bartlett 2010): a step moves η by q·(target − m), where m is the mean
*after* the step, so it cannot overshoot however steep the link is. ``settled`` solves for that m.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scatonline.kernels.regression import CLASS_STEPS, NEWTON_STEPS

# Rates beyond e^±RATE_LIMIT per bin mean a runaway predictor, not a cell.
RATE_LIMIT = 8.0
_RATE_FLOOR = 1e-6
# Its exponential is still a normal number.
LEAST_LOG = -700.0


@dataclass(frozen=True)
class Link:
    """One kind of readout.

    Attributes:
        mean: η → prediction.
        curvature: prediction → d mean / dη.
        settled: (η, target, q) → the mean m that solves link(m) = η + q·(target − m); q ≥ 0.
        loss: (prediction, target) → loss of each output: squared error, Poisson deviance or log
            loss, NaN where the target is missing.
        anchored: The curvature scales with the target's own mean, by which steps are divided.
    """

    mean: Callable[[Tensor], Tensor]
    curvature: Callable[[Tensor], Tensor]
    settled: Callable[[Tensor, Tensor, Tensor], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]
    anchored: bool = False

    def residual(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Target − prediction, 0 where the target is missing."""
        return torch.nan_to_num(target - prediction, nan=0.0)


def _poisson_deviance(rate: Tensor, count: Tensor) -> Tensor:
    rate = rate.clamp_min(_RATE_FLOOR)
    return 2 * (torch.xlogy(count, count) - count * torch.log(rate) - (count - rate))


def _poisson_settled(eta: Tensor, count: Tensor, q: Tensor) -> Tensor:
    """M = w/q with w + log w = log q + η + q·count."""
    q = q.clamp_min(1e-12)
    goal = (torch.log(q) + eta + q * count).clamp_min(LEAST_LOG)
    return (omega(goal) / q).clamp(math.exp(-RATE_LIMIT), math.exp(RATE_LIMIT))


def omega(goal: Tensor) -> Tensor:
    """Wright's function, w + log w = goal, by Newton's method.

    Rising and concave in w, so that after a step Newton never crosses the root; from these starts
    it is there to rounding, however large the goal is, and however small down to −700.
    """
    w = torch.where(goal > 1, goal - torch.log(goal.clamp_min(1)), goal.clamp_max(1).exp())
    for _ in range(NEWTON_STEPS):
        w = w * (1 + goal - torch.log(w)) / (1 + w)
    return w


def _softmax_settled(eta: Tensor, choice: Tensor, q: Tensor) -> Tensor:
    """Majorisation: the curvature of a softmax is at most ½ (Böhning 1992)."""
    step = torch.zeros_like(eta)
    for _ in range(CLASS_STEPS):
        residual = choice - torch.softmax(eta + q * step, -1)
        step = step + (residual - step) / (1 + q / 2)
    return choice - step


LINKS: dict[str, Link] = {
    "gaussian": Link(
        mean=lambda eta: eta,
        curvature=torch.ones_like,
        settled=lambda eta, y, q: (eta + q * y) / (1 + q),
        loss=lambda p, y: (y - p).square(),
    ),
    "poisson": Link(
        mean=lambda eta: eta.clamp(-RATE_LIMIT, RATE_LIMIT).exp(),
        curvature=lambda p: p,
        settled=_poisson_settled,
        loss=_poisson_deviance,
        anchored=True,
    ),
    "softmax": Link(
        mean=lambda eta: torch.softmax(eta, -1),
        curvature=lambda p: p * (1 - p),
        settled=_softmax_settled,
        loss=lambda p, y: -y * torch.log(p.clamp_min(1e-12)),
    ),
}
