"""Results wait a moment for one another, and none is lost or overtaken."""

import time
from concurrent.futures import Future

from service.engine.events import LearningSet
from service.engine.inbox import Change
from service.engine.outbox import Outbox


def changes(count: int) -> list[Change[int]]:
    return [Change(LearningSet(frozen=True), Future()) for _ in range(count)]


def test_results_are_held_until_they_go_together_in_their_order() -> None:
    outbox, some, order = Outbox(), changes(3), []
    for number, change in enumerate(some):
        change.result.add_done_callback(lambda done: order.append(done.result()))
        outbox.put(change, number)
    assert outbox
    assert not any(change.result.done() for change in some)
    outbox.empty()
    assert order == [0, 1, 2]
    assert not outbox


def test_the_first_is_due_after_a_moment() -> None:
    outbox, (change,) = Outbox(), changes(1)
    assert not outbox.due()
    outbox.put(change, 1)
    until_s = time.monotonic() + 5.0
    while not outbox.due():
        assert time.monotonic() < until_s
        time.sleep(0.001)
    outbox.empty()
    assert not outbox.due()
