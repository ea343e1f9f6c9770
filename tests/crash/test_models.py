"""Models made, imported and deleted while the service is killed: there or gone, as answered."""

import os
import random
import threading
from pathlib import Path

import grpc
import pytest

from service.client import Client, ClientError
from tests.crash.course import target, window
from tests.crash.lives import life
from tests.crash.models import GUARDED, LEARNER, UNITS
from tests.service.running import settings_values

KILLS = 6
NAME = "learner"


class Census:
    """Which models there must be, and what is in doubt.

    Args:
        exported: File of a model that is imported now and then.
        told: What that model predicts, as bits.
    """

    def __init__(self, exported: Path, told: bytes) -> None:
        self.imported: set[str] = set()
        self._exported = exported
        self._told = told
        self._known = {NAME}
        self._doubted: set[str] = set()
        self._number = 0

    def change(self, client: Client, chance: random.Random) -> None:
        """Makes, imports or deletes one."""
        self._number += 1
        name = f"made-{self._number}"
        made = sorted(self._known - {NAME})
        if len(made) > 3:
            name = chance.choice(made)
            self._doubt(name)
            client.delete_model(name, confirm=name)
        elif chance.random() < 0.5:
            self._doubt(name)
            client.create_model({**GUARDED, "name": name})
            self._known.add(name)
        else:
            self._doubt(name)
            client.import_model(self._exported, name)
            self._known.add(name)
            self.imported.add(name)
        self._doubted.clear()

    def compare(self, client: Client) -> None:
        """What there is must be what was answered."""
        models = set(client.models())
        assert self._known <= models
        assert models <= self._known | self._doubted
        for name in self.imported & self._known:
            assert predicted(client, name) == self._told
        self._known, self._doubted = models, set()

    def _doubt(self, name: str) -> None:
        self._doubted = {name}
        self._known.discard(name)


def predicted(client: Client, model: str) -> bytes:
    """What a model predicts, as bits."""
    return client.predict(model, "day", window(NAME, 99)).values.tobytes()


@pytest.mark.slow
def test_models_are_there_or_gone_as_was_answered(tmp_path: Path) -> None:
    seed = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(2**31))
    print(f"CRASH_SEED={seed}")
    chance = random.Random(seed)
    values = settings_values(tmp_path, LEARNER)
    exported = tmp_path / "exported"
    census: Census | None = None
    for _ in range(KILLS + 1):
        with life(tmp_path, values) as one, Client(one.wait_until_ready(), timeout_s=3.0) as client:
            if census is None:
                client.open_session(NAME, "day", UNITS)
                for index in range(12):
                    client.update(
                        NAME, "day", f"s{index}", window(NAME, index), target(NAME, index)
                    )
                client.export_model(NAME, exported)
                census = Census(exported, predicted(client, NAME))
            census.compare(client)
            threading.Timer(chance.uniform(0.1, 1.2), one.process.kill).start()
            with pytest.raises(ClientError) as gone:  # noqa: PT012 (it ends when the process does)
                while True:
                    census.change(client, chance)
            assert gone.value.code is grpc.StatusCode.UNAVAILABLE
            assert one.end() == -9
    assert census is not None
    assert census.imported
