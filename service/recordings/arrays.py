"""Checks on a recording's arrays, each with an error that says what to mend."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.recordings.recording import RecordingError

Arrays = Mapping[str, NDArray[Any]]

WIRE_DTYPES = tuple(
    np.dtype(name) for name in ("uint8", "int8", "int16", "uint16", "int32", "float32", "float64")
)


def numeric_input(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """The array in a dtype that can travel and that holds only finite numbers.

    Half precision, booleans and larger integers become float32; other dtypes stay as stored, so
    that 8-bit frames travel as 8 bits.

    Raises:
        RecordingError: Not numeric, empty, or NaN/Inf inside.
    """
    if values.dtype.kind not in "biuf":
        raise RecordingError(f"`{name}` has dtype {values.dtype}; expected integers or floats")
    if values.size == 0:
        raise RecordingError(f"`{name}` is empty: shape {values.shape}")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise RecordingError(f"`{name}` holds {count} NaN or Inf values; an input must be finite")
    native = values.dtype.newbyteorder("=")
    return values.astype(native if native in WIRE_DTYPES else np.float32, copy=False)


def same_length(first: str, second: str, arrays: Arrays) -> None:
    """Require two arrays to agree in their first dimension.

    Raises:
        RecordingError: They do not.
    """
    lengths = len(arrays[first]), len(arrays[second])
    if lengths[0] != lengths[1]:
        raise RecordingError(
            f"`{first}` has {lengths[0]} samples but `{second}` has {lengths[1]}; "
            "the first dimension of both must be the number of samples"
        )


def unit_scale(dtype: np.dtype[Any]) -> float:
    """Factor that brings a stored dtype to order one: 1/255 for uint8, 1 for floats."""
    return 1.0 / float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0


def recorded_rate_hz(arrays: Arrays) -> float | None:
    """Steps per second, from `fs` in Hz or `dt_ms`; None where the file has neither.

    Raises:
        RecordingError: Not one positive number.
    """
    for name in ("fs", "dt_ms"):
        if name in arrays:
            values = arrays[name].ravel()
            if values.size != 1 or values.dtype.kind not in "iuf" or not 0 < values[0] < np.inf:
                raise RecordingError(f"`{name}` must be one positive number; got {values[:5]}")
            return float(values[0]) if name == "fs" else 1000.0 / float(values[0])
    return None


def session_index(arrays: Arrays, count: int, name: str) -> tuple[NDArray[np.int64], list[str]]:
    """The session number of each sample and the sessions' names.

    Args:
        arrays: May hold `session` `(count,)` and `session_names`.
        count: Number of samples.
        name: The single session's name where the file tells none.

    Raises:
        RecordingError: Wrong length, numbers outside the names, or names that repeat.
    """
    if "session" not in arrays:
        return np.zeros(count, dtype=np.int64), [name]
    session = integers("session", arrays["session"])
    if session.shape != (count,):
        raise RecordingError(f"`session` has shape {session.shape}; expected ({count},)")
    if "session_names" in arrays:
        names = names_of("session_names", arrays["session_names"])
    else:
        names = [f"session {number}" for number in range(int(session.max(initial=0)) + 1)]
    if session.min() < 0 or session.max() >= len(names):
        raise RecordingError(
            f"`session` holds {session.min()} to {session.max()}; "
            f"expected 0 to {len(names) - 1} ({len(names)} session names)"
        )
    return session, names


def class_labels(arrays: Arrays, count: int) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The class number of each sample, from 0, and the classes' names.

    Without `label_names` the classes are the values that occur, named "class <value>".

    Raises:
        RecordingError: Not one integer per sample, outside the names, or fewer than two classes.
    """
    labels = integers("labels", arrays["labels"])
    if labels.shape != (count,):
        raise RecordingError(f"`labels` has shape {labels.shape}; expected ({count},)")
    if "label_names" in arrays:
        names = tuple(names_of("label_names", arrays["label_names"]))
        if labels.min() < 0 or labels.max() >= len(names):
            raise RecordingError(
                f"`labels` holds {labels.min()} to {labels.max()}; "
                f"expected 0 to {len(names) - 1} ({len(names)} label names)"
            )
    else:
        values, labels = np.unique(labels, return_inverse=True)
        names = tuple(f"class {value}" for value in values)
    if len(names) < 2:
        raise RecordingError("`labels` holds one class only; decoding needs at least two")
    return labels, names


def one_hot(label: int, classes: int) -> NDArray[np.float32]:
    """`(classes,)` float32 with a one at `label`."""
    target = np.zeros(classes, dtype=np.float32)
    target[label] = 1.0
    return target


def integers(name: str, values: NDArray[Any]) -> NDArray[np.int64]:
    """The array as int64.

    Raises:
        RecordingError: Values that are not whole numbers, or none at all.
    """
    if values.dtype.kind not in "biu" and not (
        values.dtype.kind == "f" and np.array_equal(values, np.round(values))
    ):
        raise RecordingError(f"`{name}` ({values.dtype}) must hold whole numbers")
    if values.size == 0:
        raise RecordingError(f"`{name}` is empty")
    return values.astype(np.int64)


def names_of(name: str, values: NDArray[Any]) -> list[str]:
    """The array as a list of distinct, non-empty strings.

    Raises:
        RecordingError: A name is empty or occurs twice.
    """
    names = [str(value) for value in values.ravel()]
    if not names or not all(names) or len(set(names)) != len(names):
        raise RecordingError(f"`{name}` must hold distinct, non-empty names; got {names[:10]}")
    return names
