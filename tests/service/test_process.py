"""`scatonline serve` as a process: signals, health, reflection, refused starts."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from service.client import Client, ClientError, Outcome
from tests.service.running import (
    ENCODER,
    counts,
    eventually,
    server_process,
    settings_values,
    waveform,
)

SERVING = health_pb2.HealthCheckResponse.SERVING


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(("asked", "found"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_of_an_operation_wait_asleep_unless_asked_otherwise(
    asked: str | None, found: str
) -> None:
    """As OpenMP itself tells it when torch is loaded after a command began."""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    environment |= {"OMP_DISPLAY_ENV": "TRUE"} | (
        {} if asked is None else {"OMP_WAIT_POLICY": asked}
    )
    done = subprocess.run(
        [sys.executable, "-c", "from service.cli import main; main(['version']); import torch"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=environment,
    )
    assert f"OMP_WAIT_POLICY = '{found}'" in done.stderr


def write(folder: Path, values: dict[str, Any]) -> Path:
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_stop_under_load_keeps_every_acknowledged_sample(tmp_path: Path) -> None:
    values = settings_values(tmp_path, ENCODER)
    with server_process(tmp_path, values) as server:
        sent: list[Future[Outcome]] = []
        with Client(server.address) as client:
            client.open_session("encoder", "day-1", ["unit-1", "unit-2"])
            enough = threading.Event()

            def send() -> None:
                with client.stream(in_flight=16, reconnect=False) as stream:
                    for index in range(100_000):
                        future = stream.update(
                            "encoder", "day-1", f"s{index}", waveform(index), counts(index)
                        )
                        if future.done() and future.exception() is not None:
                            return
                        sent.append(future)
                        if index == 200:
                            enough.set()

            sender = threading.Thread(target=send)
            sender.start()
            assert enough.wait(60)
            assert server.terminate() == 0
            sender.join(60)
    answered = [future.result() for future in sent if future.exception(30) is None]
    refused = [future.exception(30) for future in sent if future.exception(30) is not None]
    assert len(answered) > 100
    for error in refused:
        assert isinstance(error, ClientError)
        assert error.code == grpc.StatusCode.UNAVAILABLE
    with server_process(tmp_path, values) as server, Client(server.address) as client:
        status = client.status().models["encoder"]
        assert status.event >= answered[-1].event
        assert status.scores.samples >= len(answered)
        with pytest.raises(ClientError, match="ALREADY_EXISTS"):
            client.update("encoder", "day-1", answered[-1].sample_id, waveform(0), counts(0))


@pytest.mark.slow
def test_a_stop_does_not_wait_for_a_long_structure_check(tmp_path: Path) -> None:
    endless = {**ENCODER, "structure": {**ENCODER["structure"], "restarts": 100_000}}
    with server_process(tmp_path, settings_values(tmp_path, endless)) as server:
        with Client(server.address) as client:
            client.open_session("encoder", "day-1", ["unit-1", "unit-2"])
            for index in range(45):
                client.update("encoder", "day-1", f"s{index}", waveform(index), counts(index))
            assert client.status().models["encoder"].structure_check_running
        begun_s = time.monotonic()
        assert server.terminate() == 0
        assert time.monotonic() - begun_s < 10.0
    assert "structure_decision_dropped" in (tmp_path / "log.txt").read_text()


def test_interrupt_ends_cleanly_too(tmp_path: Path) -> None:
    with server_process(tmp_path, settings_values(tmp_path, ENCODER)) as server:
        ready = tmp_path / "ready.json"
        assert json.loads(ready.read_text())["pid"] == server.process.pid
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(60) == 0
        assert not ready.exists()


def test_health_and_reflection(tmp_path: Path) -> None:
    with (
        server_process(tmp_path, settings_values(tmp_path, ENCODER)) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        watched: list[Any] = []
        for service in ("", "scatonline.v1.ScatOnline"):
            request = health_pb2.HealthCheckRequest(service=service)
            assert health.Check(request, timeout=10).status == SERVING
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=60)

        def follow() -> None:
            try:
                watched.extend(reply.status for reply in watch)
            except grpc.RpcError:
                return

        follower = threading.Thread(target=follow)
        follower.start()
        eventually(lambda: watched == [SERVING])
        listed = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10
        )
        names = {each.name for each in next(listed).list_services_response.service}
        assert "scatonline.v1.ScatOnline" in names
        assert "grpc.health.v1.Health" in names
        server.process.send_signal(signal.SIGTERM)
        follower.join(60)
        assert watched == [SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]


def test_refused_settings_are_one_message(tmp_path: Path) -> None:
    refused = run("serve", "--config", write(tmp_path, {"servr": {}}))
    assert refused.returncode == 1
    assert "servr: got an unknown key" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_version() -> None:
    shown = run("version")
    assert shown.returncode == 0
    assert shown.stdout.startswith("scatonline ")


def test_the_client_needs_neither_torch_nor_the_models() -> None:
    code = (
        "import sys, service.client; "
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'scatonline', 'pydantic')])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.strip() == "[]"
