"""Whatever a model went through, its journal replayed gives the same bits at every event.

Structure checks, changes, retreats, expiring labels, rollbacks and imports come at moments that no
other process would repeat, so here the witness is what the killed process itself said of its state.
"""

import os
import random
from pathlib import Path
from typing import Any

import pytest

from service.client import Client, ClientError
from tests.crash.course import target, window
from tests.crash.lives import Life, served
from tests.crash.models import RESTRUCTURED, UNITS
from tests.crash.replaying import replayed
from tests.service.running import eventually, settings_values

LIVES = 4
SAMPLES = 70
NAME = "restructured"


def settings(folder: Path) -> dict[str, Any]:
    storage = {"directory": str(folder / "state"), "checkpoint_every_s": 0.4, "keep": 8}
    return settings_values(folder, RESTRUCTURED, storage=storage)


def witness(client: Client) -> tuple[int, str]:
    """Event number and hash of the state that the writer has at one moment."""
    status = client.status(include_state_hash=True).models[NAME]
    return status.event, status.state_hash


def go_on(client: Client, begin: int, chance: random.Random) -> dict[int, str]:
    """Samples, some without target or label, and now and then what replaces the whole state."""
    seen: dict[int, str] = {}
    with client.stream(in_flight=16) as stream:
        for index in range(begin, begin + SAMPLES):
            x, y = window(NAME, index), target(NAME, index)
            known = None if chance.random() < 0.3 else y
            stream.update(NAME, "day", f"s{index}", x, known)
            if known is None and chance.random() < 0.7:
                stream.label(NAME, "day", f"s{index}", y)
            if chance.random() < 0.1:
                event, state = witness(client)
                seen[event] = state
    return seen


def replace_state(client: Client, folder: Path, chance: random.Random) -> None:
    """Goes back to a checkpoint, or takes over what was exported before."""
    exported = folder / "exported"
    if exported.exists() and chance.random() < 0.5:
        client.import_model(exported, NAME, replace=True)
    else:
        # One that gives way to a newer one meanwhile is not there any more.
        for known in client.checkpoints(NAME):
            try:
                client.rollback(NAME, to_event=known.event)
            except ClientError:
                continue
            break
    exported.unlink(missing_ok=True)
    client.export_model(NAME, exported)


def kill_under_load(one: Life, client: Client, begin: int, chance: random.Random) -> None:
    """Ends the process while it is busy with what was sent."""
    with client.stream(in_flight=64, reconnect=False) as stream:
        sent = [
            stream.update(NAME, "day", f"s{index}", window(NAME, index), target(NAME, index))
            for index in range(begin, begin + 40)
        ]
        sent[chance.randrange(40)].result(60)
        one.kill()


@pytest.mark.slow
def test_every_checkpoint_and_the_journal_give_every_state_that_was(tmp_path: Path) -> None:
    seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(2**31))
    print(f"CRASH_SEED={seed}")
    chance = random.Random(seed)
    values = settings(tmp_path)
    moves = checks = compared = at_once = 0
    end = (0, "")
    for number in range(LIVES):
        with served(tmp_path, values) as (one, client):
            # Where no check has ended yet, the next process is where the last one was.
            begun = witness(client)
            at_once += begun == end
            assert number == 0 or begun == end or begun[0] > end[0]
            client.open_session(NAME, "day", UNITS)
            seen = go_on(client, 1000 * number, chance)
            # The first check of a life waits for its process; those after it come as they come.
            eventually(lambda: not client.status().models[NAME].structure_check_running, 120.0)
            seen |= go_on(client, 1000 * number + SAMPLES, chance)
            if number % 2:
                replace_state(client, tmp_path, chance)
                seen |= go_on(client, 1000 * number + 2 * SAMPLES, chance)
            status = client.status().models[NAME]
            moves = max(moves, len(status.moves))
            checks += status.structure_checks
            kill_under_load(one, client, 1000 * number + 3 * SAMPLES, chance)
        replays = replayed(tmp_path / "state" / NAME, seen)
        for hashes, after in replays:
            assert after == replays[0][1]
            assert {event: seen[event] for event in hashes} == hashes
            compared += len(hashes)
        end = replays[0][1]
    print(f"{checks} checks, {moves} moves, {compared} states compared, {at_once} at a start")
    assert checks >= LIVES
    assert moves > 0
    assert compared >= LIVES
    assert at_once >= LIVES // 2
