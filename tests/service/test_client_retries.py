"""What both clients send again, what they never do, and for how long they try."""

import asyncio
import inspect
import io
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from service._generated import scatonline_pb2 as pb
from service.client import AsyncClient, AsyncStream, Client, ClientError, Stream
from tests.service.scripted import fails, gives, predicted, scripted

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
X = np.zeros((1, 4), np.float32)
Ask = Callable[[str, str, tuple[Any, ...], float], Any]


def ask_blocking(address: str, method: str, arguments: tuple[Any, ...], timeout_s: float) -> Any:
    with Client(address, timeout_s=timeout_s) as client:
        return getattr(client, method)(*arguments)


def ask_awaiting(address: str, method: str, arguments: tuple[Any, ...], timeout_s: float) -> Any:
    async def ask() -> Any:
        async with AsyncClient(address, timeout_s=timeout_s) as client:
            return await getattr(client, method)(*arguments)

    return asyncio.run(ask())


both = pytest.mark.parametrize("ask", [ask_blocking, ask_awaiting], ids=["blocking", "awaiting"])
PREDICT = ("predict", ("m", "s", X))


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_every_method_of_the_contract_has_one_of_both_clients() -> None:
    names = {
        "GetFilters": "filters",
        "ListCheckpoints": "checkpoints",
        "ListModels": "models",
        "DescribeModel": "describe",
    }
    for method in pb.DESCRIPTOR.services_by_name["ScatOnline"].methods:
        snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in method.name)[1:]
        name = names.get(method.name, snake)
        blocking, awaiting = getattr(Client, name), getattr(AsyncClient, name)
        assert blocking.__doc__, name
        assert awaiting.__doc__, name
        assert list(inspect.signature(blocking).parameters) == list(
            inspect.signature(awaiting).parameters
        )


def test_methods_tell_what_they_take() -> None:
    for owner in (Client, AsyncClient, Stream, AsyncStream):
        update = inspect.signature(owner.update)
        assert list(update.parameters)[:6] == [
            *("self", "model", "session", "sample_id", "x", "target")
        ]
        assert "Id of the sample" in (owner.update.__doc__ or "")


@both
def test_a_service_that_is_away_for_a_moment_is_asked_again(ask: Ask) -> None:
    away = fails(UNAVAILABLE)
    with scripted(away, away, away, gives(predicted(7))) as (script, address):
        assert ask(address, *PREDICT, 20.0).event == 7
    assert len(script.calls) == 4
    assert all(call == script.calls[0] for call in script.calls)


@both
def test_a_service_that_says_when_to_come_again_is_asked_then(ask: Ask) -> None:
    later = fails(grpc.StatusCode.RESOURCE_EXHAUSTED, grpc_retry_pushback_ms="400")
    with scripted(later, gives(predicted(7))) as (script, address):
        began_s = time.monotonic()
        assert ask(address, *PREDICT, 20.0).event == 7
    assert time.monotonic() - began_s >= 0.4
    assert len(script.calls) == 2


@both
@pytest.mark.parametrize(
    ("code", "trailers"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, {}),
        (grpc.StatusCode.NOT_FOUND, {}),
        (grpc.StatusCode.ALREADY_EXISTS, {}),
        (grpc.StatusCode.UNAUTHENTICATED, {}),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, {}),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, {"grpc_retry_pushback_ms": "60000"}),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, {"grpc_retry_pushback_ms": "soon"}),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, {"grpc_retry_pushback_ms": "-1"}),
        (grpc.StatusCode.UNAVAILABLE, {"grpc_retry_pushback_ms": "-1"}),
    ],
)
def test_a_refusal_is_told_at_once(
    ask: Ask, code: grpc.StatusCode, trailers: dict[str, str]
) -> None:
    with (
        scripted(fails(code, **trailers)) as (script, address),
        pytest.raises(ClientError, match="as scripted") as refused,
    ):
        ask(address, *PREDICT, 20.0)
    assert refused.value.code is code
    assert len(script.calls) == 1


ONCE: list[tuple[str, tuple[Any, ...]]] = [
    ("check_structure", ("m",)),
    ("rollback", ("m", 3)),
    ("create_model", ("name: m",)),
    ("delete_model", ("m",)),
    ("import_model", (io.BytesIO(b"state"),)),
]


@both
@pytest.mark.parametrize(("method", "arguments"), ONCE, ids=[name for name, _ in ONCE])
def test_what_may_have_been_done_is_not_asked_for_again(
    ask: Ask, method: str, arguments: tuple[Any, ...]
) -> None:
    def call(address: str) -> Any:
        if method == "delete_model":
            return ask_delete(ask, address)
        return ask(address, method, arguments, 20.0)

    with (
        scripted(fails(UNAVAILABLE)) as (script, address),
        pytest.raises(ClientError, match="as scripted"),
    ):
        call(address)
    assert len(script.calls) == 1


def ask_delete(ask: Ask, address: str) -> Any:
    """Its last argument goes by name alone."""
    if ask is ask_blocking:
        with Client(address) as client:
            return client.delete_model("m", confirm="m")

    async def delete() -> None:
        async with AsyncClient(address) as client:
            await client.delete_model("m", confirm="m")

    return asyncio.run(delete())


@both
@pytest.mark.parametrize("request_", [PREDICT, ("rollback", ("m", 3))], ids=["again", "once"])
def test_a_service_that_never_comes_is_given_up_in_time(ask: Ask, request_: Any) -> None:
    address = free_address()
    began_s = time.monotonic()
    with pytest.raises(ClientError) as refused:
        ask(address, request_[0], request_[1], 1.5)
    assert refused.value.code is UNAVAILABLE
    assert 0.5 < time.monotonic() - began_s < 5.0


