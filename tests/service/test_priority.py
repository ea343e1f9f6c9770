"""Learning gives way to predictions, and the service keeps its place among other programs."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from service.engine import Engine
from service.engine.priority import CHECKING, LEARNING
from tests.service.engines import arrival
from tests.service.running import waveform

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux gives threads priorities of their own"
)
LOWERED = """
import os, signal
from service.engine import priority
for start, steps in ((2, priority.LEARNING), (12, priority.CHECKING), (19, priority.CHECKING)):
    os.setpriority(os.PRIO_PROCESS, 0, start)
    child = os.fork()
    if not child:
        signal.pause()
    priority.lower(child, steps)
    print(os.getpriority(os.PRIO_PROCESS, child))
    os.kill(child, 9)
    os.waitpid(child, 0)
"""


def steps_of(name: str) -> set[int]:
    """Niceness of this process's threads whose names begin so."""
    own = [each.native_id for each in threading.enumerate() if each.name.startswith(name)]
    return {os.getpriority(os.PRIO_PROCESS, each) for each in own if each is not None}


def test_learning_gives_way_and_predictions_do_not(make_engine: Callable[..., Engine]) -> None:
    engine, here = make_engine(), os.getpriority(os.PRIO_PROCESS, 0)
    # One that the writer hands on, once it has learned enough.
    knowing = engine.predict("day-1", waveform(0), at_least_event=2)
    assert not knowing.done()
    assert engine.submit(arrival(0)).result(30).learned
    assert knowing.result(30).event == 2
    assert engine.predict("day-1", waveform(0)).result(30).event == 2
    assert steps_of("write-") == {here + LEARNING}
    assert steps_of("read-") == {here}
    assert LEARNING < CHECKING


def test_priorities_are_counted_from_the_services_own() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LOWERED], capture_output=True, text=True, check=True, timeout=120
    )
    assert ran.stdout.split() == ["7", "19", "19"]
