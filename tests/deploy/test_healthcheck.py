"""The container's health check against a real gRPC server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.service.locked import Keys, locked_service

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def servicer() -> health.HealthServicer:
    return health.HealthServicer()


@pytest.fixture
def port(servicer: health.HealthServicer) -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


def _check(deploy: Path, port: int, **keys: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, deploy / "healthcheck.py"],
        env=os.environ | {"SCATONLINE_SERVER__PORT": str(port)} | keys,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_serving_service_is_healthy(
    deploy: Path, servicer: health.HealthServicer, port: int
) -> None:
    servicer.set("", SERVING)
    result = _check(deploy, port)
    assert result.returncode == 0, result.stderr


def test_a_service_that_drains_is_not_healthy(
    deploy: Path, servicer: health.HealthServicer, port: int
) -> None:
    servicer.set("", NOT_SERVING)
    result = _check(deploy, port)
    assert result.returncode == 1
    assert "NOT_SERVING" in result.stderr


def test_no_service_is_not_healthy(deploy: Path) -> None:
    result = _check(deploy, 1)
    assert result.returncode == 1
    assert "does not answer" in result.stderr


def test_a_locked_service_is_asked_with_its_keys(deploy: Path, tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    token = tmp_path / "health.token"
    token.write_text(keys.held["predict"] + "\n")
    named = {"HEALTHCHECK_ROOTS": str(keys.roots), "HEALTHCHECK_TOKEN_FILE": str(token)}
    with locked_service(keys) as service:
        asked = _check(deploy, service.ports.grpc, **named)
        stranger = _check(deploy, service.ports.grpc, HEALTHCHECK_ROOTS=str(keys.roots))
    assert asked.returncode == 0, asked.stderr
    assert stranger.returncode == 1
    assert "UNAUTHENTICATED" in stranger.stderr


def test_keys_that_cannot_be_used_are_named(deploy: Path, tmp_path: Path) -> None:
    result = _check(deploy, 1, HEALTHCHECK_ROOTS=str(tmp_path / "none.pem"))
    assert result.returncode == 1
    assert "the keys cannot be used: " in result.stderr
    assert "none.pem" in result.stderr
