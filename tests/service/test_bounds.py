"""Everything has a bound; beyond it a request is refused and told when to come again, or never."""

import asyncio
import io
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode

from service._generated import scatonline_pb2 as pb
from service._generated import scatonline_pb2_grpc
from service.client import AsyncClient, Client, ClientError
from service.errors import InvalidRequest
from service.rpc.converters import session_opened
from service.rpc.status import RETRY_KEY
from service.wire import to_tensor
from tests.service.engines import Pause
from tests.service.running import (
    ENCODER,
    LocalService,
    counts,
    eventually,
    local_service,
    settings_values,
    waveform,
)

Serve = Callable[..., Any]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """A service with limits, a client of it with an open session, and a bare stub."""

    @contextmanager
    def serve(**limits: int) -> Iterator[tuple[LocalService, Client, Any]]:
        values = settings_values(tmp_path, ENCODER, limits=limits)
        with local_service(values) as (service, client):
            client.open_session("encoder", "day-1", ["unit-1", "unit-2"])
            # Retries would hide what is refused.
            with grpc.insecure_channel(service.address, [("grpc.enable_retries", 0)]) as channel:
                yield service, client, scatonline_pb2_grpc.ScatOnlineStub(channel)

    return serve


def update(index: int) -> pb.UpdateRequest:
    return pb.UpdateRequest(
        model="encoder",
        session="day-1",
        sample_id=f"s{index}",
        input=to_tensor(waveform(index)),
        target=pb.Target(values=to_tensor(counts(index))),
    )


def predict(at_least_event: int = 0) -> pb.PredictRequest:
    return pb.PredictRequest(
        model="encoder",
        session="day-1",
        input=to_tensor(waveform(0)),
        at_least_event=at_least_event,
    )


def assert_refused_for_now(call: Any, says: str) -> None:
    """RESOURCE_EXHAUSTED, and when to come again."""
    with pytest.raises(grpc.RpcError) as refused:
        call.result(20)
    error: Any = refused.value
    assert error.code() is StatusCode.RESOURCE_EXHAUSTED
    assert says in error.details()
    assert int(dict(error.trailing_metadata())[RETRY_KEY]) > 0


@contextmanager
def paused(service: LocalService) -> Iterator[None]:
    """The writer is busy for as long."""
    pause = Pause()
    service.app.models.engine("encoder").submit(pause)
    assert pause.begun.wait(30)
    try:
        yield
    finally:
        pause.released.set()


def waiting(client_side: Any, service: LocalService, count: int) -> None:
    """Returns once so many events wait for the writer."""
    engine = service.app.models.engine("encoder")
    eventually(lambda: engine._writer.inbox.depth() == count or client_side.done())


def test_a_full_queue_refuses_the_next_update_and_keeps_the_others(serve: Serve) -> None:
    with serve(queue_depth=2) as (service, client, stub):
        with paused(service):
            kept = [stub.Update.future(update(index)) for index in range(2)]
            waiting(kept[1], service, 2)
            assert_refused_for_now(stub.Update.future(update(2)), "expected fewer than 2")
            streamed = next(stub.Stream(iter([pb.StreamRequest(number=5, update=update(3))])))
            assert streamed.number == 5
            assert streamed.fault.code == StatusCode.RESOURCE_EXHAUSTED.value[0]
            assert streamed.fault.retry_after_ms > 0
        assert all(call.result(20).outcome.learned for call in kept)
        assert client.status().models["encoder"].scores.samples == 2


def test_an_update_whose_deadline_passes_in_the_queue_is_not_learned(serve: Serve) -> None:
    with serve() as (service, client, stub):
        with paused(service):
            late = stub.Update.future(update(0), timeout=0.5)
            waiting(late, service, 1)
            cancelled = stub.Update.future(update(1))
            waiting(cancelled, service, 2)
            cancelled.cancel()
            with pytest.raises(grpc.RpcError) as refused:
                late.result(20)
            assert refused.value.code() is StatusCode.DEADLINE_EXCEEDED
            # The client's clock may be ahead of the server's by a few milliseconds.
            queued = service.app.models.engine("encoder")._writer.inbox._changes
            eventually(lambda: all(change.result.cancelled() for change in queued))
        assert client.update("encoder", "day-1", "s2", waveform(2), counts(2)).learned
        assert client.status().models["encoder"].scores.samples == 1


def test_predictions_that_wait_are_bounded_and_leave_when_cancelled(serve: Serve) -> None:
    with serve(queue_depth=2) as (service, client, stub):
        engine = service.app.models.engine("encoder")
        waits = [stub.Predict.future(predict(at_least_event=10**6)) for _ in range(2)]
        eventually(lambda: len(engine._waiting._waiting) == 2)
        assert_refused_for_now(stub.Predict.future(predict()), "2 predictions wait already")
        for call in waits:
            call.cancel()
        eventually(lambda: not engine._waiting._waiting)
        assert client.predict("encoder", "day-1", waveform(0)).values.shape == (2,)


