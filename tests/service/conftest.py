"""A service in this process with an encoding and a decoding model, fresh for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.client import Client
from tests.service.running import LocalService, local_service, settings_values


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[LocalService, Client]]:
    with local_service(settings_values(tmp_path)) as both:
        yield both


@pytest.fixture
def service(running: tuple[LocalService, Client]) -> LocalService:
    return running[0]


@pytest.fixture
def client(running: tuple[LocalService, Client]) -> Client:
    client = running[1]
    client.open_session("encoder", "day-1", ["unit-1", "unit-2"])
    client.open_session("decoder", "day-1", ["rest", "fist", "point"])
    return client
