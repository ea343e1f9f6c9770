"""A checkpoint as one run of bytes: a file that moves a model, or a record that rolls one back.

::

    magic (8 bytes), sha256 of the rest (32), checkpoint packed as records are
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from service.engine.packing import pack, unpack
from service.errors import CorruptRecord
from service.storage.checkpoints import Checkpoint

MAGIC = b"SCATEXP1"
_HEAD = len(MAGIC) + 32
_TENSOR = "tensor."


def packed(checkpoint: Checkpoint) -> bytes:
    """A checkpoint without its place in a journal, which means nothing elsewhere."""
    values = {
        "event": checkpoint.event,
        "spec": checkpoint.spec,
        "meta": checkpoint.meta,
        "written_s": checkpoint.written_s,
    }
    arrays = {_TENSOR + name: tensor.numpy() for name, tensor in checkpoint.tensors.items()}
    arrays["service"] = np.frombuffer(checkpoint.service, dtype=np.uint8)
    content = pack(values, arrays)
    return MAGIC + hashlib.sha256(content).digest() + content


def unpacked(content: bytes) -> Checkpoint:
    """Inverse of :func:`packed`.

    Raises:
        CorruptRecord: it is no exported model, or has changed.
    """
    if content[: len(MAGIC)] != MAGIC:
        raise CorruptRecord("the file is no exported model: expected what ExportModel gave")
    if hashlib.sha256(content[_HEAD:]).digest() != content[len(MAGIC) : _HEAD]:
        raise CorruptRecord(
            "the exported model has changed or is cut short: expected what ExportModel gave; "
            "export it again"
        )
    values, arrays = unpack(content[_HEAD:])
    _require_parts(values, arrays)
    service = arrays.pop("service").tobytes()
    return Checkpoint(
        event=values["event"],
        spec=values["spec"],
        tensors={
            name.removeprefix(_TENSOR): torch.from_numpy(np.array(array))
            for name, array in arrays.items()
        },
        meta=values["meta"],
        written_s=values["written_s"],
        service=service,
    )


def _require_parts(values: Any, arrays: Mapping[str, Any]) -> None:
    """Refuses a whole record of something else."""
    match values:
        case {
            "event": int(),
            "spec": {"name": str()},
            "meta": {"spec": {}, "shadow": None | {}},
            "written_s": float(),
        } if "service" in arrays:
            return
    raise CorruptRecord(
        "the file is whole, but no exported model: expected what ExportModel of this version gave"
    )


def renamed(checkpoint: Checkpoint, name: str) -> Checkpoint:
    """The checkpoint of an equal model of another name."""
    return replace(
        checkpoint,
        spec={**checkpoint.spec, "name": name},
        meta=_meta_renamed(checkpoint.meta, name),
    )


def _meta_renamed(meta: dict[str, Any], name: str) -> dict[str, Any]:
    shadow = meta["shadow"]
    return {
        **meta,
        "spec": {**meta["spec"], "name": name},
        "shadow": None if shadow is None else _meta_renamed(shadow, name),
    }
