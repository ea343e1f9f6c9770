"""What has changed on disk is found before a start: used around, or refused in one message."""

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from service.client import Client, ClientError
from tests.crash.course import target, window
from tests.crash.lives import Died, life, served
from tests.crash.models import GUARDED, UNITS
from tests.service.running import settings_values

FLIPS = 8
NAME, MADE = "guarded", "made"
FILES = ("manifest.json", "meta.json", "tensors.safetensors", "service.bin")


def settings(folder: Path) -> dict[str, Any]:
    # A checkpoint is written when the process ends, and not before.
    storage = {"directory": str(folder / "state"), "checkpoint_every_s": 3600.0}
    return settings_values(folder, GUARDED, storage=storage)


def update(client: Client, model: str, index: int) -> None:
    client.update(model, "day", f"s{index}", window(NAME, index), target(NAME, index))


def state_hash(client: Client, model: str) -> str:
    return client.status(include_state_hash=True).models[model].state_hash


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state of two lives: three checkpoints, and a journal that goes on from each."""
    folder = tmp_path_factory.mktemp("lived")
    for begin in (0, 20):
        with served(folder, settings(folder)) as (one, client):
            if begin == 0:
                client.create_model({**GUARDED, "name": MADE})
            for model in (NAME, MADE):
                client.open_session(model, "day", UNITS)
                for index in range(begin, begin + 20):
                    update(client, model, index)
            (folder / "hash").write_text(state_hash(client, NAME))
            one.terminate()
            assert one.end() == 0
    return folder


@pytest.fixture
def copy(lived: Path, tmp_path: Path) -> Path:
    """A copy of that state, to be damaged."""
    shutil.copytree(lived, tmp_path / "copy")
    return tmp_path / "copy"


def checkpoints(folder: Path, model: str = NAME) -> list[Path]:
    """Newest first."""
    return sorted((folder / "state" / model).glob("*-event-*"), reverse=True)


def flip(path: Path, chance: random.Random) -> str:
    """Changes one bit anywhere; says which."""
    content = bytearray(path.read_bytes())
    place, bit = chance.randrange(len(content)), chance.randrange(8)
    content[place] ^= 1 << bit
    path.write_bytes(content)
    return f"{path.name}: bit {bit} of byte {place}"


def refusal(folder: Path) -> str:
    """What a start that is refused says; it must be one message."""
    with life(folder, settings(folder)) as one:
        before = len(one.told())
        with pytest.raises(Died, match="exit status 1"):
            one.wait_until_ready()
        told = one.told()[before:]
    lines = [line for line in told.splitlines() if line.startswith("scatonline: ")]
    assert len(lines) == 1, told
    assert "Traceback" not in told
    return lines[0]


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_the_journal(
    copy: Path, file: str
) -> None:
    newest, *_ = checkpoints(copy)
    where = flip(newest / file, random.Random(file))
    with served(copy, settings(copy)) as (one, client):
        assert "checkpoint_damaged" in one.told(), where
        assert state_hash(client, NAME) == (copy / "hash").read_text(), where
        update(client, NAME, 40)
    assert newest.with_name(newest.name + ".damaged").is_dir()


def test_a_start_is_refused_where_every_checkpoint_is_damaged(copy: Path) -> None:
    chance = random.Random(7)
    for path in checkpoints(copy):
        flip(path / chance.choice(FILES), chance)
    for _ in range(2):
        assert "no checkpoint is whole" in refusal(copy)
        assert "Move the folder away" in refusal(copy)


def test_a_start_is_refused_where_the_journal_has_changed(copy: Path) -> None:
    chance = random.Random(8)
    segments = sorted((copy / "state" / NAME / "journal").glob("*.records"))
    before = {path: path.read_bytes() for path in segments}
    changed = next(path for path in segments if path.stat().st_size > 1000)
    flip(changed, chance)
    kept = changed.read_bytes()
    assert str(changed) in refusal(copy)
    # Nothing was touched: a copy can be put back.
    assert changed.read_bytes() == kept
    changed.write_bytes(before[changed])
    with served(copy, settings(copy)) as (_, client):
        assert state_hash(client, NAME) == (copy / "hash").read_text()


def test_what_the_refusal_says_works(copy: Path) -> None:
    chance = random.Random(11)
    for path in (copy / "state" / NAME / "journal").glob("*.records"):
        flip(path, chance)
    assert "move it away and name it under `start:`" in refusal(copy)
    (copy / "state" / NAME).rename(copy / "away")
    with served(copy, {**settings(copy), "start": {NAME: str(copy / "away")}}) as (_, client):
        # The newest checkpoint was written at the end, so nothing came after it.
        assert state_hash(client, NAME) == (copy / "hash").read_text()


def test_a_start_is_refused_where_the_note_of_a_created_model_has_changed(copy: Path) -> None:
    chance = random.Random(9)
    note = copy / "state" / MADE / "created.json"
    whole = note.read_bytes()
    for _ in range(3):
        where = flip(note, chance)
        assert str(note) in refusal(copy), where
        note.write_bytes(whole)
    with served(copy, settings(copy)) as (_, client):
        assert set(client.models()) == {NAME, MADE}


def test_a_start_is_refused_where_the_checkpoints_are_gone(copy: Path) -> None:
    for path in checkpoints(copy):
        shutil.rmtree(path)
    assert "put the folder back from a copy" in refusal(copy)


def test_an_exported_file_that_has_changed_is_refused(copy: Path) -> None:
    chance = random.Random(10)
    exported = copy / "exported"
    with served(copy, settings(copy)) as (_, client):
        client.export_model(NAME, exported)
        whole, before = exported.read_bytes(), state_hash(client, NAME)
        for _ in range(FLIPS):
            where = flip(exported, chance)
            for name, replace in (("other", False), (NAME, True)):
                with pytest.raises(ClientError, match="INVALID_ARGUMENT"):
                    client.import_model(exported, name, replace=replace)
            assert set(client.models()) == {NAME, MADE}, where
            assert state_hash(client, NAME) == before, where
            exported.write_bytes(whole)
        client.import_model(exported, "other")
        assert "other" in client.models()
