"""Filter banks brought back from the reports of their filters."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from scatonline.cascade import FilterName
from scatonline.config import ModelSpec
from scatonline.filterbank import FilterBank
from scatonline.scattering import Scattering


@runtime_checkable
class HasValue(Protocol):
    """A parameter as a report gives it: its natural value, perhaps more."""

    @property
    def value(self) -> float:
        """In the family's unit."""
        ...


@runtime_checkable
class ReportedFilter(Protocol):
    """What a picture needs of a filter's report.

    The library's own reports and those that the service's client brings from afar both have it.
    """

    @property
    def id(self) -> str:
        """Stable id."""
        ...

    @property
    def layer(self) -> int:
        """Layer, from 1."""
        ...

    @property
    def scale(self) -> int:
        """Dyadic scale j."""
        ...

    @property
    def parameters(self) -> Mapping[str, HasValue]:
        """By the family's names."""
        ...


def rebuilt_banks(spec: ModelSpec, reports: Sequence[ReportedFilter]) -> list[FilterBank]:
    """The model's banks, one a layer, holding the reported filters and no others."""
    transform = Scattering(spec.bank, spec.shape)
    banks = [transform.bank(layer) for layer in range(1, spec.bank.max_order + 1)]
    for bank in banks:
        for name in list(bank.names):
            bank.drop(name.id)
        for report in reports:
            if report.layer == bank.layer:
                bank.add(report.scale, _values(bank, report), report.id)
    return banks


def _values(bank: FilterBank, report: ReportedFilter) -> list[float]:
    """As reported; where a filter does not depend on a parameter, any value will do."""
    anything = bank.family.defaults(bank.layer)[report.scale][0]
    return [
        report.parameters[p.name].value if p.name in report.parameters else value
        for p, value in zip(bank.family.parameters, anything, strict=True)
    ]


def spectra_by_id(bank: FilterBank) -> dict[str, NDArray[np.float64]]:
    """ψ̂ of every filter as the transform uses it, frame bound included."""
    spectra = bank.spectra()
    return {
        bank.names[row].id: psi.numpy()
        for scale in bank.scales
        for row, psi in zip(bank.rows(scale), spectra[scale], strict=True)
    }


def either_time(old: FilterBank, new: FilterBank, scale: int) -> list[FilterName]:
    """Filters of one scale at either time: the old ones in their order, then the new ones."""
    kept = [name for name in old.names if name.scale == scale]
    return kept + [name for name in new.names if name.scale == scale and name not in kept]


def scales_of(old: FilterBank, new: FilterBank) -> list[int]:
    """Scales that have a filter at either time, ascending."""
    return sorted({*old.scales, *new.scales})


def described(bank: FilterBank, name: FilterName) -> Mapping[str, float]:
    """Angle, frequency and bandwidth of a filter, as its family has them."""
    values = bank.values()[bank.row(name.id)].tolist()
    (found,) = bank.family.describe([values], [name.scale])
    return found
