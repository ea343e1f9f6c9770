"""The gRPC methods: each asks :class:`Calls` and turns errors into status codes."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from typing import Any, NoReturn, TypeVar

import grpc
from structlog.contextvars import bound_contextvars

from service._generated import scatonline_pb2 as pb
from service._generated import scatonline_pb2_grpc
from service.engine import Notices
from service.errors import Overloaded, Unavailable
from service.rpc.calls import Calls
from service.rpc.status import RETRY_KEY, Refusal, refusal
from service.rpc.stream import StreamSession
from service.rpc.transfer import parts, received
from service.rpc.watch import watched
from service.settings import LimitSettings
from service.telemetry import Instruments

T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]
# Fields of requests that lines of the log carry.
_LABELS = ("model", "session", "sample_id")


class Servicer(scatonline_pb2_grpc.ScatOnlineServicer):
    """Serves the models of a process.

    Args:
        calls: What requests do.
        notices: What watchers are told.
        instruments: Counts what is refused.
        version: Version of the service, told by Status.
        limits: Sizes and numbers of streams.
    """

    def __init__(
        self,
        calls: Calls,
        notices: Notices,
        instruments: Instruments,
        version: str,
        limits: LimitSettings,
    ) -> None:
        self._calls = calls
        self._notices = notices
        self._instruments = instruments
        self._version = version
        self._limits = limits
        self._started_s = time.monotonic()
        self._stopping = asyncio.Event()
        self._open_calls = 0
        self._open_streams = 0
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

    async def abort(self, error: Exception, context: Context, request: object = None) -> NoReturn:
        """Ends a call with what an error tells its client.

        Args:
            error: What went wrong.
            context: The call.
            request: What it asks for, as far as that is known.
        """
        told = self._refuse(error, request)
        await context.abort(told.code, told.message, ((RETRY_KEY, told.retry_after),))

    async def OpenSession(
        self, request: pb.OpenSessionRequest, context: Context
    ) -> pb.OpenSessionReply:
        """As the proto says."""
        return await self._answer(self._calls.open_session(request), request, context)

    async def Predict(self, request: pb.PredictRequest, context: Context) -> pb.PredictReply:
        """As the proto says."""
        return await self._answer(self._calls.predict(request), request, context)

    async def Update(self, request: pb.UpdateRequest, context: Context) -> pb.UpdateReply:
        """As the proto says."""
        return await self._answer(self._calls.update(request), request, context)

    async def Label(self, request: pb.LabelRequest, context: Context) -> pb.LabelReply:
        """As the proto says."""
        return await self._answer(self._calls.label(request), request, context)

    async def GetFilters(
        self, request: pb.GetFiltersRequest, context: Context
    ) -> pb.GetFiltersReply:
        """As the proto says."""
        return await self._answer(self._calls.get_filters(request), request, context)

    async def CheckStructure(
        self, request: pb.CheckStructureRequest, context: Context
    ) -> pb.CheckStructureReply:
        """As the proto says."""
        return await self._answer(self._calls.check_structure(request), request, context)

    async def Freeze(self, request: pb.FreezeRequest, context: Context) -> pb.FreezeReply:
        """As the proto says."""
        return await self._answer(self._calls.freeze(request), request, context)

    async def Resume(self, request: pb.ResumeRequest, context: Context) -> pb.ResumeReply:
        """As the proto says."""
        return await self._answer(self._calls.resume(request), request, context)

    async def ListCheckpoints(
        self, request: pb.ListCheckpointsRequest, context: Context
    ) -> pb.ListCheckpointsReply:
        """As the proto says."""
        return await self._answer(self._calls.list_checkpoints(request), request, context)

    async def Rollback(self, request: pb.RollbackRequest, context: Context) -> pb.RollbackReply:
        """As the proto says."""
        return await self._answer(self._calls.roll_back(request), request, context)

    async def DescribeModel(
        self, request: pb.DescribeModelRequest, context: Context
    ) -> pb.DescribeModelReply:
        """As the proto says."""
        return await self._answer(self._calls.describe_model(request), request, context)

    async def DeleteModel(
        self, request: pb.DeleteModelRequest, context: Context
    ) -> pb.DeleteModelReply:
        """As the proto says."""
        return await self._answer(self._calls.delete_model(request), request, context)

    async def ListModels(
        self, request: pb.ListModelsRequest, context: Context
    ) -> pb.ListModelsReply:
        """As the proto says."""
        return await self._answer(self._calls.list_models(request), request, context)

    async def CreateModel(
        self, request: pb.CreateModelRequest, context: Context
    ) -> pb.CreateModelReply:
        """As the proto says."""
        return await self._answer(self._calls.create_model(request), request, context)

    async def Status(self, request: pb.StatusRequest, context: Context) -> pb.StatusReply:
        """As the proto says."""
        models = await self._answer(self._calls.model_statuses(request), request, context)
        return pb.StatusReply(
            version=self._version, uptime_s=time.monotonic() - self._started_s, models=models
        )

    async def Stream(
        self, request_iterator: AsyncIterator[pb.StreamRequest], context: Context
    ) -> AsyncIterator[pb.StreamReply]:
        """As the proto says."""
        stream = StreamSession(
            self._calls,
            self._refuse,
            in_flight=self._limits.stream_in_flight,
            most_bytes=self._limits.stream_bytes,
            stopping=self._stopping,
        )
        async for reply in self._streamed(stream.replies(request_iterator), None, context):
            yield reply
        if self._stopping.is_set():
            await self.abort(
                Unavailable("the service is stopping; open a new stream later"), context
            )

    async def Watch(self, request: pb.WatchRequest, context: Context) -> AsyncIterator[pb.Notice]:
        """As the proto says."""
        for model in request.models:
            if model not in self._calls.models:
                await self._answer(self._calls.unknown(model), request, context)
        notices = watched(
            self._notices,
            frozenset(request.models),
            self._stopping,
            partial(context.send_initial_metadata, ()),
        )
        async for notice in self._streamed(notices, request, context):
            yield notice
        await self.abort(Unavailable("the service is stopping; watch again later"), context)

    async def ExportModel(
        self, request: pb.ExportModelRequest, context: Context
    ) -> AsyncIterator[pb.Part]:
        """As the proto says."""
        exported = parts(self._calls.models, request.model)
        async for part in self._streamed(exported, request, context):
            yield part

    async def ImportModel(
        self, request_iterator: AsyncIterator[pb.ImportModelRequest], context: Context
    ) -> pb.ImportModelReply:
        """As the proto says."""
        done = received(self._calls, request_iterator, self._limits.import_bytes)
        return await self._answer(done, None, context)

    async def _answer(self, reply: Awaitable[T], request: object, context: Context) -> T:
        self._enter()
        try:
            return await reply
        except Exception as error:  # noqa: BLE001 (the table of codes knows every one)
            await self.abort(error, context, request)
        finally:
            self._leave()

    async def _streamed(
        self, replies: AsyncIterator[T], request: object, context: Context
    ) -> AsyncIterator[T]:
        """The replies of a stream that is counted while it is open."""
        if self._open_streams >= self._limits.streams:
            error = Overloaded(
                f"{self._open_streams} streams are open, expected fewer than "
                f"{self._limits.streams}: close one, or come again later"
            )
            await self.abort(error, context, request)
        self._open_streams += 1
        self._instruments.streams.set(self._open_streams)
        self._enter()
        try:
            async for reply in replies:
                yield reply
        except Exception as error:  # noqa: BLE001 (the table of codes knows every one)
            await self.abort(error, context, request)
        finally:
            self._leave()
            self._open_streams -= 1
            self._instruments.streams.set(self._open_streams)

    def _enter(self) -> None:
        """A call has begun to be answered."""
        self._open_calls += 1
        self._idle.clear()

    def _leave(self) -> None:
        """Its answer, or its refusal, is on its way."""
        self._open_calls -= 1
        if self._open_calls == 0:
            self._idle.set()

    def _refuse(self, error: Exception, request: object) -> Refusal:
        # Every line about a refusal says of what, as far as its request does.
        about = {label: getattr(request, label, "") for label in _LABELS}
        with bound_contextvars(**{label: name for label, name in about.items() if name}):
            told = refusal(error)
        self._instruments.count_rejected(about["model"], told.reason)
        return told
