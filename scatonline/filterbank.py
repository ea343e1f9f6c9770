"""The filters of one scattering layer, indexed by (scale, orientation), kept within a frame bound.

The bound (:mod:`scatonline.bound`) is one of

* ``none`` — filters as the family makes them.
* ``clamp`` — where A would exceed 1, ψ̂ shrinks until it does not; untouched elsewhere.
* ``open`` — ``clamp`` frozen at the bank's first filters, then ``clamp`` on top: removing a filter
  leaves the others bit for bit as they were.
* ``tight`` — A ≡ 1: energy is conserved; removing a filter changes its neighbours.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scatonline import bound
from scatonline.cascade import FilterName, Use
from scatonline.config import BankSpec
from scatonline.errors import ConfigError, DuplicateName, NumericalError, UnknownName
from scatonline.families import Coordinates, Family, Kinds

# Keeps the frozen gain of "open" just inside the bound, so that its own clamp is exactly idle.
_INSIDE = 1 - 1e-12
# Energy below which a frequency counts as left without any filter.
_UNCOVERED = 1e-12
_TABLES = ("theta", "lower", "upper", "initial")


@dataclass(frozen=True)
class _Known:
    """Filters evaluated before, and at which natural values."""

    ids: list[str]
    values: Tensor
    made: Tensor
    dtype: torch.dtype

    def rows(self, ids: Sequence[str], values: Tensor) -> tuple[list[tuple[int, int]], list[int]]:
        """Which filters are here already, (here, there), and which rows are not."""
        place = {id_: i for i, id_ in enumerate(self.ids)}
        shared = [(place[id_], row) for row, id_ in enumerate(ids) if id_ in place]
        same: list[bool] = []
        if shared:
            here, there = (list(rows) for rows in zip(*shared, strict=True))
            same = (self.values[here] == values[there]).all(1).tolist()
        old = [pair for pair, equal in zip(shared, same, strict=True) if equal]
        reused = {row for _, row in old}
        return old, [row for row in range(len(ids)) if row not in reused]


class FilterBank(nn.Module):
    """Learnable filters of one layer.

    Attributes:
        theta: ``(filters, parameters)`` float64, unconstrained coordinates, sorted by scale.
        names: Identity of each row.
    """

    theta: nn.Parameter
    angle: Tensor
    ratio: Tensor
    lower: Tensor
    upper: Tensor
    initial: Tensor
    ceiling: Tensor
    room: Tensor

    def __init__(self, spec: BankSpec, family: Family, layer: int) -> None:
        """Starts with the family's default filters for ``layer`` (counted from 1).

        Those of scales and layers that are not open yet are left out; a deeper layer may thus start
        without any.

        Raises:
            ConfigError: the layer has no filters left.
        """
        super().__init__()
        self.family, self.layer, self.bound = family, layer, spec.bound
        self.coarsest = spec.J
        self.names: list[FilterName] = []
        self.made: dict[int, int] = {}
        self._known: _Known | None = None
        # Asked for four times a step of θ; the same until bounds change.
        self._coordinates: Coordinates | None = None
        width = len(family.parameters)
        kinds = Kinds.of(family.parameters)
        self.register_buffer("angle", kinds.angle, persistent=False)
        self.register_buffer("ratio", kinds.ratio, persistent=False)
        room = (1 - family.low_pass().square()).clamp_min(0)
        self.register_buffer("room", room, persistent=False)
        self._set(*(torch.zeros(0, width, dtype=torch.float64) for _ in _TABLES))
        for scale, filters in family.defaults(layer).items():
            for values in filters:
                self.add(scale, values)
        if not self.names:
            raise ConfigError(f"layer {layer} has no filters: J or Q leaves no scale for it")
        self.register_buffer("ceiling", self._first_ceiling())
        # Only now: filters that open a level later find the ceiling that leaves room for them.
        self._close(spec.levels, spec.layers)

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
        if torch.compiler.is_compiling():
            return Coordinates(self._kinds(), self.lower, self.upper)
        if self._coordinates is None:
            # What is made in inference mode could be part of no graph later.
            with torch.inference_mode(False):
                self._coordinates = Coordinates(self._kinds(), self.lower, self.upper)
        return self._coordinates

    def values(self) -> Tensor:
        """Natural parameter values, ``(filters, parameters)`` float64."""
        return self.coordinates().natural(self.theta)

    def made_spectra(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """ψ̂ of all filters as the family makes them: ``(filters, *grid)`` float64.

        As exact as ``dtype`` can tell: what it would round away need not be evaluated. Without
        gradients, on a processor, filters that have not changed since the last call are not
        evaluated again.
        """
        comparable = self.theta.device.type == "cpu" and not torch.compiler.is_compiling()
        if torch.is_grad_enabled() or not comparable:
            return self._evaluated(self.values(), list(range(len(self))), dtype)
        ids, values = [name.id for name in self.names], self.values()
        known = self._known
        if known is None or known.dtype != dtype:
            known = _Known([], values[:0], self.room.new_empty(0, *self.room.shape), dtype)
        made = self.room.new_empty(len(ids), *self.room.shape)
        old, new = known.rows(ids, values)
        if old:
            there, here = (list(rows) for rows in zip(*old, strict=True))
            made[here] = known.made[there]
        if new:
            made[new] = self._evaluated(values[new], new, dtype)
        self._known = _Known(ids, values, made, dtype)
        return made

    def _evaluated(self, values: Tensor, rows: Sequence[int], dtype: torch.dtype) -> Tensor:
        if not rows:
            return self.room.new_empty(0, *self.room.shape)
        scales = [self.names[row].scale for row in rows]
        return self.family.spectra(values, scales, torch.finfo(dtype).eps)

    def spectra(self) -> dict[int, Tensor]:
        """ψ̂ by scale, real ``(filters of that scale, *grid)`` float64, within the bound."""
        psi = self._checked(self.made_spectra())
        within = bound.bounded(psi, self._limits())
        return {scale: within[self._span(scale)] for scale in self.scales}

    def folded(self, uses: Mapping[Use, float], dtype: torch.dtype) -> dict[Use, Tensor]:
        """ψ̂ within the bound as a cascade takes it.

        Args:
            uses: What it is needed for, and a factor on it.
            dtype: Working precision.

        Returns:
            ``(aliases, filters, frequencies)`` for each use, see :func:`fourier.fold_filters`.
        """
        if not uses:
            return {}
        folds = [bound.Fold(self._span(use.scale), use, factor) for use, factor in uses.items()]
        # A tight bank makes much of what is little.
        precision = torch.float64 if self.bound == "tight" else dtype
        psi = self._checked(self.made_spectra(precision))
        return dict(zip(uses, bound.folded(psi, self._limits(), folds, dtype), strict=True))

    def littlewood_paley(self) -> Tensor:
        """A(ω) on the grid, float64."""
        with torch.no_grad():
            psi = bound.bounded(self._checked(self.made_spectra()), self._limits())
            return 1 - self.room + bound.energy(psi)

    def add(self, scale: int, values: Sequence[float], filter_id: str | None = None) -> str:
        """Adds a filter behind the others of its scale and returns its id.

        Args:
            scale: Dyadic scale j.
            values: Natural parameters, in the family's order.
            filter_id: Id to give it when a decision is replayed; made up otherwise.

        Raises:
            ConfigError: another number of values than the family has parameters, one that is not
                finite, or not above 0 where it is no angle; or a scale that does not exist.
            DuplicateName: a filter has that id.
        """
        self._check_values(values)
        if not 0 <= scale <= self.coarsest:
            raise ConfigError(f"filter has scale {scale}, expected 0 to J = {self.coarsest}")
        limits = self.family.bounds(values)
        # Only now: what is refused uses up no id.
        name = FilterName(self._id(scale, filter_id), self.layer, scale)
        at = sum(n.scale <= scale for n in self.names)
        new = torch.tensor([list(values)], dtype=torch.float64, device=self.lower.device)
        bounds = torch.tensor([limits], dtype=torch.float64, device=new.device)
        lower, upper = bounds[..., 0], bounds[..., 1]
        new = torch.where(self.angle, new, new.clamp(lower, upper))
        u = Coordinates(self._kinds(), lower, upper).unconstrained(new)
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

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": None, "_coordinates": None}

    def get_extra_state(self) -> dict[str, Any]:
        """Identities of the filters, for ``state_dict``."""
        names = [[name.id, name.scale] for name in self.names]
        return {"names": names, "made": sorted(self.made.items())}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Inverse of :meth:`get_extra_state`."""
        self.names = [FilterName(id_, self.layer, scale) for id_, scale in state["names"]]
        self.made = dict(state["made"])

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """Makes room first: the saved bank may have other filters than this one."""
        if all(prefix + name in state_dict for name in _TABLES):
            saved = (state_dict[prefix + name] for name in _TABLES)
            self._set(*(torch.empty_like(table, device=self.lower.device) for table in saved))
        self._coordinates = None
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "FilterBank":
        """Follows to another device, and stays float64: filters are made in double precision."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(fn(torch.empty(0, device=tensor.device)).device)

        super()._apply(moved, recurse)  # type: ignore[no-untyped-call]
        self._coordinates = None
        return self

    def _set(self, theta: Tensor, lower: Tensor, upper: Tensor, initial: Tensor) -> None:
        self.theta = nn.Parameter(theta)
        self.register_buffer("lower", lower)
        self.register_buffer("upper", upper)
        self.register_buffer("initial", initial)
        self._coordinates = None

    def _close(self, levels: int, layers: int) -> None:
        """Takes the filters away that are not open at the start; their ids were never given."""
        shut = bool(layers) and self.layer > layers
        left = [
            row
            for row, name in enumerate(self.names)
            if not shut and (not levels or name.scale < levels)
        ]
        if self.layer == 1 and not left:
            raise ConfigError(f"bank.levels = {levels} leaves the first layer without filters")
        self.names = [self.names[row] for row in left]
        self.made = {name.scale: self.made[name.scale] for name in self.names}
        self._set(*(table[left] for table in self.tables()))

    def _kinds(self) -> Kinds:
        return Kinds(self.angle, self.ratio)

    def _span(self, scale: int) -> slice:
        """Rows of one scale."""
        first = sum(name.scale < scale for name in self.names)
        return slice(first, first + sum(name.scale == scale for name in self.names))

    def _first_ceiling(self) -> Tensor:
        if self.bound == "tight":
            return torch.full_like(self.room, _UNCOVERED**-0.5)
        ones = torch.ones_like(self.room)
        if self.bound != "open":
            return ones
        with torch.no_grad():
            return bound.gain(self.made_spectra(), bound.Limits(self.room, ones)) * _INSIDE

    def _limits(self) -> bound.Limits | None:
        return None if self.bound == "none" else bound.Limits(self.room, self.ceiling)

    def _checked(self, psi: Tensor) -> Tensor:
        """Refuses a tight bank that cannot be; on a processor only, where looking costs no wait."""
        if self.bound == "tight" and psi.device.type == "cpu" and not torch.compiler.is_compiling():
            energy = bound.energy(psi.detach())
            if not bool((energy[self.room > _UNCOVERED] > _UNCOVERED).all()):
                raise NumericalError(
                    f"bound 'tight' needs every frequency covered, layer {self.layer} leaves one "
                    "without any filter: add orientations or take bound 'clamp'"
                )
        return psi

    def _id(self, scale: int, asked: str | None) -> str:
        """The id of a new filter, asked for or made up; neither is made up again."""
        start = f"{self.layer}/j{scale}/"
        if asked is None:
            number = self.made.get(scale, 0)
            self.made[scale] = number + 1
            return f"{start}{number}"
        if any(name.id == asked for name in self.names):
            raise DuplicateName(f"layer {self.layer} has a filter {asked!r} already: take another")
        ours, _, number_asked = asked.rpartition("/")
        if f"{ours}/" == start and number_asked.isdecimal():
            self.made[scale] = max(self.made.get(scale, 0), int(number_asked) + 1)
        return asked

    def _check_values(self, values: Sequence[float]) -> None:
        names = ", ".join(parameter.name for parameter in self.family.parameters)
        if len(values) != len(self.family.parameters):
            raise ConfigError(f"filter has {len(values)} values, expected {names}")
        if not all(abs(value) < float("inf") for value in values):
            raise ConfigError(f"filter has values {list(values)}, expected finite {names}")
        for parameter, value in zip(self.family.parameters, values, strict=True):
            if parameter.kind == "ratio" and value <= 0:
                raise ConfigError(f"filter has {parameter.name} = {value}, expected more than 0")
