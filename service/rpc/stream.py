"""The bidirectional stream: many requests under way, each answered under its own number."""

import asyncio
from collections.abc import AsyncIterator, Callable

from service._generated import scatonline_pb2 as pb
from service.errors import InvalidRequest, StorageBroken
from service.rpc.calls import Calls
from service.rpc.status import Refusal

_END = None


class Room:
    """How many requests, and bytes of them, one stream may have under way.

    Args:
        most: Requests.
        most_bytes: Their bytes; a single larger one goes alone.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._taken: list[int] = []
        self._changed = asyncio.Event()

    async def take(self, size: int) -> None:
        """Waits until there is room for a request."""
        while self._taken and (
            len(self._taken) >= self._most or sum(self._taken) + size > self._most_bytes
        ):
            self._changed.clear()
            await self._changed.wait()
        self._taken.append(size)

    def leave(self, size: int) -> None:
        """A request was answered, and the answer is on its way."""
        self._taken.remove(size)
        self._changed.set()


class StreamSession:
    """One client's stream.

    A request takes its room until its answer has gone to the transport, which holds back what the
    client does not read. So a stream whose client sends fast or reads slowly is slowed down, where
    single requests would be refused, and what it costs is bounded.

    It ends with the first request that a broken storage refuses, once the others are answered: a
    model that it was for takes nothing more, and the process is about to end.

    Args:
        calls: What requests do.
        refuse: Error, and the request that it ended → what the client is told.
        in_flight: Unanswered requests at a time.
        most_bytes: Bytes of those requests.
        stopping: Set when the service stops; the stream then answers what it has read and ends.
    """

    def __init__(
        self,
        calls: Calls,
        refuse: Callable[[Exception, object], Refusal],
        *,
        in_flight: int,
        most_bytes: int,
        stopping: asyncio.Event,
    ) -> None:
        self._calls = calls
        self._refuse = refuse
        self._room = Room(in_flight, most_bytes)
        self._stopping = stopping
        self._broken = asyncio.Event()
        self._broken_by: StorageBroken | None = None
        self._replies: asyncio.Queue[tuple[pb.StreamReply, int] | None] = asyncio.Queue()

    async def replies(
        self, requests: AsyncIterator[pb.StreamRequest]
    ) -> AsyncIterator[pb.StreamReply]:
        """Yields each reply as soon as it is there."""
        reading = asyncio.create_task(self._read_until_stopped(requests))
        try:
            while (answer := await self._replies.get()) is not _END:
                reply, size = answer
                yield reply
                self._room.leave(size)
            await reading
        finally:
            reading.cancel()

    async def _read_until_stopped(self, requests: AsyncIterator[pb.StreamRequest]) -> None:
        """Ends once what was read is answered; raises what ended the reading."""
        try:
            async with asyncio.TaskGroup() as answers:
                reading = asyncio.create_task(self._read(requests, answers))
                stopped = asyncio.create_task(self._stopping.wait())
                broken = asyncio.create_task(self._broken.wait())
                ends = (reading, stopped, broken)
                try:
                    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for each in ends:
                        each.cancel()
            # Outside of the group, which would raise it as one of several.
            if self._broken_by is not None:
                raise self._broken_by
            if reading.done() and not reading.cancelled():
                reading.result()
        finally:
            self._replies.put_nowait(_END)

    async def _read(
        self, requests: AsyncIterator[pb.StreamRequest], answers: asyncio.TaskGroup
    ) -> None:
        async for request in requests:
            size = request.ByteSize()
            await self._room.take(size)
            answers.create_task(self._answer(request, size))

    async def _answer(self, request: pb.StreamRequest, size: int) -> None:
        try:
            reply = await self._reply(request)
        except Exception as error:  # noqa: BLE001 (the table of codes knows every one)
            if isinstance(error, StorageBroken):
                self._broken_by = error
                self._broken.set()
            refusal = self._refuse(error, _own(request))
            fault = pb.Fault(
                code=refusal.number, message=refusal.message, retry_after_ms=refusal.retry_ms
            )
            reply = pb.StreamReply(fault=fault)
        reply.number = request.number
        self._replies.put_nowait((reply, size))

    async def _reply(self, request: pb.StreamRequest) -> pb.StreamReply:
        match request.WhichOneof("request"):
            case "predict":
                return pb.StreamReply(predict=await self._calls.predict(request.predict))
            case "update":
                return pb.StreamReply(update=await self._calls.update(request.update))
            case "label":
                return pb.StreamReply(label=await self._calls.label(request.label))
            case _:
                raise InvalidRequest("request: got none, expected predict, update or label")


def _own(request: pb.StreamRequest) -> object:
    """The request that travels in one of a stream, if there is one."""
    kind = request.WhichOneof("request")
    return getattr(request, kind) if kind else None
