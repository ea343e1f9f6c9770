"""Predictions that wait for a model to have seen enough."""

import itertools
import threading
from collections.abc import Callable


class Waiting:
    """Calls back once an event number is reached; safe from any thread.

    Args:
        event: Where the model is now.
    """

    def __init__(self, event: int) -> None:
        self._event = event
        self._ended = False
        self._tickets = itertools.count()
        self._waiting: dict[int, tuple[int, Callable[[], object]]] = {}
        self._lock = threading.Lock()

    def when(self, event: int, go: Callable[[], object]) -> int | None:
        """Calls `go` once the model is at an event: now, or in the thread that publishes it.

        Returns:
            A ticket for :meth:`forget` if it waits.
        """
        with self._lock:
            if event > self._event and not self._ended:
                ticket = next(self._tickets)
                self._waiting[ticket] = event, go
                return ticket
        go()
        return None

    def forget(self, ticket: int) -> None:
        """Whoever waited has gone."""
        with self._lock:
            self._waiting.pop(ticket, None)

    def reached(self, event: int) -> None:
        """The model has been published at this event."""
        with self._lock:
            self._event = event
            due = [ticket for ticket, (at, _) in self._waiting.items() if at <= event]
            ready = [self._waiting.pop(ticket)[1] for ticket in due]
        for go in ready:
            go()

    def release(self) -> None:
        """Calls everything that waits, and what still comes: nothing more will be published."""
        with self._lock:
            self._ended = True
            ready = [go for _, go in self._waiting.values()]
            self._waiting.clear()
        for go in ready:
            go()
