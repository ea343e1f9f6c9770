"""Plain values and named arrays as one run of bytes: safetensors, with the values as one array.

The values are an array of their text: safetensors gives metadata back only from a file.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from service.errors import CorruptRecord

Arrays = Mapping[str, NDArray[np.generic]]
_VALUES = "json"


def pack(values: Mapping[str, Any], arrays: Arrays) -> bytes:
    """One run of bytes; floats keep every bit.

    Args:
        values: JSON-safe.
        arrays: Of any shape and type that safetensors knows.
    """
    text = np.frombuffer(json.dumps(values).encode(), dtype=np.uint8)
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    packed: bytes = save({**whole, _VALUES: text})
    return packed


def unpack(content: bytes) -> tuple[dict[str, Any], dict[str, NDArray[np.generic]]]:
    """Inverse of :func:`pack`.

    Raises:
        CorruptRecord: the bytes are something else.
    """
    try:
        arrays = load(content)
        values: dict[str, Any] = json.loads(arrays.pop(_VALUES).tobytes())
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CorruptRecord(
            f"got {len(content)} bytes that are no record, expected one of this service: {error}"
        ) from error
    return values, arrays