@both
def test_a_service_that_comes_late_gets_even_what_is_sent_once(ask: Ask) -> None:
    address = free_address()
    answer: list[Any] = []
    asking = threading.Thread(
        target=lambda: answer.append(ask(address, "rollback", ("m", 3), 30.0))
    )
    asking.start()
    time.sleep(0.5)
    with scripted(gives(pb.RollbackReply(event=9)), address=address):
        asking.join(30)
    assert answer == [9]


@both
def test_a_service_that_thinks_too_long_is_given_up_in_time(ask: Ask) -> None:
    woken = threading.Event()

    def think(_: Any, __: grpc.ServicerContext) -> Any:
        woken.wait(30)
        return predicted(1)

    with scripted(think) as (script, address):
        began_s = time.monotonic()
        with pytest.raises(ClientError) as refused:
            ask(address, *PREDICT, 0.7)
        took_s = time.monotonic() - began_s
        woken.set()
    assert refused.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert took_s < 5.0
    assert len(script.calls) == 1


def test_a_closed_client_says_so_and_ends_what_waits() -> None:
    with scripted(fails(UNAVAILABLE)) as (_, address):
        client = Client(address, timeout_s=60.0)
        threading.Timer(0.5, client.close).start()
        with pytest.raises(ClientError, match="closed"):
            client.predict("m", "s", X)
        for method, arguments in (PREDICT, ("rollback", ("m", 3)), ("models", ())):
            with pytest.raises(ClientError, match="the client was closed"):
                getattr(client, method)(*arguments)


async def test_a_closed_awaiting_client_says_so_and_ends_what_waits() -> None:
    woken = threading.Event()

    def think(_: Any, __: grpc.ServicerContext) -> Any:
        woken.wait(30)
        return predicted(1)

    with scripted(think) as (_, address):
        client = AsyncClient(address, timeout_s=60.0)
        waiting = asyncio.create_task(client.predict("m", "s", X))
        await asyncio.sleep(0.5)
        await client.close()
        with pytest.raises(ClientError, match="the client was closed"):
            await waiting
        for method, arguments in (PREDICT, ("rollback", ("m", 3)), ("models", ())):
            with pytest.raises(ClientError, match="the client was closed"):
                await getattr(client, method)(*arguments)
        woken.set()


async def test_a_cancelled_task_cancels_its_request() -> None:
    begun, ended = threading.Event(), threading.Event()

    def think(_: Any, context: grpc.ServicerContext) -> Any:
        context.add_callback(ended.set)
        begun.set()
        ended.wait(30)
        return predicted(1)

    with scripted(think) as (_, address):
        async with AsyncClient(address) as client:
            waiting = asyncio.create_task(client.predict("m", "s", X))
            await asyncio.to_thread(begun.wait, 10)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await asyncio.to_thread(ended.wait, 10)


def parts(*sizes: int, then: grpc.StatusCode | None = None) -> Any:
    def send(_: Any, context: grpc.ServicerContext) -> Any:
        for number, size in enumerate(sizes):
            yield pb.Part(data=bytes([number]) * size)
        if then is not None:
            context.abort(then, "as scripted")

    return send


@both
def test_an_export_that_broke_begins_anew_and_is_there_when_it_is_whole(
    ask: Ask, tmp_path: Path
) -> None:
    path = tmp_path / "model"
    broken, whole = parts(3000, 5000, then=UNAVAILABLE), parts(2**15, 2**15, 7)
    with scripted(broken, broken, whole) as (script, address):
        assert ask(address, "export_model", ("m", path), 20.0) == 2 * 2**15 + 7
    assert len(script.calls) == 3
    assert path.read_bytes() == b"\0" * 2**15 + b"\1" * 2**15 + b"\2" * 7
    assert list(tmp_path.iterdir()) == [path]


@both
def test_an_export_that_fails_leaves_what_was_there(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"before")
    with (
        scripted(parts(3000, then=grpc.StatusCode.NOT_FOUND)) as (_, address),
        pytest.raises(ClientError, match="as scripted"),
    ):
        ask(address, "export_model", ("m", str(path)), 20.0)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@both
def test_an_export_into_an_open_file_never_writes_a_part_twice(ask: Ask) -> None:
    file = io.BytesIO(b"")
    file.write(b"mine")
    early, late = parts(then=UNAVAILABLE), parts(3000, then=UNAVAILABLE)
    with (
        scripted(early, late) as (script, address),
        pytest.raises(ClientError, match="as scripted"),
    ):
        ask(address, "export_model", ("m", file), 20.0)
    assert len(script.calls) == 2
    assert file.getvalue() == b"mine" + b"\0" * 3000


@both
@pytest.mark.parametrize("size", [0, 1, 2**15, 3 * 2**15 + 1])
def test_an_import_sends_the_whole_file_in_order(ask: Ask, tmp_path: Path, size: int) -> None:
    path = tmp_path / "model"
    content = np.random.default_rng(size).bytes(size)
    path.write_bytes(content)
    came: list[pb.ImportModelRequest] = []

    def take(requests: Any, _: grpc.ServicerContext) -> Any:
        came.extend(requests)
        return pb.ImportModelReply(model="m", event=5)

    with scripted(take) as (_, address):
        imported = ask(address, "import_model", (path, "m"), 20.0)
    assert (imported.model, imported.event) == ("m", 5)
    assert b"".join(each.data for each in came) == content
    assert [each.model for each in came] == ["m"] + [""] * (len(came) - 1)
    assert all(len(each.data) <= 2**15 for each in came)
