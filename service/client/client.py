"""One connection to the service for programs that wait for replies."""

import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc

from service._generated import scatonline_pb2 as pb
from service._generated import scatonline_pb2_grpc
from service.client import messages, replies, transfer
from service.client.connection import channel_options
from service.client.credentials import Tls, open_channel
from service.client.errors import ClientError
from service.client.messages import Request
from service.client.methods import described
from service.client.outbox import Outbox
from service.client.results import ImportedModel
from service.client.retries import Attempts
from service.client.stream import Stream
from service.client.transfer import FileLike
from service.client.watch import Watch

P = ParamSpec("P")
R = TypeVar("R")


def _answered(request: Callable[P, Request[R]]) -> "Callable[Concatenate[Client, P], R]":
    def ask(client: "Client", /, *args: P.args, **kwargs: P.kwargs) -> R:
        return client.ask(request(*args, **kwargs))

    return described(ask, request)


class Client:
    """Talks to a running service; safe to use from several threads.

    Every method raises :class:`ClientError` if the service refuses or cannot be reached in time.
    While it cannot be reached, or says when to come again, whatever may be sent twice is sent
    again until its time is over: samples and labels too, since the service knows their ids.

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
        self._channel = open_channel(target, options, token=token, tls=tls)
        self._stub = scatonline_pb2_grpc.ScatOnlineStub(self._channel)
        self._closed = threading.Event()

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
    ) -> Stream:
        """Opens a stream for pipelined requests; use it in a `with` block.

        Args:
            in_flight: Unanswered requests at a time; sending one more waits.
            in_flight_bytes: Bytes that these may have together.
            reconnect: Connects anew when the connection breaks, and sends again what was not
                answered; False: the stream then fails.
            outage_s: Seconds without connection after which it fails all the same.
        """
        outbox = Outbox(in_flight, in_flight_bytes, lasting=reconnect)
        return Stream(
            lambda requests: self._begin(self._stub.Stream, requests),
            outbox,
            outage_s if reconnect else 0.0,
        )

    def watch(
        self, models: Sequence[str] = (), *, reconnect: bool = True, outage_s: float = 60.0
    ) -> Watch:
        """Iterates over what happens to the models named, to all if none is, as it happens.

        Args:
            models: Names of models.
            reconnect: Watches on when the connection breaks; the next notice then says so.
            outage_s: Seconds without connection after which the iteration raises all the same.
        """
        request = pb.WatchRequest(models=models)
        return Watch(lambda: self._begin(self._stub.Watch, request), outage_s if reconnect else 0.0)

    def export_model(self, model: str, into: FileLike, *, timeout_s: float = 600.0) -> int:
        """Writes a model's present state; gives the number of bytes.

        Args:
            model: Name of the model.
            into: Path of a file, which is there once it is whole; or a file open for writing,
                which has a part of the model if an error is raised.
            timeout_s: Seconds that it may take.
        """
        attempts = Attempts(timeout_s)
        request = pb.ExportModelRequest(model=model)
        with transfer.export_into(into) as export:
            while True:
                export.begin()
                try:
                    for part in self._begin(
                        self._stub.ExportModel, request, timeout=attempts.remaining_s()
                    ):
                        export.take(part)
                except grpc.RpcError as error:
                    self._pause(attempts, error, repeatable=export.repeatable)
                else:
                    export.finish()
                    return export.size

    def import_model(
        self, source: FileLike, model: str = "", *, replace: bool = False, timeout_s: float = 600.0
    ) -> ImportedModel:
        """Makes a model from an exported state, or replaces the state of one of its specification.

        Args:
            source: Path of a file, or one that is open for reading.
            model: Name of the model to make or replace; empty: the exported model's own.
            replace: Replaces the state of a model that exists.
            timeout_s: Seconds that it may take.
        """
        self._reach()
        with transfer.import_from(source, model, replace=replace) as read:
            try:
                reply = self._begin(self._stub.ImportModel, iter(read, None), timeout=timeout_s)
            except grpc.RpcError as error:
                raise ClientError.from_rpc(error) from error
        return replies.imported(reply)

    def ask(self, request: Request[R]) -> R:
        """Sends a request, again where it may be, and reads the reply."""
        if not request.repeatable:
            self._reach()
        method = getattr(self._stub, request.method)
        attempts = Attempts(request.timeout_s or self._timeout_s)
        while True:
            try:
                reply = self._begin(method, request.message, timeout=attempts.remaining_s())
            except grpc.RpcError as error:
                self._pause(attempts, error, repeatable=request.repeatable)
            else:
                return request.read(reply)

    def close(self) -> None:
        """Ends the connection, and whatever still waits for it."""
        self._closed.set()
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _begin(self, method: Callable[..., Any], request: Any, **options: Any) -> Any:
        try:
            return method(request, **options)
        except ValueError as error:  # gRPC's word for a channel that was closed
            raise ClientError.closed("client") from error

    def _pause(self, attempts: Attempts, error: grpc.RpcError, *, repeatable: bool) -> None:
        """Waits for the next attempt; raises ClientError if there is to be none."""
        failed = ClientError.from_rpc(error)
        if self._closed.wait(attempts.pause_s(failed, repeatable=repeatable)):
            raise ClientError.closed("client") from error

    def _reach(self) -> None:
        """What must not be sent twice is not sent before the service has answered something."""
        self.ask(messages.models())
