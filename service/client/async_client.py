"""As :mod:`service.client.client`, for programs with an event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc

from service._generated import scatonline_pb2 as pb
from service._generated import scatonline_pb2_grpc
from service.client import messages, replies, transfer
from service.client.async_stream import AsyncStream
from service.client.async_watch import AsyncWatch
from service.client.connection import channel_options
from service.client.credentials import Tls, open_aio_channel
from service.client.errors import ClientError
from service.client.messages import Request
from service.client.methods import described
from service.client.outbox import Outbox
from service.client.results import ImportedModel
from service.client.retries import Attempts
from service.client.transfer import FileLike

P = ParamSpec("P")
R = TypeVar("R")


def _answered(
    request: Callable[P, Request[R]],
) -> "Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]]":
    def ask(client: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        return client.ask(request(*args, **kwargs))

    return described(ask, request)


class AsyncClient:
    """As :class:`Client`, with methods to be awaited; made and used in one running event loop.

    A task that is cancelled while it waits cancels its request; an update or label that has been
    cancelled may or may not have been applied, and may be sent again under its id.

    Args:
        target: Address, for example "localhost:50051".
        timeout_s: Seconds that a request may take, with all its attempts.
        max_message_bytes: Largest message, as in the service's settings.
        token: Bearer token, where the service asks for one.
        tls: Encrypts the connection; None: plain text.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout_s: float = 30.0,
        max_message_bytes: int = 64 * 2**20,
        token: str | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        options = channel_options(max_message_bytes)
        self._channel = open_aio_channel(target, options, token=token, tls=tls)
        # One generated stub serves both; it is typed for the blocking one.
        self._stub: Any = scatonline_pb2_grpc.ScatOnlineStub(self._channel)
        self._closed = False

    open_session = _answered(messages.open_session)
    predict = _answered(messages.predict)
    update = _answered(messages.update)
    label = _answered(messages.label)
    filters = _answered(messages.filters)
    check_structure = _answered(messages.check_structure)
    status = _answered(messages.status)
    freeze = _answered(messages.freeze)
    resume = _answered(messages.resume)
    checkpoints = _answered(messages.checkpoints)
    rollback = _answered(messages.rollback)
    models = _answered(messages.models)
    describe = _answered(messages.describe)
    create_model = _answered(messages.create_model)
    delete_model = _answered(messages.delete_model)

    def stream(
        self,
        *,
        in_flight: int = 32,
        in_flight_bytes: int = 64 * 2**20,
        reconnect: bool = True,
        outage_s: float = 60.0,
    ) -> AsyncStream:
        """As :meth:`Client.stream`; use it in an `async with` block."""
        outbox = Outbox(in_flight, in_flight_bytes, lasting=reconnect)
        return AsyncStream(
            lambda requests: self._begin(self._stub.Stream, requests),
            outbox,
            outage_s if reconnect else 0.0,
        )

    def watch(
        self, models: Sequence[str] = (), *, reconnect: bool = True, outage_s: float = 60.0
    ) -> AsyncWatch:
        """As :meth:`Client.watch`; iterate with `async for`."""
        request = pb.WatchRequest(models=models)
        return AsyncWatch(
            lambda: self._begin(self._stub.Watch, request), outage_s if reconnect else 0.0
        )

    async def export_model(self, model: str, into: FileLike, *, timeout_s: float = 600.0) -> int:
        """As :meth:`Client.export_model`; files are written in a thread."""
        attempts = Attempts(timeout_s)
        request = pb.ExportModelRequest(model=model)
        with transfer.export_into(into) as export:
            while True:
                export.begin()
                try:
                    async for part in self._begin(
                        self._stub.ExportModel, request, timeout=attempts.remaining_s()
                    ):
                        await asyncio.to_thread(export.take, part)
                except grpc.RpcError as error:
                    await self._pause(attempts, error, repeatable=export.repeatable)
                else:
                    await asyncio.to_thread(export.finish)
                    return export.size

    async def import_model(
        self, source: FileLike, model: str = "", *, replace: bool = False, timeout_s: float = 600.0
    ) -> ImportedModel:
        """As :meth:`Client.import_model`; files are read in a thread."""
        await self._reach()
        with transfer.import_from(source, model, replace=replace) as read:

            async def requests() -> AsyncIterator[pb.ImportModelRequest]:
                while (message := await asyncio.to_thread(read)) is not None:
                    yield message

            try:
                reply = await self._begin(self._stub.ImportModel, requests(), timeout=timeout_s)
            except grpc.RpcError as error:
                raise ClientError.from_rpc(error) from error
        return replies.imported(reply)

    async def ask(self, request: Request[R]) -> R:
        """Sends a request, again where it may be, and reads the reply."""
        if not request.repeatable:
            await self._reach()
        method = getattr(self._stub, request.method)
        attempts = Attempts(request.timeout_s or self._timeout_s)
        while True:
            try:
                reply = await self._begin(method, request.message, timeout=attempts.remaining_s())
            except grpc.RpcError as error:
                await self._pause(attempts, error, repeatable=request.repeatable)
            except asyncio.CancelledError:
                self._refuse_if_closed()
                raise
            else:
                return request.read(reply)

    async def close(self) -> None:
        """Ends the connection, and whatever still waits for it."""
        self._closed = True
        await self._channel.close(grace=None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _begin(self, method: Callable[..., Any], request: Any, **options: Any) -> Any:
        if self._closed:
            raise ClientError.closed("client")
        return method(request, **options)

    def _refuse_if_closed(self) -> None:
        """A channel that is closed cancels its calls as if their tasks had been cancelled."""
        task = asyncio.current_task()
        if self._closed and task is not None and not task.cancelling():
            raise ClientError.closed("client") from None

    async def _pause(self, attempts: Attempts, error: grpc.RpcError, *, repeatable: bool) -> None:
        """Waits for the next attempt; raises ClientError if there is to be none."""
        failed = ClientError.from_rpc(error)
        await asyncio.sleep(attempts.pause_s(failed, repeatable=repeatable))

    async def _reach(self) -> None:
        """What must not be sent twice is not sent before the service has answered something."""
        await self.ask(messages.models())
