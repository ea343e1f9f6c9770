"""The one error that the client raises when the service refuses or cannot be reached."""

from typing import cast

import grpc

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ClientError(Exception):
    """A request failed.

    Attributes:
        code: gRPC status code, for example `StatusCode.NOT_FOUND`.
        message: What was expected and what came.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message

    @classmethod
    def from_rpc(cls, error: grpc.RpcError) -> "ClientError":
        """From the error of a call, which gRPC makes a Call of its own with code and text."""
        call = cast("grpc.Call", error)
        return cls(call.code(), call.details() or "")

    @classmethod
    def from_number(cls, number: int, message: str) -> "ClientError":
        """From a status code as it travels."""
        return cls(_CODES.get(number, grpc.StatusCode.UNKNOWN), message)