def test_calls_are_bounded(serve: Serve) -> None:
    with serve(calls=2) as (_, _, stub):
        watches = [stub.Watch(pb.WatchRequest()) for _ in range(2)]
        for watch in watches:
            watch.initial_metadata()
        assert_refused_for_now(stub.ListModels.future(pb.ListModelsRequest()), "limits.calls")
        watches[0].cancel()
        eventually(lambda: _models(stub) == ["encoder"])
        watches[1].cancel()


def _models(stub: Any) -> list[str]:
    try:
        return list(stub.ListModels(pb.ListModelsRequest()).models)
    except grpc.RpcError:
        return []


def test_streams_are_bounded(serve: Serve) -> None:
    with serve(streams=1) as (_, client, stub):
        watch = stub.Watch(pb.WatchRequest())
        watch.initial_metadata()
        assert_refused_for_now(stub.Watch(pb.WatchRequest()), "1 streams are open")
        assert_refused_for_now(stub.Stream(iter([pb.StreamRequest()])), "expected fewer than 1")
        assert client.update("encoder", "day-1", "s0", waveform(0), counts(0)).learned
        watch.cancel()


def assert_refused_for_good(call: Any, code: StatusCode, says: str) -> None:
    """Its code, and that coming again is of no use (gRFC A6)."""
    with pytest.raises(grpc.RpcError) as refused:
        call.result(20)
    error: Any = refused.value
    assert error.code() is code
    assert says in error.details()
    assert dict(error.trailing_metadata())[RETRY_KEY] == "-1"


def test_what_no_waiting_makes_fit_is_refused_for_good(serve: Serve) -> None:
    full = StatusCode.RESOURCE_EXHAUSTED
    with serve(import_bytes=2**16, models=1, sessions=1) as (_, client, stub):
        parts = iter([pb.ImportModelRequest(model="copy", data=bytes(40_000))] * 2)
        assert_refused_for_good(
            stub.ImportModel.future(parts), full, "expected at most that many: raise limits.import_"
        )
        specification = json.dumps({**ENCODER, "name": "other"})
        create = stub.CreateModel.future(pb.CreateModelRequest(specification=specification))
        assert_refused_for_good(create, full, "raise limits.models")
        opened = pb.OpenSessionRequest(model="encoder", session="day-2", outputs=["unit-1"])
        assert_refused_for_good(stub.OpenSession.future(opened), full, "raise limits.sessions")
        # No number of the settings, but one of the contract.
        opened.session = "é" * 129
        assert_refused_for_good(
            stub.OpenSession.future(opened), StatusCode.INVALID_ARGUMENT, "expected 1 to 256"
        )
        assert client.models() == ("encoder",)
        assert list(client.status().models["encoder"].sessions) == ["day-1"]


def test_a_file_that_never_ends_is_refused_all_the_same(serve: Serve) -> None:
    told = threading.Event()

    def parts() -> Iterator[pb.ImportModelRequest]:
        yield from [pb.ImportModelRequest(model="copy", data=bytes(40_000))] * 2
        told.wait(30)

    with serve(import_bytes=2**16) as (_, client, stub):
        full = StatusCode.RESOURCE_EXHAUSTED
        assert_refused_for_good(stub.ImportModel.future(parts()), full, "raise limits.import_bytes")
        told.set()
        assert client.models() == ("encoder",)


def import_blocking(address: str, content: bytes) -> None:
    with Client(address, timeout_s=20) as client:
        client.import_model(io.BytesIO(content), "copy", timeout_s=20)


def import_awaiting(address: str, content: bytes) -> None:
    async def send() -> None:
        async with AsyncClient(address, timeout_s=20) as client:
            await client.import_model(io.BytesIO(content), "copy", timeout_s=20)

    asyncio.run(send())


@pytest.mark.parametrize("send", [import_blocking, import_awaiting], ids=["blocking", "awaiting"])
def test_a_client_is_told_of_a_file_that_is_far_too_large(serve: Serve, send: Any) -> None:
    with serve(import_bytes=2**16) as (service, client, _):
        with pytest.raises(ClientError, match=r"raise limits\.import_bytes") as refused:
            send(service.address, bytes(2**23))
        assert refused.value.code is StatusCode.RESOURCE_EXHAUSTED
        assert refused.value.retry_after_s == math.inf
        assert client.models() == ("encoder",)


def test_many_outputs_are_looked_through_once() -> None:
    """Each against all others would hold every other call up for minutes."""
    outputs = [f"unit-{index}" for index in range(30_000)]
    begun_s = time.thread_time()
    assert (
        len(session_opened(pb.OpenSessionRequest(session="s", outputs=outputs)).outputs) == 30_000
    )
    with pytest.raises(InvalidRequest, match="got 'unit-7' twice"):
        session_opened(pb.OpenSessionRequest(session="s", outputs=[*outputs, "unit-7", "unit-9"]))
    assert time.thread_time() - begun_s < 2.0
