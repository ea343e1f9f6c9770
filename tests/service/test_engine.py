"""One writer, bounded queue, published readers: what an engine promises whoever waits for it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from scatonline.config import ModelSpec
from scatonline.errors import DuplicateName
from scatonline.model import Model
from scatonline.sample import Sample
from service.engine import Engine, Event, InThreads, Notices, SampleArrived, Served, SessionOpened
from service.engine.events import records
from service.errors import NotReady, Overloaded, StorageBroken, Unavailable
from service.opening import Opener
from service.settings import Settings
from service.storage.failpoints import arm
from service.telemetry import Instruments
from tests.service.running import ENCODER, counts, eventually, settings_values, waveform


@dataclass(frozen=True)
class Pause(Event[None]):
    """Keeps the writer busy until it is released."""

    kind: ClassVar[str] = "pause"
    begun: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def apply(self, served: Served) -> None:  # noqa: ARG002
        self.begun.set()
        assert self.released.wait(30)

    def record(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, {}

    @classmethod
    def from_record(cls, values: dict[str, Any], arrays: dict[str, Any]) -> Self:  # noqa: ARG003
        over = cls()
        over.released.set()
        return over


def arrival(index: int, *, label: bool = True) -> SampleArrived:
    target = counts(index) if label else None
    return SampleArrived(Sample(f"s{index}", "day-1", waveform(index), target))


@pytest.fixture
def failed() -> threading.Event:
    """Set once a writer has died."""
    return threading.Event()


@pytest.fixture
def make(tmp_path: Path, failed: threading.Event) -> Iterator[Callable[..., Engine]]:
    """Makes started engines on one folder; drains those that a test leaves running."""
    made: list[Engine] = []

    def make(**sections: Any) -> Engine:
        settings = Settings(**settings_values(tmp_path, ENCODER, **sections))
        spec: ModelSpec = settings.models[0]
        opener = Opener(
            settings,
            "cpu",
            Instruments(CollectorRegistry(), "0"),
            Notices(),
            checks=InThreads(),
            on_failure=failed.set,
            on_storage=lambda: None,
        )
        engine = opener.open(spec)
        engine.start()
        engine.submit(SessionOpened("day-1", ("unit-1", "unit-2"))).result(30)
        made.append(engine)
        return engine

    yield make
    arm({})
    for engine in made:
        engine.drain()


def status_hash(engine: Engine) -> str | None:
    return engine.status(with_hash=True).result(30).state_hash


def test_a_full_queue_refuses_and_loses_nothing(make: Callable[..., Engine]) -> None:
    engine = make(limits={"queue_depth": 3})
    pause = Pause()
    engine.submit(pause)
    pause.begun.wait(30)
    accepted = [engine.submit(arrival(index)) for index in range(3)]
    with pytest.raises(Overloaded, match="3 events wait already, expected fewer than 3"):
        engine.submit(arrival(3))
    pause.released.set()
    assert all(future.result(30).learned for future in accepted)
    assert engine.submit(arrival(3)).result(30).learned


def test_predictions_never_wait_for_the_writer(make: Callable[..., Engine]) -> None:
    engine = make()
    engine.submit(arrival(0)).result(30)
    pause = Pause()
    engine.submit(pause)
    pause.begun.wait(30)
    assert engine.predict("day-1", waveform(1)).result(30).values.shape == (2,)
    pause.released.set()


def test_an_answered_update_is_in_the_next_prediction(make: Callable[..., Engine]) -> None:
    engine = make()
    for index in range(20):
        outcome = engine.submit(arrival(index)).result(30)
        assert engine.predict("day-1", waveform(0)).result(30).event == outcome.event


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
    make: Callable[..., Engine], blocked: Blocked
) -> None:
    engine = make()
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
    make: Callable[..., Engine], blocked: Blocked
) -> None:
    engine = make()
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
    make: Callable[..., Engine], blocked: Blocked
) -> None:
    engine = make()
    blocked.released.clear()
    blocked.begun.clear()
    usual = engine.submit(arrival(0))
    assert blocked.begun.wait(30)
    assert not usual.done()
    blocked.released.set()
    assert usual.result(30).learned


def test_early_answers_leave_the_same_state(make: Callable[..., Engine], tmp_path: Path) -> None:
    one = make(storage={"directory": str(tmp_path / "one")})
    other = make(storage={"directory": str(tmp_path / "other")})
    for index in range(30):
        usual, soon = (e.submit(a(index)).result(30) for e, a in ((one, arrival), (other, early)))
        assert (usual.event, usual.loss) == (soon.event, soon.loss)
        np.testing.assert_array_equal(usual.prediction.values, soon.prediction.values)
    assert status_hash(one) == status_hash(other)


def test_nothing_is_answered_early_that_the_disk_does_not_have(
    make: Callable[..., Engine], failed: threading.Event
) -> None:
    engine = make()
    arm({"journal.flush": "eio"})
    with pytest.raises(StorageBroken):
        engine.submit(early(0)).result(30)
    assert failed.wait(30)


def test_what_breaks_after_an_early_answer_is_left_out_and_told(
    make: Callable[..., Engine], capsys: pytest.CaptureFixture[str]
) -> None:
    engine = make()
    engine.submit(arrival(0)).result(30)
    before = status_hash(engine)
    arm({"event.expected": "eio"})
    assert engine.submit(early(1)).result(30).learned
    assert status_hash(engine) == before
    assert "event_broke" in capsys.readouterr().out
    assert engine.submit(arrival(2)).result(30).learned


def test_predicting_changes_nothing(make: Callable[..., Engine]) -> None:
    engine = make()
    for index in range(12):
        engine.submit(arrival(index)).result(30)
    before = status_hash(engine)
    first = engine.predict("day-1", waveform(99)).result(30)
    second = engine.predict("day-1", waveform(99)).result(30)
    np.testing.assert_array_equal(first.values, second.values)
    assert status_hash(engine) == before


def test_a_request_taken_back_before_its_turn_is_not_learned(make: Callable[..., Engine]) -> None:
    engine = make()
    pause = Pause()
    engine.submit(pause)
    pause.begun.wait(30)
    taken_back = engine.submit(arrival(0))
    kept = engine.submit(arrival(1))
    assert taken_back.cancel()
    pause.released.set()
    assert kept.result(30).learned
    assert engine.submit(arrival(0)).result(30).learned


def test_a_refused_event_harms_neither_its_neighbours_nor_the_writer(
    make: Callable[..., Engine],
) -> None:
    engine = make()
    first = engine.submit(arrival(0))
    other = engine.submit(SampleArrived(Sample("s0", "day-1", waveform(7), counts(7))))
    second = engine.submit(arrival(1))
    assert isinstance(other.exception(30), DuplicateName)
    assert second.result(30).event == first.result(30).event + 1


def test_what_nobody_foresaw_is_told_left_out_and_healed(
    make: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is as if the samples that broke had never come, also after a restart."""
    monkeypatch.setitem(records._KINDS, "pause", Pause)
    engine, real = make(), Model.step
    breaking = {"s5", "s6"}

    def breaks(model: Model, sample: Sample, *expected: Any) -> Any:
        if sample.id in breaking:
            # Half done, as an error that nobody foresaw may leave things.
            model.event += 1
            raise ZeroDivisionError("nobody foresaw this")
        return real(model, sample, *expected)

    monkeypatch.setattr(Model, "step", breaks)
    pause = Pause()
    engine.submit(pause)
    pause.begun.wait(30)
    futures = [engine.submit(arrival(index)) for index in range(12)]
    pause.released.set()
    broken = [index for index, each in enumerate(futures) if each.exception(60) is not None]
    assert broken[:1] == [5]
    assert set(broken) <= {5, 6}
    outcomes = [each.result() for each in futures if each.exception() is None]
    assert [each.event for each in outcomes] == list(range(2, 12))
    before = status_hash(engine)
    engine.hurry()
    engine.drain()
    breaking.clear()
    again = make()
    assert status_hash(again) == before
    assert again.submit(arrival(5)).result(30).learned


