"""How alike two inputs are to a readout that remembers inputs: kernels on standardised columns.

``linear`` makes the readout ridge regression. ``nonlinear`` is the mean of two kernels that see
what a linear readout cannot: the arc-cosine kernel of order 1, which is a layer of infinitely many
rectified units (Cho & Saul 2009, eq. 6, here with a bias), for what is shared widely, and the
Laplace kernel, which is local and recognises an input that comes again. Both are 1 or so for an
input with itself, so that noise can be given as a share of signal.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from scatonline.config import Kernel

# Weight of a constant beside similarities: every function may have a level.
CONSTANT = 1.0
# Squared bias of the rectified units, relative to the mean squared norm of the columns.
_BIAS = 0.3
# Keeps √ and acos differentiable at an input that comes again.
_TINY = 1e-6

# (⟨z, z'⟩, |z|², |z'|²) → similarity, all divided by the mean |z|².
Similarity = Callable[[Tensor, Tensor, Tensor], Tensor]


def linear(product: Tensor, _one: Tensor, _other: Tensor) -> Tensor:
    """⟨z, z'⟩."""
    return product


def nonlinear(product: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Arc-cosine and Laplace."""
    lengths = ((one + _BIAS) * (other + _BIAS)).sqrt()
    cosine = ((product + _BIAS) / lengths).clamp(-1 + _TINY, 1 - _TINY)
    angle = cosine.acos()
    layer = lengths * (angle.sin() + (math.pi - angle) * cosine) / math.pi
    distance = (one + other - 2 * product).clamp_min(_TINY).sqrt()
    return (layer + torch.exp(-distance)) / 2


SIMILARITIES: dict[Kernel, Similarity] = {"linear": linear, "nonlinear": nonlinear}
