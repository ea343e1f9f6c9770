"""A stop under load: what was read is answered or stored, and one more signal hurries it."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.client import Client, ClientError, Outcome
from service.storage.checkpoints import CheckpointStore
from tests.crash.course import target
from tests.crash.lives import Life, served
from tests.crash.models import LEARNER, UNITS
from tests.crash.sending import bits
from tests.service.running import eventually, settings_values, waveform

NAME, LENGTH = "learner", 4096
# So slow that much waits when the signal comes.
SLOW: dict[str, Any] = {**LEARNER, "shape": [LENGTH], "bank": {"J": 9, "Q": [8, 1]}}
STREAMS, SAMPLES = 4, 60
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def settings(folder: Path, drain_s: float) -> dict[str, Any]:
    storage = {"directory": str(folder / "state"), "checkpoint_every_s": 3600.0}
    server = {"port": 0, "drain_s": drain_s}
    return settings_values(folder, SLOW, storage=storage, server=server)


def send(client: Client) -> list["Future[Outcome]"]:
    """More than is answered in the seconds of this test, all at once."""
    sent: list[Future[Outcome]] = []
    client.open_session(NAME, "day", UNITS)
    for number in range(STREAMS):
        stream = client.stream(in_flight=SAMPLES, reconnect=False)
        sent += [
            stream.update(NAME, "day", f"s{index}", waveform(index, 1, LENGTH), answer(index))
            for index in range(number * SAMPLES, (number + 1) * SAMPLES)
        ]
    eventually(lambda: sum(future.done() for future in sent) >= 10, 60.0)
    return sent


def answer(index: int) -> Any:
    return target(NAME, index)


def answered(sent: Sequence["Future[Outcome]"]) -> dict[int, Outcome]:
    """What was answered, by number; all else was refused as what a stopping service refuses."""
    found = {}
    for index, future in enumerate(sent):
        error = future.exception(60)
        if error is None:
            found[index] = future.result()
        else:
            assert isinstance(error, ClientError)
            assert error.code is grpc.StatusCode.UNAVAILABLE
    return found


def stop(one: Life, signals: int) -> float:
    """Seconds that it took; its health says so first."""
    with grpc.insecure_channel(f"127.0.0.1:{one.ports['grpc_port']}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=60)
        next(watch)
        begun_s = time.monotonic()
        one.terminate()
        assert next(watch).status == NOT_SERVING
        for _ in range(signals - 1):
            one.terminate()
        assert one.end() == 0, one.told()
    return time.monotonic() - begun_s


@pytest.mark.slow
@pytest.mark.parametrize(("signals", "drain_s"), [(1, 4.0), (2, 600.0)])
def test_a_stop_under_load_loses_nothing_and_is_quick(
    tmp_path: Path, signals: int, drain_s: float
) -> None:
    values = settings(tmp_path, drain_s)
    with served(tmp_path, values) as (one, client):
        sent = send(client)
        assert stop(one, signals) < 10.0
        outcomes = answered(sent)
    assert len(outcomes) >= 10
    newest, _ = CheckpointStore(tmp_path / "state" / NAME, keep=3).load_newest()
    assert newest is not None
    last = max(outcome.event for outcome in outcomes.values())
    hurried = "hurrying" in one.told()
    assert hurried or signals == 1
    # Without haste all is in the checkpoint; else the journal has what came after it.
    assert newest.event < last if hurried else newest.event >= last
    with served(tmp_path, values) as (_, client):
        for index, outcome in list(outcomes.items())[-20:]:
            x = waveform(index, 1, LENGTH)
            again = client.update(NAME, "day", f"s{index}", x, answer(index))
            assert bits(again) == bits(outcome)
