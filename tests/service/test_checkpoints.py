"""Checkpoints are whole or absent; a damaged one is never loaded and never hides a good one."""

import ctypes
import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from pydantic import TypeAdapter

from scatonline.config import ModelSpec
from scatonline.model import Model
from scatonline.sample import Sample
from service.engine.events import SampleArrived, SessionOpened, apply
from service.engine.export import packed
from service.engine.served import Served, ServedLimits
from service.errors import CorruptRecord, StorageError
from service.storage.checkpoints import FORMAT, Checkpoint, CheckpointStore, read
from service.storage.folder import FolderLock
from service.storage.records import Position
from tests.crash.course import target, window
from tests.crash.models import MODELS, outputs

FILES = ("manifest.json", "meta.json", "tensors.safetensors", "service.bin")
FLIPS = 1000


def checkpoint(event: int) -> Checkpoint:
    return Checkpoint(
        event=event,
        spec={"name": "m", "shape": [8]},
        tensors={"weights": torch.arange(12.0).reshape(3, 4) + event, "steps": torch.tensor(event)},
        meta={"seen": ["a", "b"], "loss": 0.1, "missing": float("nan")},
        written_s=1.5,
        position=Position(event, bytes(range(16))),
        service=b"what was answered",
    )


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "m", keep=3)


def test_what_is_written_leaves_nothing_behind_in_memory(store: CheckpointStore) -> None:
    store.save(checkpoint(0))
    before = len(ctypes._pointer_type_cache)  # type: ignore[attr-defined]
    for size in range(20):
        several = replace(checkpoint(size), tensors={"waiting": torch.zeros(size, 7)})
        store.save(several)
    assert len(ctypes._pointer_type_cache) == before  # type: ignore[attr-defined]


def test_tensors_are_written_as_safetensors_does(store: CheckpointStore) -> None:
    tensors = {
        "none": torch.zeros(0, 3),
        "one": torch.tensor(7),
        "flags": torch.tensor([True, False]),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "double": torch.rand(3, 2, dtype=torch.float64),
        "single": torch.rand(2, 1, 3),
    }
    path = store.save(replace(checkpoint(1), tensors=tensors))
    assert (path / "tensors.safetensors").read_bytes() == safetensors.torch.save(tensors)


def alive(name: str) -> Served:
    """A model that has learned a little, and has something of everything that it keeps."""
    spec = TypeAdapter(ModelSpec).validate_python(MODELS[name])
    served = Served(Model(spec), ServedLimits())
    opened = SessionOpened("day", outputs(name))
    apply(opened, opened.request(), served)
    live_on(served, 0)
    return served


def live_on(served: Served, begin: int) -> None:
    name = served.model.spec.name
    for index in range(begin, begin + 30):
        known = None if index % 5 == 4 else target(name, index)
        sample = Sample(f"s{index}", "day", window(name, index), known, arrived_s=float(index))
        arrived = SampleArrived(sample, sequence=index)
        apply(arrived, arrived.request(), served)


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()


def test_what_was_saved_comes_back_bit_for_bit(store: CheckpointStore) -> None:
    saved = checkpoint(7)
    path = store.save(saved)
    loaded, damaged = store.load_newest()
    assert damaged == 0
    assert loaded is not None
    assert path.name == "000001-event-7"
    assert (loaded.event, loaded.spec) == (7, saved.spec)
    assert (loaded.position, loaded.service) == (saved.position, saved.service)
    assert json.dumps(loaded.meta) == json.dumps(saved.meta)
    for name, tensor in saved.tensors.items():
        assert torch.equal(loaded.tensors[name], tensor)


@pytest.mark.parametrize("name", MODELS)
def test_a_checkpoint_stays_what_it_was_while_the_model_goes_on(name: str) -> None:
    """It is written beside the writer, which does not wait."""
    served = alive(name)
    made = served.checkpoint(Position())
    before = packed(made)
    live_on(served, 30)
    assert packed(made) == before
    again = Served.restore(served.model.spec, made, ServedLimits(), "cpu")
    live_on(again, 30)
    assert again.model.state_hash() == served.model.state_hash()


def test_nothing_saved_is_no_error(store: CheckpointStore) -> None:
    assert store.load_newest() == (None, 0)


def test_the_newest_are_kept(store: CheckpointStore) -> None:
    for event in (5, 9, 9, 12, 3):
        store.save(checkpoint(event))
    kept = [path.name for path in store.paths()]
    assert kept == ["000005-event-3", "000004-event-12", "000003-event-9"]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", [flip_bit, cut_short, empty, remove])
def test_a_damaged_newest_is_set_aside_and_the_one_before_is_used(
    store: CheckpointStore,
    file: str,
    damage: Callable[[Path], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    store.save(checkpoint(1))
    newest = store.save(checkpoint(2))
    damage(newest / file)
    loaded, damaged = store.load_newest()
    assert loaded is not None
    assert (loaded.event, damaged) == (1, 1)
    assert newest.with_name(newest.name + ".damaged").is_dir()
    assert "checkpoint_damaged" in capsys.readouterr().out
    assert store.save(checkpoint(3)).name == "000003-event-3"


def test_every_flipped_bit_is_found(store: CheckpointStore) -> None:
    path = store.save(checkpoint(1))
    chance = random.Random(0)
    whole = {name: (path / name).read_bytes() for name in FILES}
    places = [(name, byte) for name, content in whole.items() for byte in range(len(content))]
    for name, byte in chance.choices(places, k=FLIPS):
        content = bytearray(whole[name])
        content[byte] ^= 1 << chance.randrange(8)
        (path / name).write_bytes(content)
        with pytest.raises(CorruptRecord, match=re.escape(str(path))):
            read(path)
        (path / name).write_bytes(whole[name])
    assert read(path).event == 1


def test_only_damaged_ones_refuse_a_start_again_and_again(store: CheckpointStore) -> None:
    flip_bit(store.save(checkpoint(1)) / "meta.json")
    for _ in range(2):
        with pytest.raises(CorruptRecord, match="Move the folder away to start the model anew"):
            store.load_newest()


def test_a_crash_while_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "m", keep=3)
    store.save(checkpoint(1))
    unfinished = tmp_path / "m" / "000002-event-2.unfinished"
    unfinished.mkdir()
    (unfinished / "meta.json").write_text("{")
    again = CheckpointStore(tmp_path / "m", keep=3)
    loaded, damaged = again.load_newest()
    assert loaded is not None
    assert (loaded.event, damaged) == (1, 0)
    assert not unfinished.exists()


def test_another_format_is_refused_and_left_alone(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.storage.checkpoints.FORMAT", FORMAT + 1)
    path = store.save(checkpoint(1))
    monkeypatch.undo()
    with pytest.raises(StorageError, match=f"format {FORMAT + 1}, expected {FORMAT}"):
        store.load_newest()
    assert path.is_dir()


def test_a_disk_that_refuses_harms_no_earlier_checkpoint(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store.save(checkpoint(1))

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("service.storage.checkpoints.write_durably", full)
    with pytest.raises(StorageError, match="No space left on device"):
        store.save(checkpoint(2))
    assert read(first).event == 1


def test_one_process_at_a_time_uses_a_folder(tmp_path: Path) -> None:
    with (
        FolderLock(tmp_path / "state"),
        pytest.raises(StorageError, match="in use by process"),
    ):
        FolderLock(tmp_path / "state")
    FolderLock(tmp_path / "state").release()
