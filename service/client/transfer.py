"""Models as files: where an export goes, and what an import sends."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from service._generated import scatonline_pb2 as pb

FileLike = Path | str | BinaryIO
PART_BYTES = 2**15
"""Fits the smallest message that the service's settings allow."""


class Export:
    """A model on its way into a file.

    Args:
        file: Where it goes.
        own: Nobody else has written to the file, so it may be begun anew.

    Attributes:
        size: Bytes so far.
    """

    def __init__(self, file: BinaryIO, *, own: bool) -> None:
        self._file = file
        self._own = own
        self.size = 0

    @property
    def repeatable(self) -> bool:
        """True if the model may be asked for anew when the connection breaks now."""
        return self._own or self.size == 0

    def begin(self) -> None:
        """Forgets what came over a connection that broke: the model may have changed since."""
        if self.size:
            self._file.seek(0)
            self._file.truncate()
            self.size = 0

    def take(self, part: pb.Part) -> None:
        """Writes the next part."""
        self._file.write(part.data)
        self.size += len(part.data)

    def finish(self) -> None:
        """All parts came; those of a file of our own are on the disk when this returns."""
        self._file.flush()
        if self._own:
            os.fsync(self._file.fileno())


@contextmanager
def export_into(into: FileLike) -> Iterator[Export]:
    """A file at a path is there when it is whole, and not before; an open one is written to."""
    if not isinstance(into, Path | str):
        yield Export(into, own=False)
        return
    path = Path(into)
    aside = path.with_name(path.name + ".part")
    try:
        with aside.open("wb") as file:
            yield Export(file, own=True)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def import_from(
    source: FileLike, model: str, *, replace: bool
) -> Iterator[Callable[[], pb.ImportModelRequest | None]]:
    """Gives what makes the next message, None after the last."""
    if not isinstance(source, Path | str):
        yield _reader(source, model, replace=replace)
        return
    with Path(source).open("rb") as file:
        yield _reader(file, model, replace=replace)


def _reader(
    file: BinaryIO, model: str, *, replace: bool
) -> Callable[[], pb.ImportModelRequest | None]:
    first = True

    def read() -> pb.ImportModelRequest | None:
        nonlocal first
        data = file.read(PART_BYTES)
        if first:
            first = False
            return pb.ImportModelRequest(model=model, replace=replace, data=data)
        return pb.ImportModelRequest(data=data) if data else None

    return read
