"""What a wavelet family offers to a filter bank, and the coordinates that it is learned in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

# Spacing of double-precision numbers about 1.
DOUBLE = torch.finfo(torch.float64).eps


@dataclass(frozen=True)
class ParameterSpec:
    """One interpretable parameter of a filter.

    Attributes:
        name: The field's name for it.
        unit: Its unit.
        angle: True for an angle, which is free and read modulo π; others live on an interval.
    """

    name: str
    unit: str
    angle: bool = False


@runtime_checkable
class Family(Protocol):
    """Parametric wavelets on one grid.

    Filters are rows of a ``(filters, parameters)`` float64 tensor of *natural* values, columns in
    the order of :attr:`parameters`.
    """

    @property
    def parameters(self) -> Sequence[ParameterSpec]:
        """The columns of a filter's values."""
        ...

    def defaults(self, layer: int) -> dict[int, list[tuple[float, ...]]]:
        """Filters that the bank of a layer starts with, by scale."""
        ...

    def bounds(self, values: Sequence[float]) -> tuple[tuple[float, float], ...]:
        """Open interval of every parameter of a filter made at ``values``; unused for angles."""
        ...

    def spectra(self, values: Tensor, scales: Sequence[int], precision: float = DOUBLE) -> Tensor:
        """ψ̂ of filters: real ``(filters, *grid)`` float64, differentiable.

        Args:
            values: ``(filters, parameters)`` natural values.
            scales: Scale of each filter, ascending.
            precision: What is smaller than this, relative to 1, need not be right.
        """
        ...

    def low_pass(self, *, kept_norm: bool = False) -> list[Tensor]:
        """φ̂ along each axis, ``(n,)`` float64; the low-pass is their outer product.

        Args:
            kept_norm: Leaves the norm that the family's source gives it; otherwise φ̂(0) = 1.
        """
        ...

    def describe(self, values: Sequence[float]) -> Mapping[str, float]:
        """Quantities comparable across families: frequency and bandwidth, and angle in 2-D."""
        ...

    def candidates(
        self, values: Sequence[Sequence[float]], car: Sequence[float]
    ) -> list[tuple[tuple[float, ...], str]]:
        """New filters worth trying beside ``values``, best first, each with its reason."""
        ...


class Coordinates:
    """Natural values ↔ unconstrained coordinates in which gradient steps are taken.

    An angle is its own coordinate. Any other parameter p in (lower, upper) is
    ``lower·(upper/lower)^sigmoid(u)``: it cannot leave its interval, and equal steps are equal
    ratios.
    """

    def __init__(self, angle: Tensor, lower: Tensor, upper: Tensor) -> None:
        """Holds ``(parameters,)`` of the mask and ``(filters, parameters)`` of the bounds."""
        self.angle, self.lower, self.upper = angle, lower, upper

    def natural(self, u: Tensor) -> Tensor:
        """Unconstrained → natural, differentiable."""
        span = torch.log(self.upper / self.lower)
        bounded = self.lower * torch.exp(span * torch.sigmoid(u))
        return torch.where(self.angle, u, bounded)

    def unconstrained(self, p: Tensor) -> Tensor:
        """Natural → unconstrained. Values on or beyond a bound are moved just inside it."""
        span = torch.log(self.upper / self.lower)
        fraction = torch.log(p.clamp_min(1e-300) / self.lower) / span
        return torch.where(self.angle, p, torch.logit(fraction.clamp(1e-6, 1 - 1e-6)))
