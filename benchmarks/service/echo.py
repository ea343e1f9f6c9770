"""A gRPC server that gives back what it gets: what any service in Python pays for being one.

Its event loop is the service's, or Python's own.
"""

import asyncio
import sys
from pathlib import Path

import grpc
import uvloop

METHOD = "/scatonline.benchmark/Echo"


async def _echo(request: bytes, context: object) -> bytes:  # noqa: ARG001 (gRPC fixes the arguments)
    return request


async def serve(ready: Path) -> None:
    """Serves until it is killed; writes its port to a file once it does."""
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(_echo)
    _, service, method = METHOD.split("/")
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    unfinished = ready.with_suffix(".unfinished")
    unfinished.write_text(str(port))
    unfinished.replace(ready)
    await server.wait_for_termination()


if __name__ == "__main__":
    run = {"uvloop": uvloop.run, "asyncio": asyncio.run}[sys.argv[2]]
    run(serve(Path(sys.argv[1])))
