"""Refusals of a specification: what it is, what it got, what was expected."""

import math

from scatonline.errors import ConfigError


def require(holds: bool, what: str, got: object, expected: str) -> None:
    """Refuses a value.

    Raises:
        ConfigError: it does not hold.
    """
    if not holds:
        raise ConfigError(f"{what}: got {got!r}, expected {expected}")


def positive(what: str, got: float) -> None:
    """Refuses what is not a finite number above 0."""
    require(0 < got < math.inf, what, got, "finite and above 0")


def one_of(what: str, got: str, allowed: tuple[str, ...]) -> None:
    """Refuses what is not among the names allowed."""
    require(got in allowed, what, got, "one of " + ", ".join(allowed))
