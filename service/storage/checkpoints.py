"""Checkpoints of one model: numbered folders, each whole or absent, the newest good one counts.

::

    <directory>/<model>/000042-event-1234/
        manifest.json          format, event, specification, checksums; ends with its own checksum
        meta.json              the model's JSON-safe state
        tensors.safetensors    the model's tensors
        service.bin            what the service remembers beside it

A checkpoint holds every event up to its place in the journal and nothing of the later ones, which
the journal has.
"""

import hashlib
import json
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import torch
from safetensors import SafetensorError
from safetensors.numpy import save
from safetensors.torch import load

from service.errors import CorruptRecord, StorageError
from service.storage.failpoints import reach
from service.storage.folder import sync_folder, write_durably
from service.storage.records import START, Position
from service.storage.sealed import sealed, unsealed

FORMAT = 2
MANIFEST, META, TENSORS = "manifest.json", "meta.json", "tensors.safetensors"
SERVICE = "service.bin"
CHECKPOINTS = "*-event-*"
_NAME = re.compile(r"(\d{6,})-event-(\d+)")
_UNFINISHED, _DAMAGED = ".unfinished", ".damaged"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a model needs to continue.

    Attributes:
        event: Number of events that the state has seen.
        spec: The model's specification, JSON-safe.
        tensors: The model's tensors, on the CPU.
        meta: The rest of the model's state, JSON-safe.
        written_s: When it was written, seconds since the Unix epoch.
        position: Place in the journal up to which it goes.
        service: What the service remembers beside the model, as it packs it; empty: nothing.
    """

    event: int
    spec: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    meta: dict[str, Any]
    written_s: float
    position: Position = START
    service: bytes = b""


@dataclass(frozen=True)
class CheckpointSummary:
    """One checkpoint of a list: events that it has seen, and when it was written (Unix time)."""

    event: int
    written_s: float


class CheckpointStore:
    """The checkpoints of one model.

    Args:
        folder: Folder of this model alone; made if it is missing.
        keep: Newest checkpoints kept.

    Raises:
        StorageError: the folder cannot be made or read.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder = folder
        self._keep = keep
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.glob(f"*{_UNFINISHED}"):
                shutil.rmtree(left)
        except OSError as error:
            raise StorageError(f"{folder}: cannot be used: {error.strerror}") from error

    def save(self, checkpoint: Checkpoint) -> Path:
        """Writes a checkpoint under the next number, then removes those that are too old.

        Raises:
            StorageError: the disk refuses; no earlier checkpoint is harmed.
        """
        number = max((self._number(path) for path in self._folder.iterdir()), default=0) + 1
        final = self._folder / f"{number:06d}-event-{checkpoint.event}"
        unfinished = final.with_name(final.name + _UNFINISHED)
        try:
            reach("checkpoint.write")
            unfinished.mkdir()
            for name, content in _files(checkpoint).items():
                write_durably(unfinished / name, content)
            sync_folder(unfinished)
            reach("checkpoint.rename")
            unfinished.rename(final)
            sync_folder(self._folder)
            reach("checkpoint.renamed")
            for old in self.paths()[self._keep :]:
                reach("checkpoint.prune")
                self._remove(old)
                reach("checkpoint.pruned")
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise StorageError(f"{final}: cannot be written: {error.strerror}") from error
        return final

    def load_newest(self) -> tuple[Checkpoint | None, int]:
        """Reads the newest checkpoint that is whole.

        A damaged one is reported to the log and set aside under its name plus `.damaged`.

        Returns:
            The checkpoint, None if none was ever written, and the number of damaged ones passed.

        Raises:
            CorruptRecord: there are checkpoints and every one is damaged.
            StorageError: the newest whole one is of another format.
        """
        damaged = 0
        for path in self.paths():
            try:
                return read(path), damaged
            except CorruptRecord as error:
                damaged += 1
                aside = path.with_name(path.name + _DAMAGED)
                path.rename(aside)
                _log.error("checkpoint_damaged", reason=str(error), set_aside=str(aside))
        if damaged or any(self._folder.glob(f"*{_DAMAGED}")):
            raise CorruptRecord(
                f"{self._folder}: no checkpoint is whole; the damaged ones end in {_DAMAGED}. "
                "Move the folder away to start the model anew"
            )
        return None, 0

    def summaries(self) -> list[CheckpointSummary]:
        """The checkpoints that can be read, newest first."""
        found = []
        for path in self.paths():
            try:
                manifest = _manifest(path)
            except StorageError as error:
                # One that has just given way to a newer one is no loss.
                if path.exists():
                    _log.error("checkpoint_damaged", reason=str(error))
            else:
                found.append(CheckpointSummary(manifest["event"], manifest["written_s"]))
        return found

    def load(self, event: int) -> Checkpoint | None:
        """The newest checkpoint of an event number; None if there is none.

        Raises:
            CorruptRecord, StorageError: as :func:`read`.
        """
        for path in self.paths():
            match = _NAME.fullmatch(path.name)
            if match and int(match.group(2)) == event:
                return read(path)
        return None

    def oldest_position(self) -> int:
        """Number of the record up to which the oldest readable checkpoint goes; 0 without one."""
        numbers = []
        for path in self.paths():
            try:
                numbers.append(_manifest(path)["record"])
            except StorageError:
                # It is told at every start; what it needs of the journal stays.
                return 0
        return min(numbers, default=0)

    def paths(self) -> list[Path]:
        """Finished checkpoints, newest first."""
        finished = [path for path in self._folder.iterdir() if _NAME.fullmatch(path.name)]
        return sorted(finished, key=self._number, reverse=True)

    def _remove(self, path: Path) -> None:
        """A crash on the way must not leave half a checkpoint under a whole one's name."""
        leaving = path.with_name(path.name + _UNFINISHED)
        path.rename(leaving)
        shutil.rmtree(leaving)

    @staticmethod
    def _number(path: Path) -> int:
        match = _NAME.match(path.name)
        return int(match.group(1)) if match else 0


