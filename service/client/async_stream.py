"""As :mod:`service.client.stream`, for programs with an event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc

from service._generated import scatonline_pb2 as pb
from service.client import messages
from service.client.errors import ClientError
from service.client.messages import Request
from service.client.methods import described
from service.client.outbox import Outbox
from service.client.retries import Outage

P = ParamSpec("P")
R = TypeVar("R")
Requests = AsyncIterator[pb.StreamRequest]
Replies = grpc.aio.StreamStreamCall[pb.StreamRequest, pb.StreamReply]
ToSend = asyncio.Queue[pb.StreamRequest | None]


def _sent(
    request: Callable[P, Request[R]],
) -> "Callable[Concatenate[AsyncStream, P], Coroutine[Any, Any, asyncio.Future[R]]]":
    def send(
        stream: "AsyncStream", /, *args: P.args, **kwargs: P.kwargs
    ) -> "Coroutine[Any, Any, asyncio.Future[R]]":
        return stream.send(request(*args, **kwargs))

    return described(send, request)


class AsyncStream:
    """As :class:`Stream`: each method waits for room alone, and gives a future to be awaited.

    Args:
        call: Opens the stream with an iterator of requests and gives one of replies.
        outbox: Holds what is not answered.
        outage_s: Seconds without connection after which the stream fails; 0: at once.
    """

    def __init__(
        self, call: Callable[[Requests], Replies], outbox: Outbox, outage_s: float
    ) -> None:
        self._call = call
        self._outbox = outbox
        self._outage = Outage(outage_s)
        self._changed = asyncio.Event()
        self._to_send: ToSend = asyncio.Queue()
        self._closing = False
        self._ended: ClientError | None = None
        self._task = asyncio.create_task(self._run(), name="stream-replies")

    predict = _sent(messages.predict)
    update = _sent(messages.update)
    label = _sent(messages.label)

    async def send(self, request: Request[R]) -> "asyncio.Future[R]":
        """Sends any of the three; waits while there is no room."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        await self._until(lambda: self._ended is not None or self._outbox.has_room(request))
        if self._ended is None and not self._closing:
            self._to_send.put_nowait(self._outbox.add(request, future))
            self._changed.set()
        else:
            future.set_exception(self._ended or ClientError.closed("stream"))
        return future

    async def close(self) -> None:
        """Sends nothing more and waits until everything sent was answered, or has failed."""
        self._closing = True
        self._to_send.put_nowait(None)
        self._changed.set()
        await asyncio.wait((self._task,))

    async def cancel(self) -> None:
        """Ends the stream at once; unanswered requests may or may not have been applied."""
        self._task.cancel()
        await asyncio.wait((self._task,))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                await self.close()
        finally:
            await self.cancel()

    async def _run(self) -> None:
        ended = ClientError.closed("stream")
        try:
            while await self._something_to_do():
                await self._converse_until_broken()
        except ClientError as error:
            ended = error
        finally:
            self._ended = ended
            self._outbox.give_up(ended)()
            self._changed.set()

    async def _something_to_do(self) -> bool:
        """Waits for something to send; False once the stream is closed and all is answered."""
        if not self._outbox:
            self._outage.over()  # Nobody misses the service.
        await self._until(lambda: bool(self._outbox) or self._closing)
        return bool(self._outbox)

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    async def _converse_until_broken(self) -> None:
        """One connection; raises ClientError if there is to be no other."""
        try:
            await self._converse()
        except (ClientError, grpc.RpcError) as broken:
            await asyncio.sleep(self._outage.pause_s(ClientError.from_break(broken)))

    async def _converse(self) -> None:
        self._outage.called()
        replies = self._call(_until_none(self._renewed()))
        try:
            async for reply in replies:
                self._outage.over()
                self._outbox.settle(reply)()
                self._changed.set()
        finally:
            replies.cancel()
            # Releases gRPC's task, which waits for requests.
            self._to_send.put_nowait(None)
        if self._outbox or not self._closing:
            raise ClientError(grpc.StatusCode.UNAVAILABLE, "the service ended the stream")

    def _renewed(self) -> ToSend:
        """Everything unanswered goes first, and then what is asked for from now on."""
        self._to_send = asyncio.Queue()
        for request in self._outbox.waiting():
            self._to_send.put_nowait(request)
        if self._closing:
            self._to_send.put_nowait(None)
        return self._to_send


async def _until_none(queue: ToSend) -> Requests:
    while (request := await queue.get()) is not None:
        yield request
