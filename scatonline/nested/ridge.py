"""Ridge regression in dual form, and its errors on samples that were left out.

With K = ZZᵀ of standardised columns and B = (K + λI)⁻¹, what a fit without the samples G gets
wrong on them is ``(B_GG)⁻¹ (B Y)_G``, exactly. A large constant in K stands for an intercept that
is all but free. There are more columns than samples, so the work grows with samples only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Variance of the intercept's prior, in units of the mean of K's diagonal.
_INTERCEPT = 1e3
# Ridges tried, in the same unit.
_RIDGES = tuple(10.0**p for p in torch.arange(-5.0, 1.01, 0.5).tolist())


@dataclass(frozen=True)
class Groups:
    """Samples that are left out together, such as copies of one image or neighbours in time.

    Attributes:
        rows: Row numbers by size of the group: ``(groups, size)`` each.
    """

    rows: tuple[Tensor, ...]

    @classmethod
    def of(cls, labels: Tensor) -> "Groups":
        """From the number of its group for every sample, ``(samples,)``."""
        order = torch.argsort(labels, stable=True)
        sizes = torch.unique_consecutive(labels[order], return_counts=True)[1].tolist()
        members = torch.split(order, sizes)
        return cls(
            tuple(
                torch.stack([rows for rows in members if len(rows) == size])
                for size in sorted(set(sizes))
            )
        )


def left_out_errors(gram: Tensor, targets: Tensor, ridge: float | Tensor, groups: Groups) -> Tensor:
    """Targets minus predictions of the fits without each sample's group.

    Args:
        gram: ZZᵀ, ``(samples, samples)`` float64; gradients flow to it.
        targets: ``(samples, outputs)`` float64, nothing missing.
        ridge: λ > 0.
        groups: What is left out together.

    Returns:
        ``(samples, outputs)``.
    """
    kernel = _with_intercept(gram)
    kernel = kernel + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(kernel))
    return _errors(inverse, inverse @ targets, groups)


def best_ridge(gram: Tensor, targets: Tensor, groups: Groups) -> tuple[float, Tensor]:
    """The ridge of least squared left-out error, and those errors.

    Args:
        gram: As in :func:`left_out_errors`.
        targets: Likewise.
        groups: Likewise.
    """
    kernel = _with_intercept(gram)
    values, vectors = torch.linalg.eigh(kernel)
    turned = vectors.T @ targets
    unit = float(gram.diagonal().mean())
    best, found = math.inf, (unit, targets)
    for ridge in (unit * share for share in _RIDGES):
        shrunk = vectors / (values.clamp_min(0) + ridge)
        errors = _errors(shrunk @ vectors.T, shrunk @ turned, groups)
        loss = float(errors.square().mean())
        if loss < best:
            best, found = loss, (ridge, errors)
    return found


def predict(gram: Tensor, targets: Tensor, cross: Tensor, ridge: float) -> Tensor:
    """Predictions for other samples.

    Args:
        gram: ZZᵀ of the samples fitted to.
        targets: Theirs.
        cross: Products of the other samples with them, ``(others, samples)``.
        ridge: λ > 0.
    """
    kernel = _with_intercept(gram)
    kernel.diagonal().add_(ridge)
    dual = torch.cholesky_solve(targets, torch.linalg.cholesky(kernel))
    return (cross + _INTERCEPT * gram.diagonal().mean()) @ dual


def _with_intercept(gram: Tensor) -> Tensor:
    return gram + _INTERCEPT * gram.detach().diagonal().mean()


def _errors(inverse: Tensor, dual: Tensor, groups: Groups) -> Tensor:
    parts = []
    for rows in groups.rows:
        if rows.shape[1] == 1:
            own = inverse.diagonal()[rows[:, 0]]
            parts.append(dual[rows[:, 0]] / own[:, None])
            continue
        blocks = inverse[rows[:, :, None], rows[:, None, :]]
        parts.append(torch.linalg.solve(blocks, dual[rows]).flatten(0, 1))
    order = torch.cat([rows.flatten() for rows in groups.rows])
    return torch.cat(parts)[torch.argsort(order)]


def filled(targets: Tensor, rows: Sequence[int] | Tensor) -> tuple[Tensor, Tensor]:
    """Targets in units of their spread, centred, missing ones 0; and which were observed.

    Args:
        targets: ``(samples, outputs)``, NaN where missing.
        rows: Samples from which means and spreads are taken. Outputs that do not vary there are
            left out.
    """
    y = targets.double()
    mean = y[rows].nanmean(0)
    spread = (y[rows] - mean).square().nanmean(0).sqrt()
    varied = spread > 1e-9
    scaled = ((y - mean) / spread)[:, varied]
    return torch.nan_to_num(scaled, nan=0.0), ~torch.isnan(scaled)
