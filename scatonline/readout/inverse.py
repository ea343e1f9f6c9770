"""Exact inverses of a few regularised Gram matrices while their rows come, go and change.

P = (K + λI)⁻¹ for several λ at once. Row and column i of K may be replaced by block inversion: a
removal is a Schur complement, P ← P − P_i P_ii⁻¹ P_iᵀ, and an arrival its inverse, P ← P + w wᵀ/s
with w = (P k, −1) and s = k_ii + λ − kᵀP k (Van Vaerenbergh et al. 2006, for a window that slides).
Rows keep their places, so that nothing is ever shifted, and all replacements of one sample are one
product of low rank: the cost of a sample does not grow.
"""

import torch
from torch import Tensor


class Inverse:
    """P of several λ, with the weights α = P·Y of several outputs.

    Attributes:
        noise: ``(experts,)`` float64, λ.
        inverse: ``(experts, slots, slots)`` float64; rows of empty slots are 0.
        alpha: ``(experts, slots, outputs)`` float64; likewise. Replaced at each step, never changed
            in place, so that a reader may keep it.
        filled: ``(slots,)``, 1 where a slot holds a row, else 0.
    """

    def __init__(self, noise: Tensor, slots: int, outputs: int) -> None:
        """Starts empty; memory is taken at once and never grows."""
        self.noise = noise
        count = len(noise)
        self.inverse = noise.new_zeros(count, slots, slots)
        self.alpha = noise.new_zeros(count, slots, outputs)
        self.filled = noise.new_zeros(slots)

    def replace(self, slots: list[int], similar: Tensor, own: Tensor, values: Tensor) -> None:
        """Puts rows into slots, in place of what is there.

        Args:
            slots: Different slots, one a row.
            similar: ``(experts, used, rows)``: K between each of the first ``used`` slots and each
                row; entries of ``slots`` themselves and of empty ones do not matter.
            own: ``(experts, rows, rows)``: K among the rows.
            values: ``(experts, rows, outputs)``: what they are to predict.
        """
        used = similar.shape[1]
        inverse = self.inverse[:, :used, :used]
        alpha = self.alpha[:, :used]
        # Out: with P_S = G Rᵀ and P_SS = R Rᵀ, P loses G Gᵀ; an empty slot has nothing to lose.
        columns = inverse[:, :, slots]
        root = torch.linalg.cholesky(columns[:, slots] + torch.diag(1 - self.filled[slots]))
        gone = _divided(columns, root)
        alpha = alpha - gone @ _solved(root, alpha[:, slots])
        alpha[:, slots] = 0
        # In again, with their new similarities.
        similar = similar * self.filled[:used, None]
        similar[:, slots] = 0
        # P is symmetric, and the product from the left reads it faster.
        reach = (similar.transpose(1, 2) @ inverse).transpose(1, 2)
        reach = reach - gone @ (gone.transpose(1, 2) @ similar)
        reach[:, slots] = 0
        schur = own - similar.transpose(1, 2) @ reach
        schur = schur + torch.diag_embed(self.noise[:, None].expand(-1, len(slots)))
        surprise = values - similar.transpose(1, 2) @ alpha
        reach[:, slots] = -torch.eye(len(slots), dtype=reach.dtype, device=reach.device)
        root = torch.linalg.cholesky(schur)
        come = _divided(reach, root)
        # Written as products of a factor with itself, so that P stays symmetric to the last bit:
        # what it is not grows from one replacement to the next.
        inverse.baddbmm_(torch.cat((-gone, come), 2), torch.cat((gone, come), 2).transpose(1, 2))
        edge = come @ come[:, slots].transpose(1, 2)
        inverse[:, :, slots] = edge
        inverse[:, slots] = edge.transpose(1, 2)
        alpha = alpha - come @ _solved(root, surprise)
        fresh = self.alpha.clone()
        fresh[:, :used] = alpha
        self.alpha = fresh
        self.filled[slots] = 1

    def rebuild(self, gram: Tensor, values: Tensor) -> None:
        """Starts anew from K ``(experts, used, used)`` and ``(experts, used, outputs)`` values."""
        used = gram.shape[1]
        self.inverse.zero_()
        self.filled.zero_()
        self.filled[:used] = 1
        self.alpha = torch.zeros_like(self.alpha)
        noise = self.noise[:, None].expand(-1, used)
        root = torch.linalg.cholesky(gram + torch.diag_embed(noise))
        self.inverse[:, :used, :used] = torch.cholesky_inverse(root)
        self.alpha[:, :used] = self.inverse[:, :used, :used] @ values


def _divided(columns: Tensor, root: Tensor) -> Tensor:
    """Columns·R⁻ᵀ."""
    divided: Tensor = torch.linalg.solve_triangular(root.mT, columns, upper=True, left=False)
    return divided


def _solved(root: Tensor, values: Tensor) -> Tensor:
    """R⁻¹·values."""
    solved: Tensor = torch.linalg.solve_triangular(root, values, upper=False)
    return solved
