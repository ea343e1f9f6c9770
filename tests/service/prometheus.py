"""A real Prometheus for tests, with the configuration and the rules of deploy/."""

import json
import math
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

START_S = 30.0
# Ends of intervals come once a second here, so that a test need not wait for those of deploy/.
INTERVAL = "1s"
HELD_FOR = "2s"


class PrometheusServer:
    """`prometheus` on a port that it chose.

    Args:
        folder: Where its configuration, data and log go.
        deploy: The folder deploy/.
        metrics_port: Port of the page that it scrapes.
    """

    def __init__(self, folder: Path, deploy: Path, metrics_port: int) -> None:
        program = shutil.which("prometheus")
        if program is None:
            pytest.skip("prometheus is not installed: CONTRIBUTING.md says how to get it")
        folder.mkdir()
        self._log = folder / "log.txt"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--config.file={_configuration(folder, deploy, metrics_port)}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    "--web.listen-address=127.0.0.1:0",
                    "--log.format=json",
                ],
                stderr=log,
            )
        self._address = self._listening()
        self._await_ready()

    def query(self, expression: str) -> dict[frozenset[tuple[str, str]], float]:
        """The value of every series that an expression gives now, by all its labels."""
        result = self._ask("query", query=expression)["result"]
        return {frozenset(each["metric"].items()): _number(each["value"][1]) for each in result}

    def value(self, expression: str) -> float:
        """The value of the only series of an expression; NaN where there is none."""
        values = list(self.query(expression).values())
        assert len(values) <= 1, (expression, values)
        return values[0] if values else math.nan

    def rules(self) -> list[dict[str, Any]]:
        """Every alert rule with its health and state."""
        groups = self._ask("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def alerts(self, state: str) -> set[str]:
        """Names of the alerts that are `inactive`, `pending` or `firing`."""
        return {rule["name"] for rule in self.rules() if rule["state"] == state}

    def close(self) -> None:
        """Leaves nothing running."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, what: str, **parameters: str) -> Any:
        url = f"http://{self._address}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as page:
            answer = json.load(page)
        assert answer["status"] == "success", answer
        return answer["data"]

    def _listening(self) -> str:
        deadline = time.monotonic() + START_S
        while True:
            for line in self._log.read_text().splitlines(keepends=True):
                told = json.loads(line) if line.endswith("\n") and line[0] == "{" else {}
                if told.get("msg") == "Listening on":
                    return str(told["address"])
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise RuntimeError(f"no Prometheus: {self._log.read_text()}")
            time.sleep(0.02)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                with urllib.request.urlopen(f"http://{self._address}/-/ready", timeout=10):
                    return
            except OSError:
                assert time.monotonic() < deadline, self._log.read_text()
                time.sleep(0.02)


@contextmanager
def prometheus_server(folder: Path, deploy: Path, metrics_port: int) -> Iterator[PrometheusServer]:
    """A Prometheus that is gone at the end."""
    server = PrometheusServer(folder, deploy, metrics_port)
    try:
        yield server
    finally:
        server.close()


def _configuration(folder: Path, deploy: Path, metrics_port: int) -> Path:
    """That of deploy/ with another target and shorter intervals."""
    tree = yaml.safe_load((deploy / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    tree["global"] = dict.fromkeys(tree["global"], INTERVAL)
    (job,) = tree["scrape_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{metrics_port}"]}]
    for name in tree["rule_files"]:
        rules = yaml.safe_load((deploy / "prometheus" / name).read_text(encoding="utf-8"))
        for rule in (rule for group in rules["groups"] for rule in group["rules"]):
            if "for" in rule:
                rule["for"] = HELD_FOR
        (folder / name).write_text(yaml.safe_dump(rules))
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(tree))
    return path


def _number(text: str) -> float:
    return float(text.replace("Inf", "inf"))
