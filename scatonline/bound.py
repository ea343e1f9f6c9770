"""The frame bound: how much of the filters that a family makes a layer may use.

Inputs of every layer are real, so energy is counted by the Littlewood–Paley sum
``A(ω) = |φ̂|² + E(ω)``, ``E = ½ Σ_λ (|ψ̂_λ(ω)|² + |ψ̂_λ(−ω)|²)``; A ≤ 1 makes the transform
non-expansive. The bound acts on ψ̂ alone (docs/decisions/0002): φ̂ stays what the family made it, and
what it leaves, the *room* 1 − |φ̂|², is shared out by one rule for all kinds of bound:

    gain = min(ceiling, √(room/E))

which never lets E·gain² exceed the room. It is the last step of every build, and differentiable.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scatonline.autograd import Gradients, first_derivative_only
from scatonline.cascade import Use
from scatonline.fourier import crop, fold_filters
from scatonline.kernels import bank as kernels
from scatonline.kernels.arrays import Doubles

# Keeps a division, and its slope, finite where no filter has energy.
_NOTHING = 1e-100


@dataclass(frozen=True)
class Limits:
    """What bounds a bank: ``(*grid)`` float64 each.

    Attributes:
        room: Largest energy.
        ceiling: Largest gain.
    """

    room: Tensor
    ceiling: Tensor


@dataclass(frozen=True)
class Fold:
    """One use of some filters.

    Attributes:
        rows: Which filters of the bank.
        use: How they act.
        damping: A factor on them.
    """

    rows: slice
    use: Use
    damping: float


def energy(psi: Tensor) -> Tensor:
    """E(ω) of real filters ``(filters, *grid)``."""
    total = psi.square().sum(0)
    axes = tuple(range(total.dim()))
    return 0.5 * (total + torch.roll(torch.flip(total, axes), (1,) * len(axes), axes))


def gain(psi: Tensor, limits: Limits) -> Tensor:
    """The factor on every frequency that keeps filters within their limits."""
    square = limits.room / energy(psi).clamp_min(_NOTHING)
    binds = square < kernels.BINDS * limits.ceiling.square()
    # √ has no slope at 0, where there is no room; nor where the ceiling is lower anyway.
    safe = torch.where(binds & (square > 0), square, torch.ones_like(square))
    ceiling = torch.minimum(square.detach().sqrt(), limits.ceiling)
    return torch.where(binds, safe.sqrt() * (square > 0), ceiling)


def bounded(psi: Tensor, limits: Limits | None) -> Tensor:
    """Filters within their limits; as they are where there are none."""
    return psi if limits is None else psi * gain(psi, limits)


def folded(
    psi: Tensor, limits: Limits | None, folds: Sequence[Fold], dtype: torch.dtype
) -> Sequence[Tensor]:
    """Filters within their limits, cropped, folded and cast for each use.

    Args:
        psi: ``(filters, *grid)`` float64, as the family made them.
        limits: What bounds them, if anything.
        folds: The uses.
        dtype: Working precision.

    Returns:
        ``(aliases, filters, frequencies)`` each, see :func:`fourier.fold_filters`.
    """
    if psi.device.type == "cpu" and not torch.compiler.is_compiling():
        results: Sequence[Tensor] = _Folded.apply(psi, limits, folds, dtype)  # type: ignore[no-untyped-call]
        return results
    within = bounded(psi, limits)
    return [_fold(within[fold.rows], fold).to(dtype) for fold in folds]


def _fold(psi: Tensor, fold: Fold) -> Tensor:
    axes = tuple(range(1, psi.dim()))
    return fold.damping * fold_filters(crop(psi, fold.use.level, axes), fold.use.factor)


class _Folded(torch.autograd.Function):
    """:func:`folded` on a processor, in few passes over memory."""

    @staticmethod
    def forward(
        ctx: Any, psi: Tensor, limits: Limits | None, folds: Sequence[Fold], dtype: torch.dtype
    ) -> tuple[Tensor, ...]:
        grid, made = psi.shape[1:], _planes(psi.detach())
        factor = np.empty(made.shape[1:]) if limits else np.ones(made.shape[1:])
        ctx.limits, ctx.folds, ctx.made = limits, folds, made
        ctx.save_for_backward(psi)
        if limits is not None:
            room, ceiling = _planes(limits.room[None])[0], _planes(limits.ceiling[None])[0]
            total = np.empty_like(factor)
            kernels.bound(made, room, ceiling, total, factor)
            ctx.energy, ctx.gain, ctx.ceiling = total, factor, ceiling
        results = []
        for fold in folds:
            aliases = fold.use.factor ** len(grid)
            frequencies = math.prod(n >> fold.use.level for n in grid) // aliases
            out = torch.empty(aliases, len(made[fold.rows]), frequencies, dtype=dtype)
            kernels.fold(
                made[fold.rows],
                factor,
                fold.use.level,
                fold.use.factor,
                fold.damping / aliases,
                out.numpy(),
            )
            results.append(out)
        ctx.grid = grid
        return tuple(results)

    @staticmethod
    @first_derivative_only
    def backward(ctx: Any, *gradients: Tensor | None) -> Gradients:
        total = np.empty_like(ctx.made)
        idle = np.ones(len(total), bool)
        # Uses on the signal's own grid come first: theirs is the whole of a filter's gradient.
        order = sorted(range(len(gradients)), key=lambda i: ctx.folds[i].use.level)
        written: set[int] = set()
        for fold, gradient in ((ctx.folds[i], gradients[i]) for i in order):
            target = total[fold.rows]
            if gradient is None:
                continue
            first = fold.use.scale not in written
            idle[fold.rows] = False
            written.add(fold.use.scale)
            if first and fold.use.level:
                target[:] = 0
            array = gradient.detach().contiguous().numpy()
            share = fold.damping / len(gradient)
            add = not first or fold.use.level > 0
            kernels.unfold(array, fold.use.level, fold.use.factor, share, add, target)
        total[idle] = 0
        if ctx.limits is not None:
            kernels.to_filters(ctx.made, ctx.energy, ctx.gain, ctx.ceiling, total)
        return torch.from_numpy(total.reshape(-1, *ctx.grid)), None, None, None


def _planes(grids: Tensor) -> Doubles:
    """``(rows, M, N)``; over time M is 1."""
    array: Doubles = grids.numpy()
    return array if array.ndim == 3 else array[:, None]
