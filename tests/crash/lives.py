"""`scatonline serve` in one process after another, each of which can be killed at any moment."""

import faulthandler
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import yaml

from service.client import Client

START_S = 120.0
# Characters of a log that a failed test shows.
TOLD = 20_000
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.crash.warm"])


class Died(Exception):
    """The process has ended before it was ready."""


class Life:
    """One process that serves a folder.

    Args:
        folder: Holds the settings, the log and the state.
        values: Settings.
        failpoints: What goes wrong where, as the variable has it; empty: nothing.
    """

    def __init__(self, folder: Path, values: dict[str, Any], failpoints: str = "") -> None:
        self._ready = folder / "ready.json"
        self._ready.unlink(missing_ok=True)
        config = folder / "settings.yaml"
        config.write_text(yaml.safe_dump(values))
        self.log = folder / "log.txt"
        self.process: ForkServerProcess = CONTEXT.Process(
            target=_serve, args=(str(config), str(self._ready), str(self.log), failpoints)
        )
        self.process.start()

    def wait_until_ready(self) -> str:
        """Gives its address.

        Raises:
            Died: it ended before.
        """
        deadline_s = time.monotonic() + START_S
        while not self._ready.exists():
            if not self.process.is_alive():
                raise Died(f"exit status {self.process.exitcode}: {self.told()}")
            assert time.monotonic() < deadline_s, self.told()
            time.sleep(0.005)
        self.ports: dict[str, int] = json.loads(self._ready.read_text())
        return f"127.0.0.1:{self.ports['grpc_port']}"

    def told(self) -> str:
        """Its log and that of the lives before it."""
        return self.log.read_text() if self.log.exists() else ""

    def show(self) -> None:
        """Prints the end of its log and, while it lives, where each of its threads is."""
        if self.process.is_alive():
            assert self.process.pid is not None
            os.kill(self.process.pid, signal.SIGUSR1)
            time.sleep(1.0)
        print(self.told()[-TOLD:])

    def kill(self) -> None:
        """Ends it as a power cut would."""
        self.process.kill()
        self.end()

    def terminate(self) -> None:
        """Asks it to stop, as an administrator would."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGTERM)

    def end(self) -> int:
        """Waits until it has ended; gives its exit status, minus the signal's number if killed."""
        self.process.join(START_S)
        assert self.process.exitcode is not None, self.told()
        return self.process.exitcode


@contextmanager
def life(folder: Path, values: dict[str, Any], failpoints: str = "") -> Iterator[Life]:
    """A process that is gone at the end, whatever a test did."""
    one = Life(folder, values, failpoints)
    try:
        yield one
    except BaseException:
        one.show()
        raise
    finally:
        one.kill()


@contextmanager
def served(
    folder: Path, values: dict[str, Any], failpoints: str = ""
) -> Iterator[tuple[Life, Client]]:
    """A process that is ready, and a client of it."""
    with life(folder, values, failpoints) as one, Client(one.wait_until_ready()) as client:
        yield one, client


def _serve(config: str, ready: str, log: str, failpoints: str) -> None:
    """What the forked process does: the command line, with its log in a file."""
    os.environ["SCATFAILPOINTS"] = failpoints
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(descriptor, stream.fileno())
    faulthandler.register(signal.SIGUSR1)
    from service.cli import main

    raise SystemExit(main(["serve", "--config", config, "--ready-file", ready]))
