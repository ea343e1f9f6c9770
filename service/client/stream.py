"""Pipelined requests over one stream."""

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import numpy as np
from numpy.typing import NDArray

from service._generated import scatonline_pb2 as pb
from service.client import messages
from service.client.errors import ClientError
from service.client.messages import TargetLike
from service.client.results import Outcome, Prediction

T = TypeVar("T")
Read = Callable[[pb.StreamReply], Any]


class Stream:
    """Sends requests without waiting for replies; each method gives a future of its result.

    Updates and labels are applied in the order sent. A refused request fails its own future with
    ClientError; if the stream itself ends, every unanswered future fails with the reason.

    Args:
        call: Opens the stream with an iterator of requests and gives one of replies.
        in_flight: Unanswered requests at a time; sending one more waits.
    """

    def __init__(
        self,
        call: Callable[[Iterator[pb.StreamRequest]], "grpc.CallIterator[pb.StreamReply]"],
        in_flight: int,
    ) -> None:
        self._requests: queue.SimpleQueue[pb.StreamRequest | None] = queue.SimpleQueue()
        self._unanswered: dict[int, tuple[Future[Any], Read]] = {}
        self._slots = threading.BoundedSemaphore(in_flight)
        self._lock = threading.Lock()
        self._next_number = 0
        self._ended: ClientError | None = None
        self._replies = call(iter(self._requests.get, None))
        self._reader = threading.Thread(
            target=self._read_replies, name="stream-replies", daemon=True
        )
        self._reader.start()

    def predict(self, model: str, session: str, x: NDArray[np.generic]) -> "Future[Prediction]":
        """Predicts without learning; x: (channels, *shape)."""
        request = pb.StreamRequest(predict=messages.predict_request(model, session, x))
        return self._send(request, lambda reply: messages.prediction(reply.predict.prediction))

    def update(
        self,
        model: str,
        session: str,
        sample_id: str,
        x: NDArray[np.generic],
        target: TargetLike | None = None,
        *,
        device_time_s: float | None = None,
        host_time_s: float | None = None,
    ) -> "Future[Outcome]":
        """Predicts, scores and learns; as :meth:`Client.update`."""
        request = pb.StreamRequest(
            update=messages.update_request(
                model,
                session,
                sample_id,
                x,
                target,
                device_time_s=device_time_s,
                host_time_s=host_time_s,
            )
        )
        return self._send(request, lambda reply: messages.outcome(reply.update.outcome))

    def label(
        self, model: str, session: str, sample_id: str, target: TargetLike
    ) -> "Future[Outcome]":
        """Gives a waiting sample its target."""
        request = pb.StreamRequest(label=messages.label_request(model, session, sample_id, target))
        return self._send(request, lambda reply: messages.outcome(reply.label.outcome))

    def close(self) -> None:
        """Sends nothing more and waits until everything sent was answered."""
        self._requests.put(None)
        self._reader.join()

    def cancel(self) -> None:
        """Ends the stream at once; unanswered requests may or may not have been applied."""
        self._replies.cancel()  # type: ignore[no-untyped-call]
        self._requests.put(None)
        self._reader.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.cancel()

    def _send(self, request: pb.StreamRequest, read: Callable[[pb.StreamReply], T]) -> "Future[T]":
        future: Future[T] = Future()
        # A future that its owner cancels would refuse the reply when it comes.
        future.set_running_or_notify_cancel()
        self._slots.acquire()
        with self._lock:
            if self._ended is not None:
                self._slots.release()
                future.set_exception(self._ended)
                return future
            request.number = self._next_number
            self._next_number += 1
            self._unanswered[request.number] = (future, read)
            self._requests.put(request)
        return future

    def _read_replies(self) -> None:
        ended = ClientError(grpc.StatusCode.CANCELLED, "the stream was closed")
        try:
            for reply in self._replies:
                self._settle(reply)
        except grpc.RpcError as error:
            ended = ClientError.from_rpc(error)
        with self._lock:
            self._ended = ended
            unanswered = list(self._unanswered.values())
            self._unanswered.clear()
        # Releases gRPC's thread, which waits for requests, when the service ended the stream.
        self._requests.put(None)
        for future, _ in unanswered:
            self._slots.release()
            future.set_exception(ended)

    def _settle(self, reply: pb.StreamReply) -> None:
        with self._lock:
            future, read = self._unanswered.pop(reply.number)
        self._slots.release()
        if reply.HasField("fault"):
            future.set_exception(ClientError.from_number(reply.fault.code, reply.fault.message))
        else:
            future.set_result(read(reply))
