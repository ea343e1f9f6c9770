"""What the targets of a session have been like: how many, their mean, variance and largest."""

from dataclasses import dataclass

import torch
from torch import Tensor

# Share of its mean square from which an output counts as one that varies.
VARIES = 1e-6
_LEAST_VARIANCE = 1e-12


@dataclass(frozen=True)
class Moments:
    """Sums over the observed targets of every output.

    Attributes:
        table: ``(4, outputs)`` float64: number, sum, sum of squares and largest.
    """

    table: Tensor

    def added(self, target: Tensor) -> "Moments":
        """With one sample more, ``(outputs,)``, NaN where missing."""
        seen = ~torch.isnan(target)
        value = torch.nan_to_num(target, nan=0.0)
        sums = self.table[:3] + torch.stack((seen.double(), value, value.square()))
        return Moments(torch.cat((sums, torch.fmax(self.table[3], target)[None])))

    @property
    def number(self) -> Tensor:
        """``(outputs,)``, observed targets."""
        return self.table[0]

    @property
    def peak(self) -> Tensor:
        """``(outputs,)``, the largest target; 0 if all are below."""
        return self.table[3]

    def mean(self) -> Tensor:
        """``(outputs,)``; 0 before there is a target."""
        return self.table[1] / self.table[0].clamp_min(1)

    def varied(self) -> Tensor:
        """``(outputs,)``, whether the targets differ."""
        count, _, squares, _ = self.table
        varied: Tensor = self._spread() > VARIES * squares / count.clamp_min(1)
        return varied

    def variance(self) -> Tensor:
        """``(outputs,)``, about the mean, see :func:`variances`."""
        return variances(self._spread(), self.varied())

    def _spread(self) -> Tensor:
        count, total, squares, _ = self.table
        seen = count.clamp_min(1)
        spread: Tensor = squares / seen - (total / seen).square()
        return spread


def variances(own: Tensor, varied: Tensor) -> Tensor:
    """Variances to divide by: of an output that never varied, the mean of the others'.

    Args:
        own: ``(outputs,)``, of each by itself.
        varied: ``(outputs,)``, whether it varied.
    """
    typical = torch.where(varied, own, 0.0).sum() / varied.sum().clamp_min(1)
    typical = torch.where(typical > 0, typical, 1.0)
    return torch.where(varied, own, typical).clamp_min(_LEAST_VARIANCE)
