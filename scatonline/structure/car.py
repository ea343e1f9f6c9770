"""The CAR index: how much accuracy is lost without this filter?

Liu & Mukhopadhyay's classification-accuracy-reduction index prunes the filter whose removal costs
least. Here the loss is measured after an exact closed-form *refit* without the filter's columns, on
held-out samples, with a confidence bound that knows about autocorrelation, about the randomness of
the training set (restarts on block bootstraps) and about how often one has looked.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from scatonline.config import StructureSpec

Score = Callable[[Tensor], Tensor]


class Refit:
    """Ridge regression that knows its own refit without any group of columns.

    With P = (XᵀX + λI)⁻¹ on centred data and W = PXᵀY, the predictions of the fit without columns g
    are ``Ŷ − (XP)_g P_gg⁻¹ W_g``, exactly.
    """

    def __init__(self, precision: Tensor, weights: Tensor, mean_x: Tensor, mean_y: Tensor) -> None:
        """Holds P ``(columns, columns)``, W ``(columns, outputs)`` and the training means."""
        self.precision, self.weights = precision, weights
        self.mean_x, self.mean_y = mean_x, mean_y

    @classmethod
    def fit(cls, x: Tensor, y: Tensor, ridge: float) -> "Refit":
        """Fits ``(samples, columns)`` to ``(samples, outputs)``, intercept unpenalised."""
        mean_x, mean_y = x.mean(0), y.mean(0)
        centred = x - mean_x
        gram = centred.T @ centred
        gram.diagonal().add_(ridge)
        precision = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        return cls(precision, precision @ (centred.T @ (y - mean_y)), mean_x, mean_y)

    def predict(self, x: Tensor) -> Tensor:
        """Predictions, ``(samples, outputs)``."""
        return (x - self.mean_x) @ self.weights + self.mean_y

    def predict_without(self, x: Tensor, groups: Sequence[Tensor]) -> list[Tensor]:
        """Predictions of the refits without each group of columns."""
        full = self.predict(x)
        projected = (x - self.mean_x) @ self.precision
        return [
            full - projected[:, g] @ torch.linalg.solve(self.precision[g][:, g], self.weights[g])
            for g in groups
        ]

    def without(self, group: Tensor, kept: Tensor) -> "Refit":
        """The refit on the columns ``kept``, given that ``group`` are all the others."""
        cross = self.precision[kept][:, group]
        inner = self.precision[group][:, group]
        precision = self.precision[kept][:, kept] - cross @ torch.linalg.solve(inner, cross.T)
        weights = self.weights[kept] - cross @ torch.linalg.solve(inner, self.weights[group])
        return Refit(precision, weights, self.mean_x[kept], self.mean_y)


@dataclass(frozen=True)
class Split:
    """Training and held-out rows of a window, in blocks of neighbours.

    Attributes:
        train: Blocks of row indices to fit on.
        held: Row indices to score on.
    """

    train: tuple[Tensor, ...]
    held: Tensor

    @classmethod
    def of(cls, samples: int, block: int) -> "Split":
        """Every third block is held out; few samples make short blocks."""
        block = min(block, max(samples // 3, 1))
        blocks = torch.split(torch.arange(samples), block)
        return cls(
            tuple(b for i, b in enumerate(blocks) if i % 3 != 2),
            torch.cat([b for i, b in enumerate(blocks) if i % 3 == 2]),
        )

    def bootstrap(self, generator: torch.Generator) -> Tensor:
        """Rows of as many training blocks, drawn with replacement."""
        draw = torch.randint(len(self.train), (len(self.train),), generator=generator)
        return torch.cat([self.train[i] for i in draw.tolist()])


def restarts(
    x: Tensor, y: Tensor, split: Split, ridge: float, count: int, generator: torch.Generator
) -> list[Refit]:
    """Refits on block bootstraps of the training rows; the first one on the rows themselves."""
    rows = [torch.cat(split.train)] + [split.bootstrap(generator) for _ in range(count - 1)]
    return [Refit.fit(x[r], y[r], ridge) for r in rows]


def explained(prediction: Tensor, target: Tensor, variance: Tensor) -> Tensor:
    """−(y − ŷ)²/Var(y) of each sample, mean over its observed outputs: ``(samples,)``."""
    return -((target - prediction).square() / variance).nanmean(1)


@dataclass(frozen=True)
class Difference:
    """Statistics of a paired difference of scores over held-out samples and restarts.

    Attributes:
        mean: Mean difference.
        se: √(s_D²/n_eff + s_R²/R).
        n_eff: n(1 − ρ₁)/(1 + ρ₁) with lag-1 autocorrelation ρ₁ ≥ 0.
        by_restart: Mean of each restart.
    """

    mean: float
    se: float
    n_eff: float
    by_restart: tuple[float, ...]

    @classmethod
    def of(cls, differences: Tensor) -> "Difference":
        """From ``(restarts, samples)``."""
        series = differences.mean(0)
        n = len(series)
        centred = series - series.mean()
        power = float(centred.square().sum())
        rho = float((centred[1:] * centred[:-1]).sum()) / power if power > 0 else 0.0
        rho = min(max(rho, 0.0), 0.99)
        n_eff = n * (1 - rho) / (1 + rho)
        by_restart = differences.mean(1)
        spread = float(by_restart.var()) / len(by_restart) if len(by_restart) > 1 else 0.0
        variance = power / max(n - 1, 1)
        return cls(
            float(series.mean()),
            math.sqrt(variance / n_eff + spread),
            n_eff,
            tuple(by_restart.tolist()),
        )

    def bound(self, z: float) -> float:
        """Mean plus ``z`` standard errors."""
        return self.mean + z * self.se


def quantile(spec: StructureSpec, look: int, groups: int) -> float:
    """z_{1−α_k/m}: what look ``k`` may spend, α_k = 6α/(π²k²), shared by m filters."""
    spent = 6 * spec.alpha / (math.pi**2 * look**2)
    return NormalDist().inv_cdf(1 - spent / max(groups, 1))


def car(
    refits: Sequence[Refit],
    x: Tensor,
    groups: Sequence[Tensor],
    scores: Sequence[Score],
) -> list[list[Difference]]:
    """CAR of every group under every score: ``[group][score]``.

    Args:
        refits: Restarts.
        x: Held-out columns ``(samples, columns)``.
        groups: Columns of each filter.
        scores: Each takes predictions ``(samples, outputs)`` to a score of each sample.
    """
    losses = torch.zeros(len(groups), len(scores), len(refits), len(x), dtype=x.dtype)
    for r, refit in enumerate(refits):
        full = refit.predict(x)
        for g, left in enumerate(refit.predict_without(x, groups)):
            for s, score in enumerate(scores):
                losses[g, s, r] = score(full) - score(left)
    return [[Difference.of(series) for series in group] for group in losses]
