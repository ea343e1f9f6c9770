"""A small disk of its own for one process after another: a tmpfs that nobody else sees."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.service.running import ServerProcess

MEBIBYTES = 8
_ROOT = os.geteuid() == 0
_UNSHARE = ("unshare", "--mount") if _ROOT else ("unshare", "--map-root-user", "--mount")
_ENTER = ("--mount",) if _ROOT else ("--user", "--preserve-credentials", "--mount")
_HOLD = 'mount -t tmpfs -o size="$1" tmpfs "$2" && echo mounted && exec sleep infinity'


class SmallDisk:
    """A mounted tmpfs.

    Args:
        folder: Where processes that :meth:`serve` starts see it.
        holder: The process that keeps it mounted.
    """

    def __init__(self, folder: Path, holder: int) -> None:
        self._holder = holder
        self._filler = Path(f"/proc/{holder}/root{folder}/filler")

    def serve(self, folder: Path, values: dict[str, Any]) -> ServerProcess:
        """`scatonline serve` where the disk is seen."""
        return ServerProcess(folder, values, ("nsenter", f"--target={self._holder}", *_ENTER))

    def fill(self) -> None:
        """Takes all room that is left."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (2**16, 2**12, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def empty(self) -> None:
        """Gives back what :meth:`fill` took."""
        self._filler.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """A disk that is gone at the end; skips where none may be mounted."""
    if sys.platform != "linux":
        pytest.skip("a mount namespace is Linux's")
    folder.mkdir()
    holder = subprocess.Popen(
        [*_UNSHARE, "sh", "-c", _HOLD, "sh", f"{MEBIBYTES}m", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert holder.stdout is not None
        told = holder.stdout.readline().strip()
        if told != "mounted":
            pytest.skip(f"no tmpfs may be mounted here: {told}")
        yield SmallDisk(folder, holder.pid)
    finally:
        holder.kill()
        holder.communicate()
