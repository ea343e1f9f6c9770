"""Structure checks beside learning: asked for and scheduled, failing and endless."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from scatonline.config import ModelSpec
from scatonline.model import Model
from service.engine import Engine
from service.errors import NotReady, Unavailable
from tests.service.engines import Pause, arrival, status_hash
from tests.service.running import ENCODER, eventually


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
    make_engine: Callable[..., Engine],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine = make_engine()
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


def test_one_check_at_a_time(
    make_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine()
    endless = EndlessCheck()
    monkeypatch.setattr(Model, "structure_check", lambda *_: endless)
    first = engine.check_structure()
    with pytest.raises(NotReady, match="is checking its structure"):
        engine.check_structure().result(30)
    assert engine.submit(arrival(0)).result(30).learned
    endless.released.set()
    assert isinstance(first.exception(30), RuntimeError)


def test_a_check_taken_back_before_its_turn_is_not_begun(
    make_engine: Callable[..., Engine],
) -> None:
    engine = make_engine()
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
    make_engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine()
    endless = EndlessCheck()
    monkeypatch.setattr(Model, "structure_check", lambda *_: endless)
    asked = engine.check_structure()
    engine.status(with_hash=False).result(30)
    threading.Timer(0.3, endless.released.set).start()
    assert engine.drain()
    assert isinstance(asked.exception(30), Unavailable)


def test_scheduled_checks_run_beside_learning_and_are_remembered(
    make_engine: Callable[..., Engine],
) -> None:
    engine = make_engine()
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
    assert make_engine().status(with_hash=False).result(30).moves == moves
