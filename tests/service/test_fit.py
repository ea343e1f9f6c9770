"""`scatonline fit`: what it writes, that a real server starts from it, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from service.cli import main
from service.client import Client
from service.errors import CorruptRecord
from service.settings import load
from service.start import starting_point
from tests.service.running import local_service, server_process, settings_values

QUICK = ("--J", "2", "--L", "3", "--rounds", "2", "--steps", "2", "--min-effective", "20")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two textures: stripes one way or the other, in noise."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 96)
    phase = rng.uniform(0, 2 * np.pi, 96)[:, None, None]
    y, x = np.mgrid[:16, :16]
    along = np.where(labels[:, None, None] == 0, x, y)
    images = 120 + 40 * np.cos(1.5 * along + phase) + 40 * rng.standard_normal((96, 16, 16))
    path = tmp_path_factory.mktemp("recording") / "stripes.npz"
    names = np.array(["upright", "level"])
    np.savez(path, images=images.clip(0, 255).astype(np.uint8), labels=labels, label_names=names)
    return path


@pytest.fixture(scope="module")
def made(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fit")
    report = str(folder / "report")
    arguments = ["fit", str(recording), "--out", str(folder / "made"), "--report", report]
    assert main([*arguments, *QUICK]) == 0
    return folder


def picture(number: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(100 + number)
    return rng.integers(0, 256, (1, 16, 16)).astype(np.uint8)


def fitted_predictions(folder: Path) -> list[NDArray[np.float32]]:
    from scatonline.config import ModelSpec
    from scatonline.model import Model

    saved = starting_point("fitted", folder)
    model = Model.restore(ModelSpec.from_dict(saved.spec), saved.tensors, saved.meta)
    reader = model.reader()
    return [reader.predict("stripes", picture(i)).values for i in range(5)]


def served(client: Client) -> list[NDArray[np.float32]]:
    return [np.asarray(client.predict("fitted", "stripes", picture(i)).values) for i in range(5)]


def test_a_server_starts_from_it_with_the_settings_it_wrote(made: Path, tmp_path: Path) -> None:
    values = yaml.safe_load((made / "made" / "settings.yaml").read_text())
    values = {**settings_values(tmp_path), **values}
    with server_process(tmp_path, values) as server, Client(server.address) as client:
        np.testing.assert_array_equal(served(client), fitted_predictions(made / "made"))


def test_the_service_goes_on_from_its_own_checkpoint_afterwards(made: Path, tmp_path: Path) -> None:
    written = load(made / "made" / "settings.yaml")
    values = settings_values(
        tmp_path,
        json.loads(json.dumps(written.models[0].to_dict())),
        start={"fitted": str(made / "made")},
    )
    with local_service(values) as (_, client):
        client.update("fitted", "stripes", "new", picture(0), target=np.array([1.0, 0.0]))
        learned = served(client)
    with local_service(values) as (_, client):
        np.testing.assert_array_equal(served(client), learned)


def test_the_report_tells_the_path(made: Path) -> None:
    report = json.loads((made / "report.json").read_text())
    rounds = report["path"]["rounds"]
    assert rounds[0]["filters"] == {"1/j0": 3, "1/j1": 3, "2/j1": 3}
    assert report["samples"] == 96
    assert all(len(r["losses"]) == r["steps"] for r in rounds)
    page = (made / "report.md").read_text()
    for r in rounds:
        assert f"| {r['number']} | {sum(r['filters'].values())} | {r['columns']} |" in page
        assert r["reason"] in page
    assert (made / "report.png").read_bytes().startswith(b"\x89PNG")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["fit", *arguments]) == 1
    return capsys.readouterr().err


def test_a_file_that_is_no_recording_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.npz").write_text("no archive")
    error = said(capsys, str(tmp_path / "bad.npz"), "--out", str(tmp_path / "o"))
    assert "cannot read" in error
    assert "bad.npz" in error


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = said(capsys, str(tmp_path / "none.npz"), "--out", str(tmp_path / "o"))
    assert "none.npz" in error


def test_a_folder_in_use_is_refused_before_anything_is_computed(
    recording: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "is not empty" in said(capsys, str(recording), "--out", str(made))


def test_values_out_of_range_are_named(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", str(tmp_path / "o"))
    assert "nested.held" in said(capsys, str(recording), *out, "--held", "0.9")
    assert "J" in said(capsys, str(recording), *out, "--J", "9")
    assert "family" in said(capsys, str(recording), *out, "--family", "haar")


def config(folder: Path, **model: Any) -> str:
    spec = {
        "name": "lab",
        "channels": 1,
        "shape": [16, 16],
        "input_scale": [1 / 255],
        "bank": {"J": 2, "L": 2, "max_order": 1},
        "features": {"orders": [1]},
        "readout": {"kind": "softmax"},
        **model,
    }
    (folder / "lab.yaml").write_text(yaml.safe_dump({"models": [spec]}))
    return str(folder / "lab.yaml")


def test_a_model_of_the_settings_keeps_their_specification(recording: Path, tmp_path: Path) -> None:
    path, out = config(tmp_path), tmp_path / "made"
    arguments = ["fit", str(recording), "--out", str(out), "--config", path]
    assert main([*arguments, "--rounds", "1", "--steps", "0"]) == 0
    values = {**settings_values(tmp_path), **yaml.safe_load(Path(path).read_text())}
    with local_service({**values, "start": {"lab": str(out)}}) as (_, client):
        assert client.predict("lab", "stripes", picture(0)).values.sum() == pytest.approx(1)


def test_settings_and_options_that_would_change_them_exclude_each_other(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (str(recording), "--out", str(tmp_path / "o"), "--config", config(tmp_path))
    assert "--L and --config" in said(capsys, *arguments, "--L", "4")
    assert "has the models lab" in said(capsys, *arguments, "--name", "other")


def test_a_recording_of_another_shape_or_kind_is_refused(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = (str(recording), "--out", str(tmp_path / "o"), "--config")
    assert "(1, 16, 16)" in said(capsys, *out, config(tmp_path, shape=[32, 32]))
    assert "'softmax'" in said(capsys, *out, config(tmp_path, readout={"kind": "poisson"}))


def refused_start(folder: Path, start: Path) -> str:
    values = settings_values(folder, start={"encoder": str(start)})
    with pytest.raises(Exception, match=r"start\.encoder") as error, local_service(values):
        pass
    return str(error.value)


def test_a_start_from_nothing_is_refused(tmp_path: Path) -> None:
    assert "is no folder" in refused_start(tmp_path, tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "holds no checkpoint" in refused_start(tmp_path, tmp_path / "empty")


def test_a_start_for_no_model_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"start\.nobody"),
        local_service(settings_values(tmp_path, start={"nobody": str(tmp_path)})),
    ):
        pass


def test_a_damaged_start_is_refused_and_left_where_it_is(made: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(made / "made", folder)
    (tensors,) = folder.glob("*/tensors.safetensors")
    content = bytearray(tensors.read_bytes())
    content[-1] ^= 1
    tensors.write_bytes(content)
    with pytest.raises(CorruptRecord, match="sha256"):
        starting_point("fitted", folder)
    assert tensors.exists()
