"""A model whose family is left open gets it from a recording, once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scatonline.errors import ConfigError, ScatOnlineError
from scatonline.families import FAMILIES
from service.errors import ServiceError, SettingsError
from service.recordings import RecordingError
from service.storage.checkpoints import CheckpointStore
from tests.service.running import ENCODER, local_service, settings_values

OPEN: dict[str, Any] = {
    **ENCODER,
    "name": "open",
    "channels": 2,
    "shape": [32],
    "bank": {"family": "auto", "J": 2, "Q": [1], "max_order": 1},
    "readout": {"kind": "softmax"},
    "structure": {"enabled": False},
}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Windows of two classes that differ in loudness."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 90)
    windows = rng.standard_normal((90, 2, 32)) * (1 + labels)[:, None, None]
    path = tmp_path / "calibration.npz"
    np.savez(path, windows=windows.astype(np.float32), labels=labels)
    return path


def values(folder: Path, recording: Path | None, **sections: Any) -> dict[str, Any]:
    named = {} if recording is None else {"calibration": {"open": str(recording)}}
    return settings_values(folder, OPEN, **named, **sections)


def family(settings: dict[str, Any]) -> str:
    """Starts, stops, and reads what was saved."""
    with local_service(settings):
        pass
    store = CheckpointStore(Path(settings["storage"]["directory"]) / "open", keep=3)
    checkpoint, _ = store.load_newest()
    assert checkpoint is not None
    chosen: str = checkpoint.meta["spec"]["bank"]["family"]
    return chosen


def test_the_choice_is_made_once_and_kept(tmp_path: Path, recording: Path) -> None:
    settings = values(tmp_path, recording)
    first = family(settings)
    assert first in {name for name, d in FAMILIES if d == 1}
    recording.unlink()
    assert family(settings) == first


def refused(settings: dict[str, Any]) -> Exception:
    with (
        pytest.raises((ServiceError, ScatOnlineError, ValueError)) as error,
        local_service(settings),
    ):
        pass
    return error.value


def test_without_a_recording_the_start_is_refused(tmp_path: Path) -> None:
    error = refused(values(tmp_path, None))
    assert isinstance(error, SettingsError)
    assert "calibration.open: got nothing, expected a recording" in str(error)


def test_a_recording_of_another_shape_is_refused(tmp_path: Path, recording: Path) -> None:
    np.savez(recording, windows=np.ones((90, 3, 16), np.float32), labels=np.arange(90) % 2)
    error = refused(values(tmp_path, recording))
    assert isinstance(error, SettingsError)
    assert "samples of shape (3, 16), expected (2, 32)" in str(error)


def test_too_short_a_recording_is_refused(tmp_path: Path, recording: Path) -> None:
    np.savez(recording, windows=np.ones((8, 2, 32), np.float32), labels=np.arange(8) % 2)
    error = refused(values(tmp_path, recording))
    assert isinstance(error, ConfigError)
    assert "expected one target for each of at least 36" in str(error)


def test_a_missing_recording_is_named(tmp_path: Path, recording: Path) -> None:
    recording.unlink()
    error = refused(values(tmp_path, recording))
    assert isinstance(error, RecordingError)
    assert str(recording) in str(error)


def test_calibration_of_no_model_is_refused(tmp_path: Path, recording: Path) -> None:
    error = refused(settings_values(tmp_path, ENCODER, calibration={"nobody": str(recording)}))
    assert "calibration.nobody" in str(error)
