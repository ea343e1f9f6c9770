"""How far filters have moved since they were made."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch

from scatonline.filterbank import FilterBank
from scatonline.structure import GroupCar


@dataclass(frozen=True)
class Parameter:
    """One parameter of one filter: present value, its unit, the value it was made with."""

    value: float
    unit: str
    initial: float


@dataclass(frozen=True)
class FilterReport:
    """One filter, for people and monitors.

    Attributes:
        id: Stable id.
        layer: Layer, from 1.
        scale: Dyadic scale j.
        parameters: By name, in the family's order.
        drift: ``log2_frequency`` and ``log2_bandwidth`` (octaves since it was made),
            ``spectral_distance`` (1 − |cosine| between its spectrum then and now, before the frame
            bound) and, in 2-D, ``angle_rad`` (−π/2 to π/2).
        car: Its CAR in the last check: explained variance lost without it; None before one.
        car_se: Standard error of ``car``.
        car_upper: Upper confidence bound on ``car``.
        born_event: Event that made it; 0 for the first filters.
        freed: Whether it has earned steps of its own (``learning.tie: earned``).
    """

    id: str
    layer: int
    scale: int
    parameters: dict[str, Parameter]
    drift: dict[str, float]
    car: float | None
    car_se: float | None
    car_upper: float | None
    born_event: int
    freed: bool = False


def reports(
    banks: Sequence[FilterBank],
    cars: Sequence[GroupCar],
    born: Mapping[str, int],
    freed: Collection[str] = (),
) -> tuple[FilterReport, ...]:
    """Every filter, layer by layer.

    Args:
        banks: By layer.
        cars: Of the last structure check.
        born: Event that made a filter, for those added later.
        freed: Ids of filters that take steps of their own.
    """
    by_id = {car.filter_id: car for car in cars}
    found = []
    for bank in banks:
        for name, values, drift in zip(bank.names, parameters(bank), bank_drift(bank), strict=True):
            car = by_id.get(name.id)
            found.append(
                FilterReport(
                    id=name.id,
                    layer=name.layer,
                    scale=name.scale,
                    parameters=values,
                    drift=drift,
                    car=car.car if car else None,
                    car_se=car.se if car else None,
                    car_upper=car.upper if car else None,
                    born_event=born.get(name.id, 0),
                    freed=name.id in freed,
                )
            )
    return tuple(found)


def parameters(bank: FilterBank) -> list[dict[str, Parameter]]:
    """Present and initial parameters of every filter, those it depends on; angles modulo π."""
    specs = bank.family.parameters
    return [
        {
            spec.name: Parameter(
                value % math.pi if spec.free else value,
                spec.unit,
                first % math.pi if spec.free else first,
            )
            for spec, value, first in zip(specs, now, then, strict=True)
            if spec.least_scale <= name.scale
        }
        for name, now, then in zip(
            bank.names, bank.values().detach().tolist(), bank.initial.tolist(), strict=True
        )
    ]


def bank_drift(bank: FilterBank) -> list[dict[str, float]]:
    """Drift of every filter of a bank, see :class:`FilterReport`."""
    if not bank.names:
        # A layer that was closed; there is no transform of nothing.
        return []
    scales = [name.scale for name in bank.names]
    now = bank.family.describe(bank.values().detach().tolist(), scales)
    then = bank.family.describe(bank.initial.tolist(), scales)
    drifts = []
    for here, start, distance in zip(now, then, _spectral_distances(bank), strict=True):
        drift = {
            "log2_frequency": math.log2(here["frequency"] / start["frequency"]),
            "log2_bandwidth": math.log2(here["bandwidth"] / start["bandwidth"]),
            "spectral_distance": distance,
        }
        if "angle" in here:
            turned = 2 * (here["angle"] - start["angle"])
            drift["angle_rad"] = 0.5 * math.atan2(math.sin(turned), math.cos(turned))
        drifts.append(drift)
    return drifts


def _spectral_distances(bank: FilterBank) -> list[float]:
    scales = [name.scale for name in bank.names]
    with torch.no_grad():
        now, then = (
            bank.family.spectra(values, scales).flatten(1)
            for values in (bank.values(), bank.initial)
        )
        cosine = (now * then).sum(1) / (now.norm(dim=1) * then.norm(dim=1)).clamp_min(1e-300)
    return [max(0.0, 1 - value) for value in cosine.abs().tolist()]
