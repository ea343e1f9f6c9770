"""A service that is killed at any moment goes on as if it never had been.

Every request that was answered is in the state, none is there twice, and answers and state are
those of a process that was never killed, to the bit. `make crash` kills 500 times; `CRASH_SEED`
repeats a run's plan.
"""

import os
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.client import Client
from service.storage.failpoints import POINTS
from tests.crash.lives import Died, Life, life, served
from tests.crash.models import REPEATABLE
from tests.crash.sending import Course
from tests.service.running import settings_values

KILLS = int(os.environ.get("CRASH_KILLS", "50"))
A_COURSE = 10
SEED = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(2**31))
LIFE_S = 60.0
# Samples of every model before the first kill, beyond its calibration; and at a time from then on.
TAUGHT, A_TURN = 40, 10
# Reached a few times a second at most, where the others are at every flush or event.
SELDOM = ("checkpoint", "journal.rotate", "journal.prune")
NAMES = tuple(model["name"] for model in REPEATABLE)


@dataclass(frozen=True)
class Kill:
    """How a life ends: at a failpoint, or so many seconds after its start or its first request."""

    failpoint: str = ""
    after_start_s: float | None = None
    after_ready_s: float | None = None


def plan() -> list[Kill]:
    """Every failpoint at least once, at random turns, and kills by the clock among them."""
    chance = random.Random(SEED)
    kills = [at_point(chance, point) for point in POINTS]
    while len(kills) < KILLS:
        kind = chance.random()
        if kind < 0.45:
            kills.append(Kill(after_ready_s=chance.uniform(0.0, 0.8)))
        elif kind < 0.6:
            kills.append(Kill(after_start_s=chance.uniform(0.0, 1.0)))
        else:
            kills.append(at_point(chance, chance.choice(POINTS)))
    chance.shuffle(kills)
    return kills


def at_point(chance: random.Random, point: str) -> Kill:
    most = 3 if point.startswith(SELDOM) else 60
    return Kill(failpoint=f"{point}=kill@{chance.randint(1, most)}")


def settings(folder: Path) -> dict[str, Any]:
    folder.mkdir()
    storage = {"directory": str(folder / "state"), "checkpoint_every_s": 0.2, "keep": 2}
    return settings_values(folder, *REPEATABLE, storage=storage)


def live(one: Life, kill: Kill, course: Course) -> None:
    """One life, from its start to its end."""
    if kill.after_start_s is not None:
        threading.Timer(kill.after_start_s, one.process.kill).start()
    try:
        address = one.wait_until_ready()
    except Died:
        return
    with Client(address) as client:
        if kill.after_ready_s is not None:
            threading.Timer(kill.after_ready_s, one.process.kill).start()
        until_s = time.monotonic() + LIFE_S
        alive = course.send_again(client, 8)
        while alive and course.send(client):
            assert time.monotonic() < until_s, f"{kill} did not happen"
            for _ in range(A_TURN):
                course.add()


def outcome_of(client: Client) -> dict[str, tuple[Any, ...]]:
    """What the models have become."""
    models = client.status(include_state_hash=True).models
    return {
        name: (each.state_hash, each.event, each.scores.samples, each.missing_samples)
        for name, each in models.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("number", range(0, KILLS, A_COURSE))
def test_a_killed_service_becomes_what_one_becomes_that_never_was(
    tmp_path: Path, number: int
) -> None:
    kills = plan()[number : number + A_COURSE]
    print(f"CRASH_SEED={SEED} CRASH_KILLS={KILLS}: {kills}")
    course = Course(NAMES)
    for _ in range(TAUGHT):
        course.add()
    killed = settings(tmp_path / "killed")
    for kill in kills:
        with life(tmp_path / "killed", killed, kill.failpoint) as one:
            live(one, kill, course)
            assert one.end() == -9, one.told()
    course.add_last()
    with served(tmp_path / "killed", killed) as (_, client):
        assert course.send_again(client, 100)
        assert course.send(client)
        found = outcome_of(client)

    never = Course(NAMES)
    never.sent = [type(each)(each.model, each.step) for each in course.sent]
    with served(tmp_path / "never", settings(tmp_path / "never")) as (_, client):
        assert never.send(client)
        expected = outcome_of(client)
    for one_answer, other in zip(course.sent, never.sent, strict=True):
        assert one_answer == other
    assert found == expected
    assert all(missing == 0 for *_, missing in found.values())
