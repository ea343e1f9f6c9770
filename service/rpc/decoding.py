"""Bytes → requests. What is no request is refused in the service's own words.

gRPC itself answers UNKNOWN with an exception's text, and only after the method was found; here the
bytes reach the method's door, and a refusal is like any other.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn, TypeAlias, cast

import grpc
from google.protobuf.message import DecodeError

from service.errors import InvalidRequest

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Abort = Callable[[Exception, Context], Awaitable[NoReturn]]


class Decoding(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Decodes requests before they are handed to their methods.

    Args:
        abort: Ends a call with an error.
    """

    def __init__(self, abort: Abort) -> None:
        self._abort = abort
        self._handlers: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """As gRPC asks it, once the headers of a call are there."""
        method = handler_call_details.method
        if method not in self._handlers:
            handler = await continuation(handler_call_details)
            if handler is None:
                # gRPC takes None, and so says that there is no such method; its types do not.
                return cast("Handler", None)
            self._handlers[method] = _Method(method, handler, self._abort).handler()
        return self._handlers[method]


class _Method:
    """One method, called with bytes in place of requests."""

    def __init__(self, name: str, handler: Handler, abort: Abort) -> None:
        self._name = name
        self._handler = handler
        # Generated code always names one; gRPC's types do not say so.
        self._decode = cast("Callable[[bytes], Any]", handler.request_deserializer)
        self._abort = abort

    def handler(self) -> Handler:
        """Of the same kind as the method's own."""
        own, replies = self._handler, self._handler.response_serializer
        if own.stream_stream:
            behaviour = self._streamed(own.stream_stream, self._each)
            return grpc.stream_stream_rpc_method_handler(behaviour, None, replies)
        if own.stream_unary:
            behaviour = self._awaited(own.stream_unary, self._each)
            return grpc.stream_unary_rpc_method_handler(behaviour, None, replies)
        if own.unary_stream:
            # The health's writes its replies itself, and is awaited.
            wrap = self._streamed if inspect.isasyncgenfunction(own.unary_stream) else self._awaited
            behaviour = wrap(own.unary_stream, self._one)
            return grpc.unary_stream_rpc_method_handler(behaviour, None, replies)
        behaviour = self._awaited(own.unary_unary, self._one)
        return grpc.unary_unary_rpc_method_handler(behaviour, None, replies)

    def _awaited(self, method: Any, decode: Callable[[Any], Any]) -> Any:
        async def behaviour(content: Any, context: Context) -> Any:
            try:
                return await method(decode(content), context)
            except InvalidRequest as error:
                await self._abort(error, context)

        return behaviour

    def _streamed(self, method: Any, decode: Callable[[Any], Any]) -> Any:
        async def behaviour(content: Any, context: Context) -> AsyncIterator[Any]:
            try:
                async for reply in method(decode(content), context):
                    yield reply
            except InvalidRequest as error:
                await self._abort(error, context)

        return behaviour

    async def _each(self, contents: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for content in contents:
            yield self._one(content)

    def _one(self, content: bytes) -> Any:
        try:
            return self._decode(content)
        except DecodeError:
            raise InvalidRequest(
                f"request: got {len(content)} bytes that are no request of {self._name}, expected "
                "a message as the service's .proto file has it, with texts in UTF-8"
            ) from None
