"""JSON files that tell when anything in them has changed since they were written."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.errors import CorruptRecord

_SEAL = "sha256"


def sealed(values: Mapping[str, Any]) -> bytes:
    """A file's content: JSON-safe values, and their checksum as the last of them."""
    return _written({**values, _SEAL: _checksum(values)})


def unsealed(path: Path) -> dict[str, Any]:
    """Inverse of :func:`sealed`.

    Raises:
        CorruptRecord: the file is missing, changed or something else.
    """
    try:
        content = path.read_bytes()
        values: dict[str, Any] = json.loads(content)
        # Where a changed byte means the same to JSON it is found all the same.
        whole = _written(values) == content
        whole = values.pop(_SEAL) == _checksum(values) and whole
    except OSError as error:
        raise CorruptRecord(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptRecord(f"{path}: has changed since it was written: {error!r}") from error
    if not whole:
        raise CorruptRecord(f"{path}: has changed since it was written: its checksum does not fit")
    return values


def _written(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, indent=1).encode()


def _checksum(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
