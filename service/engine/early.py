"""An answer that goes out before its event was learned from."""

import threading
from concurrent.futures import Future
from typing import Any

from service.storage.failpoints import reach


class EarlyAnswer:
    """Answers an event as soon as its outcome is certain and the disk has it.

    Two threads find that out, the writer's and the one that flushes, in either order.

    Args:
        result: What whoever asked waits for.

    Attributes:
        given: The outcome is certain: whoever asked has been answered, or will be by the flush.
    """

    def __init__(self, result: "Future[Any]") -> None:
        self.given = False
        self._result = result
        self._outcome: object = None
        self._durable = False
        self._lock = threading.Lock()

    def expected(self, outcome: object) -> None:
        """In the writer's thread: nothing but learning is left to be done."""
        with self._lock:
            self.given, self._outcome = True, outcome
            ready = self._durable
        if ready:
            self._result.set_result(outcome)
        reach("event.expected")

    def durable(self) -> None:
        """In the thread that flushes: the disk has the event."""
        with self._lock:
            self._durable = True
            ready = self.given
        if ready:
            self._result.set_result(self._outcome)
