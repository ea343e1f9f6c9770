"""What a killed process held, and those that are forked beside it have in common with it."""

import os
import signal
from pathlib import Path
from typing import Any

from service.client import Client
from tests.crash.course import target, window
from tests.crash.lives import CONTEXT, served
from tests.crash.models import LEARNER, UNITS
from tests.crash.replaying import replayed
from tests.service.running import settings_values

NAME = "learner"


def die_with_numbas_lock() -> None:
    from numba.np.ufunc import parallel

    lock: Any = parallel._backend_init_process_lock
    lock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_lock_that_a_killed_process_kept_holds_nobody_up(tmp_path: Path) -> None:
    killed = CONTEXT.Process(target=die_with_numbas_lock)
    killed.start()
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    with served(tmp_path, settings_values(tmp_path, LEARNER)) as (_, client):
        client.open_session(NAME, "day", UNITS)
        event = learn(client)
    ((_, (replayed_to, _)), *_) = replayed(tmp_path / "state" / NAME, ())
    assert replayed_to == event


def learn(client: Client) -> int:
    """Some samples, beyond the calibration; gives the newest event."""
    return max(
        client.update(NAME, "day", f"s{index}", window(NAME, index), target(NAME, index)).event
        for index in range(30)
    )
