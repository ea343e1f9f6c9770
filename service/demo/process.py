"""The service as a process of its own, as an experiment would have it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from service.demo.errors import DemoError

START_S = 120.0
STOP_S = 30.0
POLL_S = 0.05
_OWN_VARIABLES = "SCATONLINE_"


class ServiceProcess:
    """Starts the service and makes sure that it ends.

    It runs in a session of its own, so that Ctrl-C reaches only the demo, which then stops it in
    order. Settings come from the demo alone: variables that would override them are not passed on.

    Args:
        settings: Contents of the settings file.
        folder: Where settings and log are written.
        scratch: Where the file with the ports appears.

    Attributes:
        grpc_target: Address for the client.
        metrics_url: Where Prometheus would scrape.
    """

    grpc_target: str
    metrics_url: str

    def __init__(self, settings: dict[str, Any], folder: Path, scratch: Path) -> None:
        self.config = folder / "settings.yaml"
        self.log = folder / "service.log"
        self._ready = scratch / "ready.json"
        self._host = settings["server"]["host"]
        self.config.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        command = [sys.executable, "-m", "service", "serve"]
        command += ["--config", str(self.config), "--ready-file", str(self._ready)]
        kept = {k: v for k, v in os.environ.items() if not k.upper().startswith(_OWN_VARIABLES)}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 (own interpreter, own arguments)
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=kept,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """True until the process has ended."""
        return self._process.poll() is None

    def wait_until_ready(self) -> None:
        """Waits until requests are answered.

        Raises:
            DemoError: the process ended, or took too long.
        """
        deadline_s = time.monotonic() + START_S
        while not self._ready.exists():
            if not self.alive:
                raise DemoError(f"the service did not start: {self.last_words()}")
            if time.monotonic() > deadline_s:
                raise DemoError(f"the service was not ready after {START_S:.0f} s; see {self.log}")
            time.sleep(POLL_S)
        ports = json.loads(self._ready.read_text(encoding="utf-8"))
        self.grpc_target = f"{self._host}:{ports['grpc_port']}"
        self.metrics_url = f"http://{self._host}:{ports['metrics_port']}/metrics"

    def last_words(self, lines: int = 15) -> str:
        """Exit status and the end of the log, for an error."""
        tail = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
        told = "\n".join(f"  {line}" for line in tail) or "  (nothing)"
        status = self._process.poll()
        ended = "it is still running" if status is None else f"it ended with status {status}"
        return f"{ended}; the end of {self.log}:\n{told}"

    def ends_within(self, seconds: float) -> bool:
        """Waits a while for the process to end by itself; True if it has."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> int:
        """SIGTERM, and SIGKILL if that is not obeyed in time; returns the exit status."""
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self._process.kill()
            return self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
