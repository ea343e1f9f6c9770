"""Settings come from file and environment; a wrong one is named with its place."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from service.errors import SettingsError
from service.settings import load
from tests.service.running import ENCODER, settings_values


def write(folder: Path, values: dict[str, Any]) -> Path:
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_defaults_fill_what_the_file_leaves_out(tmp_path: Path) -> None:
    settings = load(write(tmp_path, {"models": [ENCODER]}))
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 50051)
    assert settings.models[0].shape == (64,)
    assert settings.models[0].bank.Q == (2, 1)


def test_toml_and_yaml_say_the_same(tmp_path: Path) -> None:
    toml = tmp_path / "settings.toml"
    toml.write_text(
        'device = "cpu"\n[server]\nport = 0\n[[models]]\nname = "m"\nchannels = 1\nshape = [64]\n'
    )
    values = {
        "device": "cpu",
        "server": {"port": 0},
        "models": [{"name": "m", "channels": 1, "shape": [64]}],
    }
    assert load(toml) == load(write(tmp_path, values))


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCATONLINE_SERVER__PORT", "7001")
    monkeypatch.setenv("SCATONLINE_DEVICE", "cpu")
    values = settings_values(tmp_path, server={"host": "0.0.0.0", "port": 7000})  # noqa: S104
    settings = load(write(tmp_path, values))
    assert (settings.server.host, settings.server.port) == ("0.0.0.0", 7001)  # noqa: S104


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"servr": {}}, "servr: got an unknown key, expected one of server, metrics"),
        (
            {"server": {"prt": 1}},
            "server.prt: got an unknown key, expected one of host, port, drain_s",
        ),
        ({"server": {"port": 65536}}, "server.port: got 65536, expected: .*less than or equal"),
        ({"limits": {"queue_depth": 0}}, "limits.queue_depth: got 0, expected: .*greater than"),
        ({"device": "tpu"}, "device: got 'tpu'"),
        ({"models": []}, r"models: got \[\], expected: at least one model"),
        ({"models": [ENCODER, ENCODER]}, "models: .*the name 'encoder' twice"),
        ({"models": [{"name": "m", "channels": 1}]}, "models.0.shape: got nothing"),
        ({"models": [{**ENCODER, "name": "../m"}]}, "models.0: .*got '../m', expected a name"),
        ({"models": [{**ENCODER, "bnk": {}}]}, "models.0.bnk: got an unknown key, .* bank, "),
        ({"models": [{**ENCODER, "bank": {"K": 3}}]}, "models.0.bank.K: got an unknown key, .* J"),
        ({"models": [{**ENCODER, "bank": {"J": 0}}]}, "models.0: .*bank.J: got 0, expected at"),
        ({"models": [{**ENCODER, "readout": {"kind": "x"}}]}, "models.0.readout.kind: got 'x'"),
    ],
)
def test_a_wrong_key_or_value_is_named(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = write(tmp_path, {**settings_values(tmp_path), **change})
    with pytest.raises(SettingsError, match=message) as refused:
        load(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "SCATONLINE_SERVR__PORT",
            "1",
            "environment SCATONLINE_SERVR__PORT: .*unknown key 'servr'",
        ),
        ("SCATONLINE_SERVER__PRT", "1", "environment SCATONLINE_SERVER__PRT: server.prt: got an"),
        (
            "SCATONLINE_SERVER__PORT",
            "x",
            "environment SCATONLINE_SERVER__PORT: server.port: got 'x'",
        ),
        ("SCATONLINE_MODELS", "[{", "environment: .*models.*expected JSON"),
    ],
)
def test_a_wrong_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=message):
        load(write(tmp_path, settings_values(tmp_path)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("settings.json", "{}", "got the ending '.json', expected one of .toml, .yaml, .yml"),
        ("settings.yaml", "a: [", "not valid YAML"),
        ("settings.toml", "a = ", "not valid TOML"),
        ("settings.yaml", "- 1", "got list, expected named keys"),
        ("settings.yaml", None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_is_no_settings_is_named(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=message) as refused:
        load(path)
    assert str(path) in str(refused.value)
