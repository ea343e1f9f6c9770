"""A service whose checks run in a process of their own: killed, given up, queued, left behind."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from service._generated import scatonline_pb2 as pb
from service._generated import scatonline_pb2_grpc as rpc
from service.client import Client, ClientError, ModelStatus
from tests.service.running import (
    ENCODER,
    ServerProcess,
    counts,
    eventually,
    scrape,
    server_process,
    settings_values,
    waveform,
)

# It waits for a start of the service, and for some of PyTorch in the process of its checks.
pytestmark = pytest.mark.slow
QUICK = {**ENCODER, "name": "quick", "structure": {**ENCODER["structure"], "enabled": False}}
ENDLESS: dict[str, Any] = {
    **QUICK,
    "name": "endless",
    "structure": {**QUICK["structure"], "restarts": 100_000},
}
WAIT_S = 120.0
PARENT, NICE, LOW = 1, 16, "10"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("checks")
    with server_process(folder, settings_values(folder, QUICK, ENDLESS)) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[Client]:
    with Client(server.address, timeout_s=WAIT_S) as client:
        prepare(client)
        yield client


def prepare(client: Client) -> None:
    """Both models have learned, and the process of checks has started."""
    for name in ("quick", "endless"):
        client.open_session(name, "day-1", ["unit-1", "unit-2"])
        for index in range(45):
            client.update(name, "day-1", f"s{index}", waveform(index), counts(index))
    client.check_structure("quick")


def computes(pid: int) -> bool:
    return told(pid)[0] == "R"


def status(client: Client, name: str) -> ModelStatus:
    return client.status().models[name]


def told(pid: int) -> list[str]:
    """What the system tells of a process that runs, from its state on; nothing of any other."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [] if fields[0] == "Z" else fields


def children(pid: int) -> list[int]:
    """Numbers of the processes that a process has started and that still run."""
    running = {int(folder.name) for folder in Path("/proc").glob("[0-9]*")}
    return [each for each in running if told(each)[PARENT : PARENT + 1] == [str(pid)]]


def process_of_checks(server: ServerProcess) -> int:
    """The one of low priority."""
    (pid,) = (pid for pid in children(server.process.pid) if told(pid)[NICE] == LOW)
    return pid


def test_a_killed_check_is_told_and_costs_neither_the_other_model_nor_the_next_check(
    server: ServerProcess, client: Client
) -> None:
    killed, before = process_of_checks(server), status(client, "quick").structure_checks
    with ThreadPoolExecutor() as askers:
        ends = askers.submit(client.check_structure, "endless")
        eventually(lambda: computes(killed))
        waits = askers.submit(client.check_structure, "quick")
        eventually(lambda: status(client, "quick").structure_check_running)
        assert client.predict("quick", "day-1", waveform(99)).values.shape == (2,)
        os.kill(killed, signal.SIGKILL)
        with pytest.raises(ClientError, match=r"ABORTED.*exit status -9.*ask again"):
            ends.result(WAIT_S)
        assert waits.result(WAIT_S).decision.samples == 45
    one, other = status(client, "endless"), status(client, "quick")
    assert (one.structure_checks, one.structure_check_failures) == (1, 1)
    assert (other.structure_checks, other.structure_check_failures) == (before + 1, 0)
    assert not one.structure_check_running
    assert "structure_check_failed" in Path(server.log.name).read_text()
    assert process_of_checks(server) != killed


def test_a_call_taken_back_in_the_middle_of_a_check_leaves_it_alone(
    server: ServerProcess, client: Client
) -> None:
    before, process = status(client, "quick"), process_of_checks(server)
    os.kill(process, signal.SIGSTOP)
    try:
        with grpc.insecure_channel(server.address) as channel:
            stub = rpc.ScatOnlineStub(channel)
            call = stub.CheckStructure.future(pb.CheckStructureRequest(model="quick"))
            eventually(lambda: status(client, "quick").structure_check_running)
            assert call.cancel()  # type: ignore[no-untyped-call]
            # Once this is answered, the service knows of what came before it on the same channel.
            stub.Status(pb.StatusRequest())
    finally:
        os.kill(process, signal.SIGCONT)
    eventually(lambda: not status(client, "quick").structure_check_running, WAIT_S)
    after = status(client, "quick")
    assert after.structure_checks == before.structure_checks + 1
    assert after.structure_check_failures == before.structure_check_failures
    # The decision was applied all the same, as one event.
    assert after.event == before.event + 1
    assert client.check_structure("quick").decision.samples == 45
    assert "InvalidStateError" not in Path(server.log.name).read_text()


def test_the_page_shows_what_the_process_takes(server: ServerProcess, client: Client) -> None:
    page = scrape(server.metrics_port)
    name = "scatonline_structure_check_process_resident_memory_bytes"
    assert page[name, frozenset()] > 2**26


def test_a_service_that_is_killed_in_the_middle_of_a_check_leaves_no_process_behind(
    tmp_path: Path,
) -> None:
    with server_process(tmp_path, settings_values(tmp_path, QUICK, ENDLESS)) as server:
        with Client(server.address, timeout_s=WAIT_S) as client, ThreadPoolExecutor() as asker:
            prepare(client)
            asked = asker.submit(client.check_structure, "endless")
            eventually(lambda: computes(process_of_checks(server)))
            left = children(server.process.pid)
            server.process.kill()
            assert isinstance(asked.exception(WAIT_S), ClientError)
        assert left
        eventually(lambda: not any(told(pid) for pid in left))
