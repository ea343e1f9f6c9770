"""One writer, bounded queue, published readers: what an engine promises whoever waits for it."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scatonline.errors import DuplicateName
from scatonline.model import Model
from scatonline.sample import Sample
from service.engine import Engine, SampleArrived
from service.engine.events import records
from service.errors import Overloaded, Unavailable
from tests.service.engines import Pause, arrival, status_hash
from tests.service.running import counts, eventually, settings_values, waveform


def test_a_full_queue_refuses_and_loses_nothing(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(limits={"queue_depth": 3})
    pause = Pause()
    engine.submit(pause)
    pause.begun.wait(30)
    accepted = [engine.submit(arrival(index)) for index in range(3)]
    with pytest.raises(Overloaded, match="3 events wait already, expected fewer than 3"):
        engine.submit(arrival(3))
    pause.released.set()
    assert all(future.result(30).learned for future in accepted)
    assert engine.submit(arrival(3)).result(30).learned


def test_predictions_never_wait_for_the_writer(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine()
    engine.submit(arrival(0)).result(30)
    pause = Pause()
    engine.submit(pause)
    pause.begun.wait(30)
    assert engine.predict("day-1", waveform(1)).result(30).values.shape == (2,)
    pause.released.set()


def test_an_answered_update_is_in_the_next_prediction(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine()
    for index in range(20):
        outcome = engine.submit(arrival(index)).result(30)
        assert engine.predict("day-1", waveform(0)).result(30).event == outcome.event


def test_predicting_changes_nothing(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine()
    for index in range(12):
        engine.submit(arrival(index)).result(30)
    before = status_hash(engine)
    first = engine.predict("day-1", waveform(99)).result(30)
    second = engine.predict("day-1", waveform(99)).result(30)
    np.testing.assert_array_equal(first.values, second.values)
    assert status_hash(engine) == before


def test_a_request_taken_back_before_its_turn_is_not_learned(
    make_engine: Callable[..., Engine],
) -> None:
    engine = make_engine()
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
    make_engine: Callable[..., Engine],
) -> None:
    engine = make_engine()
    first = engine.submit(arrival(0))
    other = engine.submit(SampleArrived(Sample("s0", "day-1", waveform(7), counts(7))))
    second = engine.submit(arrival(1))
    assert isinstance(other.exception(30), DuplicateName)
    assert second.result(30).event == first.result(30).event + 1


def test_what_nobody_foresaw_is_told_left_out_and_healed(
    make_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is as if the samples that broke had never come, also after a restart."""
    monkeypatch.setitem(records._KINDS, "pause", Pause)
    engine, real = make_engine(), Model.step
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
    again = make_engine()
    assert status_hash(again) == before
    assert again.submit(arrival(5)).result(30).learned


def test_draining_finishes_what_waits_and_refuses_the_rest(
    make_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    engine = make_engine()
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


def test_a_restart_continues_bit_for_bit(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine()
    for index in range(30):
        engine.submit(arrival(index, label=index != 17)).result(30)
    before = status_hash(engine)
    expected = engine.predict("day-1", waveform(500)).result(30)
    assert engine.drain()
    again = make_engine()
    assert status_hash(again) == before
    found = again.predict("day-1", waveform(500)).result(30)
    assert found.event == expected.event
    np.testing.assert_array_equal(found.values, expected.values)
    assert again.status(with_hash=False).result(30).pending_labels == 1


def test_checkpoints_are_written_while_running(
    make_engine: Callable[..., Engine], tmp_path: Path
) -> None:
    values = settings_values(tmp_path)
    engine = make_engine(storage={**values["storage"], "checkpoint_every_s": 0.05})
    last = engine.submit(arrival(0)).result(30).event
    eventually(lambda: engine.status(with_hash=False).result(30).checkpoint_event == last)


def test_a_disk_that_refuses_is_told_when_draining(
    make_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine()

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("service.storage.checkpoints.write_durably", full)
    assert not engine.drain()


def test_a_schedule_that_fails_is_counted_and_learning_goes_on(
    make_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine()

    def broken(_: Model) -> bool:
        raise ZeroDivisionError("no schedule")

    monkeypatch.setattr(Model, "structure_due", broken)
    assert engine.submit(arrival(0)).result(30).learned
    assert engine.submit(arrival(1)).result(30).learned
    assert engine.status(with_hash=False).result(30).check_failures == 1


def test_a_report_that_fails_is_counted_and_learning_goes_on(
    make_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine()

    def broken(_: Model) -> Any:
        raise ZeroDivisionError("no filters")

    monkeypatch.setattr(Model, "filters", broken)
    assert engine.submit(arrival(0)).result(30).learned
    with pytest.raises(ZeroDivisionError):
        engine.report_now().result(30)
    assert engine.submit(arrival(1)).result(30).learned


def test_a_writer_that_dies_tells_everyone(
    make_engine: Callable[..., Engine], failed: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine()
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
