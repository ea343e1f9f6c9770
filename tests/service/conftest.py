"""Fresh for each test: a service in this process with two models, and engines without a service."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from service.client import Client
from service.engine import Engine, InThreads, Notices, SessionOpened
from service.opening import Opener
from service.settings import Settings
from service.storage.failpoints import arm
from service.telemetry import Instruments
from tests.service.running import ENCODER, LocalService, local_service, settings_values


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


@pytest.fixture
def failed() -> threading.Event:
    """Set once a writer has died."""
    return threading.Event()


@pytest.fixture
def make_engine(tmp_path: Path, failed: threading.Event) -> Iterator[Callable[..., Engine]]:
    """Makes started engines on one folder; drains those that a test leaves running."""
    made: list[Engine] = []

    def make_engine(**sections: Any) -> Engine:
        settings = Settings(**settings_values(tmp_path, ENCODER, **sections))
        opener = Opener(
            settings,
            "cpu",
            Instruments(CollectorRegistry(), "0"),
            Notices(),
            checks=InThreads(),
            on_failure=failed.set,
            on_storage=lambda: None,
        )
        engine = opener.open(settings.models[0])
        engine.start()
        engine.submit(SessionOpened("day-1", ("unit-1", "unit-2"))).result(30)
        made.append(engine)
        return engine

    yield make_engine
    arm({})
    for engine in made:
        engine.drain()
