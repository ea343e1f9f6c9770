"""Wavelet families: one file each, looked up by name and number of dimensions."""

from collections.abc import Callable

from scatonline.config import BankSpec
from scatonline.errors import ConfigError
from scatonline.families.base import Coordinates, Family, ParameterSpec
from scatonline.families.morlet import Morlet1D, Morlet2D

FAMILIES: dict[tuple[str, int], Callable[[BankSpec, tuple[int, ...]], Family]] = {
    ("morlet", 1): Morlet1D,
    ("morlet", 2): Morlet2D,
}


def make_family(spec: BankSpec, grid: tuple[int, ...]) -> Family:
    """The family that ``spec`` names, on a padded grid.

    Raises:
        ConfigError: no family of that name exists in ``len(grid)`` dimensions.
    """
    key = (spec.family, len(grid))
    if key not in FAMILIES:
        known = ", ".join(f"{name} ({d}-D)" for name, d in FAMILIES)
        raise ConfigError(f"family {spec.family!r} in {len(grid)}-D is unknown, expected {known}")
    return FAMILIES[key](spec, grid)


__all__ = ["FAMILIES", "Coordinates", "Family", "ParameterSpec", "make_family"]
