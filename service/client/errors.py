"""The one error that the client raises when the service refuses or cannot be reached."""

import math
from typing import cast

import grpc

from service._generated import scatonline_pb2 as pb

_CODES = {code.value[0]: code for code in grpc.StatusCode}
# What grpc.aio makes INTERNAL of when a message cannot be sent any more; no service says it.
_BROKEN_WHILE_SENDING = "Internal error from Core"
_RETRY_AFTER = "grpc-retry-pushback-ms"  # gRFC A6


class ClientError(Exception):
    """A request failed.

    Attributes:
        code: gRPC status code, for example `StatusCode.NOT_FOUND`.
        message: What was expected and what came.
        retry_after_s: Seconds after which the service may take the request; infinite: never; None:
            it did not say.
    """

    def __init__(
        self, code: grpc.StatusCode, message: str, retry_after_s: float | None = None
    ) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s

    @classmethod
    def from_rpc(cls, error: grpc.RpcError) -> "ClientError":
        """From the error of a call, which gRPC makes a Call of its own with code and text."""
        call = cast("grpc.Call", error)
        if call.details() == _BROKEN_WHILE_SENDING:
            return cls(grpc.StatusCode.UNAVAILABLE, "the connection broke while sending")
        return cls(call.code(), call.details() or "", _retry_after_s(call))

    @classmethod
    def from_fault(cls, fault: pb.Fault) -> "ClientError":
        """From what a stream's request was refused with."""
        code = _CODES.get(fault.code, grpc.StatusCode.UNKNOWN)
        after_s = fault.retry_after_ms / 1000 if fault.HasField("retry_after_ms") else math.inf
        return cls(code, fault.message, after_s)

    @classmethod
    def from_break(cls, error: Exception) -> "ClientError":
        """From whatever ended a stream of replies that was not to end."""
        if isinstance(error, ClientError):
            return error
        if isinstance(error, grpc.RpcError):
            return cls.from_rpc(error)
        return cls(grpc.StatusCode.UNAVAILABLE, "the service ended the stream")

    @classmethod
    def closed(cls, what: str) -> "ClientError":
        """For whatever is asked of a client or stream that was closed."""
        return cls(grpc.StatusCode.CANCELLED, f"the {what} was closed")


def _retry_after_s(call: grpc.Call) -> float | None:
    for key, value in call.trailing_metadata() or ():
        if key == _RETRY_AFTER:
            # Whatever is no number of milliseconds asks not to come again.
            return int(value) / 1000 if isinstance(value, str) and value.isdecimal() else math.inf
    return None
