"""What a wavelet family offers to a filter bank, and the coordinates that it is learned in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from scatonline.errors import ConfigError

# Spacing of double-precision numbers about 1.
DOUBLE = torch.finfo(torch.float64).eps

# Beyond, a sigmoid is 0 or 1 to rounding.
_FAR = 40.0

Kind = Literal["direction", "angle", "ratio", "level"]


@dataclass(frozen=True)
class ParameterSpec:
    """One interpretable parameter of a filter.

    Attributes:
        name: The field's name for it.
        unit: Its unit.
        kind: ``direction``: where a filter of the plane looks, free, read modulo π. ``angle``: any
            other angle, likewise. ``ratio``: above 0, on an interval on which equal
            steps are equal ratios. ``level``: on an interval on which equal steps are equal
            differences.
        least_scale: Filters of finer scales do not depend on it.
    """

    name: str
    unit: str
    kind: Kind = "ratio"
    least_scale: int = 0

    @property
    def free(self) -> bool:
        """Whether it is an angle, of whatever kind."""
        return self.kind in ("direction", "angle")


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
        """Open interval of every parameter of a filter made at ``values``; unused for angles.

        Raises:
            ConfigError: a value is outside the domain of the family, naming the bound.
        """
        ...

    def spectra(self, values: Tensor, scales: Sequence[int], precision: float = DOUBLE) -> Tensor:
        """ψ̂ of filters: real ``(filters, *grid)`` float64, differentiable.

        Args:
            values: ``(filters, parameters)`` natural values.
            scales: Scale of each filter, ascending.
            precision: What is smaller than this, relative to 1, need not be right.
        """
        ...

    def low_pass(self, *, kept_norm: bool = False) -> Tensor:
        """φ̂, real and even, ``(*grid)`` float64; it is not learned (docs/decisions/0007).

        Args:
            kept_norm: Leaves the norm that the family's source gives it; otherwise φ̂(0) = 1.
        """
        ...

    def describe(
        self, values: Sequence[Sequence[float]], scales: Sequence[int]
    ) -> list[Mapping[str, float]]:
        """Quantities of filters comparable across families.

        Returns:
            For each filter ``frequency`` and ``bandwidth``, and in 2-D ``angle``, modulo π.
        """
        ...

    def candidates(
        self, values: Sequence[Sequence[float]], car: Sequence[float]
    ) -> list[tuple[tuple[float, ...], str]]:
        """New filters worth trying beside ``values``, best first, each with its reason."""
        ...


@dataclass(frozen=True)
class Kinds:
    """Which columns are of which :data:`Kind`: ``(parameters,)`` masks."""

    angle: Tensor
    ratio: Tensor

    @classmethod
    def of(cls, parameters: Sequence[ParameterSpec]) -> "Kinds":
        """Of a family's columns."""
        angle = torch.tensor([p.free for p in parameters], dtype=torch.bool)
        return cls(angle, torch.tensor([p.kind == "ratio" for p in parameters], dtype=torch.bool))


class Coordinates:
    """Natural values ↔ unconstrained coordinates in which gradient steps are taken.

    An angle is its own coordinate. Any other parameter lives on (lower, upper), at the fraction
    sigmoid(u) of the way between them: it cannot leave its interval. The way is told in *even*
    values, of which equal steps count the same: logarithms of ratios, angles and levels themselves.
    """

    def __init__(self, kinds: Kinds, lower: Tensor, upper: Tensor) -> None:
        """Holds kinds of columns and ``(filters, parameters)`` of the bounds."""
        self.kinds = kinds
        self.start = self._evened(lower)
        self.span = self._evened(upper) - self.start

    def natural(self, u: Tensor) -> Tensor:
        """Unconstrained → natural, differentiable."""
        even = self.even(u)
        return torch.where(self.kinds.ratio, even.exp(), even)

    def unconstrained(self, p: Tensor) -> Tensor:
        """Natural → unconstrained. Values on or beyond a bound are moved just inside it."""
        return self.from_even(self._evened(p))

    def even(self, u: Tensor) -> Tensor:
        """Unconstrained → even, differentiable."""
        # PyTorch's own sigmoid rounds differently by where in a tensor a number stands, so that one
        # filter's coming would move another's last bits.
        fraction = 1 / (1 + (-u.clamp(-_FAR, _FAR)).exp())
        return torch.where(self.kinds.angle, u, self.start + self.span * fraction)

    def from_even(self, even: Tensor) -> Tensor:
        """Even → unconstrained. Values on or beyond a bound are moved just inside it."""
        fraction = (even - self.start) / self.span
        return torch.where(self.kinds.angle, even, torch.logit(fraction.clamp(1e-6, 1 - 1e-6)))

    def most(self, angle: float, share: float) -> Tensor:
        """Largest even steps: radians of angles; of ratios a logarithm; of levels a share."""
        level = torch.where(self.kinds.ratio, share, share * self.span)
        return torch.where(self.kinds.angle, angle, level)

    def _evened(self, p: Tensor) -> Tensor:
        even = torch.where(self.kinds.ratio, p.clamp_min(1e-300).log(), p)
        # An angle has no bounds; any finite ones keep what is not used from being NaN.
        return torch.where(self.kinds.angle, torch.nan_to_num(even, posinf=1.0, neginf=0.0), even)


def require_inside(
    parameters: Sequence[ParameterSpec],
    values: Sequence[float],
    limits: Sequence[tuple[float, float]],
) -> None:
    """Refuses values outside the domain of a family.

    Raises:
        ConfigError: names the parameter, its value and the bound.
    """
    for parameter, value, (lower, upper) in zip(parameters, values, limits, strict=True):
        if not parameter.free and not lower < value < upper:
            raise ConfigError(
                f"filter has {parameter.name} = {value:g}, expected a value between its bounds "
                f"{lower:g} and {upper:g}{'' if parameter.unit == '1' else ' ' + parameter.unit}"
            )