def test_draining_finishes_what_waits_and_refuses_the_rest(
    make: Callable[..., Engine], tmp_path: Path
) -> None:
    engine = make()
    pause = Pause()
    engine.submit(pause)
    pause.begun.wait(30)
    waiting = [engine.submit(arrival(index)) for index in range(10)]
    drained: Future[bool] = Future()
    thread = threading.Thread(target=lambda: drained.set_result(engine.drain()))
    thread.start()

    def refused() -> bool:
        try:
            engine.submit(arrival(99))
        except Unavailable:
            return True
        return False

    eventually(refused)
    with pytest.raises(Unavailable):
        engine.predict("day-1", waveform(0))
    pause.released.set()
    assert drained.result(30)
    thread.join()
    assert [future.result(0).learned for future in waiting] == [True] * 10
    last = waiting[-1].result(0).event
    newest = max((tmp_path / "state" / "encoder").glob("*-event-*"))
    assert newest.name.endswith(f"-event-{last}")


def test_a_restart_continues_bit_for_bit(make: Callable[..., Engine]) -> None:
    engine = make()
    for index in range(30):
        engine.submit(arrival(index, label=index != 17)).result(30)
    before = status_hash(engine)
    expected = engine.predict("day-1", waveform(500)).result(30)
    assert engine.drain()
    again = make()
    assert status_hash(again) == before
    found = again.predict("day-1", waveform(500)).result(30)
    assert found.event == expected.event
    np.testing.assert_array_equal(found.values, expected.values)
    assert again.status(with_hash=False).result(30).pending_labels == 1


