"""The least of a smooth function in few evaluations: L-BFGS with backtracking.

As in Nocedal & Wright, "Numerical optimization" (2006), algorithms 3.1 and 7.4. PyTorch has it too,
but its optimisers load PyTorch's compiler at their first use: seconds, in the middle of a stream.
"""

from collections.abc import Callable

import torch
from torch import Tensor

# Of the first step: how far the coordinate that moves most goes.
_FIRST = 0.5
_ENOUGH = 1e-4
_SHORTER = 0.3
# Least share of |s||y| that s·y must be for a pair to count: the function is not convex everywhere.
_CURVED = 1e-8
_Pairs = list[tuple[Tensor, Tensor]]


def descended(
    function: Callable[[Tensor], tuple[float, Tensor]], start: Tensor, evaluations: int
) -> Tensor:
    """Where the function is lower than at the start; the start itself if it is flat there.

    Args:
        function: Point → value and gradient.
        start: ``(size,)`` float64.
        evaluations: How often the function may be asked.

    Returns:
        ``(size,)``, the lowest point that was found.
    """
    point = start
    value, slope = function(point)
    pairs: _Pairs = []
    step = _FIRST / float(slope.abs().max().clamp_min(1e-300))
    for _ in range(evaluations - 1):
        direction = -_newton(slope, pairs)
        trial = point + step * direction
        reached, steeper = function(trial)
        # Written so that a value that is no number is too high.
        if not reached <= value + _ENOUGH * step * float(slope @ direction):
            step *= _SHORTER
            continue
        moved, turned = trial - point, steeper - slope
        if float(moved @ turned) > _CURVED * float(moved.norm() * turned.norm()):
            pairs.append((moved, turned))
        point, value, slope = trial, reached, steeper
        step = 1.0 if pairs else step
    return point


def _newton(slope: Tensor, pairs: _Pairs) -> Tensor:
    """Inverse Hessian times the slope, from how slopes have turned: the two-loop recursion."""
    direction, weights = slope, []
    for moved, turned in reversed(pairs):
        weight = moved @ direction / (moved @ turned)
        direction = direction - weight * turned
        weights.append(weight)
    if pairs:
        moved, turned = pairs[-1]
        direction = direction * (moved @ turned) / torch.dot(turned, turned)
    for (moved, turned), weight in zip(pairs, reversed(weights), strict=True):
        direction = direction + (weight - turned @ direction / (moved @ turned)) * moved
    return direction
