"""Filters worth trying: in a gap, beside the best, at a coarser scale, in a deeper layer.

Levels and order are structure like orientations are. φ is fixed by J, so that J is the coarsest
level there may ever be, and ``max_order`` the highest order; which of their scales and layers hold
filters is open. The first filters at an empty scale open that level, the first ones of an empty
layer raise the order, and dropping the last ones closes them again.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from scatonline.families import make_family
from scatonline.filterbank import FilterBank
from scatonline.scattering import Scattering
from scatonline.structure.decision import RecentDrop


@dataclass(frozen=True)
class NewFilter:
    """A filter that does not exist yet: scale and natural parameters."""

    scale: int
    values: tuple[float, ...]


@dataclass(frozen=True)
class Candidate:
    """Filters of one layer that would come together.

    Attributes:
        layer: Their layer, from 1.
        filters: One; or all that make a layer denser, or that open a level or a layer.
        why: Why they are tried.
    """

    layer: int
    filters: tuple[NewFilter, ...]
    why: str


def candidates(
    scattering: Scattering,
    car: Mapping[str, float],
    recent_drops: Sequence[RecentDrop],
    layers: int,
    max_filters: int,
) -> list[Candidate]:
    """Everything that may be added.

    Args:
        scattering: The banks.
        car: CAR of every filter, by id.
        recent_drops: What went a short while ago: a filter closer to one of these than to any that
            stayed is left out, and with it the others of its group and scale.
        layers: Layers whose paths the readout sees.
        max_filters: Most filters at one scale of one layer.
    """
    found: list[Candidate] = []
    for bank in (scattering.bank(layer) for layer in range(1, layers + 1)):
        if len(bank) == 0:
            # A level beyond the coarsest one before it: that is what its filters act on.
            reach = scattering.bank(bank.layer - 1).scales[-1] + 2
            found += _opened(bank, range(reach), max_filters)
            # Deeper ones act on what this one gives.
            break
        for scale in bank.scales:
            found += _beside(bank, scale, car, max_filters)
        found += _denser(scattering, bank, max_filters)
        coarser = (scale for scale in bank.family.defaults(bank.layer) if scale > bank.scales[-1])
        found += _opened(bank, sorted(coarser)[:1], max_filters)
    return [c for c in (_not_just_dropped(c, scattering, recent_drops) for c in found) if c.filters]


def _beside(
    bank: FilterBank, scale: int, car: Mapping[str, float], max_filters: int
) -> Iterator[Candidate]:
    """Single filters between those of a scale."""
    rows = bank.rows(scale)
    if len(rows) >= max_filters:
        return
    natural = bank.values().detach().tolist()
    here = [car.get(bank.names[row].id, 0.0) for row in rows]
    for values, why in bank.family.candidates([natural[row] for row in rows], here):
        yield Candidate(bank.layer, (NewFilter(scale, values),), why)


def _denser(scattering: Scattering, bank: FilterBank, max_filters: int) -> Iterator[Candidate]:
    """The filters that a layer twice as dense would start with, at every scale that is open.

    Many filters that gain little each are not certain one by one; and a filter for a narrower gap
    is a narrower filter, which none of the present ones can tell.
    """
    spec = scattering.spec
    most = max(len(bank.rows(scale)) for scale in bank.scales)
    voices = tuple(2 * q for q in spec.Q)
    denser = make_family(replace(spec, L=2 * most, Q=voices), scattering.geometry.padded)
    # Steerable filters of another number have other harmonics.
    alike = [p.name for p in denser.parameters] == [p.name for p in bank.family.parameters]
    made = denser.defaults(bank.layer) if alike else {}
    filters = tuple(
        NewFilter(scale, tuple(values))
        for scale in bank.scales
        for values in _spread(made.get(scale, []), max_filters - len(bank.rows(scale)))
    )
    if len(filters) > 1:
        yield Candidate(bank.layer, filters, f"making the layer denser by {len(filters)} filters")


def _opened(bank: FilterBank, scales: Sequence[int], max_filters: int) -> Iterator[Candidate]:
    """All default filters at scales that have none."""
    made = bank.family.defaults(bank.layer)
    filters = tuple(
        NewFilter(scale, tuple(values))
        for scale in scales
        for values in _spread(made.get(scale, []), max_filters)
    )
    what = f"level {scales[0]}" if len(bank) and scales else "the layer itself"
    if filters:
        yield Candidate(bank.layer, filters, f"opening {what} with {len(filters)} filters")


def _spread(values: Sequence[tuple[float, ...]], most: int) -> list[tuple[float, ...]]:
    """Evenly chosen ones where there would be too many."""
    if most <= 0:
        return []
    return list(values[:: max(1, math.ceil(len(values) / most))])


def _not_just_dropped(
    candidate: Candidate, scattering: Scattering, recent_drops: Sequence[RecentDrop]
) -> Candidate:
    """Without the scales at which a filter is closer to one that just went than to all that stayed.

    A group's filters at such a scale wait together: the others would explain from beside the barred
    one what it is needed for, and leave it nothing to gain when it may come.
    """
    bank = scattering.bank(candidate.layer)
    natural = bank.values().detach().tolist()

    def returns(new: NewFilter) -> bool:
        went = [d.values for d in recent_drops if (d.layer, d.scale) == (bank.layer, new.scale)]
        stay = [natural[row] for row in bank.rows(new.scale)]
        every = [new.values, *stay, *went]
        first, *others = bank.family.describe(every, [new.scale] * len(every))
        distances = [distance(first, other) for other in others]
        stayed, gone = distances[: len(stay)], distances[len(stay) :]
        return min(gone, default=math.inf) < min(stayed, default=math.inf)

    barred = {new.scale for new in candidate.filters if returns(new)}
    kept = tuple(new for new in candidate.filters if new.scale not in barred)
    return Candidate(candidate.layer, kept, candidate.why)


def distance(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """Between two filters of one scale: by angle where there is one, else in octaves."""
    if "angle" in a:
        turn = 2 * (a["angle"] - b["angle"])
        return abs(0.5 * math.atan2(math.sin(turn), math.cos(turn)))
    return abs(math.log2(a["frequency"] / b["frequency"]))
