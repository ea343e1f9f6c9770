"""Notices of what happens to models, over as many connections as it takes."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import grpc

from service._generated import scatonline_pb2 as pb
from service.client import replies
from service.client.errors import ClientError
from service.client.notices import Notice
from service.client.retries import Outage


class Watch:
    """Iterates over notices until it is closed, which may be done from another thread.

    Args:
        call: Begins to watch.
        outage_s: Seconds without connection after which the iteration raises ClientError; 0: at
            once.
    """

    def __init__(self, call: Callable[[], "grpc.CallIterator[pb.Notice]"], outage_s: float) -> None:
        self._call = call
        self._outage = Outage(outage_s)
        self._broken = False
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._notices = self._begin()
        # Comes once the service watches: what happens from now on is told.
        self._notices.initial_metadata()

    def close(self) -> None:
        """Ends the iteration."""
        with self._lock:
            self._closed.set()
            self._notices.cancel()  # type: ignore[no-untyped-call]

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Notice:
        while not self._closed.is_set():
            try:
                message = next(iter(self._notices))
            except (StopIteration, grpc.RpcError) as error:
                self._resume_after(ClientError.from_break(error))
            else:
                self._outage.over()
                after_outage, self._broken = self._broken, False
                return replies.notice(message, after_outage=after_outage)
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _begin(self) -> "grpc.CallIterator[pb.Notice]":
        self._outage.called()
        return self._call()

    def _resume_after(self, error: ClientError) -> None:
        if self._closed.is_set() or self._closed.wait(self._outage.pause_s(error)):
            return
        self._broken = True
        with self._lock:
            if not self._closed.is_set():
                self._notices = self._begin()
