"""Named places in the storage's course at which a test can make things go wrong.

A process is started with `SCATFAILPOINTS="journal.flush=eio@3;checkpoint.rename=kill"`: the third
time that the journal is about to be flushed, the call fails with EIO; the first time that a
checkpoint is about to be renamed, the process is killed. Without the variable a place costs one
look at an empty table. They stand before and after every write, as etcd's failpoints do.
"""

import errno
import os
import signal
from collections.abc import Mapping

from service.errors import SettingsError

VARIABLE = "SCATFAILPOINTS"
POINTS = (
    "journal.append",  # before records are written, or a full disk is tried again
    "journal.flush",  # written, not flushed
    "journal.flushed",  # on disk, not answered
    "event.expected",  # to be answered early, perhaps answered, not learned from
    "event.applied",  # applied, perhaps not on disk, not published
    "event.published",  # published, not answered
    "journal.rotate",  # before a new segment is made
    "journal.rotated",
    "checkpoint.write",  # before its folder is made
    "checkpoint.rename",  # whole, under its unfinished name
    "checkpoint.renamed",
    "checkpoint.prune",  # before an old one is removed
    "checkpoint.pruned",
    "journal.prune",  # before an old segment is removed
    "journal.pruned",
)
_ERRORS = {"eio": errno.EIO, "enospc": errno.ENOSPC}
_armed: dict[str, tuple[str, int]] = {}


def arm(plan: Mapping[str, str]) -> None:
    """Replaces what happens at which place.

    Args:
        plan: Place → `kill`, `eio` or `enospc`, with `@n` for the nth time that it is reached and
            `@n+` for every time from then on; none = the first time.

    Raises:
        SettingsError: no such place or action.
    """
    _armed.clear()
    for point, action in plan.items():
        name, _, turn = action.partition("@")
        if point not in POINTS or name not in ("kill", *_ERRORS):
            raise SettingsError(
                f"{VARIABLE}: got {point}={action}, expected one of {', '.join(POINTS)} and one of "
                f"kill, {', '.join(_ERRORS)}"
            )
        _armed[point] = (f"{name}+" if turn.endswith("+") else name, int(turn.rstrip("+") or 1))


def arm_from_environment() -> None:
    """Arms what :data:`VARIABLE` says; nothing if it is not set."""
    plan = os.environ.get(VARIABLE, "")
    arm(dict(part.split("=", 1) for part in plan.split(";") if "=" in part))


def reach(point: str) -> None:
    """Says that the process is at a place.

    Raises:
        OSError: that was asked for here.
    """
    if point not in _armed:
        return
    action, turns = _armed[point]
    if turns > 1:
        _armed[point] = action, turns - 1
        return
    if not action.endswith("+"):
        del _armed[point]
    name = action.rstrip("+")
    if name == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise OSError(_ERRORS[name], os.strerror(_ERRORS[name]), f"failpoint {point}")
