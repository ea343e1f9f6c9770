"""What a recursive readout has seen, as sums: enough to ask later what each column should count.

A step of the readout is one of least squares towards a *working target* u of weight h, whatever the
link: u = η + ρ(1 + h·q)/h, with η the predictor before the step, ρ its residual and q the reach of
P (McCullagh & Nelder 1989, sec. 2.5). With Σ h z zᵀ, which P holds, three sums say all that samples
say of weights, under any prior.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scatonline.readout.evidence import Evidence
from scatonline.readout.similarity import linear

# Directions of the columns that are looked at, and the curvature, over the prior's, from which one
# says something; less may be what forgetting leaves unsettled.
_DIRECTIONS = 512
_LEAST_CURVATURE = 0.1
_LEAST_COUNTED = 64
# Least share of the squares that is noise, since sums are discounted a little differently from P.
_LEAST_REST = 1e-3
_NAMES = ("products", "squares", "counted")


@dataclass(frozen=True)
class Sums:
    """Discounted sums over samples.

    Attributes:
        products: ``(width + 1, outputs)`` Σ h z u, the intercept first.
        squares: ``(outputs,)`` Σ h u².
        counted: ``(outputs,)`` number of observed targets.
    """

    products: Tensor
    squares: Tensor
    counted: Tensor

    @classmethod
    def none(cls, width: int, outputs: int, device: str) -> "Sums":
        """Of no samples."""
        zeros = torch.zeros(outputs, dtype=torch.float64, device=device)
        return cls(zeros.new_zeros(width + 1, outputs), zeros, zeros.clone())

    def added(
        self, one_z: Tensor, target: Tensor, weight: Tensor | float, seen: Tensor, keep: float
    ) -> "Sums":
        """With one sample more.

        Args:
            one_z: ``(width + 1,)``, 1 first.
            target: ``(outputs,)`` working targets.
            weight: h.
            seen: ``(outputs,)``, whether there was a target.
            keep: Share that the past keeps.
        """
        return Sums(
            self.products * keep + torch.outer(one_z * weight, target),
            self.squares * keep + weight * target.square(),
            self.counted * keep + seen,
        )

    def held(self, share: float) -> "Sums":
        """Counting for less."""
        return Sums(*(getattr(self, name) * share for name in _NAMES))

    def matched(self, here: Tensor, there: Tensor) -> "Sums":
        """For the same outputs in another order: output ``there`` becomes output ``here``."""
        order = torch.empty_like(there)
        order[here] = there
        return Sums(*(getattr(self, name)[..., order] for name in _NAMES))

    def carried(self, index: Tensor) -> "Sums":
        """For other columns, by the old one of each new one; one never seen (−1) has been 0."""
        padded = torch.cat((self.products, self.products.new_zeros(1, self.products.shape[1])))
        rows = torch.where(index < 0, len(self.products), index + 1)
        return replace(self, products=padded[torch.cat((index.new_zeros(1), rows))])

    def tensors(self) -> dict[str, Tensor]:
        """State that a checkpoint keeps."""
        return {f"sums.{name}": getattr(self, name) for name in _NAMES}

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor]) -> "Sums":
        """Inverse of :meth:`tensors`."""
        return cls(*(tensors[f"sums.{name}"] for name in _NAMES))

    def evidence(self, curvature: Tensor, intercept: float, ridge: float) -> Evidence | None:
        """What was seen says of weights of columns; None if it was too little or nothing varied.

        Args:
            curvature: ``(width + 1, width + 1)`` Σ h z zᵀ.
            intercept: Prior precision of the intercept.
            ridge: Prior precision of a column that counts 1.
        """
        rows, pivots = _factor(curvature, _LEAST_CURVATURE * ridge)
        own = rows[:, 1:].contiguous()
        targets = torch.linalg.solve_triangular(
            rows[:, pivots].T, self.products[pivots], upper=False
        )
        rest = self.squares - targets.square().sum(0)
        varied = (self.counted >= _LEAST_COUNTED) & (self.squares > 0)
        if not varied.any() or not own.any():
            return None
        first = rows[:, 0]
        return Evidence(
            rows=own,
            targets=targets[:, varied],
            still=torch.outer(first, first) / intercept,
            similarity=linear,
            size=ridge,
            noise=1.0,
            counted=self.counted[varied],
            rest=rest.maximum(_LEAST_REST * self.squares)[varied],
        )


def _factor(matrix: Tensor, least: float) -> tuple[Tensor, list[int]]:
    """Few rows R with RᵀR ≈ a positive semi-definite matrix: Cholesky's factor, pivoted and cut.

    Each row takes out the column that has most left (Higham 1990), down to ``least``; what rounding
    or forgetting has made negative is never reached. R is triangular in the columns taken.
    """
    left = matrix.diagonal().clone()
    rows = matrix.new_zeros(min(_DIRECTIONS, len(matrix)), len(matrix))
    pivots: list[int] = []
    for number in range(len(rows)):
        pivot = int(left.argmax())
        height = float(left[pivot])
        if height <= least:
            break
        done = rows[:number]
        row = (matrix[pivot] - done[:, pivot] @ done) / height**0.5
        # Exactly, so that a solve may look at these columns alone.
        row[pivots] = 0
        rows[number] = row
        left = left - row.square()
        pivots.append(pivot)
        left[pivots] = 0
    return rows[: len(pivots)], pivots
