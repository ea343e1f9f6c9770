"""Checks in a process of their own: what comes of them, and what its end does to whom."""

import os
import pickle
import signal
import traceback
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scatonline.config import ModelSpec
from scatonline.errors import NumericalError
from scatonline.model import Model
from scatonline.sample import Sample
from scatonline.structure import StructureCheck
from service.engine import CheckPlace, InProcess, InThreads
from service.errors import CheckLost, Unavailable
from tests.service.checks import Broken, Elsewhere, Endless, Locked, OddlyBroken, Telling
from tests.service.running import ENCODER, counts, eventually, waveform

WAIT_S = 120.0


@pytest.fixture(scope="module")
def process() -> Iterator[InProcess]:
    """Shared, as a start takes seconds; a test may end its process, and the next gets another."""
    place = InProcess()
    yield place
    place.close()


def asked(place: CheckPlace, check: Any) -> "Future[Any]":
    """A check that waits for its turn or runs."""
    return place.start(check)


def told(place: CheckPlace, check: Any) -> Any:
    """What a check says in that place."""
    return asked(place, check).result(WAIT_S).decision


def begun(place: CheckPlace, folder: Path) -> "Future[Any]":
    """A check that is under way, and does not end by itself."""
    mark = folder / "begun"
    finding = asked(place, Endless(begun=mark))
    eventually(mark.exists, WAIT_S)
    return finding


def checked(**changes: Any) -> StructureCheck:
    """A real check: outputs that follow the strength of some frequencies, and noise."""
    spec = ModelSpec.from_dict({**ENCODER, **changes})
    model = Model(spec)
    model.open_session("day-1", ["unit-1", "unit-2"])
    for index in range(70):
        x = waveform(index)
        drive = [np.abs(np.diff(x)).mean(), np.nan if index % 9 == 0 else x.std()]
        target = (drive + 0.1 * counts(index)).astype(np.float32)
        model.step(Sample(f"s{index}", "day-1", x, target))
    check = model.structure_check()
    assert check is not None
    return check


@pytest.mark.parametrize("lags", [0, 3])
def test_where_a_check_runs_changes_nothing_of_its_decision(process: InProcess, lags: int) -> None:
    features = {**ENCODER["features"], "lags": lags}
    here, there = (told(place, checked(features=features)) for place in (InThreads(), process))
    assert here == there
    assert here.cars
    assert here.samples == 64


def test_checks_have_a_low_priority_and_one_thread(process: InProcess) -> None:
    assert told(process, Telling()) == (process.pid, 10, 1)
    assert process.pid != os.getpid()


def test_checks_do_not_hear_ctrl_c(process: InProcess) -> None:
    pid, *_ = told(process, Telling())
    os.kill(pid, signal.SIGINT)
    assert told(process, Telling())[0] == pid


def test_an_error_comes_back_as_it_was_with_where_it_arose(process: InProcess) -> None:
    with pytest.raises(NumericalError, match="got a window of nothing") as failed:
        told(process, Broken())
    assert "tests/service/checks.py" in "".join(traceback.format_exception(failed.value))
    with pytest.raises(RuntimeError, match="Odd: lost at sea"):
        told(process, OddlyBroken())


@pytest.mark.parametrize(("check", "what"), [(Elsewhere(), "tensor on meta"), (Locked(), "lock")])
def test_what_cannot_go_to_another_process_says_so(
    process: InProcess, check: Any, what: str
) -> None:
    before = told(process, Telling())
    with pytest.raises(pickle.PicklingError, match=f"{what}.*; run it in a thread"):
        told(process, check)
    assert told(process, Telling()) == before


def test_a_process_that_is_killed_costs_its_check_only(process: InProcess, tmp_path: Path) -> None:
    ends = begun(process, tmp_path)
    waits = asked(process, Telling())
    killed = number(process)
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(CheckLost, match="exit status -9"):
        ends.result(WAIT_S)
    pid, *_ = waits.result(WAIT_S).decision
    assert pid == number(process) != killed


def test_a_process_that_is_killed_between_checks_costs_none(process: InProcess) -> None:
    pid, *_ = told(process, Telling())
    os.kill(pid, signal.SIGKILL)
    # Until all its threads are gone, without taking its exit status from whom it is for.
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert told(process, Telling())[0] != pid


def test_giving_up_ends_the_check_and_no_other(process: InProcess, tmp_path: Path) -> None:
    given_up = begun(process, tmp_path)
    waits, stays = (asked(process, Telling()) for _ in range(2))
    process.give_up(waits)
    assert waits.cancelled()
    assert not given_up.done()
    process.give_up(given_up)
    with pytest.raises(CheckLost):
        given_up.result(WAIT_S)
    done = stays.result(WAIT_S)
    process.give_up(stays)
    assert told(process, Telling()) == done.decision


def test_closing_ends_what_runs_and_refuses_what_waits(tmp_path: Path) -> None:
    place = InProcess()
    runs, waits = begun(place, tmp_path), asked(place, Telling())
    pid = number(place)
    place.close()
    assert isinstance(runs.exception(0), CheckLost)
    assert isinstance(waits.exception(0), Unavailable)
    assert place.pid is None
    assert not Path(f"/proc/{pid}").exists()


def test_a_place_that_ran_nothing_has_no_process() -> None:
    place = InProcess()
    assert place.pid is None
    place.close()


def number(place: InProcess) -> int:
    """Of the process that runs there."""
    pid = place.pid
    assert pid is not None
    return pid
