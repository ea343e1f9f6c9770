"""A service that runs on and on: its memory stays, and so does what a sample costs.

`make soak` runs for half an hour, `SOAK_S` for as long as it says. Memory that grows by 1 MiB in an
hour cannot be told from the allocator's own ups and downs in minutes, so the short run bounds what
1,000 events leave behind, which would be the cause of it. What an update costs goes up and down
with the machine, for minutes at a time; so a service that has run on is held against one that has
just begun, in turns.
"""

import os
import statistics
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from scipy.stats import theilslopes

from service.client import Client
from tests.crash.course import target, window
from tests.crash.lives import Life, served
from tests.crash.models import GUARDED, RESTRUCTURED, UNITS
from tests.service.running import settings_values

SOAK_S = float(os.environ.get("SOAK_S", "180"))
LONG_S = 1500.0
WARM_UP = 0.4
# What is kept of samples up to bounds – ids, scores, windows – is still filling up in a short run.
KIB_PER_1000_EVENTS = 2048.0
MIB_PER_HOUR = 1.0
DEARER = 1.2
STREAMED, PASSING_EVERY = 60, 4
# Rounds after which everything that a young service keeps up to a bound is full, too.
YOUNG_ROUNDS = 24
TURNS, TIMED = 40, 15
NAMES = ("guarded", "restructured")


@dataclass
class Course:
    """What was measured, a value per round.

    Attributes:
        seconds: Since the start.
        events: Of all models so far.
        resident: KiB of memory.
    """

    seconds: list[float] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)

    def after_warm_up(self, values: list[float]) -> list[float]:
        """The values that count."""
        begin = next(i for i, s in enumerate(self.seconds) if s >= WARM_UP * SOAK_S)
        return values[begin:]


def resident_kib(one: Life) -> float:
    """Memory that the process has in use, without pages of files that it happens to have read."""
    with Path(f"/proc/{one.process.pid}/smaps_rollup").open() as file:
        return next(float(line.split()[1]) for line in file if line.startswith("Anonymous:"))


def computed_s(one: Life) -> float:
    """Seconds that the threads of the process have computed, however busy the machine was."""
    spent_ns = 0
    for thread in Path(f"/proc/{one.process.pid}/task").glob("*/schedstat"):
        # One that has just ended is not there any more.
        with suppress(OSError):
            spent_ns += int(thread.read_text().split()[0])
    return spent_ns / 1e9


def stream(client: Client, model: str, begin: int) -> None:
    """A stream of its own: targets, labels that come later, and some that never come."""
    with client.stream(in_flight=16) as stream:
        for index in range(begin, begin + STREAMED):
            x, y = window(model, index), target(model, index)
            known = None if index % 3 else y
            stream.update(model, "day", f"s{index}", x, known)
            if index % 3 == 1:
                stream.label(model, "day", f"s{index}", y)
            if index % 10 == 0:
                stream.predict(model, "day", x)


def costs(one: Life, client: Client, begin: int) -> list[float]:
    """Milliseconds that the process computes for each of a few updates."""
    found = []
    for index in range(begin, begin + TIMED):
        x, y = window("guarded", index), target("guarded", index)
        before_s = computed_s(one)
        client.update("guarded", "day", f"t{index}", x, y)
        found.append(1e3 * (computed_s(one) - before_s))
    return found


def pass_by(client: Client, number: int) -> None:
    """A model that comes and goes, a watcher that does, and learning that stops and goes on."""
    name = f"passing-{number}"
    client.create_model({**GUARDED, "name": name})
    client.open_session(name, "day", UNITS)
    with client.watch([name]):
        for index in range(10):
            x, y = window("guarded", index), target("guarded", index)
            client.update(name, "day", f"s{index}", x, y)
    client.delete_model(name, confirm=name)
    client.freeze("guarded")
    client.resume("guarded")


def open_all(client: Client) -> None:
    """The session that everything is sent to."""
    for model in NAMES:
        client.open_session(model, "day", UNITS)


def stream_all(client: Client, number: int) -> None:
    """What every round sends."""
    for model in NAMES:
        stream(client, model, number * STREAMED)


def run(one: Life, client: Client) -> Course:
    """Rounds until the time is over."""
    course, begun_s, number = Course(), time.monotonic(), 0
    open_all(client)
    while time.monotonic() - begun_s < SOAK_S:
        stream_all(client, number)
        if number % PASSING_EVERY == 0:
            pass_by(client, number)
        number += 1
        course.seconds.append(time.monotonic() - begun_s)
        course.events.append(sum(m.event for m in client.status().models.values()))
        course.resident.append(resident_kib(one))
    return course


def compared(old: tuple[Life, Client], young: tuple[Life, Client]) -> tuple[float, float]:
    """Median milliseconds that an update costs each, measured in turns."""
    open_all(young[1])
    for number in range(YOUNG_ROUNDS):
        stream_all(young[1], number)
    took: tuple[list[float], list[float]] = ([], [])
    for turn in range(TURNS):
        for found, (one, client) in zip(took, (old, young), strict=True):
            found.extend(costs(one, client, turn * TIMED))
    return statistics.median(took[0]), statistics.median(took[1])


def served_as(name: str, folder: Path) -> AbstractContextManager[tuple[Life, Client]]:
    """A service of its own, and a client of it."""
    own = folder / name
    own.mkdir()
    storage = {"directory": str(own / "state"), "checkpoint_every_s": 2.0}
    models = ({**GUARDED, "pending_age_s": 1.0}, RESTRUCTURED)
    limits = {"remembered_answers": 256}
    return served(own, settings_values(own, *models, storage=storage, limits=limits))


@pytest.mark.slow
@pytest.mark.timeout(2 * SOAK_S + 600)
def test_memory_and_cost_stay_as_they_are(tmp_path: Path) -> None:
    with served_as("old", tmp_path) as old:
        course = run(*old)
        status = old[1].status().models
        with served_as("young", tmp_path) as young:
            old_ms, young_ms = compared(old, young)
        old[0].terminate()
        assert old[0].end() == 0
    resident = course.after_warm_up(course.resident)
    seconds = course.after_warm_up(course.seconds)
    events = course.after_warm_up([float(each) for each in course.events])
    per_1000 = 1000 * theilslopes(resident, events).slope
    per_hour = 3600 * theilslopes(resident, seconds).slope / 1024
    print(
        f"{len(course.events)} rounds, {course.events[-1]} events, "
        f"resident {resident[-1]:.0f} KiB: {per_1000:+.1f} KiB per 1,000 events, "
        f"{per_hour:+.1f} MiB per hour; an update costs {old_ms:.2f} ms, {old_ms / young_ms:.2f} "
        f"of what it costs a service that has just begun"
    )
    assert status["restructured"].structure_checks > 0
    assert status["guarded"].expired_labels > 0
    assert len(resident) >= 6
    assert old_ms <= DEARER * young_ms
    if SOAK_S >= LONG_S:
        assert per_hour < MIB_PER_HOUR
    assert per_1000 < KIB_PER_1000_EVENTS
