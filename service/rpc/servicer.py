"""The gRPC methods: each asks :class:`Calls` and turns errors into status codes."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import grpc

from service._generated import scatonline_pb2 as pb
from service._generated import scatonline_pb2_grpc
from service.errors import Unavailable
from service.rpc.calls import Calls
from service.rpc.status import Refusal, refusal
from service.rpc.stream import StreamSession
from service.telemetry import UNKNOWN_MODEL, Instruments

T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]


class Servicer(scatonline_pb2_grpc.ScatOnlineServicer):
    """Serves the models of a process.

    Args:
        calls: What requests do.
        instruments: Counts what is refused.
        version: Version of the service, told by Status.
        stream_in_flight: Unanswered requests of one stream.
    """

    def __init__(
        self, calls: Calls, instruments: Instruments, version: str, stream_in_flight: int
    ) -> None:
        self._calls = calls
        self._instruments = instruments
        self._version = version
        self._stream_in_flight = stream_in_flight
        self._started_s = time.monotonic()
        self._stopping = asyncio.Event()
        self._open_calls = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def stop(self) -> None:
        """Lets every open stream answer what it has read and end with UNAVAILABLE."""
        self._stopping.set()

    async def wait_until_idle(self, seconds: float) -> bool:
        """Waits for the open calls to end; False if some have not."""
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def OpenSession(
        self, request: pb.OpenSessionRequest, context: Context
    ) -> pb.OpenSessionReply:
        """As the proto says."""
        return await self._answer(self._calls.open_session(request), request.model, context)

    async def Predict(self, request: pb.PredictRequest, context: Context) -> pb.PredictReply:
        """As the proto says."""
        return await self._answer(self._calls.predict(request), request.model, context)

    async def Update(self, request: pb.UpdateRequest, context: Context) -> pb.UpdateReply:
        """As the proto says."""
        return await self._answer(self._calls.update(request), request.model, context)

    async def Label(self, request: pb.LabelRequest, context: Context) -> pb.LabelReply:
        """As the proto says."""
        return await self._answer(self._calls.label(request), request.model, context)

    async def Stream(
        self, request_iterator: AsyncIterator[pb.StreamRequest], context: Context
    ) -> AsyncIterator[pb.StreamReply]:
        """As the proto says."""
        stream = StreamSession(self._calls, self._refuse, self._stream_in_flight, self._stopping)
        with self._counted():
            async for reply in stream.replies(request_iterator):
                yield reply
        if self._stopping.is_set():
            await self._abort(
                Unavailable("the service is stopping; open a new stream later"), "", context
            )

    async def GetFilters(
        self, request: pb.GetFiltersRequest, context: Context
    ) -> pb.GetFiltersReply:
        """As the proto says."""
        return await self._answer(self._calls.get_filters(request), request.model, context)

    async def CheckStructure(
        self, request: pb.CheckStructureRequest, context: Context
    ) -> pb.CheckStructureReply:
        """As the proto says."""
        return await self._answer(self._calls.check_structure(request), request.model, context)

    async def Status(self, request: pb.StatusRequest, context: Context) -> pb.StatusReply:
        """As the proto says."""
        models = await self._answer(self._calls.model_statuses(request), "", context)
        return pb.StatusReply(
            version=self._version, uptime_s=time.monotonic() - self._started_s, models=models
        )

    async def _answer(self, reply: Awaitable[T], model: str, context: Context) -> T:
        try:
            with self._counted():
                return await reply
        except Exception as error:  # noqa: BLE001 (the table of codes knows every one)
            await self._abort(error, model, context)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._open_calls += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._open_calls -= 1
            if self._open_calls == 0:
                self._idle.set()

    async def _abort(self, error: Exception, model: str, context: Context) -> NoReturn:
        told = self._refuse(error, model)
        await context.abort(told.code, told.message)

    def _refuse(self, error: Exception, model: str) -> Refusal:
        told = refusal(error)
        known = model if model in self._calls.engines else UNKNOWN_MODEL
        self._instruments.count_rejected(known, told.reason)
        return told
