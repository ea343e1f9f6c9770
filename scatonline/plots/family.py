"""The filter bank that a wavelet family makes, on one sheet."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from itertools import groupby

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure

from scatonline.config import BankSpec
from scatonline.errors import ConfigError
from scatonline.families import ParameterSpec
from scatonline.filterbank import FilterBank
from scatonline.plots.family_line import family_line
from scatonline.plots.family_plane import family_plane
from scatonline.plots.style import STYLE
from scatonline.scattering import Scattering

# Parameters named for one filter; steerable filters have dozens.
_MOST_NAMED = 12
# Options that some families have and others do not: named where they were chosen.
_CHOSEN = ("order", "exponentials", "coupling")


def family_sheet(
    spec: BankSpec, shape: Sequence[int], values: Mapping[str, float] | None = None
) -> Figure:
    """The filters of a family's first layer as a transform uses them, frame bound included.

    In two dimensions: real and imaginary part of every ψ in space and |ψ̂| over the plane, one row
    a scale; a rose of directions with their widths; |ψ̂|, φ̂ and A over |ω|; A and φ̂ over the plane.
    In one: every ψ over time, one row a scale; |ψ̂| over frequency; A.

    Args:
        spec: The bank. Its ``max_order`` does not matter.
        shape: Size of an input: ``(N,)`` or ``(M, N)``.
        values: Natural values by parameter, given to all filters; the others keep the family's
            own. What bound ``open`` freezes is frozen before, as when learning had moved them.

    Raises:
        ConfigError: the specification cannot be built, the family has no parameter of that name,
            or a value is outside its domain.
        NumericalError: bound ``tight`` of a bank that leaves a frequency without any filter.
    """
    with rc_context(STYLE), torch.no_grad():
        transform = Scattering(replace(spec, max_order=1), shape)
        bank = transform.bank(1)
        _give(bank, values or {})
        title, notes = _heading(spec, transform, values or {})
        draw = family_plane if len(transform.geometry.shape) == 2 else family_line
        return draw(bank, title, notes)


def _give(bank: FilterBank, values: Mapping[str, float]) -> None:
    """Makes all filters anew with ``values`` for the parameters that they name."""
    parameters = bank.family.parameters
    names = [parameter.name for parameter in parameters]
    for name in values:
        if name not in names:
            raise ConfigError(
                f"parameter {name!r} is not one of this family's: expected one of {_some(names)}"
            )
    if not values:
        return
    for filter_, row in zip(list(bank.names), bank.values().tolist(), strict=True):
        wanted = [values.get(name, own) for name, own in zip(names, row, strict=True)]
        bank.drop(filter_.id)
        bank.add(filter_.scale, wanted, filter_.id)
        at = bank.row(filter_.id)
        limits = zip(bank.lower[at].tolist(), bank.upper[at].tolist(), strict=True)
        for parameter, value, (lower, upper) in zip(parameters, wanted, limits, strict=True):
            # A bank moves into the bounds what is beyond them; a picture of that would mislead.
            if parameter.name in values and not parameter.free and not lower < value < upper:
                expected = f"more than {lower:g}" if value <= lower else f"less than {upper:g}"
                raise ConfigError(f"filter has {_quantity(parameter, value)}, expected {expected}")


def _heading(
    spec: BankSpec, transform: Scattering, values: Mapping[str, float]
) -> tuple[str, list[str]]:
    """Title, and what there is to know beneath it."""
    bank, geometry = transform.bank(1), transform.geometry
    plane = len(geometry.shape) == 2
    density = ("L", spec.L, "orientation") if plane else ("Q", spec.Q[0], "voice")
    counts = ", ".join(_counted(*count) for count in (("J", spec.J, "scale"), density))
    per = "a scale" if plane else "an octave"
    title = f"{spec.family}, {len(geometry.shape)}-D: {counts} {per}, bound {spec.bound}"
    defaults = {field.name: field.default for field in fields(BankSpec)}
    chosen = [
        f"{name} {getattr(spec, name)}" for name in _CHOSEN if getattr(spec, name) != defaults[name]
    ]
    unit = "pixels" if plane else "samples"
    sizes = [" × ".join(map(str, size)) for size in (geometry.shape, geometry.padded)]
    filters = _counted("", len(bank), "filter")
    made = f"{filters} of layer 1 for inputs of {sizes[0]} {unit}, padded to {sizes[1]}"
    notes = ["; ".join([made, *chosen])]
    if values:
        by_name = {parameter.name: parameter for parameter in bank.family.parameters}
        given = [_unbroken(by_name[name], value) for name, value in values.items()]
        notes.append("set for all filters: " + _some(given))
    return title, notes + _first_filters(bank)


def _counted(symbol: str, number: int, what: str) -> str:
    equals = f"{symbol} = " if symbol else ""
    return f"{equals}{number} {what}{'' if number == 1 else 's'}"


def _first_filters(bank: FilterBank) -> list[str]:
    """Parameters of the first filter of every scale; scales that agree share a line."""
    values = bank.values().tolist()

    def described(scale: int) -> str:
        row = values[bank.rows(scale)[0]]
        depends = [
            _unbroken(parameter, value)
            for parameter, value in zip(bank.family.parameters, row, strict=True)
            if scale >= parameter.least_scale
        ]
        return _some(depends)

    lines = []
    for text, group in groupby(bank.scales, described):
        scales = list(group)
        span = f"{scales[0]}" if len(scales) == 1 else f"{scales[0]} … {scales[-1]}"
        lines.append(f"first filter of scale j = {span}: {text}")
    return lines


def _quantity(parameter: ParameterSpec, value: float) -> str:
    """A value with its unit; rounding left of what is nothing is taken away."""
    number = 0.0 if abs(value) < 1e-12 else value
    text = f"{parameter.name} = {number:.3g}"
    return text if parameter.unit == "1" else f"{text} {parameter.unit}"


def _unbroken(parameter: ParameterSpec, value: float) -> str:
    """A quantity that no line ends in."""
    return _quantity(parameter, value).replace(" ", "\u00a0")


def _some(texts: Sequence[str]) -> str:
    """The first of many, and how many more there are."""
    rest = len(texts) - _MOST_NAMED
    # To name one more takes no more room than to count it.
    if rest <= 1:
        return ", ".join(texts)
    return ", ".join(texts[:_MOST_NAMED]) + f" and {rest} more"
