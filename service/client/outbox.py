"""What a stream has been asked for and has not seen answered."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar, runtime_checkable

import grpc

from service._generated import scatonline_pb2 as pb
from service.client.errors import ClientError
from service.client.messages import Request

R = TypeVar("R")
_UNAVAILABLE = grpc.StatusCode.UNAVAILABLE.value[0]
_FIELDS = {"Predict": "predict", "Update": "update", "Label": "label"}


@runtime_checkable
class Promise(Protocol):
    """A future of threads or of an event loop."""

    def done(self) -> bool: ...  # noqa: D102 (as both futures have it)
    def set_result(self, result: Any, /) -> None: ...  # noqa: D102
    def set_exception(self, exception: BaseException, /) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class _Unanswered:
    request: pb.StreamRequest
    size: int
    field: str
    read: Callable[[Any], Any]
    promise: Promise

    def answer(self, reply: pb.StreamReply) -> None:
        try:
            if reply.HasField("fault"):
                raise ClientError.from_fault(reply.fault)
            result = self.read(getattr(reply, self.field))
        except ClientError as error:
            self.refuse(error)
        else:
            if not self.promise.done():
                self.promise.set_result(result)

    def refuse(self, error: ClientError) -> None:
        # A future that its owner cancelled takes nothing.
        if not self.promise.done():
            self.promise.set_exception(error)


class Outbox:
    """Requests in the order sent, until each is answered; its owner keeps threads apart.

    Args:
        in_flight: The most requests that it holds.
        in_flight_bytes: The most bytes that these have together; a larger one goes alone.
        lasting: The stream outlives its connection, so a request that the service was too
            unavailable to take stays.
    """

    def __init__(self, in_flight: int, in_flight_bytes: int, *, lasting: bool) -> None:
        if in_flight < 1 or in_flight_bytes < 1:
            raise ValueError(
                f"in_flight and in_flight_bytes: got {in_flight} and {in_flight_bytes}, "
                "expected 1 or more"
            )
        self._in_flight = in_flight
        self._in_flight_bytes = in_flight_bytes
        self._lasting = lasting
        self._unanswered: dict[int, _Unanswered] = {}
        self._bytes = 0
        self._next_number = 0

    def __bool__(self) -> bool:
        return bool(self._unanswered)

    def has_room(self, request: Request[R]) -> bool:
        """True if the request may be sent now."""
        size = request.message.ByteSize()
        return not self._unanswered or (
            len(self._unanswered) < self._in_flight and self._bytes + size <= self._in_flight_bytes
        )

    def add(self, request: Request[R], promise: Promise) -> pb.StreamRequest:
        """Numbers a request and keeps it; gives the message to send."""
        field = _FIELDS[request.method]
        message = pb.StreamRequest(number=self._next_number)
        getattr(message, field).CopyFrom(request.message)
        size = request.message.ByteSize()
        self._unanswered[self._next_number] = _Unanswered(
            message, size, field, request.read, promise
        )
        self._next_number += 1
        self._bytes += size
        return message

    def waiting(self) -> list[pb.StreamRequest]:
        """Everything to send anew over a new connection, in order."""
        return [each.request for each in self._unanswered.values()]

    def settle(self, reply: pb.StreamReply) -> Callable[[], None]:
        """Lets go of the request that a reply answers; gives what keeps its promise.

        That may run whatever the promise's owner has hung on it, so it is for when no lock is held.

        Raises:
            ClientError: the reply says that the connection is of no use any more.
        """
        fault = reply.fault
        if self._lasting and fault.code == _UNAVAILABLE and fault.HasField("retry_after_ms"):
            raise ClientError.from_fault(fault)
        if reply.number not in self._unanswered:
            raise ClientError(
                grpc.StatusCode.INTERNAL,
                f"stream: got a reply to request {reply.number}, expected one of "
                f"{list(self._unanswered)}; do client and service have the same version?",
            )
        answered = self._unanswered.pop(reply.number)
        self._bytes -= answered.size
        return partial(answered.answer, reply)

    def give_up(self, error: ClientError) -> Callable[[], None]:
        """Lets go of everything; gives what breaks its promises, for when no lock is held."""
        unanswered = list(self._unanswered.values())
        self._unanswered.clear()
        self._bytes = 0

        def refuse() -> None:
            for each in unanswered:
                each.refuse(error)

        return refuse
