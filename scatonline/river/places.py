"""Where River's named features stand in a model's input.

River gives a sample as a dict, a scattering model takes an array of a fixed shape. The order of a
dict's keys means nothing to River, so that a feature's place may depend on its name only.
"""

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatonline.errors import ConfigError, ShapeError

Features = Mapping[Any, Any] | NDArray[Any]


@dataclass(frozen=True)
class Places:
    """From features to an array, with 0 where no feature stands.

    Attributes:
        shape: ``(channels, *shape)`` of the array.
        strict: Refuses a feature for which there is no place; otherwise it is left out.
        names: Place of every name that has one, in the order of the flattened array.
    """

    shape: tuple[int, ...]
    strict: bool = True
    names: Mapping[Hashable, int] = field(default_factory=dict)

    def extended(self, x: Features) -> "Places":
        """Gives places to the names of ``x`` that have none, while there are any left.

        Names are taken in natural order, ``t2`` before ``t10``, whatever their order in ``x``.
        """
        if _array_in(x) is not None or not isinstance(x, Mapping) or _numbered(x):
            return self
        new = sorted((name for name in x if name not in self.names), key=_natural)
        free = range(len(self.names), math.prod(self.shape))
        if not new or not free:
            return self
        return Places(self.shape, self.strict, {**self.names, **dict(zip(new, free, strict=False))})

    def array(self, x: Features) -> NDArray[Any]:
        """The input that ``x`` stands for, ``(channels, *shape)``.

        Args:
            x: An array; a dict with an array as its only value; a dict of numbers by position,
                an integer in the flattened array or a tuple of them, one an axis; or a dict of
                numbers by name. None counts as missing. With one channel its axis may be left out.

        Raises:
            ShapeError: a value is no number, positions and names are mixed, or, if strict, a
                feature has no place. Arrays of another shape are left for the model to refuse.
        """
        whole = _array_in(x)
        if whole is not None:
            return whole[None] if whole.shape == self.shape[1:] and self.shape[0] == 1 else whole
        assert isinstance(x, Mapping)
        numbered = _numbered(x)
        flat = np.zeros(math.prod(self.shape))
        for name, value in x.items():
            place = self._position(name) if numbered else self.names.get(name)
            if place is not None:
                flat[place] = _number(name, value)
            elif self.strict and numbered:
                raise ShapeError(f"feature {name!r} lies outside an input of shape {self.shape}")
        if self.strict and not numbered:
            self._require_room(x)
        return flat.reshape(self.shape)

    def _position(self, name: Any) -> int | None:
        if not isinstance(name, tuple):
            return int(name) if 0 <= name < math.prod(self.shape) else None
        index = (0, *name) if len(name) == len(self.shape) - 1 and self.shape[0] == 1 else name
        inside = len(index) == len(self.shape) and all(
            0 <= i < n for i, n in zip(index, self.shape, strict=True)
        )
        return int(np.ravel_multi_index(index, self.shape)) if inside else None

    def _require_room(self, x: Mapping[Any, Any]) -> None:
        free = math.prod(self.shape) - len(self.names)
        new = [name for name in x if name not in self.names]
        if len(new) > free:
            raise ShapeError(
                f"no place for {len(new) - free} of {len(x)} features such as {new[-1]!r} in an "
                f"input of shape {self.shape}: select features, or make the shape larger"
            )


def shape_of(x: Features, channels: int, least: int) -> tuple[int, ...]:
    """Shape of one channel for a stream that starts with ``x``.

    Args:
        x: See :meth:`Places.array`; dicts make inputs with one axis.
        channels: Channels of an input.
        least: Fewest samples of a dict's axis.

    Raises:
        ConfigError: positions are tuples: the largest of them need not be in the first sample.
    """
    whole = _array_in(x)
    if whole is not None:
        return whole.shape[1:] if channels > 1 or whole.ndim > 2 else whole.shape
    assert isinstance(x, Mapping)
    count = len(x)
    if _numbered(x):
        if any(isinstance(name, tuple) for name in x):
            raise ConfigError("features are named by positions of several axes: give the shape")
        count = max(x) + 1
    return (max(least, -(-count // channels)),)


def _array_in(x: Features) -> NDArray[Any] | None:
    """The input itself, if it is an array, or a dict with nothing but one."""
    if not isinstance(x, Mapping):
        return x
    if len(x) == 1:
        (value,) = x.values()
        return value if isinstance(value, np.ndarray) and value.ndim else None
    return None


def _numbered(x: Mapping[Any, Any]) -> bool:
    """Whether features are named by their positions."""
    positions = [name for name in x if all(_integer(i) for i in _axes(name))]
    if positions and len(positions) < len(x):
        name = next(name for name in x if name not in positions)
        raise ShapeError(
            f"features are named by positions such as {positions[0]!r} and by names such as "
            f"{name!r}, expected one or the other: leave some out, see river.compose.Discard"
        )
    return bool(positions)


def _axes(name: Any) -> Sequence[Any]:
    return name if isinstance(name, tuple) and name else (name,)


def _integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _natural(name: Any) -> tuple[str | int, ...]:
    parts = re.split(r"(\d+)", str(name))
    numbered = [int(part) if i % 2 else part for i, part in enumerate(parts)]
    # Names that print alike ('1' and 1.0, say) still have an order of their own.
    return (*numbered, type(name).__name__)


def _number(name: Any, value: Any) -> float:
    if value is None:
        return 0.0
    if not isinstance(value, int | float | np.number | np.bool_) or isinstance(value, complex):
        raise ShapeError(
            f"feature {name!r} is a {type(value).__name__}, expected a number: leave it out or "
            "encode it before, see river.compose.Discard and river.preprocessing.OneHotEncoder"
        )
    return float(value)
