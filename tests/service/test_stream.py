"""The stream answers every request under its number and survives the refused ones."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import grpc
import pytest

from service._generated import scatonline_pb2 as pb
from service._generated import scatonline_pb2_grpc
from service.client import AsyncClient, Client, ClientError, Outcome
from service.storage import failpoints
from service.wire import to_tensor
from tests.service.running import (
    ENCODER,
    LocalService,
    counts,
    local_service,
    settings_values,
    waveform,
)


def test_updates_are_applied_in_the_order_sent(client: Client) -> None:
    with client.stream() as stream:
        sent = [
            stream.update("encoder", "day-1", f"s{index}", waveform(index), counts(index))
            for index in range(60)
        ]
    events = [future.result().event for future in sent]
    assert [future.result().sample_id for future in sent] == [f"s{index}" for index in range(60)]
    assert events == sorted(events)
    assert len(set(events)) == 60


def test_a_refused_sample_leaves_the_stream_open(client: Client) -> None:
    with client.stream() as stream:
        good = stream.update("encoder", "day-1", "a", waveform(0), counts(0))
        bad = stream.update("encoder", "day-1", "b", waveform(0)[:, :5], counts(0))
        again = stream.update("encoder", "day-1", "a", waveform(9), counts(0))
        stray = stream.label("encoder", "day-1", "c", counts(0))
        fine = stream.update("encoder", "day-1", "d", waveform(1), counts(1))
    assert good.result().learned
    assert fine.result().event == good.result().event + 1
    for future, code in (
        (bad, grpc.StatusCode.INVALID_ARGUMENT),
        (again, grpc.StatusCode.ALREADY_EXISTS),
        (stray, grpc.StatusCode.NOT_FOUND),
    ):
        error = future.exception()
        assert isinstance(error, ClientError)
        assert error.code == code


def test_late_labels_and_predictions_travel_too(client: Client) -> None:
    x = waveform(0, 2, 32)
    with client.stream() as stream:
        waits = stream.update("decoder", "day-1", "w", x)
        labelled = stream.label("decoder", "day-1", "w", "fist")
        predicted = stream.predict("decoder", "day-1", x)
    assert waits.result().pending
    assert not waits.result().learned
    assert waits.result().loss is None
    assert labelled.result().learned
    assert labelled.result().loss is not None
    assert predicted.result().values.shape == (3,)
    assert predicted.result().values.sum() == pytest.approx(1.0, abs=1e-5)
    assert client.status(["decoder"]).models["decoder"].pending_labels == 0


def learned_hash(folder: Path, teach: Callable[[Client], None]) -> str:
    """Hash of a fresh model's state after it was taught."""
    model = {**ENCODER, "structure": {"enabled": False}}
    with local_service(settings_values(folder, model)) as (_, client):
        client.open_session("encoder", "day-1", ["unit-1", "unit-2"])
        teach(client)
        return client.status(include_state_hash=True).models["encoder"].state_hash


def test_a_stream_and_single_requests_give_the_same_model(tmp_path: Path) -> None:
    samples = [(f"s{index}", waveform(index), counts(index)) for index in range(40)]

    def one_by_one(client: Client) -> None:
        for sample in samples:
            client.update("encoder", "day-1", *sample)

    def streamed(client: Client) -> None:
        with client.stream() as stream:
            for sample in samples:
                stream.update("encoder", "day-1", *sample)

    assert learned_hash(tmp_path / "a", one_by_one) == learned_hash(tmp_path / "b", streamed)


def test_a_cancelled_stream_ends_and_the_service_goes_on(client: Client) -> None:
    stream = client.stream()
    stream.update("encoder", "day-1", "a", waveform(0), counts(0)).result(timeout=30)
    stream.cancel()
    after = stream.update("encoder", "day-1", "b", waveform(1), counts(1))
    with pytest.raises(ClientError):
        after.result(timeout=30)
    assert client.update("encoder", "day-1", "c", waveform(2), counts(2)).learned


def test_an_empty_request_is_answered_by_its_fault(service: LocalService, client: Client) -> None:
    with grpc.insecure_channel(service.address) as channel:
        stub = scatonline_pb2_grpc.ScatOnlineStub(channel)
        replies = list(stub.Stream(iter([pb.StreamRequest(number=41)]), timeout=10))
    assert [reply.number for reply in replies] == [41]
    assert replies[0].fault.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "expected predict, update or label" in replies[0].fault.message


@pytest.fixture
def broken_disk() -> Iterator[Callable[[], None]]:
    """Breaks it: from then on nobody knows what it holds."""
    yield lambda: failpoints.arm({"journal.flush": "eio@1+"})
    failpoints.arm({})


def test_a_broken_storage_ends_the_stream_once_what_is_under_way_is_answered(
    service: LocalService, client: Client, broken_disk: Callable[[], None]
) -> None:
    seen = client.status().models["encoder"].event
    x = to_tensor(waveform(0))
    target = pb.Target(values=to_tensor(counts(0)))
    waits = pb.PredictRequest(model="encoder", session="day-1", input=x, at_least_event=seen + 9)
    update = pb.UpdateRequest(
        model="encoder", session="day-1", sample_id="a", input=x, target=target
    )
    over = threading.Event()

    def requests() -> Iterator[pb.StreamRequest]:
        yield pb.StreamRequest(number=1, predict=waits)
        broken_disk()
        yield pb.StreamRequest(number=2, update=update)
        over.wait(30)

    replies: dict[int, pb.StreamReply] = {}
    with grpc.insecure_channel(service.address) as channel:
        stream = scatonline_pb2_grpc.ScatOnlineStub(channel).Stream(requests(), timeout=20)
        with pytest.raises(grpc.RpcError) as ended:
            replies.update((reply.number, reply) for reply in stream)
        over.set()
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "nobody knows what it holds" in (ended.value.details() or "")
    assert service.failed.wait(10)
    assert replies.keys() == {1, 2}
    assert all(
        reply.fault.code == grpc.StatusCode.UNAVAILABLE.value[0] for reply in replies.values()
    )


