"""A gRPC server that answers as a test wants it to, where no real service can be made to."""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np

from service._generated import scatonline_pb2 as pb
from service._generated import scatonline_pb2_grpc
from service.wire import to_tensor

Answer = Callable[[Any, grpc.ServicerContext], Any]


def fails(code: grpc.StatusCode, **trailers: str) -> Answer:
    """Refuses with a code and trailing metadata, `_` for `-` in its names."""

    def refuse(_: Any, context: grpc.ServicerContext) -> Any:
        told = tuple((name.replace("_", "-"), value) for name, value in trailers.items())
        context.set_trailing_metadata(told)
        context.abort(code, "as scripted")

    return refuse


def gives(reply: Any) -> Answer:
    """Answers."""
    return lambda *_: reply


def predicted(event: int) -> pb.PredictReply:
    """A prediction of one output."""
    values = to_tensor(np.zeros(1, np.float32))
    return pb.PredictReply(prediction=pb.Prediction(values=values, event=event))


class Script:
    """Answers calls one after the other, the last answer for ever, and names no models.

    Attributes:
        answers: What is still to be answered.
        calls: Requests that came, with their methods.
    """

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, Any]] = []
        self._lock = threading.Lock()
        for method in pb.DESCRIPTOR.services_by_name["ScatOnline"].methods:
            setattr(self, method.name, self._answering(method.name))
        setattr(self, "ListModels", gives(pb.ListModelsReply()))  # noqa: B010 (as the others)

    def _answering(self, method: str) -> Answer:
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            with self._lock:
                self.calls.append((method, request))
                chosen = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            return chosen(request, context)

        return answer


@contextmanager
def scripted(*answers: Answer, address: str = "127.0.0.1:0") -> Iterator[tuple[Script, str]]:
    """A server with its address."""
    script = Script(*answers)
    servicer: Any = script
    server = grpc.server(futures.ThreadPoolExecutor(8))
    scatonline_pb2_grpc.add_ScatOnlineServicer_to_server(servicer, server)
    port = server.add_insecure_port(address)
    server.start()
    try:
        yield script, f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
