"""Answers that go out before their sample was learned from: sooner, and otherwise the same."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scatonline.model import Model
from service.engine import Engine, SampleArrived
from service.errors import StorageBroken
from service.storage.failpoints import arm
from tests.service.engines import Pause, arrival, status_hash
from tests.service.running import waveform


@dataclass
class Blocked:
    """Learning that does not end before it is released."""

    begun: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Blocked]:
    """Holds up learning, and nothing before it."""
    block, learn = Blocked(), Model._learn
    block.released.set()

    def slowly(*arguments: Any) -> None:
        block.begun.set()
        assert block.released.wait(30)
        learn(*arguments)

    monkeypatch.setattr(Model, "_learn", slowly)
    yield block
    block.released.set()


def early(index: int) -> SampleArrived:
    return replace(arrival(index), early=True)


def test_an_early_answer_does_not_wait_for_learning(
    make_engine: Callable[..., Engine], blocked: Blocked
) -> None:
    engine = make_engine()
    before = engine.submit(arrival(0)).result(30)
    blocked.released.clear()
    outcome = engine.submit(early(1)).result(30)
    assert outcome.learned
    assert outcome.event == before.event + 1
    assert engine.predict("day-1", waveform(1)).result(30).event == before.event
    knowing = engine.predict("day-1", waveform(1), at_least_event=outcome.event)
    again = engine.submit(early(1))
    assert not knowing.done()
    assert not again.done()
    blocked.released.set()
    assert knowing.result(30).event == outcome.event
    assert again.result(30) is outcome


def test_early_answers_of_one_flush_go_out_one_by_one(
    make_engine: Callable[..., Engine], blocked: Blocked
) -> None:
    engine = make_engine()
    pause = Pause()
    engine.submit(pause)
    assert pause.begun.wait(30)
    blocked.released.clear()
    first, second, usual = (engine.submit(e) for e in (early(0), early(1), arrival(2)))
    pause.released.set()
    event = first.result(30).event
    assert not second.done()
    assert not usual.done()
    blocked.released.set()
    assert [second.result(30).event, usual.result(30).event] == [event + 1, event + 2]


def test_others_are_answered_once_they_were_learned_from(
    make_engine: Callable[..., Engine], blocked: Blocked
) -> None:
    engine = make_engine()
    blocked.released.clear()
    blocked.begun.clear()
    usual = engine.submit(arrival(0))
    assert blocked.begun.wait(30)
    assert not usual.done()
    blocked.released.set()
    assert usual.result(30).learned


def test_early_answers_leave_the_same_state(
    make_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    one = make_engine(storage={"directory": str(tmp_path / "one")})
    other = make_engine(storage={"directory": str(tmp_path / "other")})
    for index in range(30):
        usual, soon = (e.submit(a(index)).result(30) for e, a in ((one, arrival), (other, early)))
        assert (usual.event, usual.loss) == (soon.event, soon.loss)
        np.testing.assert_array_equal(usual.prediction.values, soon.prediction.values)
    assert status_hash(one) == status_hash(other)


def test_nothing_is_answered_early_that_the_disk_does_not_have(
    make_engine: Callable[..., Engine], failed: threading.Event
) -> None:
    engine = make_engine()
    arm({"journal.flush": "eio"})
    with pytest.raises(StorageBroken):
        engine.submit(early(0)).result(30)
    assert failed.wait(30)


def test_what_breaks_after_an_early_answer_is_left_out_and_told(
    make_engine: Callable[..., Engine], capsys: pytest.CaptureFixture[str]
) -> None:
    engine = make_engine()
    engine.submit(arrival(0)).result(30)
    before = status_hash(engine)
    arm({"event.expected": "eio"})
    assert engine.submit(early(1)).result(30).learned
    assert status_hash(engine) == before
    assert "event_broke" in capsys.readouterr().out
    assert engine.submit(arrival(2)).result(30).learned
