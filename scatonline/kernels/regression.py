"""One sample's step of a recursive regression: means, weights and P in one call.

As separate operations it is some forty, most of them on a handful of numbers: a small readout
would spend ten times as long on calling them as on what they do, and a large one would read and
write P once more. The formulas are those of :mod:`scatonline.readout.recursive`.
"""

import math
from typing import NamedTuple, no_type_check

import numba
import numpy as np

from scatonline.kernels.arrays import Doubles
from scatonline.kernels.compile import Loop, inner, is_worth_sharing

# For the implicit equations of counts and of classes.
NEWTON_STEPS, CLASS_STEPS = 5, 10
# Rows of what a step writes, an entry an output.
TOTAL, SEEN, PEAK, ETA, RESIDUAL = range(5)
_GAUSSIAN, _POISSON, _SOFTMAX = range(3)
_KINDS = {"gaussian": _GAUSSIAN, "poisson": _POISSON, "softmax": _SOFTMAX}


class Limits(NamedTuple):
    """Bounds of a step.

    Attributes:
        least_curvature: Of the mean over outputs.
        most_curvature: Likewise.
        least_anchor: Of an output's mean count.
        least_log: Of what Wright's function is asked for.
        log_rate: Rates lie between the exponentials of its negative and itself.
    """

    least_curvature: float
    most_curvature: float
    least_anchor: float
    least_log: float
    log_rate: float


def step(
    kind: str,
    limits: Limits,
    forgetting: float,
    z: Doubles,
    target: Doubles,
    counts: Doubles,
    precision: Doubles,
    before: Doubles,
    weights: Doubles,
    direction: Doubles,
    made: Doubles,
) -> tuple[float, float]:
    """Learns from one sample.

    Args:
        kind: ``gaussian``, ``poisson`` or ``softmax``.
        limits: Bounds.
        forgetting: γ.
        z: ``(width,)``, standardised columns.
        target: ``(outputs,)``, NaN where missing.
        counts: ``(3, outputs)``: sum, number and largest of the observed targets before.
        precision: P, ``(width + 1, width + 1)``, the intercept first; changed in place.
        before: ``(width + 1, outputs)``, the weights.
        weights: The same after the step; written.
        direction: ``(width + 1,)``, P z/γ; written.
        made: ``(5, outputs)``, written: the counts after, η before, and the residual over the
            anchor.

    Returns:
        zᵀP z/γ, and the mean curvature h.
    """
    number, size = _KINDS[kind], precision.size
    if not is_worth_sharing(size):
        found: tuple[float, float] = _step(
            number,
            limits,
            forgetting,
            z,
            target,
            counts,
            precision,
            before,
            weights,
            direction,
            made,
        )
        return found
    _aim_loop(size, forgetting, z, precision, direction)
    reach, curvature = _settle(number, limits, z, target, counts, before, direction, made)
    held = _held(reach, curvature)
    _tighten_loop(size, forgetting, held, direction, made, precision, before, weights)
    return reach, curvature


def expected(
    kind: str, limits: Limits, z: Doubles, weights: Doubles, counts: Doubles, out: Doubles
) -> None:
    """What weights say of one sample.

    Args:
        kind: ``gaussian``, ``poisson`` or ``softmax``.
        limits: Bounds.
        z: ``(width,)``, standardised columns.
        weights: ``(width + 1, outputs)``, the intercept first.
        counts: ``(3, outputs)``, as :func:`step` has them; no rate is given above the largest, nor
            above 1 where that is more.
        out: ``(outputs,)``, written.
    """
    _expected(_KINDS[kind], limits, z, weights, counts, out)


@inner
@no_type_check
def _predictor(z, weights, out):
    """``out = (1, z) @ weights``."""
    out[:] = weights[0]
    for j in range(len(z)):
        for k in range(len(out)):
            out[k] += z[j] * weights[j + 1, k]


@inner
@no_type_check
def _to_chances(eta):
    """Softmax, in place."""
    top = -np.inf
    for k in range(len(eta)):
        top = max(top, eta[k])
    whole = 0.0
    for k in range(len(eta)):
        eta[k] = math.exp(eta[k] - top)
        whole += eta[k]
    for k in range(len(eta)):
        eta[k] /= whole


@inner
@no_type_check
def _expected(kind, limits, z, weights, counts, out):
    _predictor(z, weights, out)
    if kind == _SOFTMAX:
        _to_chances(out)
    elif kind == _POISSON:
        for k in range(len(out)):
            log_rate = min(max(out[k], -limits.log_rate), limits.log_rate)
            out[k] = min(math.exp(log_rate), max(counts[PEAK, k], 1.0))


