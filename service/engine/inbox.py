"""The queue in front of a writer: bounded for events, and questions pass ahead of them."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from service.engine.answers import Request
from service.engine.early import EarlyAnswer
from service.engine.events import Event
from service.engine.served import Served
from service.errors import Overloaded, Unavailable

T = TypeVar("T")


@dataclass(frozen=True)
class Change(Generic[T]):
    """An event that waits to be applied.

    Attributes:
        event: The event.
        result: What whoever asked waits for.
        early: Answers it before it was learned from, if that is asked for.
    """

    event: Event[T]
    result: "Future[T]" = field(default_factory=Future)
    early: EarlyAnswer | None = field(init=False)

    def __post_init__(self) -> None:
        # Two threads look for it, so it is there from the beginning.
        early = EarlyAnswer(self.result) if self.event.early else None
        object.__setattr__(self, "early", early)

    @cached_property
    def request(self) -> Request | None:
        """As the event has it; kept, since it reads every element of an input."""
        return self.event.request()


@dataclass(frozen=True)
class Question(Generic[T]):
    """Something to be done in the writer's thread between two events."""

    ask: Callable[[Served], T]
    result: "Future[T]" = field(default_factory=Future)


class Inbox:
    """Hands changes and questions to one taker.

    Args:
        name: Name of the model, for messages.
        capacity: Changes that may wait.
    """

    def __init__(self, name: str, capacity: int) -> None:
        self.capacity = capacity
        self._name = name
        self._changes: deque[Change[Any]] = deque()
        self._questions: deque[Question[Any]] = deque()
        self._closed = False
        self._ready = threading.Condition()

    def put(self, task: Change[Any] | Question[Any], *, bounded: bool = True) -> None:
        """Adds a task.

        Args:
            task: A question goes ahead of all changes.
            bounded: False for the service's own changes, which are few and must not be refused.

        Raises:
            Unavailable: the inbox was closed.
            Overloaded: `capacity` changes wait already.
        """
        with self._ready:
            if self._closed:
                raise Unavailable(f"model {self._name!r} is stopping and takes nothing new")
            if isinstance(task, Question):
                self._questions.append(task)
            elif bounded and len(self._changes) >= self.capacity:
                raise Overloaded(
                    f"model {self._name!r}: {len(self._changes)} events wait already, expected "
                    f"fewer than {self.capacity}; send again later, or use fewer at a time"
                )
            else:
                self._changes.append(task)
            self._ready.notify()

    def take(self, timeout_s: float | None) -> Change[Any] | Question[Any] | None:
        """The next task; None after `timeout_s` seconds without one, or when closed and empty."""
        with self._ready:
            self._ready.wait_for(
                lambda: self._questions or self._changes or self._closed, timeout_s
            )
            if self._questions:
                return self._questions.popleft()
            return self._changes.popleft() if self._changes else None

    def take_waiting(self) -> Change[Any] | None:
        """The next change if one waits and no question does; never waits itself."""
        with self._ready:
            return self._changes.popleft() if self._changes and not self._questions else None

    def wait_for_changes(self, count: int, timeout_s: float) -> None:
        """Returns once so many changes wait, or a question does, or the time is over."""
        with self._ready:
            self._ready.wait_for(
                lambda: self._questions or len(self._changes) >= count or self._closed, timeout_s
            )

    def put_back(self, change: Change[Any]) -> None:
        """Makes a change that was taken the next one again."""
        with self._ready:
            self._changes.appendleft(change)

    def close(self) -> None:
        """Takes nothing new; what waits can still be taken."""
        with self._ready:
            self._closed = True
            self._ready.notify()

    def refuse_rest(self) -> None:
        """Answers what still waits after the writer has ended; nothing of it was applied."""
        while (task := self.take(0.0)) is not None:
            if task.result.set_running_or_notify_cancel():
                task.result.set_exception(
                    Unavailable(f"model {self._name!r} has stopped; the request was not applied")
                )

    @property
    def closed(self) -> bool:
        """True once nothing new is taken."""
        return self._closed

    @property
    def finished(self) -> bool:
        """True once closed and empty."""
        with self._ready:
            return self._closed and not self._questions and not self._changes

    def depth(self) -> int:
        """Changes that wait."""
        return len(self._changes)
