"""Sums that scores are made of, over samples and outputs in one pass."""

import math
from typing import no_type_check

from scatonline.kernels.arrays import Doubles
from scatonline.kernels.compile import inner

_LEAST_RATE, _LEAST_CHANCE = 1e-6, 1e-12


def add_values(p: Doubles, y: Doubles, sums: Doubles, *, counts: bool) -> float:
    """Adds predictions of values or counts to an output's sums; targets are NaN where missing.

    Args:
        p: ``(samples, outputs)``, predictions.
        y: Likewise, targets.
        sums: ``(7 or 9, outputs)``, added to: number; y, p, y², p², y·p, (y − p)²; and for counts
            y·log y and y·log p.
        counts: Whether they are counts.

    Returns:
        Squared error or Poisson deviance, mean over all that was observed; 0 if nothing was.
    """
    lost: float = _add_values(p, y, sums, counts)
    return lost


def add_classes(p: Doubles, y: Doubles, sums: Doubles) -> float:
    """Adds class probabilities to a class's sums.

    Args:
        p: ``(samples, classes)``, probabilities.
        y: Likewise, one-hot targets.
        sums: ``(4, classes)``, added to: number; samples of the class that were hit; its samples;
            their log loss.

    Returns:
        The log loss of all samples.
    """
    lost: float = _add_classes(p, y, sums)
    return lost


@inner
@no_type_check
def _add_values(p, y, sums, counts):
    lost, observed = 0.0, 0
    for i in range(y.shape[0]):
        for k in range(y.shape[1]):
            said, came = p[i, k], y[i, k]
            if math.isnan(came):
                continue
            error = (came - said) ** 2
            observed += 1
            sums[0, k] += 1
            sums[1, k] += came
            sums[2, k] += said
            sums[3, k] += came * came
            sums[4, k] += said * said
            sums[5, k] += came * said
            sums[6, k] += error
            if counts:
                own = came * math.log(came) if came > 0 else 0.0
                rate = came * math.log(max(said, _LEAST_RATE))
                sums[7, k] += own
                sums[8, k] += rate
                error = 2 * (own - rate - (came - said))
            lost += error
    return lost / max(observed, 1)


@inner
@no_type_check
def _add_classes(p, y, sums):
    lost = 0.0
    for i in range(y.shape[0]):
        best = 0
        for k in range(y.shape[1]):
            best = k if p[i, k] > p[i, best] else best
        sums[1, best] += y[i, best]
        for k in range(y.shape[1]):
            loss = -y[i, k] * math.log(max(p[i, k], _LEAST_CHANCE))
            sums[0, k] += 1
            sums[2, k] += y[i, k]
            sums[3, k] += loss
            lost += loss
    return lost
