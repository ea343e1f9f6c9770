"""Alternating ridge regressions for weights that are sums of few products, mask ⊗ channel weights.

An output's prediction is b + w·x + Σ_g ⟨U_g V_gᵀ, Z_g⟩, with Z_g ``(maps, cells)`` what is seen on
grid g and x all other columns. Given masks V it is linear in U, w and b, and given U in V, w and b
(Klindt et al. 2017 have the model; they fit it by gradient descent). What is held is made
orthonormal first, so that the ridge on what is solved for is a ridge on U Vᵀ itself: each half can
only lower

    Σ_n ω_n (y_n − prediction_n)² + λ (|w|² + Σ_g |U_g V_gᵀ|²).

A half is solved by conjugate gradients from where the last one ended (Björck 1996, §7.4.1): a fixed
number of products with the rows, with nothing kept that grows with the square of anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scatonline.readout.places import Parts

# Conjugate gradient steps of a half. The next half, and the next sample's, go on from there.
_STEPS = 8
# Share of the last masks in what is made orthonormal: one that has come to nothing stays as it was.
_KEPT = 1e-7
_LEAST = 1e-100
_TINY = 1e-300


@dataclass(frozen=True)
class Factors:
    """Weights of a few outputs.

    Attributes:
        level: ``(outputs,)``, b.
        linear: ``(outputs, linear)``, w.
        channels: ``(outputs, maps, rank)`` for each grid, U.
        masks: ``(outputs, cells, rank)`` for each grid, V; orthonormal.
    """

    level: Tensor
    linear: Tensor
    channels: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]

    def dense(self) -> Parts:
        """A weight for every column."""
        pairs = zip(self.channels, self.masks, strict=True)
        return Parts(self.linear, tuple(u @ v.transpose(1, 2) for u, v in pairs))


@dataclass(frozen=True)
class Lesson:
    """What a few outputs are to learn from.

    Attributes:
        inputs: ``(samples, ...)`` float32, what all of them see.
        values: ``(outputs, samples)`` float64, finite.
        shares: ``(outputs, samples)`` float64, ω; 0 for a sample that does not count.
        ridge: λ.
    """

    inputs: Parts
    values: Tensor
    shares: Tensor
    ridge: float


def alternated(lesson: Lesson, start: Factors) -> Factors:
    """Channel weights given masks, then masks given channel weights."""
    seen = [_by_masks(z, v) for z, v in zip(lesson.inputs.maps, start.masks, strict=True)]
    level, linear, channels = _half(lesson, seen, start.linear, start.channels)
    held = [torch.linalg.qr(u) for u in channels]
    seen = [_by_channels(z, q) for z, (q, _) in zip(lesson.inputs.maps, held, strict=True)]
    turned = [v @ c.transpose(1, 2) for v, (_, c) in zip(start.masks, held, strict=True)]
    level, linear, found = _half(lesson, seen, linear, turned)
    masks = [
        torch.linalg.qr(new + (_KEPT * new.norm(dim=(1, 2), keepdim=True) + _LEAST) * old)
        for new, old in zip(found, start.masks, strict=True)
    ]
    channels = tuple(q @ c.transpose(1, 2) for (q, _), (_, c) in zip(held, masks, strict=True))
    return Factors(level, linear, channels, tuple(v for v, _ in masks))


def _by_masks(z: Tensor, masks: Tensor) -> Tensor:
    """``(outputs, samples, maps, rank)``: maps weighed by each output's masks."""
    samples, maps, cells = z.shape
    outputs, _, rank = masks.shape
    flat = masks.to(z).permute(1, 0, 2).reshape(cells, -1)
    weighed = (z.view(-1, cells) @ flat).view(samples, maps, outputs, rank)
    return weighed.permute(2, 0, 1, 3)


def _by_channels(z: Tensor, channels: Tensor) -> Tensor:
    """``(outputs, samples, cells, rank)``: each cell's maps weighed by each output's channels."""
    samples, maps, cells = z.shape
    outputs, _, rank = channels.shape
    flat = channels.to(z).transpose(1, 2).reshape(-1, maps).expand(samples, -1, -1)
    return torch.bmm(flat, z).view(samples, outputs, rank, cells).permute(1, 0, 3, 2)


def _half(
    lesson: Lesson, seen: Sequence[Tensor], linear: Tensor, factors: Sequence[Tensor]
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Level, linear weights and factors that fit best, given what is seen of the maps."""
    outputs = len(lesson.values)
    x = lesson.inputs.linear.expand(outputs, -1, -1)
    rows = torch.cat([x, *(s.flatten(2) for s in seen)], 2)
    start = torch.cat([linear, *(f.flatten(1) for f in factors)], 1)
    level, solved = regressed(rows, lesson, start)
    sizes = [linear.shape[1], *(f[0].numel() for f in factors)]
    first, *rest = torch.split(solved, sizes, 1)
    found = (flat.view(f.shape) for flat, f in zip(rest, factors, strict=True))
    return level, first, tuple(found)


def regressed(rows: Tensor, lesson: Lesson, start: Tensor) -> tuple[Tensor, Tensor]:
    """Ridge regressions side by side, with a level that is free.

    Args:
        rows: ``(outputs, samples, unknowns)`` float32.
        lesson: Values, shares and ridge.
        start: ``(outputs, unknowns)`` float64, where the search starts.

    Returns:
        ``(outputs,)`` levels and ``(outputs, unknowns)`` weights, float64.
    """
    total = lesson.shares.sum(1, keepdim=True).clamp_min(_TINY)
    usual = lesson.shares / total
    # A free level is the same as leaving the means out.
    centre = _along(usual, rows)
    mean = (usual * lesson.values).sum(1)
    root = lesson.shares.sqrt()
    rows = (rows - centre.float()[:, None]) * root.float()[..., None]
    values = root * (lesson.values - mean[:, None])
    weights = start
    left = values - _across(rows, weights)
    downhill = _along(left, rows) - lesson.ridge * weights
    along, steep = downhill, downhill.square().sum(1)
    for _ in range(_STEPS):
        moved = _across(rows, along)
        curvature = moved.square().sum(1) + lesson.ridge * along.square().sum(1)
        # Not |downhill|², which is the same until rounding is all that is left: each step goes to
        # the lowest point on its way.
        step = ((along * downhill).sum(1) / curvature.clamp_min(_TINY))[:, None]
        weights, left = weights + step * along, left - step * moved
        downhill = _along(left, rows) - lesson.ridge * weights
        before, steep = steep, downhill.square().sum(1)
        along = downhill + (steep / before.clamp_min(_TINY))[:, None] * along
    return mean - (centre * weights).sum(1), weights


def _across(rows: Tensor, weights: Tensor) -> Tensor:
    """Every row times weights: ``(outputs, samples)``."""
    # From the left: the other way takes PyTorch ten times as long on a processor.
    return torch.bmm(weights.float()[:, None], rows.transpose(1, 2))[:, 0].double()


def _along(values: Tensor, rows: Tensor) -> Tensor:
    """The sum of all rows times values: ``(outputs, unknowns)``."""
    return torch.bmm(values.float()[:, None], rows)[:, 0].double()
