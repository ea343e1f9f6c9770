"""Servers in processes of their own, gone at the end."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

START_S = 120.0


@dataclass
class Server:
    """A running server.

    Attributes:
        process: Its process.
        address: Of its gRPC port.
        metrics_port: Of its Prometheus page; 0 where it has none.
        start_s: Seconds from the start of the process until it answered.
    """

    process: "subprocess.Popen[bytes]"
    address: str
    metrics_port: int
    start_s: float

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Every series of the page: (name, labels) → value."""
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as page:
            text = page.read().decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def metric(self, name: str) -> float:
        """Sum of a metric's series."""
        return sum(value for (found, _), value in self.metrics().items() if found == name)

    def computed_s(self) -> tuple[float, float]:
        """Processor seconds so far: of the event loop's thread, and of each other one's the most.

        Of a service with one model that learns, that other one is the model's writer.
        """
        spent = {
            int(thread.name): int((thread / "schedstat").read_text().split()[0]) / 1e9
            for thread in Path(f"/proc/{self.process.pid}/task").glob("*")
        }
        loop_s = spent.pop(self.process.pid)
        return loop_s, max(spent.values())

    def kill(self) -> None:
        """Ends it with no chance to do anything."""
        self.process.kill()
        self.process.wait()


@contextmanager
def scatonline(folder: Path, model: dict[str, Any]) -> Iterator[Server]:
    """`scatonline serve` with one model; what it stores stays in `folder`."""
    config = folder / "settings.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "server": {"port": 0},
                "metrics": {"port": 0},
                "storage": {"directory": str(folder / "state"), "checkpoint_every_s": 3600.0},
                "device": "cpu",
                "threads": 1,
                "log": {"level": "warning"},
                "models": [model],
            }
        )
    )
    ready = folder / "ready.json"
    command = ["-m", "service", "serve", "--config", str(config), "--ready-file", str(ready)]
    with _running(command, ready) as (process, start_s):
        ports = json.loads(ready.read_text())
        yield Server(process, f"127.0.0.1:{ports['grpc_port']}", ports["metrics_port"], start_s)


@contextmanager
def echo(folder: Path, loop: str = "uvloop") -> Iterator[Server]:
    """The bare echo, on an event loop like the service's, or on Python's own: `asyncio`."""
    ready = folder / f"echo.{loop}"
    with _running(["-m", "benchmarks.service.echo", str(ready), loop], ready) as (process, start_s):
        yield Server(process, f"127.0.0.1:{ready.read_text()}", 0, start_s)


@contextmanager
def _running(
    arguments: Sequence[str], ready: Path
) -> Iterator[tuple["subprocess.Popen[bytes]", float]]:
    ready.unlink(missing_ok=True)
    started_s = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments])
    try:
        while not ready.exists():
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(arguments)}: ended with {process.returncode}")
            if time.perf_counter() - started_s > START_S:
                raise RuntimeError(f"{' '.join(arguments)}: not ready within {START_S} s")
            time.sleep(0.005)
        yield process, time.perf_counter() - started_s
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
