"""When something is tried again, and for how long.

gRPC has retries of its own, which are not enough here: it makes five attempts at most, which are
over before a service has started anew, keeps no request of more than 256 KiB for them, and knows
nothing of a stream that goes on where it was broken.
"""

import math
import random
import time
from collections.abc import Callable

import grpc

from service.client.errors import ClientError

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
CONNECT_S = 5.0
"""Seconds that gRPC may take to connect before it says that it cannot."""

_PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
Clock = Callable[[], float]


class Backoff:
    """Pauses that double up to a bound, each shortened by chance so that clients spread out."""

    def __init__(self) -> None:
        self._pause_s = FIRST_PAUSE_S

    def next_s(self) -> float:
        """Seconds to wait before the next attempt."""
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 (chance, no secret)


def _again_after_s(error: ClientError, backoff: Backoff) -> float:
    """Seconds after which it may go better; raises `error` if it never will.

    A message that is too large is RESOURCE_EXHAUSTED like a queue that is full; only of the queue
    does the service say when to come again. Of more models than it may serve it says: never.
    """
    if error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and error.retry_after_s is None:
        raise error
    if error.code not in _PASSING or error.retry_after_s == math.inf:
        raise error
    return max(backoff.next_s(), error.retry_after_s or 0.0)


class Attempts:
    """The attempts at one request.

    Args:
        timeout_s: Seconds that all of them may take together.
        clock: Seconds.
    """

    def __init__(self, timeout_s: float, clock: Clock = time.monotonic) -> None:
        self._until_s = clock() + timeout_s
        self._clock = clock
        self._backoff = Backoff()

    def remaining_s(self) -> float:
        """Seconds that are left, 0 or more."""
        return max(0.0, self._until_s - self._clock())

    def pause_s(self, error: ClientError, *, repeatable: bool) -> float:
        """Seconds to wait before the next attempt; raises `error` if there is to be none.

        Args:
            error: How the last one ended.
            repeatable: The request may be sent again though nobody knows whether it arrived.
        """
        pause_s = _again_after_s(error, self._backoff)
        # What was too much was refused before anything was done, so anything may be sent again.
        if not repeatable and error.code is grpc.StatusCode.UNAVAILABLE:
            raise error
        if pause_s >= self.remaining_s():
            raise error
        return pause_s


class Outage:
    """Bounds how long a connection that broke is tried anew.

    Args:
        longest_s: Seconds without a sign of life after which it is given up; 0: at once.
        clock: Seconds.
    """

    def __init__(self, longest_s: float, clock: Clock = time.monotonic) -> None:
        self._longest_s = longest_s
        self._clock = clock
        self._began_s: float | None = None
        self._called_s = clock()
        self._backoff = Backoff()

    def called(self) -> None:
        """A call begins."""
        self._called_s = self._clock()

    def over(self) -> None:
        """The service was heard."""
        if self._began_s is not None:
            self._began_s = None
            self._backoff = Backoff()

    def pause_s(self, error: ClientError) -> float:
        """Seconds to wait before the next call; raises `error` if there is to be none."""
        now_s = self._clock()
        if now_s - self._called_s > 2 * CONNECT_S:
            # Longer than gRPC tries to connect: there was a connection, if a silent one.
            self.over()
        if self._began_s is None:
            self._began_s = now_s
        pause_s = _again_after_s(error, self._backoff)
        left_s = self._began_s + self._longest_s - now_s
        if left_s <= 0.0:
            raise error
        return min(pause_s, left_s)
