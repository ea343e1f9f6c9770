"""Files with secrets: read only if nobody else can, and read again when they change."""

import os
import stat
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from service.errors import SettingsError

T = TypeVar("T")
Stamp = tuple[tuple[int, ...] | None, ...]
_log = structlog.get_logger(__name__)


class Reread(Generic[T]):
    """The value that some files hold, as it is now; safe from any thread.

    Files that changed are read again when the value is next asked for. If that fails the old value
    stays until they change once more: a slip of an editor locks nobody out.

    Args:
        key: The setting that names the files, for messages.
        paths: Files that the value depends on.
        read: Reads them all.
        on_failure: Called when changed files were refused.

    Raises:
        SettingsError: the files cannot be used from the start.
    """

    def __init__(
        self,
        key: str,
        paths: Sequence[Path],
        read: Callable[[], T],
        on_failure: Callable[[], object],
    ) -> None:
        self._key = key
        self._paths = paths
        self._read = read
        self._on_failure = on_failure
        self._lock = threading.Lock()
        # Taken before reading: what changes meanwhile is read again.
        self._stamp = self._stamp_now()
        self._value = read()

    def current(self) -> T:
        """The value of the files as they are, or as they were when they were last in order."""
        with self._lock:
            stamp = self._stamp_now()
            if stamp != self._stamp:
                self._stamp = stamp
                self._renew()
            return self._value

    def _renew(self) -> None:
        try:
            self._value = self._read()
        except SettingsError as error:
            self._on_failure()
            _log.error("security_files_refused", setting=self._key, reason=str(error))
        else:
            _log.info("security_files_read", setting=self._key)

    def _stamp_now(self) -> Stamp:
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Changes with the file's content; None where there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def public_bytes(key: str, path: Path) -> bytes:
    """Content of a file.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{key}: {path} cannot be read: {error.strerror}") from error


def private_bytes(key: str, path: Path) -> bytes:
    """Content of a file that only this process's user may read.

    A file of root's may be readable by a group, as containers mount their secrets.

    Args:
        key: The setting that names the file, for messages.
        path: The file.

    Raises:
        SettingsError: it cannot be read, or others can read or write it.
    """
    try:
        with path.open("rb") as file:
            _refuse_shared(key, path, os.fstat(file.fileno()))
            return file.read()
    except OSError as error:
        raise SettingsError(f"{key}: {path} cannot be read: {error.strerror}") from error


def _refuse_shared(key: str, path: Path, found: os.stat_result) -> None:
    user = os.geteuid()
    if found.st_uid not in (user, 0):
        raise SettingsError(
            f"{key}: {path} belongs to user {found.st_uid}, expected user {user}, who runs the "
            f"service: chown {user} {path}"
        )
    barred = stat.S_IRWXG | stat.S_IRWXO
    if found.st_uid != user:
        barred &= ~stat.S_IRGRP
    mode = stat.S_IMODE(found.st_mode)
    if mode & barred:
        raise SettingsError(
            f"{key}: {path} is open to other users (mode {mode:04o}), expected it to be "
            f"{'0640 or less' if found.st_uid != user else '0600'}: chmod go-rwx {path}"
        )
