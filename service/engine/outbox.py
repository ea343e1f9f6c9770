"""Results on their way out, several together.

Every result that goes out wakes the thread that answers requests, and the two then fight for the
interpreter's lock. When many events wait, some milliseconds of results cost little more than one.
"""

import time
from typing import Any

from service.engine.inbox import Change

# Far less than a request has waited when this matters, and more than a small model's event takes.
_LONGEST_S = 0.005


class Outbox:
    """Holds results back for a moment; one thread owns it."""

    def __init__(self) -> None:
        self._held: list[tuple[Change[Any], Any]] = []
        self._since_s = 0.0

    def put(self, change: Change[Any], result: object) -> None:
        """Takes a result."""
        if not self._held:
            self._since_s = time.monotonic()
        self._held.append((change, result))

    def due(self) -> bool:
        """Whether the first one has been held for long enough."""
        return bool(self._held) and time.monotonic() - self._since_s >= _LONGEST_S

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._held)

    def empty(self) -> None:
        """Lets them go, in their order."""
        held, self._held = self._held, []
        for change, result in held:
            # An early answer has gone before.
            if not change.result.done():
                change.result.set_result(result)
