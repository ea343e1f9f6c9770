"""The filters of one scattering layer, indexed by (scale, orientation), kept within a frame bound.

Inputs of every layer are real, so energy is counted by the Littlewood–Paley sum
``A(ω) = |φ̂|² + ½ Σ_λ (|ψ̂_λ(ω)|² + |ψ̂_λ(−ω)|²)``; A ≤ 1 makes the transform non-expansive. The bound
is the last step of every build, differentiable and the same for all families. It acts on ψ̂ alone:
φ̂ stays what the family made it (separable, φ̂(0) = 1), and what it leaves, 1 − |φ̂|², is shared out
(docs/decisions/0002):

* ``none`` — as made.
* ``clamp`` — where A would exceed 1, ψ̂ shrinks until it does not; untouched elsewhere.
* ``open`` — ``clamp`` frozen at the bank's first filters, then ``clamp`` on top: removing a filter
  leaves the others bit for bit as they were.
* ``tight`` — A ≡ 1: energy is conserved; removing a filter changes its neighbours.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scatonline.cascade import FilterName
from scatonline.config import BankSpec
from scatonline.errors import ConfigError, NumericalError, UnknownName
from scatonline.families import Coordinates, Family

# Keeps the frozen gain of "open" just inside the bound, so that its own clamp is exactly idle.
_INSIDE = 1 - 1e-12
_TINY = 1e-12


class FilterBank(nn.Module):
    """Learnable filters of one layer.

    Attributes:
        theta: ``(filters, parameters)`` float64, unconstrained coordinates, sorted by scale.
        names: Identity of each row.
    """

    theta: nn.Parameter
    angle: Tensor
    lower: Tensor
    upper: Tensor
    initial: Tensor
    reference: Tensor
    room: Tensor

    def __init__(self, spec: BankSpec, family: Family, layer: int) -> None:
        """Starts with the family's default filters for ``layer`` (counted from 1).

        Raises:
            ConfigError: the layer has no filters left.
        """
        super().__init__()
        self.family, self.layer, self.bound = family, layer, spec.bound
        self.names: list[FilterName] = []
        self.made: dict[int, int] = {}
        width = len(family.parameters)
        angle = torch.tensor([p.angle for p in family.parameters])
        self.register_buffer("angle", angle, persistent=False)
        phi = family.low_pass()
        energy = phi[0] if len(phi) == 1 else phi[0][:, None] * phi[1][None, :]
        self.register_buffer("room", (1 - energy.square()).clamp_min(0), persistent=False)
        self._set(*(torch.zeros(0, width, dtype=torch.float64) for _ in range(4)))
        for scale, filters in family.defaults(layer).items():
            for values in filters:
                self.add(scale, values)
        if not self.names:
            raise ConfigError(f"layer {layer} has no filters: J or Q leaves no scale for it")
        self.register_buffer("reference", torch.ones_like(self.room))
        if self.bound == "open":
            with torch.no_grad():
                self.reference = self._clamp(self._energy(self._raw())) * _INSIDE

    def __len__(self) -> int:
        """Number of filters."""
        return len(self.names)

    @property
    def scales(self) -> list[int]:
        """Scales that have a filter, ascending."""
        return sorted({name.scale for name in self.names})

    def rows(self, scale: int) -> list[int]:
        """Rows of one scale, in channel order."""
        return [i for i, name in enumerate(self.names) if name.scale == scale]

    def row(self, filter_id: str) -> int:
        """Row of a filter.

        Raises:
            UnknownName: no filter has that id.
        """
        for i, name in enumerate(self.names):
            if name.id == filter_id:
                return i
        known = ", ".join(name.id for name in self.names)
        raise UnknownName(f"no filter {filter_id!r} in layer {self.layer}; it has {known}")

    def coordinates(self) -> Coordinates:
        """The map between :attr:`theta` and natural values."""
        return Coordinates(self.angle, self.lower, self.upper)

    def values(self) -> Tensor:
        """Natural parameter values, ``(filters, parameters)`` float64."""
        return self.coordinates().natural(self.theta)

    def spectra(self) -> dict[int, Tensor]:
        """ψ̂ by scale, real ``(filters of that scale, *grid)`` float64, within the bound."""
        raw = self._raw()
        if self.bound == "none":
            return raw
        energy = self._energy(raw)
        if self.bound == "tight":
            gain = self._fill(energy)
        else:
            gain = self.reference * self._clamp(self.reference.square() * energy)
        return {scale: psi * gain for scale, psi in raw.items()}

    def littlewood_paley(self) -> Tensor:
        """A(ω) on the grid, float64."""
        with torch.no_grad():
            return 1 - self.room + self._energy(self.spectra())

    def add(self, scale: int, values: Sequence[float], filter_id: str | None = None) -> str:
        """Adds a filter behind the others of its scale and returns its id.

        Args:
            scale: Dyadic scale j.
            values: Natural parameters, in the family's order.
            filter_id: Id to give it when a decision is replayed; made up otherwise.
        """
        number = self.made.get(scale, 0)
        self.made[scale] = number + 1
        name = FilterName(filter_id or f"{self.layer}/j{scale}/{number}", self.layer, scale)
        at = sum(n.scale <= scale for n in self.names)
        new = torch.tensor([list(values)], dtype=torch.float64, device=self.lower.device)
        bounds = torch.tensor([self.family.bounds(values)], dtype=torch.float64, device=new.device)
        lower, upper = bounds[..., 0], bounds[..., 1]
        u = Coordinates(self.angle, lower, upper).unconstrained(new)
        rows = zip(self.tables(), (u, lower, upper, new), strict=True)
        self.names.insert(at, name)
        self._set(*(torch.cat((table[:at], row, table[at:])) for table, row in rows))
        return name.id

    def drop(self, filter_id: str) -> int:
        """Removes a filter and returns the row it had; the others keep values and ids.

        Raises:
            UnknownName: no filter has that id.
        """
        at = self.row(filter_id)
        del self.names[at]
        self._set(*(torch.cat((table[:at], table[at + 1 :])) for table in self.tables()))
        return at

    def restore(self, names: Sequence[FilterName], made: dict[int, int], *tables: Tensor) -> None:
        """Puts back what :meth:`tables` and the identities gave."""
        self.names, self.made = list(names), dict(made)
        self._set(*tables)

    def tables(self) -> tuple[Tensor, ...]:
        """θ, lower bounds, upper bounds and initial values, one row a filter."""
        return self.theta.detach(), self.lower, self.upper, self.initial

    def _set(self, theta: Tensor, lower: Tensor, upper: Tensor, initial: Tensor) -> None:
        self.theta = nn.Parameter(theta)
        self.register_buffer("lower", lower)
        self.register_buffer("upper", upper)
        self.register_buffer("initial", initial)

    def _raw(self) -> dict[int, Tensor]:
        values = self.values()
        return {j: self.family.spectra(values[self.rows(j)], j) for j in self.scales}

    def _energy(self, spectra: dict[int, Tensor]) -> Tensor:
        total = torch.stack([psi.square().sum(0) for psi in spectra.values()]).sum(0)
        axes = tuple(range(total.dim()))
        return 0.5 * (total + torch.roll(torch.flip(total, axes), (1,) * len(axes), axes))

    def _clamp(self, energy: Tensor) -> Tensor:
        return (energy / self.room.clamp_min(_TINY)).clamp_min(1).rsqrt()

    def _fill(self, energy: Tensor) -> Tensor:
        inner = self.room > _TINY
        if not bool((energy[inner] > _TINY).all()):
            raise NumericalError(
                f"bound 'tight' needs every frequency covered, layer {self.layer} leaves one "
                "without any filter: add orientations or take bound 'clamp'"
            )
        return torch.where(inner, self.room / energy.clamp_min(_TINY), torch.zeros(())).sqrt()
