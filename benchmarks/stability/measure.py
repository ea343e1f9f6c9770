"""Ratios of what comes out to what went in, the largest that were found."""

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.stability.deform import Warp
from benchmarks.stability.torus import scattered
from scatonline.scattering import Scattering

# Perturbations of signals of norm 1: close by, and as large as themselves.
_SIZES = (1e-3, 1.0)


def norms(x: Tensor) -> Tensor:
    """Of every signal of a batch."""
    found: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)
    return found


def apart(transform: Scattering, x: Tensor, y: Tensor) -> Tensor:
    """‖Sx − Sy‖ of every pair, samples that are left out counted as those that are kept."""
    geometry = transform.geometry
    each = 2.0 ** (geometry.level(transform.spec.J) * len(geometry.shape) / 2)
    with torch.no_grad():
        moved: Tensor = transform(x) - transform(y)
    apart: Tensor = each * norms(moved)
    return apart


def far(transform: Scattering, groups: Sequence[Tensor]) -> float:
    """Between each two signals of a group that follow each other."""
    ratios = [apart(transform, x, x.roll(1, 0)) / norms(x - x.roll(1, 0)) for x in groups]
    return float(torch.cat(ratios).max())


def near(transform: Scattering, x: Tensor, seed: int = 0) -> float:
    """White noise, a thousandth of each signal: the median."""
    noise = _noise(x, seed)
    y = x + _SIZES[0] * noise / norms(noise).view(-1, *(1 for _ in x.shape[1:]))
    return float((apart(transform, x, y) / norms(x - y)).median())


def worst(transform: Scattering, x: Tensor, steps: int, *, mean_free: bool = True) -> float:
    """The perturbation that moves coefficients most, by steps along the gradient.

    For small perturbations this is the power method on the derivative.

    Args:
        transform: Measured.
        x: ``(batch, *shape)`` to be perturbed.
        steps: From noise.
        mean_free: Leaves out what φ̂(0) = 1 lets through whole.
    """
    geometry, most = transform.geometry, 0.0
    each = 2.0 ** (geometry.level(transform.spec.J) * len(geometry.shape) / 2)
    axes = tuple(range(1, x.dim()))
    with torch.no_grad():
        still = transform(x)
    for size in _SIZES:
        direction = _noise(x, 1)
        for _ in range(steps):
            if mean_free:
                direction = direction - direction.mean(axes, keepdim=True)
            change = size * direction / norms(direction).view(-1, *(1 for _ in axes))
            y = (x + change).requires_grad_()
            moved = (transform(y) - still).flatten(1)
            most = max(most, each / size * float(norms(moved.detach()).max()))
            (direction,) = torch.autograd.grad(moved.square().sum() / size**2, y)
    return most


def shifted(transform: Scattering, x: Tensor, shift: Sequence[int]) -> float:
    """‖S T_c x − S x‖/‖x‖."""
    axes = tuple(range(1, x.dim()))
    return float((apart(transform, torch.roll(x, tuple(shift), axes), x) / norms(x)).max())


def deformed(transform: Scattering, x: Tensor, warps: Sequence[Warp]) -> tuple[float, float]:
    """‖L x − x‖/‖x‖ and ‖S L x − S x‖/‖x‖."""
    raw, moved = 0.0, 0.0
    for warp in warps:
        y = warp(x)
        raw = max(raw, float((norms(y - x) / norms(x)).max()))
        moved = max(moved, float((apart(transform, y, x) / norms(x)).max()))
    return raw, moved


def sampling_gap(transform: Scattering, x: Tensor, finer: int) -> float:
    """‖Sx − samples of S of the continuous x‖/‖x‖."""
    still = Warp(
        torch.zeros(x.dim() - 1, *(finer * n for n in x.shape[1:])).double(),
        0,
        0,
        tuple(x.shape[1:]),
    )
    keep = (slice(None), slice(None), *(slice(None, None, finer) for _ in x.shape[1:]))
    with torch.no_grad():
        gap = scattered(transform, still(x), finer)[keep] - transform(x)
    return float((norms(gap) / norms(x)).max())


def _noise(x: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(x.shape, generator=generator, dtype=x.dtype)