def test_checkpoints_are_written_while_running(make: Callable[..., Engine], tmp_path: Path) -> None:
    values = settings_values(tmp_path)
    engine = make(storage={**values["storage"], "checkpoint_every_s": 0.05})
    last = engine.submit(arrival(0)).result(30).event
    eventually(lambda: engine.status(with_hash=False).result(30).checkpoint_event == last)


def test_a_disk_that_refuses_is_told_when_draining(
    make: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make()

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("service.storage.checkpoints.write_durably", full)
    assert not engine.drain()


def test_a_schedule_that_fails_is_counted_and_learning_goes_on(
    make: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make()

    def broken(_: Model) -> bool:
        raise ZeroDivisionError("no schedule")

    monkeypatch.setattr(Model, "structure_due", broken)
    assert engine.submit(arrival(0)).result(30).learned
    assert engine.submit(arrival(1)).result(30).learned
    assert engine.status(with_hash=False).result(30).check_failures == 1


def test_a_report_that_fails_is_counted_and_learning_goes_on(
    make: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make()

    def broken(_: Model) -> Any:
        raise ZeroDivisionError("no filters")

    monkeypatch.setattr(Model, "filters", broken)
    assert engine.submit(arrival(0)).result(30).learned
    with pytest.raises(ZeroDivisionError):
        engine.report_now().result(30)
    assert engine.submit(arrival(1)).result(30).learned


def test_a_writer_that_dies_tells_everyone(
    make: Callable[..., Engine], failed: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make()
    pause = Pause()
    engine.submit(pause)
    pause.begun.wait(30)
    waiting = engine.submit(arrival(0))

    def broken(*_: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("service.engine.reporter.Reporter.refresh_if_due", broken)
    pause.released.set()
    assert isinstance(waiting.exception(30), Unavailable)
    with pytest.raises(Unavailable):
        engine.submit(arrival(1))
    assert not engine.drain()
    assert failed.is_set()


class BrokenCheck:
    """A structure check that ends in an error."""

    spec = ModelSpec.from_dict(ENCODER)

    def run(self) -> Any:
        raise ZeroDivisionError("no window")


class EndlessCheck:
    """A structure check that runs until it is released."""

    spec = ModelSpec.from_dict(ENCODER)

    def __init__(self) -> None:
        self.released = threading.Event()

    def run(self) -> Any:
        self.released.wait(30)
        raise RuntimeError("released")


def test_a_failed_check_is_told_counted_and_logged(
    make: Callable[..., Engine],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine = make()
    monkeypatch.setattr(Model, "structure_check", lambda *_: BrokenCheck())
    before = status_hash(engine)
    with pytest.raises(ZeroDivisionError):
        engine.check_structure().result(30)
    status = engine.status(with_hash=True).result(30)
    assert (status.checks, status.check_failures) == (1, 1)
    assert status.state_hash == before
    log = capsys.readouterr().out
    assert "structure_check_failed" in log
    assert "ZeroDivisionError" in log


def test_one_check_at_a_time(make: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make()
    endless = EndlessCheck()
    monkeypatch.setattr(Model, "structure_check", lambda *_: endless)
    first = engine.check_structure()
    with pytest.raises(NotReady, match="is checking its structure"):
        engine.check_structure().result(30)
    assert engine.submit(arrival(0)).result(30).learned
    endless.released.set()
    assert isinstance(first.exception(30), RuntimeError)


def test_a_check_taken_back_before_its_turn_is_not_begun(make: Callable[..., Engine]) -> None:
    engine = make()
    for index in range(45):
        engine.submit(arrival(index)).result(30)
    eventually(lambda: engine.status(with_hash=False).result(30).checks == 1, 60)
    pause = Pause()
    engine.submit(pause)
    pause.begun.wait(30)
    asked = engine.check_structure()
    assert asked.cancel()
    pause.released.set()
    status = engine.status(with_hash=False).result(30)
    assert (status.check_running, status.checks) == (False, 1)
    assert engine.check_structure().result(60).decision.look == 2


def test_draining_drops_a_running_check(
    make: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make()
    endless = EndlessCheck()
    monkeypatch.setattr(Model, "structure_check", lambda *_: endless)
    asked = engine.check_structure()
    engine.status(with_hash=False).result(30)
    threading.Timer(0.3, endless.released.set).start()
    assert engine.drain()
    assert isinstance(asked.exception(30), Unavailable)


def test_scheduled_checks_run_beside_learning_and_are_remembered(
    make: Callable[..., Engine],
) -> None:
    engine = make()
    for index in range(100):
        engine.submit(arrival(index)).result(30)
    eventually(lambda: engine.status(with_hash=False).result(30).last_decision is not None, 60)
    eventually(lambda: not engine.status(with_hash=False).result(30).check_running, 60)
    status = engine.status(with_hash=False).result(30)
    assert status.check_failures == 0
    assert status.last_decision is not None
    assert status.last_decision.decision.reason
    moves = status.moves
    assert engine.drain()
    assert make().status(with_hash=False).result(30).moves == moves
