"""Bands of frequencies, from which filters of the plane and of the line are made."""

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from scatonline.families.base import ParameterSpec

# Frequencies at which a band's centre and width are taken.
_SAMPLED = 512


@runtime_checkable
class Band(Protocol):
    """Parametric bands of frequencies, one octave a scale."""

    @property
    def parameters(self) -> Sequence[ParameterSpec]:
        """Their columns."""
        ...

    @property
    def start(self) -> tuple[float, ...]:
        """Values to start from."""
        ...

    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Open interval of every parameter; unused for angles."""
        ...

    def along(self, values: Tensor, scales: Sequence[int], omega: Tensor) -> Tensor:
        """Ψ_j of filters at frequencies, 0 at ω = 0, differentiable.

        Args:
            values: ``(filters, parameters)``.
            scales: Scale j of each.
            omega: ``(filters, frequencies)``, 0 to π radians a sample.

        Returns:
            ``(filters, frequencies)``.
        """
        ...

    def low_pass(self, omega: Tensor) -> Tensor:
        """φ̂ at ascending ``(frequencies,)`` from 0, where it is 1."""
        ...


def spread(
    band: Band, values: Tensor, dilation: Tensor, scales: Sequence[int]
) -> tuple[list[float], list[float]]:
    """Centre and r.m.s. width of the energy of bands, radians a sample."""
    if not len(values):
        return [], []
    omega = torch.arange(1, _SAMPLED + 1, dtype=torch.float64) * (math.pi / _SAMPLED)
    with torch.no_grad():
        along = band.along(values, scales, (omega / dilation[:, None]).clamp_max(math.pi))
        energy = along.square() / along.square().sum(1, keepdim=True)
        centre = (energy * omega).sum(1)
        width = (energy * (omega - centre[:, None]).square()).sum(1).sqrt()
    return centre.tolist(), width.tolist()
