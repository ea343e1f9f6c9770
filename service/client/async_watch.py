"""As :mod:`service.client.watch`, for programs with an event loop."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import grpc

from service._generated import scatonline_pb2 as pb
from service.client import replies
from service.client.errors import ClientError
from service.client.notices import Notice
from service.client.retries import Outage

Notices = grpc.aio.UnaryStreamCall[pb.WatchRequest, pb.Notice]


class AsyncWatch:
    """As :class:`Watch`; waiting for a notice may be cancelled and taken up again.

    Args:
        call: Begins to watch.
        outage_s: Seconds without connection after which the iteration raises ClientError; 0: at
            once.
    """

    def __init__(self, call: Callable[[], Notices], outage_s: float) -> None:
        self._call = call
        self._outage = Outage(outage_s)
        self._broken = False
        self._closed = asyncio.Event()
        self._notices: Notices
        self._reading: asyncio.Task[pb.Notice]
        self._begin()

    async def close(self) -> None:
        """Ends the iteration."""
        self._closed.set()
        self._notices.cancel()
        await asyncio.wait((self._reading,))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Notice:
        while not self._closed.is_set():
            try:
                # gRPC would end the whole call if a read of it were cancelled.
                message = await asyncio.shield(self._reading)
            except asyncio.CancelledError:
                if not self._reading.cancelled():
                    raise
                if not self._closed.is_set():
                    raise ClientError.closed("client") from None
            except (ClientError, grpc.RpcError) as error:
                await self._resume_after(ClientError.from_break(error))
            else:
                self._reading = asyncio.create_task(self._read())
                self._outage.over()
                after_outage, self._broken = self._broken, False
                return replies.notice(message, after_outage=after_outage)
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        # Comes once the service watches: what happens from now on is told.
        await self._notices.initial_metadata()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _begin(self) -> None:
        self._outage.called()
        self._notices = self._call()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> pb.Notice:
        message: Any = await self._notices.read()
        if message is grpc.aio.EOF:  # type: ignore[attr-defined]
            raise ClientError(grpc.StatusCode.UNAVAILABLE, "the service ended the stream")
        notice: pb.Notice = message
        return notice

    async def _resume_after(self, error: ClientError) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), self._outage.pause_s(error))
        if not self._closed.is_set():
            self._broken = True
            self._begin()
