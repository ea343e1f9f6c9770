"""Real servers for tests: one in this process, one in a process of its own."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
import yaml
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

from service.app import App
from service.client import Client
from service.settings import Settings

START_S = 120.0

ENCODER: dict[str, Any] = {
    "name": "encoder",
    "channels": 1,
    "shape": [64],
    "bank": {"J": 3, "Q": [2, 1], "max_order": 1},
    "features": {"orders": [0, 1], "calibration": 8},
    "learning": {"warmup": 8},
    "structure": {"window": 64, "check_every": 40, "min_effective": 10.0, "restarts": 2},
}
DECODER: dict[str, Any] = {
    "name": "decoder",
    "channels": 2,
    "shape": [32],
    "bank": {"J": 2, "Q": [1], "max_order": 1},
    "features": {"orders": [0, 1], "calibration": 8},
    "readout": {"kind": "softmax"},
    "learning": {"warmup": 8},
    "structure": {"enabled": False},
}
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def settings_values(folder: Path, *models: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """Settings on free ports with the state under `folder`."""
    return {
        "server": {"port": 0},
        "metrics": {"port": 0, "refresh_s": 0.05},
        "storage": {"directory": str(folder / "state")},
        "device": "cpu",
        "threads": 1,
        "models": list(models or (ENCODER, DECODER)),
        **sections,
    }


class LocalService:
    """The whole service in a thread of this process."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.failed = threading.Event()
        try:
            self.app = self._wait_for(self._start(Settings(**values)))
        except BaseException:
            self._end_loop()
            raise
        self.address = f"127.0.0.1:{self.ports.grpc}"

    async def _start(self, settings: Settings) -> App:
        app = App(settings, self.failed.set)
        self.ports = await app.start()
        return app

    def stop(self) -> bool:
        """Drains; True if everything acknowledged is saved."""
        try:
            saved: bool = self._wait_for(self.app.stop())
            return saved
        finally:
            self._end_loop()

    def scrape(self) -> Series:
        """Every series of the metrics page."""
        return scrape(self.ports.metrics)

    def _wait_for(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(START_S)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def local_service(values: dict[str, Any]) -> Iterator[tuple[LocalService, Client]]:
    """A service in this process and a client of it."""
    service = LocalService(values)
    try:
        with Client(service.address, timeout_s=START_S) as client:
            yield service, client
    finally:
        service.stop()


class ServerProcess:
    """`scatonline serve` in a process of its own."""

    def __init__(self, folder: Path, values: dict[str, Any], prefix: tuple[str, ...] = ()) -> None:
        config, ready = folder / "settings.yaml", folder / "ready.json"
        config.write_text(yaml.safe_dump(values))
        self.log = (folder / "log.txt").open("ab")
        command = [sys.executable, "-m", "service", "serve"]
        self.process = subprocess.Popen(
            [*prefix, *command, "--config", config, "--ready-file", ready], stderr=self.log
        )
        ports = self._await(ready)
        self.address = f"127.0.0.1:{ports['grpc_port']}"
        self.metrics_port: int = ports["metrics_port"]

    def terminate(self) -> int:
        """Sends SIGTERM and gives the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(START_S)

    def close(self) -> None:
        """Leaves nothing running, whatever a test did."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def _await(self, ready: Path) -> dict[str, int]:
        deadline = time.monotonic() + START_S
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise RuntimeError(f"no server: {Path(self.log.name).read_text()}")
            time.sleep(0.02)
        ports: dict[str, int] = json.loads(ready.read_text())
        return ports


@contextmanager
def server_process(folder: Path, values: dict[str, Any]) -> Iterator[ServerProcess]:
    """A server process that is gone at the end."""
    server = ServerProcess(folder, values)
    try:
        yield server
    finally:
        server.close()


def scrape(port: int) -> Series:
    """Every series of a metrics page: (name, labels) → value."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        text = page.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def series(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """Key of one series."""
    return name, frozenset(labels.items())


def waveform(index: int, channels: int = 1, length: int = 64) -> NDArray[np.float32]:
    """A repeatable noise window, (channels, length)."""
    noise = np.random.default_rng(index).normal(size=(channels, length))
    return noise.astype(np.float32)


def counts(index: int, outputs: int = 2) -> NDArray[np.float32]:
    """Repeatable spike counts, (outputs,)."""
    return np.random.default_rng(10_000 + index).poisson(1.0, outputs).astype(np.float32)


def eventually(holds: Any, timeout_s: float = 20.0) -> None:
    """Waits until `holds()` is true."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "did not become true in time"
        time.sleep(0.01)
