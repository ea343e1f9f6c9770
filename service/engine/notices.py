"""What happens to models, told to whoever watches; who does not keep up misses some, and knows."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

from scatonline.changes import Alarm
from scatonline.drift import FilterReport
from scatonline.guard import Retreat
from service.engine.events import AppliedDecision

KEPT = 256


@dataclass(frozen=True)
class Frozen:
    """Learning was frozen or resumed."""

    frozen: bool


@dataclass(frozen=True)
class RolledBack:
    """The model has the state of an event again."""

    to_event: int


@dataclass(frozen=True)
class StorageReady:
    """The disk takes records again, or takes none."""

    ready: bool


@dataclass(frozen=True)
class CheckpointWritten:
    """A checkpoint of an event was written."""

    of_event: int


@dataclass(frozen=True)
class Exists:
    """The model was made or deleted."""

    exists: bool


What = (
    AppliedDecision
    | Alarm
    | Retreat
    | FilterReport
    | Frozen
    | RolledBack
    | StorageReady
    | CheckpointWritten
    | Exists
)


@dataclass(frozen=True)
class Notice:
    """Something that happened to a model.

    Attributes:
        model: Name of the model.
        event: Its event number then.
        time_s: Seconds since the Unix epoch.
        what: What happened; a filter's report says that it has moved far.
        missed: Notices that this watcher missed just before.
    """

    model: str
    event: int
    time_s: float
    what: What
    missed: int = 0


class Notices:
    """Passes notices on; safe from any thread."""

    def __init__(self) -> None:
        self._watchers: list[Watcher] = []
        self._lock = threading.Lock()

    def tell(self, notice: Notice) -> int:
        """Gives a notice to every watcher; returns how many older ones that pushed out."""
        with self._lock:
            watchers = list(self._watchers)
        return sum(watcher.put(notice) for watcher in watchers)

    def watch(self, wake: Callable[[], Any]) -> "Watcher":
        """A new watcher; `wake` is called from any thread whenever a notice has come."""
        watcher = Watcher(wake, self._forget)
        with self._lock:
            self._watchers.append(watcher)
        return watcher

    def _forget(self, watcher: "Watcher") -> None:
        with self._lock:
            self._watchers.remove(watcher)


class Watcher:
    """The newest notices that one watcher has not taken yet; used in a `with` block."""

    def __init__(self, wake: Callable[[], Any], forget: Callable[["Watcher"], Any]) -> None:
        self._wake = wake
        self._forget = forget
        self._kept: deque[Notice] = deque()
        self._missed = 0
        self._lock = threading.Lock()

    def put(self, notice: Notice) -> bool:
        """Keeps a notice; True if the oldest one had to go."""
        with self._lock:
            full = len(self._kept) >= KEPT
            if full:
                self._kept.popleft()
                self._missed += 1
            self._kept.append(notice)
        self._wake()
        return full

    def take(self) -> Notice | None:
        """The oldest notice, which is kept no longer; None if there is none."""
        with self._lock:
            if not self._kept:
                return None
            missed, self._missed = self._missed, 0
            return replace(self._kept.popleft(), missed=missed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._forget(self)
