"""Models as files that come and go in parts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from service._generated import scatonline_pb2 as pb
from service.engine import Models
from service.errors import InvalidRequest, OverLimit
from service.rpc.calls import Calls

# Fits the smallest limit on messages that the settings allow.
PART_BYTES = 2**15
# How long more than may come is read on, and let go. Of a call that ends while a client is still
# sending, grpc.aio may tell that client that sending failed, and not why.
_HEARD_OUT_S = 2.0


async def parts(models: Models, name: str) -> AsyncIterator[pb.Part]:
    """A model's present state, part by part.

    Raises:
        UnknownModel: there is none of that name.
        Unavailable: the service is stopping.
    """
    exported = await asyncio.wrap_future(models.engine(name).export())
    content = memoryview(await asyncio.to_thread(exported))
    for begin in range(0, len(content), PART_BYTES):
        yield pb.Part(data=bytes(content[begin : begin + PART_BYTES]))


async def received(
    calls: Calls, requests: AsyncIterator[pb.ImportModelRequest], most_bytes: int
) -> pb.ImportModelReply:
    """Makes a model of the parts that come, or replaces one.

    Raises:
        OverLimit: more came than may, or there are as many models as may be.
        InvalidRequest: nothing came, or no exported model.
        DuplicateName, StateVersionError, Overloaded, StorageError: as :meth:`Models.import_`.
    """
    first: pb.ImportModelRequest | None = None
    content = bytearray()
    async for request in requests:
        first = first or request
        content += request.data
        if len(content) > most_bytes:
            content.clear()
            await _hear_out(requests)
            raise OverLimit(
                f"data: got more than {most_bytes} bytes, expected at most that many: raise "
                "limits.import_bytes"
            )
    if first is None:
        raise InvalidRequest("data: got nothing, expected the parts of an exported model")
    return await calls.import_model(bytes(content), first.model, first.replace)


async def _hear_out(requests: AsyncIterator[pb.ImportModelRequest]) -> None:
    """Reads to the end, or for a while."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_HEARD_OUT_S):
            async for _ in requests:
                pass
