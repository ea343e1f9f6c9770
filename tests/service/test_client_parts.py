"""What the clients are made of: when they try again, and what a stream holds."""

import math
from concurrent.futures import Future
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service._generated import scatonline_pb2 as pb
from service.client import ClientError, messages
from service.client.outbox import Outbox
from service.client.retries import LONGEST_PAUSE_S, Attempts, Backoff, Outage
from service.client.stream import Stream
from service.wire import to_tensor

GONE = ClientError(grpc.StatusCode.UNAVAILABLE, "gone")
FULL = ClientError(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
NEVER = ClientError(grpc.StatusCode.UNAVAILABLE, "over the limit", retry_after_s=math.inf)
LATER = ClientError(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry_after_s=3.0)
WRONG = ClientError(grpc.StatusCode.INVALID_ARGUMENT, "wrong")


class Clock:
    """Goes on when told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_pauses_grow_to_a_bound_and_differ_by_chance() -> None:
    backoffs = [Backoff() for _ in range(20)]
    rounds = [[backoff.next_s() for backoff in backoffs] for _ in range(10)]
    assert max(rounds[0]) < min(rounds[2])
    assert all(LONGEST_PAUSE_S / 2 <= pause <= LONGEST_PAUSE_S for pause in rounds[-1])
    assert all(len(set(pauses)) > 10 for pauses in rounds)


def test_attempts_end_with_the_time_for_all_of_them() -> None:
    clock = Clock()
    attempts = Attempts(10.0, clock)
    made = 0

    def try_for_ever() -> None:
        nonlocal made
        while True:
            clock.now_s += attempts.pause_s(GONE, repeatable=True)
            made += 1

    with pytest.raises(ClientError, match="gone"):
        try_for_ever()
    assert 5 < made < 30
    assert clock.now_s < 110.0
    assert attempts.remaining_s() > 0


@pytest.mark.parametrize("error", [WRONG, FULL, NEVER], ids=["wrong", "too large", "never"])
def test_what_would_be_refused_again_is_not_sent_again(error: ClientError) -> None:
    with pytest.raises(ClientError) as raised:
        Attempts(10.0).pause_s(error, repeatable=True)
    assert raised.value is error


def test_the_service_may_say_when_to_come_again() -> None:
    assert Attempts(10.0).pause_s(LATER, repeatable=False) >= 3.0
    with pytest.raises(ClientError, match="full"):
        Attempts(2.0).pause_s(LATER, repeatable=True)


def test_what_may_have_arrived_is_not_sent_twice() -> None:
    with pytest.raises(ClientError, match="gone"):
        Attempts(10.0).pause_s(GONE, repeatable=False)


def test_an_outage_is_bounded_and_forgotten_when_the_service_is_heard() -> None:
    clock = Clock()
    outage = Outage(5.0, clock)

    def try_for_ever() -> None:
        while True:
            outage.called()
            clock.now_s += outage.pause_s(GONE)

    for _ in range(2):
        began_s = clock.now_s
        with pytest.raises(ClientError, match="gone"):
            try_for_ever()
        assert clock.now_s - began_s == pytest.approx(5.0)
        outage.over()


def test_a_long_silent_connection_was_one_all_the_same() -> None:
    clock = Clock()
    outage = Outage(5.0, clock)
    for _ in range(4):
        outage.called()
        clock.now_s += 60.0
        assert outage.pause_s(GONE) <= 1.0


def test_no_outage_is_borne_where_none_is_wanted_or_the_service_refuses() -> None:
    with pytest.raises(ClientError, match="gone"):
        Outage(0.0).pause_s(GONE)
    for error in (WRONG, NEVER):
        with pytest.raises(ClientError) as raised:
            Outage(5.0).pause_s(error)
        assert raised.value is error


def sample(size: int) -> messages.Request[Any]:
    return messages.update("m", "s", "id", np.zeros(size, np.uint8))


def reply(number: int) -> pb.StreamReply:
    values = to_tensor(np.zeros(1, np.float32))
    outcome = pb.Outcome(prediction=pb.Prediction(values=values), event=number)
    return pb.StreamReply(number=number, update=pb.UpdateReply(outcome=outcome))


def fault(number: int, code: grpc.StatusCode, retry_after_ms: int | None = None) -> pb.StreamReply:
    told = pb.Fault(code=code.value[0], message="no", retry_after_ms=retry_after_ms)
    return pb.StreamReply(number=number, fault=told)


def full_of(outbox: Outbox, count: int) -> list["Future[Any]"]:
    futures: list[Future[Any]] = [Future() for _ in range(count)]
    for future in futures:
        outbox.add(sample(10), future)
    return futures


@given(
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=30),
    in_flight=st.integers(1, 8),
    in_flight_bytes=st.integers(1, 800),
    seed=st.integers(0, 2**32 - 1),
)
def test_messages_and_bytes_stay_bounded_in_any_order_of_replies(
    sizes: list[int], in_flight: int, in_flight_bytes: int, seed: int
) -> None:
    outbox = Outbox(in_flight, in_flight_bytes, lasting=True)
    choose = np.random.default_rng(seed)
    for size in sizes:
        request = sample(size)
        while not outbox.has_room(request):
            held = [message.number for message in outbox.waiting()]
            outbox.settle(reply(int(choose.choice(held))))()
        outbox.add(request, Future())
        held = [message.number for message in outbox.waiting()]
        held_bytes = sum(message.update.ByteSize() for message in outbox.waiting())
        assert held == sorted(held)
        assert len(held) <= in_flight
        assert held_bytes <= in_flight_bytes or len(held) == 1
    for number in [message.number for message in outbox.waiting()]:
        outbox.settle(reply(number))()
    assert not outbox
    assert outbox.has_room(sample(10**6))


def test_each_promise_is_kept_once_and_a_cancelled_one_not_at_all() -> None:
    outbox = Outbox(8, 10**6, lasting=True)
    kept, cancelled, refused = full_of(outbox, 3)
    cancelled.cancel()
    outbox.settle(fault(2, grpc.StatusCode.NOT_FOUND))()
    outbox.settle(reply(1))()
    outbox.settle(reply(0))()
    assert kept.result().event == 0
    assert isinstance(refused.exception(), ClientError)
    assert cancelled.cancelled()
    assert not outbox


def test_what_the_service_could_not_take_waits_for_the_next_connection() -> None:
    lasting, brief = (Outbox(8, 10**6, lasting=lasting) for lasting in (True, False))
    (waits,), (fails,) = full_of(lasting, 1), full_of(brief, 1)
    with pytest.raises(ClientError, match="UNAVAILABLE"):
        lasting.settle(fault(0, grpc.StatusCode.UNAVAILABLE, 1000))
    assert not waits.done()
    assert [message.number for message in lasting.waiting()] == [0]
    brief.settle(fault(0, grpc.StatusCode.UNAVAILABLE, 1000))()
    assert isinstance(fails.exception(), ClientError)
    # Not where it says that it never will.
    lasting.settle(fault(0, grpc.StatusCode.UNAVAILABLE))()
    refused = waits.exception()
    assert isinstance(refused, ClientError)
    assert refused.retry_after_s == math.inf


def test_a_reply_to_nothing_says_so() -> None:
    outbox = Outbox(8, 10**6, lasting=True)
    full_of(outbox, 1)
    with pytest.raises(ClientError, match=r"reply to request 7, expected one of \[0\]"):
        outbox.settle(reply(7))


def test_a_reply_that_cannot_be_read_fails_its_request() -> None:
    outbox = Outbox(8, 10**6, lasting=True)
    (future,) = full_of(outbox, 1)
    outbox.settle(pb.StreamReply(number=0, update=pb.UpdateReply()))()
    with pytest.raises(ClientError, match="dtype number 0"):
        future.result(0)


@pytest.mark.parametrize("bounds", [(0, 1), (1, 0)])
def test_a_bound_of_nothing_is_refused(bounds: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected 1 or more"):
        Outbox(*bounds, lasting=True)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_for_a_stream_that_broke_in_a_way_nobody_foresaw() -> None:
    def break_down(_: object) -> Any:
        raise RuntimeError("unforeseen")

    stream = Stream(break_down, Outbox(1, 10**6, lasting=True), outage_s=60.0)
    # There is room for one: the others would wait for its answer.
    for _ in range(3):
        error = stream.send(sample(10)).exception(10)
        assert isinstance(error, ClientError)
        assert error.code is grpc.StatusCode.CANCELLED
    stream.close()
