"""The bidirectional stream: many requests under way, each answered under its own number."""

import asyncio
from collections.abc import AsyncIterator, Callable

from service._generated import scatonline_pb2 as pb
from service.errors import InvalidRequest
from service.rpc.calls import Calls
from service.rpc.status import Refusal

_END = None


class StreamSession:
    """One client's stream.

    When `in_flight` requests are unanswered the service stops reading, and the transport holds the
    client back: a stream is slowed down where single requests would be refused.

    Args:
        calls: What requests do.
        refuse: Error of a request for a model → what the client is told.
        in_flight: Unanswered requests at a time.
        stopping: Set when the service stops; the stream then answers what it has read and ends.
    """

    def __init__(
        self,
        calls: Calls,
        refuse: Callable[[Exception, str], Refusal],
        in_flight: int,
        stopping: asyncio.Event,
    ) -> None:
        self._calls = calls
        self._refuse = refuse
        self._slots = asyncio.Semaphore(in_flight)
        self._stopping = stopping
        self._replies: asyncio.Queue[pb.StreamReply | None] = asyncio.Queue()

    async def replies(
        self, requests: AsyncIterator[pb.StreamRequest]
    ) -> AsyncIterator[pb.StreamReply]:
        """Yields each reply as soon as it is there."""
        reading = asyncio.create_task(self._read_until_stopped(requests))
        try:
            while (reply := await self._replies.get()) is not _END:
                yield reply
            await reading
        finally:
            reading.cancel()

    async def _read_until_stopped(self, requests: AsyncIterator[pb.StreamRequest]) -> None:
        try:
            async with asyncio.TaskGroup() as answers:
                reading = asyncio.create_task(self._read(requests, answers))
                stopped = asyncio.create_task(self._stopping.wait())
                try:
                    await asyncio.wait((reading, stopped), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    stopped.cancel()
                    reading.cancel()
                if reading.done() and not reading.cancelled():
                    reading.result()
        finally:
            self._replies.put_nowait(_END)

    async def _read(
        self, requests: AsyncIterator[pb.StreamRequest], answers: asyncio.TaskGroup
    ) -> None:
        async for request in requests:
            await self._slots.acquire()
            answers.create_task(self._answer(request))

    async def _answer(self, request: pb.StreamRequest) -> None:
        try:
            reply = await self._reply(request)
        except Exception as error:  # noqa: BLE001 (the table of codes knows every one)
            refusal = self._refuse(error, _model(request))
            reply = pb.StreamReply(fault=pb.Fault(code=refusal.number, message=refusal.message))
        finally:
            self._slots.release()
        reply.number = request.number
        self._replies.put_nowait(reply)

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


def _model(request: pb.StreamRequest) -> str:
    """Name of the model that a request is for; empty if it is for none."""
    kind = request.WhichOneof("request")
    return getattr(request, kind).model if kind else ""
