"""The CAR index: how much accuracy is lost without this filter?

Liu & Mukhopadhyay's classification-accuracy-reduction index prunes the filter whose removal costs
least. Here the loss is measured after an exact closed-form *refit* without the filter's columns, on
samples that the refit never saw, with a confidence bound that knows about autocorrelation, about
the randomness of the training set (restarts on block bootstraps) and about how often one has
looked.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from scatonline.config import StructureSpec

# Predictions of some rows of a window → score of each row and output, NaN where there is none.
Score = Callable[[Tensor, Tensor], Tensor]

# Rates are taken to be at least this share of an output's mean: a ridge regression may predict less
# than nothing, which a deviance would punish without limit.
_LEAST_RATE = 0.05


def explained(prediction: Tensor, target: Tensor, variance: Tensor) -> Tensor:
    """−(y − ŷ)²/Var(y), ``(samples, outputs)``: its mean is explained variance minus 1."""
    return -(target - prediction).square() / variance


def deviance(prediction: Tensor, target: Tensor, mean: Tensor, null: Tensor) -> Tensor:
    """−2[y log(y/μ) − (y − μ)]/D₀ of counts, ``(samples, outputs)``: explained deviance minus 1.

    Args:
        prediction: μ; less than a twentieth of ``mean`` counts as that.
        target: y, NaN where missing.
        mean: Of each output.
        null: D₀, the mean deviance of predicting ``mean``.
    """
    return -poisson(target, prediction.maximum(_LEAST_RATE * mean)) / null


def poisson(target: Tensor, rate: Tensor) -> Tensor:
    """Poisson deviance 2[y log(y/μ) − (y − μ)], 0 log 0 being 0."""
    return 2 * (torch.xlogy(target, target / rate) - (target - rate))


def hits(prediction: Tensor, target: Tensor) -> Tensor:
    """1 in the column of the true class if it was predicted, 0 if not, NaN in all others.

    A row's mean is thus its accuracy, and a column's mean the accuracy on that class.
    """
    right = (prediction.argmax(1) == target.argmax(1)).to(prediction.dtype)
    return torch.where(target > 0, right[:, None], math.nan)


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
        """From ``(restarts, samples)``, NaN where a restart did not hold a sample out.

        Restarts that hold out different samples differ because of that, too: s_R² is what their
        means vary beyond it.
        """
        series = differences.nanmean(0)
        series = series[~torch.isnan(series)]
        n = len(series)
        centred = series - series.mean()
        power = float(centred.square().sum())
        rho = float((centred[1:] * centred[:-1]).sum()) / power if power > 0 else 0.0
        rho = min(max(rho, 0.0), 0.99)
        n_eff = n * (1 - rho) / (1 + rho)
        variance = power / max(n - 1, 1)
        by_restart = differences.nanmean(1)
        by_restart = by_restart[~torch.isnan(by_restart)]
        held = float((~torch.isnan(differences)).sum()) / max(len(by_restart), 1)
        chance = variance * (n / n_eff) * max(1 / held - 1 / n, 0.0)
        count = len(by_restart)
        spread = max(float(by_restart.var()) - chance, 0.0) / count if count > 1 else 0.0
        return cls(
            float(series.mean()),
            math.sqrt(variance / n_eff + spread),
            n_eff,
            tuple(by_restart.tolist()),
        )

    def bound(self, z: float) -> float:
        """Mean plus ``z`` standard errors."""
        return self.mean + z * self.se


@dataclass(frozen=True)
class Loss:
    """What a change of columns costs.

    Attributes:
        by_score: Of each score, in the order asked for.
        by_output: Of the last score, mean of each output; 0 where nothing was observed.
    """

    by_score: tuple[Difference, ...]
    by_output: tuple[float, ...]

    @classmethod
    def of(
        cls,
        better: Sequence[Tensor],
        worse: Sequence[Tensor],
        rows: Sequence[Tensor],
        samples: int,
        scores: Sequence[Score],
    ) -> "Loss":
        """Scores of ``better`` minus those of ``worse``.

        Args:
            better: Predictions of each restart for its held-out rows ``(held, outputs)``.
            worse: Likewise.
            rows: Held-out rows of each restart.
            samples: In the window.
            scores: What to compare.
        """
        found = []
        outputs = better[0].new_zeros(better[0].shape[1])
        for score in scores:
            table = better[0].new_full((len(rows), samples), math.nan)
            each = [score(a, r) - score(b, r) for a, b, r in zip(better, worse, rows, strict=True)]
            for restart, (difference, held) in enumerate(zip(each, rows, strict=True)):
                table[restart, held] = difference.nanmean(1)
            found.append(Difference.of(table))
            outputs = torch.nan_to_num(torch.cat(each).nanmean(0))
        return cls(tuple(found), tuple(outputs.tolist()))


def quantile(spec: StructureSpec, look: int, step: int, tests: int) -> float:
    """z_{1−p}: what one of ``tests`` may spend at a step of a look.

    Look k may spend α_k = 6α/(π²k²), so that all looks together spend α; step i of it, after i − 1
    removals, 6α_k/(π²i²); and that is shared by the tests.
    """
    spent = spec.alpha * (6 / math.pi**2) ** 2 / (look * step) ** 2
    return NormalDist().inv_cdf(1 - spent / max(tests, 1))
