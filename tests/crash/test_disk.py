"""A disk that is full, and one that fails: nothing is answered that is not stored."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.client import Client, ClientError, Outcome
from tests.crash.course import target, window
from tests.crash.lives import served
from tests.crash.models import GUARDED, UNITS
from tests.crash.sending import bits
from tests.crash.small_disk import small_disk
from tests.service.running import ServerProcess, eventually, scrape, series, settings_values

NAME = "guarded"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def settings(folder: Path, state: Path, **storage: float) -> dict[str, Any]:
    return settings_values(folder, GUARDED, storage={"directory": str(state), **storage})


def update(client: Client, index: int) -> Outcome:
    return client.update(NAME, "day", f"s{index}", window(NAME, index), target(NAME, index))


def health(address: str) -> int:
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        status: int = stub.Check(health_pb2.HealthCheckRequest(), timeout=10).status
    return status


def state(client: Client) -> tuple[int, str]:
    status = client.status(include_state_hash=True).models[NAME]
    return status.event, status.state_hash


def update_until_refused(client: Client, outcomes: list[Outcome]) -> ClientError:
    """What still finds room is stored."""
    while True:
        try:
            outcomes.append(update(client, len(outcomes)))
        except ClientError as error:
            return error


@contextmanager
def ended(server: ServerProcess) -> Iterator[ServerProcess]:
    try:
        yield server
    finally:
        server.close()


@pytest.mark.slow
def test_a_full_disk_refuses_updates_answers_predictions_and_goes_on(tmp_path: Path) -> None:
    disk_folder = tmp_path / "disk"
    # Checkpoints are tried meanwhile, and fail.
    values = settings(tmp_path, disk_folder / "state", checkpoint_every_s=0.5)
    with small_disk(disk_folder) as disk:
        with (
            ended(disk.serve(tmp_path, values)) as server,
            Client(server.address, timeout_s=0.5) as hasty,
            Client(server.address, timeout_s=120.0) as patient,
            ThreadPoolExecutor(1) as beside,
        ):
            patient.open_session(NAME, "day", UNITS)
            outcomes = [update(patient, index) for index in range(20)]
            disk.fill()
            refused = update_until_refused(hasty, outcomes)
            assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert refused.retry_after_s == 1.0
            eventually(lambda: health(server.address) == NOT_SERVING)
            before = state(patient)
            assert before[0] == outcomes[-1].event
            assert patient.predict(NAME, "day", window(NAME, 0)).event == before[0]
            assert not patient.status().models[NAME].storage_ready
            ready = series("scatonline_storage_ready", model=NAME)
            assert scrape(server.metrics_port)[ready] == 0.0
            waiting = beside.submit(update, patient, len(outcomes))
            disk.empty()
            outcomes.append(waiting.result(60))
            assert outcomes[-1].event == before[0] + 1
            eventually(lambda: health(server.address) == SERVING)
            outcomes += [update(patient, index) for index in range(len(outcomes), 40)]
            after = state(patient)
        # `ended` killed it.
        assert server.process.returncode == -9
        (tmp_path / "ready.json").unlink()
        with ended(disk.serve(tmp_path, values)) as server, Client(server.address) as client:
            assert state(client) == after
            for index, outcome in enumerate(outcomes):
                assert bits(update(client, index)) == bits(outcome)
            assert state(client) == after


def test_a_disk_that_becomes_full_under_a_stream_loses_nothing(tmp_path: Path) -> None:
    values = settings(tmp_path, tmp_path / "state")
    with served(tmp_path, values, "journal.append=enospc@3+") as (one, client):
        client.open_session(NAME, "day", UNITS)
        first = update(client, 0)
        with Client(f"127.0.0.1:{one.ports['grpc_port']}", timeout_s=0.2) as hasty:
            for _ in range(3):
                with pytest.raises(ClientError, match="RESOURCE_EXHAUSTED"):
                    update(hasty, 1)
        # It is looked at once a second.
        for _ in range(25):
            assert health(f"127.0.0.1:{one.ports['grpc_port']}") == NOT_SERVING
            time.sleep(0.1)
        before = state(client)
        assert before[0] == first.event
    with served(tmp_path, values) as (_, client):
        assert state(client) == before
        assert bits(update(client, 0)) == bits(first)
        assert update(client, 1).event == first.event + 1


@pytest.mark.parametrize("where", ["journal.flush=eio@5", "journal.append=eio@5"])
def test_a_disk_that_fails_ends_the_process_and_nothing_is_acknowledged(
    tmp_path: Path, where: str
) -> None:
    values = settings(tmp_path, tmp_path / "state")
    with served(tmp_path, values, where) as (one, _):
        with Client(f"127.0.0.1:{one.ports['grpc_port']}", timeout_s=1.0) as client:
            client.open_session(NAME, "day", UNITS)
            outcomes = [update(client, index) for index in range(3)]
            with pytest.raises(ClientError, match="UNAVAILABLE"):
                update(client, 3)
        assert one.end() == 1
        assert "writer_failed" in one.told()
    with served(tmp_path, values) as (_, client):
        # What was written and not answered may be there; sent again, it is there once.
        assert state(client)[0] in (outcomes[-1].event, outcomes[-1].event + 1)
        assert bits(update(client, 2)) == bits(outcomes[-1])
        assert update(client, 3).event == outcomes[-1].event + 1
        assert state(client)[0] == outcomes[-1].event + 1
