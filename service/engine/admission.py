"""Which changes go into the journal together.

A change is let in if the model would take it as it is now. One that others before it in the same
flush could decide about – the same sample twice, a label right after its sample – waits for the
next flush, so that nothing is stored that will be refused.
"""

from collections.abc import Callable
from typing import Any

from service.engine.answers import Request
from service.engine.inbox import Change, Inbox
from service.engine.served import Served


class Linger:
    """How long to wait for more changes before a flush.

    A flush costs the same for one change and for many. When the last one carried several, as many
    will probably come again, and waiting for them for as long as a flush takes pays; a lone sender
    is never made to wait.

    Args:
        longest_s: Never longer than this.
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._flush_s = 0.0
        self._expected = 1

    def flushed(self, count: int, seconds: float) -> None:
        """A flush of so many changes took so long."""
        self._flush_s += 0.2 * (seconds - self._flush_s)
        self._expected = count

    def wait(self, inbox: Inbox) -> None:
        """Waits, if that is likely to pay."""
        if self._expected > 1:
            inbox.wait_for_changes(self._expected - 1, min(self._longest_s, self._flush_s))


class Admission:
    """Lets changes in, one flush at a time.

    Args:
        inbox: Where they wait.
        most: Changes in a flush.
        repeated: Called for each request that was answered from memory.
        refused: Called with each change that is refused, and its error.
    """

    def __init__(
        self,
        inbox: Inbox,
        most: int,
        repeated: Callable[[], object],
        refused: Callable[[Change[Any], Exception], object],
    ) -> None:
        self._inbox = inbox
        self._most = most
        self._repeated = repeated
        self._refused = refused

    def batch(self, first: Change[Any], served: Served) -> list[Change[Any]]:
        """The changes to be stored now, their futures running: `first` and what goes with it."""
        let_in: list[Change[Any]] = []
        under_way: set[tuple[str, str, str]] = set()
        change: Change[Any] | None = first
        while change is not None:
            request = change.request
            if let_in and self._must_wait(change, request, under_way):
                self._inbox.put_back(change)
                break
            if self._passes(change, request, served, alone=not let_in):
                let_in.append(change)
                if request is not None:
                    under_way.add(request.key)
            elif let_in and not change.result.done():
                self._inbox.put_back(change)
                break
            full = len(let_in) >= self._most or (let_in and let_in[-1].event.alone)
            change = None if full else self._inbox.take_waiting()
        return let_in

    @staticmethod
    def _must_wait(
        change: Change[Any], request: Request | None, under_way: set[tuple[str, str, str]]
    ) -> bool:
        return change.event.alone or (request is not None and request.key in under_way)

    def _passes(
        self, change: Change[Any], request: Request | None, served: Served, *, alone: bool
    ) -> bool:
        """Whether a change is to be stored; if not, it was answered, or it is refused by others."""
        known = None if request is None else served.answers.find(request)
        if known is not None:
            if change.result.set_running_or_notify_cancel():
                change.result.set_result(known)
                self._repeated()
            return False
        try:
            change.event.check(served)
        except Exception as error:  # noqa: BLE001 (answered to whoever asked)
            if alone and change.result.set_running_or_notify_cancel():
                self._refused(change, error)
                change.result.set_exception(error)
            return False
        return change.result.set_running_or_notify_cancel()
