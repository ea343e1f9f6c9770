"""A server process that is killed and started anew at its address, and a network that breaks."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.service.running import ServerProcess

_LINGER_NOT = struct.pack("ii", 1, 0)


class Restartable:
    """`scatonline serve` at one address and one folder, in one process after the other."""

    def __init__(self, folder: Path, values: dict[str, Any]) -> None:
        self._folder = folder
        self._values = values
        self._process = ServerProcess(folder, values)
        self.address = self._process.address

    def kill(self) -> None:
        """Ends the process as a power cut would."""
        self._process.close()
        (self._folder / "ready.json").unlink()

    def terminate(self) -> None:
        """Ends the process as an administrator would."""
        assert self._process.terminate() == 0
        self._process.close()

    def start(self) -> None:
        """Starts the next process at the same address."""
        port = int(self.address.rsplit(":", 1)[1])
        self._values = {**self._values, "server": {**self._values["server"], "port": port}}
        self._process = ServerProcess(self._folder, self._values)

    def close(self) -> None:
        """Leaves nothing running."""
        self._process.close()


@contextmanager
def restartable(folder: Path, values: dict[str, Any]) -> Iterator[Restartable]:
    """A server process that can be killed and is gone at the end."""
    server = Restartable(folder, values)
    try:
        yield server
    finally:
        server.close()


class Network:
    """Carries connections to a service, until it is cut or falls silent."""

    def __init__(self, target: str) -> None:
        host, port = target.rsplit(":", 1)
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._ends: list[socket.socket] = []
        self._heard = threading.Event()
        self._heard.set()
        self._lock = threading.Lock()
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Resets every connection; new ones may be made."""
        with self._lock:
            ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def fall_silent(self) -> None:
        """Carries nothing more and says nothing, as if a cable were pulled."""
        self._heard.clear()

    def recover(self) -> None:
        """Carries again."""
        self._heard.set()

    def close(self) -> None:
        """Ends everything."""
        with self._lock:
            self._closed = True
        self._listener.close()
        self._heard.set()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target)
            except OSError:
                near.close()
                continue
            with self._lock:
                self._ends += [near, far]
                closed = self._closed
            if closed:
                # One that came at the last moment: closing a listener does not end its accept.
                self.cut()
                return
            for source, drain in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, drain), daemon=True).start()

    def _carry(self, source: socket.socket, drain: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(2**16):
                self._heard.wait()
                drain.sendall(data)
        for end in (source, drain):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def network(target: str) -> Iterator[Network]:
    """A network that is gone at the end."""
    carrier = Network(target)
    try:
        yield carrier
    finally:
        carrier.close()
