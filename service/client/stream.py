"""Pipelined requests over one stream that outlives its connection."""

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

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
Requests = Iterator[pb.StreamRequest]


def _sent(
    request: Callable[P, Request[R]],
) -> "Callable[Concatenate[Stream, P], Future[R]]":
    def send(stream: "Stream", /, *args: P.args, **kwargs: P.kwargs) -> "Future[R]":
        return stream.send(request(*args, **kwargs))

    return described(send, request)


class Stream:
    """Sends requests without waiting for replies; each method gives a future of its result.

    Updates and labels are applied in the order sent. A refused request fails its own future with
    ClientError. When the connection breaks, the stream connects anew and sends everything again
    that was not answered, in the same order and under the same sample ids, which the service
    knows; when it cannot, every unanswered future fails with the reason. The methods may be called
    from several threads.

    Args:
        call: Opens the stream with an iterator of requests and gives one of replies.
        outbox: Holds what is not answered; sending more than it has room for waits.
        outage_s: Seconds without connection after which the stream fails; 0: at once.
    """

    def __init__(
        self,
        call: Callable[[Requests], "grpc.CallIterator[pb.StreamReply]"],
        outbox: Outbox,
        outage_s: float,
    ) -> None:
        self._call = call
        self._outbox = outbox
        self._outage = Outage(outage_s)
        self._changed = threading.Condition()
        self._to_send: queue.SimpleQueue[pb.StreamRequest | None] = queue.SimpleQueue()
        self._replies: grpc.CallIterator[pb.StreamReply] | None = None
        self._closing = False
        self._cancelled = threading.Event()
        self._ended: ClientError | None = None
        self._thread = threading.Thread(target=self._run, name="stream-replies", daemon=True)
        self._thread.start()

    predict = _sent(messages.predict)
    update = _sent(messages.update)
    label = _sent(messages.label)

    def send(self, request: Request[R]) -> "Future[R]":
        """Sends any of the three; waits while there is no room."""
        future: Future[R] = Future()
        # A future that its owner cancels would refuse the reply when it comes.
        future.set_running_or_notify_cancel()
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._outbox.has_room(request))
            if self._ended is None and not self._closing:
                self._to_send.put(self._outbox.add(request, future))
                self._changed.notify_all()
                return future
        future.set_exception(self._ended or ClientError.closed("stream"))
        return future

    def close(self) -> None:
        """Sends nothing more and waits until everything sent was answered, or has failed."""
        with self._changed:
            self._closing = True
            self._to_send.put(None)
            self._changed.notify_all()
        self._thread.join()

    def cancel(self) -> None:
        """Ends the stream at once; unanswered requests may or may not have been applied."""
        self._cancelled.set()
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            replies = self._replies
        if replies is not None:
            replies.cancel()  # type: ignore[no-untyped-call]
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.close()
        finally:
            self.cancel()

    def _run(self) -> None:
        ended = ClientError.closed("stream")
        try:
            while self._something_to_do():
                self._converse_until_broken()
        except ClientError as error:
            ended = error
        finally:
            # Whatever it was that ended it, nobody waits for an answer any more.
            with self._changed:
                self._ended = ended
                refuse = self._outbox.give_up(ended)
                self._changed.notify_all()
            refuse()

    def _something_to_do(self) -> bool:
        """Waits for something to send; False once the stream is closed and all is answered."""
        with self._changed:
            if not self._outbox:
                self._outage.over()  # Nobody misses the service.
            self._changed.wait_for(lambda: self._outbox or self._closing)
            return bool(self._outbox) and not self._cancelled.is_set()

    def _converse_until_broken(self) -> None:
        """One connection; raises ClientError if there is to be no other."""
        try:
            self._converse()
        except (ClientError, grpc.RpcError) as broken:
            self._cancelled.wait(self._outage.pause_s(ClientError.from_break(broken)))

    def _converse(self) -> None:
        self._outage.called()
        replies = self._connect()
        try:
            for reply in replies:
                self._outage.over()
                with self._changed:
                    answer = self._outbox.settle(reply)
                    self._changed.notify_all()
                answer()
        finally:
            replies.cancel()  # type: ignore[no-untyped-call]
            # Releases gRPC's thread, which waits for requests.
            self._to_send.put(None)
        with self._changed:
            if self._outbox or not self._closing:
                raise ClientError(grpc.StatusCode.UNAVAILABLE, "the service ended the stream")

    def _connect(self) -> "grpc.CallIterator[pb.StreamReply]":
        """Everything unanswered goes first, and then what is asked for from now on."""
        with self._changed:
            if self._cancelled.is_set():
                raise ClientError.closed("stream")
            self._to_send = queue.SimpleQueue()
            for request in self._outbox.waiting():
                self._to_send.put(request)
            if self._closing:
                self._to_send.put(None)
            self._replies = self._call(iter(self._to_send.get, None))
            return self._replies