@Loop
@no_type_check
def _aim_loop(forgetting, z, precision, direction):
    """``direction = P (1, z)/γ``."""
    for i in numba.prange(len(direction)):
        row = precision[i]
        total = row[0]
        for j in range(len(z)):
            total += row[j + 1] * z[j]
        direction[i] = total / forgetting


@inner
@no_type_check
def _settle(kind, limits, z, target, counts, before, direction, made):
    """Counts, η and residuals; returns reach and curvature."""
    reach = direction[0]
    for j in range(len(z)):
        reach += z[j] * direction[j + 1]
    _predictor(z, before, made[ETA])
    for k in range(len(target)):
        there = not math.isnan(target[k])
        made[TOTAL, k] = counts[TOTAL, k] + (target[k] if there else 0.0)
        made[SEEN, k] = counts[SEEN, k] + there
        made[PEAK, k] = max(counts[PEAK, k], target[k]) if there else counts[PEAK, k]
    if kind == _SOFTMAX:
        curvature = _settle_classes(reach, target, made)
    elif kind == _POISSON:
        curvature = _settle_counts(limits, reach, target, made)
    else:
        curvature = _settle_values(reach, target, made)
    return reach, min(max(curvature, limits.least_curvature), limits.most_curvature)


@inner
@no_type_check
def _settle_values(reach, target, made):
    for k in range(len(target)):
        settled = (made[ETA, k] + reach * target[k]) / (1 + reach)
        made[RESIDUAL, k] = 0.0 if math.isnan(target[k]) else target[k] - settled
    return 1.0


@inner
@no_type_check
def _settle_counts(limits, reach, target, made):
    curvature, observed = 0.0, 0
    least, most = math.exp(-limits.log_rate), math.exp(limits.log_rate)
    for k in range(len(target)):
        made[RESIDUAL, k] = 0.0
        if not math.isnan(target[k]):
            # One virtual observation of 1 keeps the first samples' steps finite.
            anchor = max((made[TOTAL, k] + 1) / (made[SEEN, k] + 1), limits.least_anchor)
            q = max(reach / anchor, 1e-12)
            goal = max(math.log(q) + made[ETA, k] + q * target[k], limits.least_log)
            settled = min(max(_omega(goal) / q, least), most)
            made[RESIDUAL, k] = (target[k] - settled) / anchor
            curvature += settled / anchor
            observed += 1
    return curvature / observed


@inner
@no_type_check
def _settle_classes(reach, target, made):
    count = len(target)
    step = made[RESIDUAL]
    step[:] = 0.0
    chances = np.empty(count)
    for _ in range(CLASS_STEPS):
        for k in range(count):
            chances[k] = made[ETA, k] + reach * step[k]
        _to_chances(chances)
        for k in range(count):
            step[k] += (target[k] - chances[k] - step[k]) / (1 + reach / 2)
    curvature = 0.0
    for k in range(count):
        settled = target[k] - step[k]
        curvature += settled * (1 - settled)
    return curvature / count


@inner
@no_type_check
def _omega(goal):
    """Wright's function, w + log w = goal, by Newton's method."""
    w = goal - math.log(goal) if goal > 1 else math.exp(goal)
    for _ in range(NEWTON_STEPS):
        w = w * (1 + goal - math.log(w)) / (1 + w)
    return w


@inner
@no_type_check
def _held(reach, curvature):
    """By how much of direction directionᵀ a sample makes P smaller."""
    return curvature / (1 + curvature * reach)


@Loop
@no_type_check
def _tighten_loop(forgetting, held, direction, made, precision, before, weights):
    """Weights along the residuals, and ``P = P/γ − held·direction directionᵀ``."""
    for i in numba.prange(len(direction)):
        along, less = direction[i], held * direction[i]
        for k in range(weights.shape[1]):
            weights[i, k] = before[i, k] + along * made[RESIDUAL, k]
        row = precision[i]
        for j in range(len(direction)):
            row[j] = row[j] / forgetting - less * direction[j]


_aim, _tighten = _aim_loop.alone, _tighten_loop.alone


@inner
@no_type_check
def _step(kind, limits, forgetting, z, target, counts, precision, before, weights, direction, made):
    """All of it on one thread: of a small step each call takes as long as what it does."""
    _aim(forgetting, z, precision, direction)
    reach, curvature = _settle(kind, limits, z, target, counts, before, direction, made)
    held = _held(reach, curvature)
    _tighten(forgetting, held, direction, made, precision, before, weights)
    return reach, curvature
