"""So many calls at a time, and no more; gRPC's own limit cannot say when to come again."""

import asyncio
from collections.abc import Awaitable, Callable

import grpc

from service.errors import Overloaded
from service.rpc.decoding import Abort, Context, Handler


class Capacity(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Refuses calls beyond a number, before their requests have been received.

    Args:
        most: Calls under way at a time, of all kinds.
        abort: Ends a call with an error.
    """

    def __init__(self, most: int, abort: Abort) -> None:
        self._most = most
        self._abort = abort
        self._under_way = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """As gRPC asks it in a call's own task, once the headers of the call are there."""
        if self._under_way >= self._most:
            # Of the four kinds of handlers the one that is called before a request is received.
            return grpc.stream_stream_rpc_method_handler(self._refuse)
        call = asyncio.current_task()
        assert call is not None
        self._under_way += 1
        call.add_done_callback(self._left)
        return await continuation(handler_call_details)

    async def _refuse(self, _: object, context: Context) -> None:
        error = Overloaded(
            f"{self._most} calls are under way, expected fewer: come again later, or raise "
            "limits.calls"
        )
        await self._abort(error, context)

    def _left(self, _: "asyncio.Task[object]") -> None:
        self._under_way -= 1
