"""Wavelet families: one file each, looked up by name and number of dimensions."""

from collections.abc import Callable

from scatonline.config import AUTO, BankSpec
from scatonline.errors import ConfigError
from scatonline.families.band import Band
from scatonline.families.base import Coordinates, Family, Kinds, ParameterSpec
from scatonline.families.coiflet import Coiflet
from scatonline.families.daubechies import Daubechies
from scatonline.families.lattice import Lattice
from scatonline.families.line import Line
from scatonline.families.morlet import Morlet1D, Morlet2D
from scatonline.families.orthonormal import OrthonormalBand, Quadrature
from scatonline.families.polar import Polar
from scatonline.families.steerable import Steerable, SteerableBand


def _cascade_of(filters: Callable[[BankSpec], Quadrature]) -> Callable[[BankSpec], Band]:
    return lambda spec: OrthonormalBand(filters(spec), spec.J)


def _in_plane(band: Callable[[BankSpec], Band]) -> Callable[[BankSpec, tuple[int, ...]], Family]:
    return lambda spec, grid: Polar(band(spec), spec, grid)


def _on_line(band: Callable[[BankSpec], Band]) -> Callable[[BankSpec, tuple[int, ...]], Family]:
    return lambda spec, grid: Line(band(spec), spec, grid)


FAMILIES: dict[tuple[str, int], Callable[[BankSpec, tuple[int, ...]], Family]] = {
    ("morlet", 1): Morlet1D,
    ("morlet", 2): Morlet2D,
    ("daubechies", 1): _on_line(_cascade_of(Daubechies)),
    ("daubechies", 2): _in_plane(_cascade_of(Daubechies)),
    ("coiflet", 1): _on_line(_cascade_of(Coiflet)),
    ("coiflet", 2): _in_plane(_cascade_of(Coiflet)),
    ("lattice", 1): _on_line(_cascade_of(Lattice)),
    ("lattice", 2): _in_plane(_cascade_of(Lattice)),
    ("steerable", 1): _on_line(SteerableBand),
    ("steerable", 2): Steerable,
}


def make_family(spec: BankSpec, grid: tuple[int, ...]) -> Family:
    """The family that ``spec`` names, on a padded grid.

    Raises:
        ConfigError: no family of that name exists, it is still to be chosen, or it has no filters
            of the order asked for.
    """
    if spec.family == AUTO:
        raise ConfigError(
            "family 'auto' is chosen from samples: give a calibration recording, or call "
            "choose_family and take the specification that it returns"
        )
    key = (spec.family, len(grid))
    if key not in FAMILIES:
        known = ", ".join(sorted({name for name, _ in FAMILIES}))
        raise ConfigError(f"family {spec.family!r} is unknown, expected one of {known}")
    return FAMILIES[key](spec, grid)


__all__ = ["FAMILIES", "Coordinates", "Family", "Kinds", "ParameterSpec", "make_family"]
