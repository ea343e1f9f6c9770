"""A service that is killed, and a network that breaks, under clients at work.

The law: every sample is acknowledged once, in the order sent, and the model ends as one whose
service was never touched.
"""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import grpc
import pytest

from service.client import (
    AsyncClient,
    Client,
    ClientError,
    LearningFrozen,
    Notice,
    Outcome,
    connection,
)
from service.rpc.server import PING_EVERY_S
from tests.service.restarting import Restartable, network, restartable
from tests.service.running import ENCODER, counts, eventually, settings_values, waveform

# A check ends when it ends, so the event that it takes effect at would differ.
MODEL = {**ENCODER, "structure": {"enabled": False}}
UNITS = ["unit-1", "unit-2"]
SAMPLES = 240
PATIENCE_S = 240.0


def settings(folder: Path) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    return settings_values(folder, MODEL)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Restartable]:
    with restartable(tmp_path, settings(tmp_path)) as server:
        yield server


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Hash of the model after all samples, of a service that nothing happened to."""
    folder = tmp_path_factory.mktemp("untouched")
    with restartable(folder, settings(folder)) as server, Client(server.address) as client:
        client.open_session("encoder", "day-1", UNITS)
        with client.stream() as stream:
            for index in range(SAMPLES):
                stream.update(*sample(index))
        return state_hash(client)


def sample(index: int) -> tuple[Any, ...]:
    return "encoder", "day-1", f"s{index}", waveform(index), counts(index)


def state_hash(client: Client) -> str:
    return client.status(include_state_hash=True).models["encoder"].state_hash


def check_answers(outcomes: Sequence[Outcome]) -> None:
    assert [outcome.sample_id for outcome in outcomes] == [f"s{n}" for n in range(SAMPLES)]
    assert [outcome.event for outcome in outcomes] == list(range(2, SAMPLES + 2))
    assert all(outcome.learned for outcome in outcomes)


def meanwhile(act: Callable[[], object], when: Callable[[], bool]) -> threading.Thread:
    """Acts in a thread of its own once something holds."""

    def wait_and_act() -> None:
        eventually(when, PATIENCE_S)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread


def kill_and_start(server: Restartable) -> None:
    server.kill()
    server.start()


def stop_and_start(server: Restartable) -> None:
    server.terminate()
    server.start()


def answered(futures: Sequence["Future[Outcome]"], count: int) -> Callable[[], bool]:
    return lambda: sum(future.done() for future in list(futures)) >= count


@pytest.mark.slow
@pytest.mark.parametrize("end", [kill_and_start, stop_and_start], ids=["killed", "stopped"])
def test_a_stream_outlives_its_service(
    server: Restartable, untouched: str, end: Callable[[Restartable], None]
) -> None:
    sent: list[Future[Outcome]] = []
    with Client(server.address) as client:
        client.open_session("encoder", "day-1", UNITS)
        restarting = meanwhile(lambda: end(server), answered(sent, SAMPLES // 3))
        with client.stream(in_flight=16, outage_s=PATIENCE_S) as stream:
            for index in range(SAMPLES):
                sent.append(stream.update(*sample(index)))  # noqa: PERF401 (watched meanwhile)
        restarting.join(PATIENCE_S)
        check_answers([future.result(0) for future in sent])
        assert state_hash(client) == untouched


@pytest.mark.slow
def test_single_requests_outlive_their_service(server: Restartable, untouched: str) -> None:
    outcomes: list[Outcome] = []
    with Client(server.address, timeout_s=PATIENCE_S) as client:
        client.open_session("encoder", "day-1", UNITS)
        restarting = meanwhile(
            lambda: kill_and_start(server), lambda: len(outcomes) >= SAMPLES // 3
        )
        for index in range(SAMPLES):
            outcomes.append(client.update(*sample(index)))  # noqa: PERF401 (watched meanwhile)
        restarting.join(PATIENCE_S)
        check_answers(outcomes)
        assert state_hash(client) == untouched


@pytest.mark.slow
async def test_an_awaiting_stream_outlives_its_service(server: Restartable, untouched: str) -> None:
    sent: list[asyncio.Future[Outcome]] = []
    async with AsyncClient(server.address, timeout_s=PATIENCE_S) as client:
        await client.open_session("encoder", "day-1", UNITS)
        async with client.stream(in_flight=16, outage_s=PATIENCE_S) as stream:
            for index in range(SAMPLES // 3):
                sent.append(await stream.update(*sample(index)))  # noqa: PERF401 (in order)
            restarting = asyncio.create_task(asyncio.to_thread(kill_and_start, server))
            for index in range(SAMPLES // 3, SAMPLES):
                sent.append(await stream.update(*sample(index)))  # noqa: PERF401
        await restarting
        check_answers([future.result() for future in sent])
        status = await client.status(include_state_hash=True)
        assert status.models["encoder"].state_hash == untouched


@pytest.mark.slow
def test_a_stream_outlives_a_network_that_is_cut_again_and_again(
    server: Restartable, untouched: str
) -> None:
    sent: list[Future[Outcome]] = []
    with network(server.address) as carrier, Client(carrier.address) as client:
        client.open_session("encoder", "day-1", UNITS)
        with client.stream(in_flight=16, outage_s=PATIENCE_S) as stream:
            for index in range(SAMPLES):
                sent.append(stream.update(*sample(index)))
                if index % 50 == 49:
                    carrier.cut()
        check_answers([future.result(0) for future in sent])
        assert state_hash(client) == untouched


@pytest.mark.slow
async def test_an_awaiting_stream_outlives_a_network_that_is_cut(
    server: Restartable, untouched: str
) -> None:
    sent: list[asyncio.Future[Outcome]] = []
    with network(server.address) as carrier:
        async with AsyncClient(carrier.address) as client:
            await client.open_session("encoder", "day-1", UNITS)
            async with client.stream(in_flight=16, outage_s=PATIENCE_S) as stream:
                for index in range(SAMPLES):
                    sent.append(await stream.update(*sample(index)))
                    if index % 50 == 49:
                        carrier.cut()
            check_answers([future.result() for future in sent])
            status = await client.status(include_state_hash=True)
            assert status.models["encoder"].state_hash == untouched


def test_labels_and_predictions_are_resent_too(server: Restartable) -> None:
    with network(server.address) as carrier, Client(carrier.address) as client:
        client.open_session("encoder", "day-1", UNITS)
        labelled, predicted = [], []
        with client.stream(in_flight=8) as stream:
            for index in range(40):
                model, session, name, x, target = sample(index)
                stream.update(model, session, name, x)
                labelled.append(stream.label(model, session, name, target))
                predicted.append(stream.predict(model, session, x))
                if index % 10 == 9:
                    carrier.cut()
        events = [future.result(0).event for future in labelled]
        assert events == sorted(events)
        assert all(future.result(0).values.shape == (2,) for future in predicted)
        status = client.status().models["encoder"]
        assert (status.event, status.pending_labels) == (81, 0)


def test_a_stream_whose_service_never_comes_back_fails_in_time(server: Restartable) -> None:
    with Client(server.address) as client:
        client.open_session("encoder", "day-1", UNITS)
        stream = client.stream(in_flight=4, outage_s=1.5)
        stream.update(*sample(0)).result(30)
        server.kill()
        began_s = time.monotonic()
        sent = [stream.update(*sample(index)) for index in range(1, 9)]
        stream.close()
        assert time.monotonic() - began_s < 15.0
    for future in sent:
        error = future.exception(0)
        assert isinstance(error, ClientError)
        assert error.code is grpc.StatusCode.UNAVAILABLE
    server.start()
    with Client(server.address) as client:
        assert client.status().models["encoder"].event == 2


async def test_an_awaiting_stream_whose_service_never_comes_back_fails_in_time(
    server: Restartable,
) -> None:
    async with AsyncClient(server.address) as client:
        await client.open_session("encoder", "day-1", UNITS)
        stream = client.stream(in_flight=4, outage_s=1.5)
        await (await stream.update(*sample(0)))
        await asyncio.to_thread(server.kill)
        async with asyncio.timeout(15.0):
            sent = [await stream.update(*sample(index)) for index in range(1, 9)]
            await stream.close()
    errors = [future.exception() for future in sent]
    assert {error.code for error in errors if isinstance(error, ClientError)} == {
        grpc.StatusCode.UNAVAILABLE
    }


def test_a_stream_that_is_not_to_connect_anew_fails_at_once(server: Restartable) -> None:
    with network(server.address) as carrier, Client(carrier.address) as client:
        client.open_session("encoder", "day-1", UNITS)
        stream = client.stream(reconnect=False)
        stream.update(*sample(0)).result(30)
        carrier.cut()
        eventually(lambda: stream.update(*sample(1)).done())
        refused = stream.update(*sample(1)).exception(0)
        assert isinstance(refused, ClientError)
        stream.close()


def test_an_idle_stream_goes_on_after_an_outage_longer_than_it_bears(server: Restartable) -> None:
    with network(server.address) as carrier, Client(carrier.address) as client:
        client.open_session("encoder", "day-1", UNITS)
        with client.stream(outage_s=0.8) as stream:
            stream.update(*sample(0)).result(30)
            for index in (1, 2):
                carrier.cut()
                time.sleep(1.2)
                assert stream.update(*sample(index)).result(30).event == index + 2


@pytest.mark.slow
def test_a_network_that_falls_silent_is_noticed(
    server: Restartable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.client.connection.SILENCE_S", 11.0)
    monkeypatch.setattr("service.client.connection.ANSWER_S", 1.0)
    with network(server.address) as carrier, Client(carrier.address) as client:
        client.open_session("encoder", "day-1", UNITS)
        with client.stream(outage_s=1.0) as stream:
            stream.update(*sample(0)).result(30)
            carrier.fall_silent()
            lost = stream.update(*sample(1))
            assert isinstance(lost.exception(40), ClientError)
        carrier.recover()


def test_a_service_bears_being_asked_whether_it_is_there() -> None:
    """It ends the connections of who asks more often than it bears."""
    assert connection.SILENCE_S > PING_EVERY_S


@pytest.mark.slow
def test_a_watch_goes_on_and_says_that_it_missed_something(server: Restartable) -> None:
    with (
        Client(server.address, timeout_s=PATIENCE_S) as client,
        client.watch(["encoder"], outage_s=PATIENCE_S) as watch,
    ):
        notices = (notice for notice in watch if isinstance(notice.what, LearningFrozen))
        first = told_by(client, notices)
        assert not first.after_outage
        kill_and_start(server)
        second = told_by(client, notices)
        assert second.after_outage
        assert second.event > first.event
        assert not told_by(client, notices).after_outage


def told_by(client: Client, notices: Iterator[Notice]) -> Notice:
    """The next notice of learning that stops and goes on until the watch has heard of it."""
    heard: Future[Notice] = Future()
    listening = threading.Thread(target=lambda: heard.set_result(next(notices)))
    listening.start()
    for act in itertools.cycle((client.freeze, client.resume)):
        if heard.done():
            break
        act("encoder")
        listening.join(0.5)
    return heard.result(0)