def read(path: Path) -> Checkpoint:
    """Reads one checkpoint and holds it against its checksums.

    Raises:
        CorruptRecord: a file is missing, changed or unreadable.
        StorageError: it is whole but of another format.
    """
    manifest = _manifest(path)
    try:
        contents = {name: (path / name).read_bytes() for name in manifest["files"]}
        for name, content in contents.items():
            _verify(path / name, content, manifest["files"][name])
        return Checkpoint(
            event=manifest["event"],
            spec=manifest["spec"],
            tensors=load(contents[TENSORS]),
            meta=json.loads(contents[META]),
            written_s=manifest["written_s"],
            position=Position(manifest["record"], bytes.fromhex(manifest["chain"])),
            service=contents[SERVICE],
        )
    except OSError as error:
        raise CorruptRecord(f"{error.filename}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise CorruptRecord(f"{path}: not a checkpoint: {error!r}") from error


def _manifest(path: Path) -> dict[str, Any]:
    """A checkpoint's manifest, held against its own checksum."""
    manifest = unsealed(path / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise StorageError(
            f"{path}: got checkpoint format {manifest.get('format')}, expected {FORMAT}; "
            "it was written by another version of the service"
        )
    return manifest


def now_s() -> float:
    """Seconds since the Unix epoch, as checkpoints record them."""
    return time.time()


def _files(checkpoint: Checkpoint) -> dict[str, bytes]:
    contents = {
        # As arrays: for each size of a tensor that it has not seen, safetensors.torch leaves types
        # behind that are never freed, and the number of samples that wait makes many sizes.
        TENSORS: save({name: tensor.numpy() for name, tensor in checkpoint.tensors.items()}),
        META: json.dumps(checkpoint.meta).encode(),
        SERVICE: checkpoint.service,
    }
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "event": checkpoint.event,
        "written_s": checkpoint.written_s,
        "spec": checkpoint.spec,
        "record": checkpoint.position.number,
        "chain": checkpoint.position.chain.hex(),
        "files": {name: _sha256(content) for name, content in contents.items()},
    }
    return {**contents, MANIFEST: sealed(manifest)}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _verify(path: Path, content: bytes, expected: str) -> None:
    got = _sha256(content)
    if got != expected:
        raise CorruptRecord(f"{path}: got sha256 {got[:12]}…, expected {str(expected)[:12]}…")