def test_more_requests_than_may_be_in_flight_are_all_answered(client: Client) -> None:
    with client.stream(in_flight=1000) as stream:
        sent = [stream.predict("encoder", "day-1", waveform(index)) for index in range(300)]
    assert all(future.result().values.shape == (2,) for future in sent)


async def test_an_awaiting_stream_does_the_same(service: LocalService, client: Client) -> None:
    async with AsyncClient(service.address) as awaiting, awaiting.stream(in_flight=8) as stream:
        sent = [
            await stream.update("encoder", "day-1", f"s{index}", waveform(index), counts(index))
            for index in range(60)
        ]
        bad = await stream.update("encoder", "day-1", "bad", waveform(0)[:, :5], counts(0))
        waits = await stream.update("encoder", "day-1", "late", waveform(60))
        labelled = await stream.label("encoder", "day-1", "late", counts(60))
        predicted = await stream.predict("encoder", "day-1", waveform(0), at_least_event=60)
    outcomes = [future.result() for future in sent]
    assert [outcome.sample_id for outcome in outcomes] == [f"s{index}" for index in range(60)]
    assert [outcome.event for outcome in outcomes] == list(range(2, 62))
    assert isinstance(bad.exception(), ClientError)
    assert waits.result().pending
    assert labelled.result().learned
    assert predicted.result().event >= 60


async def test_an_awaiting_stream_ends_with_the_task_that_has_it(
    service: LocalService, client: Client
) -> None:
    sent: list[asyncio.Future[Outcome]] = []
    enough = asyncio.Event()

    async def stream_for_ever(awaiting: AsyncClient) -> None:
        async with awaiting.stream(in_flight=4) as stream:
            for index in itertools.count():
                future = stream.update("encoder", "day-1", f"s{index}", waveform(0), counts(0))
                sent.append(await future)
                if index == 20:
                    enough.set()

    async with AsyncClient(service.address) as awaiting:
        streaming = asyncio.create_task(stream_for_ever(awaiting))
        await enough.wait()
        streaming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await streaming
        assert all(future.done() for future in sent)
        assert (await awaiting.update("encoder", "day-1", "z", waveform(2), counts(2))).learned
    failed = [future.exception() for future in sent if future.exception() is not None]
    assert len(failed) <= 4
    assert all(isinstance(error, ClientError) for error in failed)


async def test_a_cancelled_wait_for_one_answer_leaves_the_stream_open(
    service: LocalService, client: Client
) -> None:
    async with AsyncClient(service.address) as awaiting, awaiting.stream() as stream:
        never = await stream.predict("encoder", "day-1", waveform(0), at_least_event=3)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(never, 0.3)
        for index in range(3):
            sent = await stream.update("encoder", "day-1", f"s{index}", waveform(0), counts(0))
            assert (await sent).learned
    assert never.cancelled()


def test_a_full_stream_holds_its_sender_back(client: Client) -> None:
    with client.stream(in_flight=2) as stream:
        held = [stream.predict("encoder", "day-1", waveform(0), at_least_event=2) for _ in range(2)]
        third: list[Future[Outcome]] = []
        sender = threading.Thread(
            target=lambda: third.append(
                stream.update("encoder", "day-1", "b", waveform(1), counts(1))
            )
        )
        sender.start()
        sender.join(0.5)
        assert sender.is_alive()
        client.update("encoder", "day-1", "a", waveform(0), counts(0))
        sender.join(30)
        assert all(future.result(30).event >= 2 for future in held)
    assert third[0].result().learned


async def test_a_full_stream_holds_an_awaiting_sender_back(
    service: LocalService, client: Client
) -> None:
    one_alone = 300
    async with (
        AsyncClient(service.address) as awaiting,
        awaiting.stream(in_flight_bytes=one_alone) as stream,
    ):
        held = await stream.predict("encoder", "day-1", waveform(0), at_least_event=2)
        sending = asyncio.create_task(
            stream.update("encoder", "day-1", "b", waveform(1), counts(1))
        )
        done, _ = await asyncio.wait((sending,), timeout=0.5)
        assert not done
        await awaiting.update("encoder", "day-1", "a", waveform(0), counts(0))
        assert (await held).event >= 2
        assert (await (await sending)).learned


def test_what_hangs_on_an_answer_may_use_the_stream(client: Client) -> None:
    labelled: Future[Outcome] = Future()
    with client.stream(in_flight=4) as stream:

        def give_label(_: "Future[Outcome]") -> None:
            label = stream.label("encoder", "day-1", "late", counts(0))
            label.add_done_callback(lambda done: labelled.set_result(done.result()))

        waits = stream.update("encoder", "day-1", "late", waveform(0))
        waits.add_done_callback(give_label)
        assert labelled.result(30).learned


def test_a_closed_stream_takes_nothing_more(client: Client) -> None:
    stream = client.stream()
    stream.close()
    refused = stream.update("encoder", "day-1", "a", waveform(0), counts(0)).exception(0)
    assert isinstance(refused, ClientError)
    assert refused.code is grpc.StatusCode.CANCELLED
