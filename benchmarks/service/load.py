"""Sends bytes and measures until bytes come back: the same client for every server."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import grpc
import numpy as np
from numpy.typing import NDArray

Send = Callable[[bytes], Awaitable[bytes]]


@dataclass(frozen=True)
class Times:
    """What a load gave.

    Attributes:
        seconds: Latency of each request.
        wall_s: From the first request to the last reply.
        failures: Requests that were refused, by status code.
    """

    seconds: NDArray[np.float64]
    wall_s: float
    failures: dict[str, int]

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.seconds) / self.wall_s

    def ms(self, percent: float) -> float:
        """A percentile in milliseconds."""
        return float(np.percentile(self.seconds, percent) * 1e3)


def sender(channel: grpc.aio.Channel, method: str) -> Send:
    """Sends requests that are bytes already, and reads replies as bytes."""
    call = channel.unary_unary(
        method, request_serializer=lambda raw: raw, response_deserializer=lambda raw: raw
    )

    async def send(request: bytes) -> bytes:
        reply: bytes = await call(request, timeout=60)
        return reply

    return send


async def closed(send: Send, requests: Sequence[bytes], in_flight: int) -> Times:
    """So many at a time, each next one as soon as one is answered."""
    seconds: list[float] = []
    failures: dict[str, int] = {}
    waiting = iter(requests)

    async def one_after_another() -> None:
        for request in waiting:
            await _timed(send, request, time.perf_counter(), seconds, failures)

    started_s = time.perf_counter()
    await asyncio.gather(*(one_after_another() for _ in range(in_flight)))
    return Times(np.array(seconds), time.perf_counter() - started_s, failures)


async def paced(send: Send, requests: Sequence[bytes], hertz: float) -> Times:
    """One at each tick of a clock, whether or not those before were answered.

    A latency counts from the tick, so a sender that is held up cannot hide it.
    """
    seconds: list[float] = []
    failures: dict[str, int] = {}
    under_way = []
    started_s = time.perf_counter()
    for number, request in enumerate(requests):
        tick_s = started_s + number / hertz
        await asyncio.sleep(max(0.0, tick_s - time.perf_counter()))
        under_way.append(asyncio.create_task(_timed(send, request, tick_s, seconds, failures)))
    await asyncio.gather(*under_way)
    return Times(np.array(seconds), time.perf_counter() - started_s, failures)


async def _timed(
    send: Send,
    request: bytes,
    from_s: float,
    seconds: list[float],
    failures: dict[str, int],
) -> None:
    try:
        await send(request)
    except grpc.aio.AioRpcError as error:
        failures[error.code().name] = failures.get(error.code().name, 0) + 1
    else:
        seconds.append(time.perf_counter() - from_s)
