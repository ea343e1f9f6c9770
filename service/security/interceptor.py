"""The guard before every call of the gRPC server."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn, TypeAlias, cast

import grpc
import structlog

from service.security.callers import Callers, Refusal

Context = grpc.aio.ServicerContext[Any, Any]
# None: the server has no such method.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Replies = Callable[[Any, Context], AsyncIterator[Any]]
_log = structlog.get_logger(__name__)


class Guard(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Lets in the calls that may go on.

    A refused call is answered before its request has been received, let alone decoded. Calls that
    are answered by a stream are asked about again at every message, so that a token that is
    withdrawn or expires ends them.

    Args:
        callers: Who may call.
        count: Called with the reason of every refusal.
    """

    def __init__(self, callers: Callers, count: Callable[[str], object]) -> None:
        self._callers = callers
        self._count = count

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        """As gRPC asks it, once the headers of a call are there."""
        call = _Call(self._callers, self._count, handler_call_details)
        refusal = call.refusal()
        if refusal is None:
            handler = call.watched(await continuation(handler_call_details))
        else:
            handler = call.turned_away(refusal)
        # gRPC takes None, and so tells it on; its types do not say so.
        return cast("grpc.RpcMethodHandler[Any, Any]", handler)


class _Call:
    """One call, while it lasts."""

    def __init__(
        self, callers: Callers, count: Callable[[str], object], details: grpc.HandlerCallDetails
    ) -> None:
        self._callers = callers
        self._count = count
        self._method = details.method
        self._metadata = details.invocation_metadata

    def refusal(self) -> Refusal | None:
        """Why it may not go on, as of now."""
        return self._callers.refusal(self._method, self._metadata)

    def turned_away(self, refusal: Refusal) -> Handler:
        """Answers it with a refusal.

        Of the four kinds of handlers only this one is called before a request has been received,
        and gRPC takes it for a call of any kind.
        """

        async def refuse(_: object, context: Context) -> None:
            await self._abort(refusal, context)

        return grpc.stream_stream_rpc_method_handler(refuse)

    def watched(self, handler: Handler) -> Handler:
        """Answers it with a handler, which is ended if the call may no longer go on."""
        if handler is None:
            return None
        coding = (handler.request_deserializer, handler.response_serializer)
        # A handler that is no generator writes its replies itself; there is none but the health's.
        if inspect.isasyncgenfunction(handler.stream_stream):
            return grpc.stream_stream_rpc_method_handler(
                self._watched_both_ways(handler.stream_stream), *coding
            )
        if inspect.isasyncgenfunction(handler.unary_stream):
            return grpc.unary_stream_rpc_method_handler(
                self._watched_replies(handler.unary_stream), *coding
            )
        return handler

    def _watched_replies(self, replies: Replies) -> Replies:
        async def watched(request: Any, context: Context) -> AsyncIterator[Any]:
            async for reply in replies(request, context):
                refusal = self.refusal()
                if refusal is not None:
                    await self._abort(refusal, context)
                yield reply

        return watched

    def _watched_both_ways(self, replies: Replies) -> Replies:
        """Reads no further once the call may not go on; what was read before is still answered."""

        async def watched(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            refusals: list[Refusal] = []

            async def admitted() -> AsyncIterator[Any]:
                async for request in requests:
                    refusal = self.refusal()
                    if refusal is not None:
                        refusals.append(refusal)
                        return
                    yield request

            async for reply in replies(admitted(), context):
                yield reply
            if refusals:
                await self._abort(refusals[0], context)

        return watched

    async def _abort(self, refusal: Refusal, context: Context) -> NoReturn:
        self._count(refusal.reason)
        _log.debug("call_refused", reason=refusal.reason, method=self._method, peer=context.peer())
        await context.abort(refusal.code, refusal.message)
        raise AssertionError("abort raises")
