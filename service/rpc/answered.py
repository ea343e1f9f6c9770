"""What another thread has done, awaited: one wake-up of the event loop for all that is done by now.

`asyncio.wrap_future` wakes the loop for each, and copies each result into a future of its own on
the way. An engine gives out many results at a time, to a thread that fights it for the
interpreter's lock.
"""

import asyncio
from collections import deque
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class Answered:
    """Waits, in one event loop, for futures that other threads complete.

    Args:
        loop: The loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._waking = False

    async def result(self, future: "Future[T]") -> T:
        """The future's result, or its error; a caller that is cancelled cancels it."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        future.add_done_callback(lambda _: self._done(waiter))
        try:
            await waiter
        except asyncio.CancelledError:
            future.cancel()
            raise
        return future.result()

    def _done(self, waiter: "asyncio.Future[None]") -> None:
        """In any thread."""
        self._waiters.append(waiter)
        # Whoever finds True is sure that the loop looks again after the line above.
        if not self._waking and not self._loop.is_closed():
            self._waking = True
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._waking = False
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
