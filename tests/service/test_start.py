"""A start that cannot be right is refused with its reason, and leaves nothing open."""

from pathlib import Path
from typing import Any

import grpc
import pytest

from scatonline.errors import ScatOnlineError, StateVersionError
from service.client import Client, ClientError
from service.errors import ServiceError, SettingsError, StorageError
from tests.service.running import ENCODER, LocalService, counts, settings_values, waveform


def refused(values: dict[str, Any]) -> Exception:
    with pytest.raises((ServiceError, ScatOnlineError)) as error:
        LocalService(values)
    return error.value


def test_a_second_service_on_the_same_state_is_refused(tmp_path: Path) -> None:
    values = settings_values(tmp_path, ENCODER)
    first = LocalService(values)
    error = refused(values)
    first.stop()
    assert isinstance(error, StorageError)
    assert "in use by process" in str(error)
    LocalService(values).stop()


def test_another_specification_is_refused_and_the_state_is_left_alone(tmp_path: Path) -> None:
    values = settings_values(tmp_path, ENCODER)
    LocalService(values).stop()
    error = refused({**values, "models": [{**ENCODER, "seed": 5}]})
    assert isinstance(error, StateVersionError)
    assert "seed: saved 0, asked 5" in str(error)
    LocalService(values).stop()


@pytest.mark.parametrize("section", ["server", "metrics"])
def test_a_port_in_use_is_named(tmp_path: Path, section: str) -> None:
    first = LocalService(settings_values(tmp_path, ENCODER))
    port = {"server": first.ports.grpc, "metrics": first.ports.metrics}[section]
    values = settings_values(tmp_path / "second", ENCODER, **{section: {"port": port}})
    error = refused(values)
    first.stop()
    assert isinstance(error, SettingsError)
    assert f"{section}: cannot listen on 127.0.0.1:{port}" in str(error)
    LocalService(values).stop()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    error = refused(settings_values(tmp_path, ENCODER))
    assert isinstance(error, StorageError)
    assert str(tmp_path / "state") in str(error)


def test_a_damaged_checkpoint_costs_nothing_that_was_answered(tmp_path: Path) -> None:
    values = settings_values(tmp_path, ENCODER)
    for start in (0, 10):
        service = LocalService(values)
        with Client(service.address) as client:
            client.open_session("encoder", "day-1", ["unit-1", "unit-2"])
            for index in range(start, start + 10):
                client.update("encoder", "day-1", f"s{index}", waveform(index), counts(index))
        assert service.stop()
    newest = max((tmp_path / "state" / "encoder").glob("*-event-*"))
    tensors = newest / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1])
    service = LocalService(values)
    with Client(service.address) as client:
        status = client.status().models["encoder"]
    damaged = service.scrape()["scatonline_checkpoints_damaged", frozenset({("model", "encoder")})]
    service.stop()
    assert status.scores.samples == 20
    assert damaged == 1


def test_a_service_that_has_stopped_is_unavailable(tmp_path: Path) -> None:
    service = LocalService(settings_values(tmp_path, ENCODER))
    service.stop()
    with Client(service.address, timeout_s=5) as client, pytest.raises(ClientError) as error:
        client.status()
    assert error.value.code == grpc.StatusCode.UNAVAILABLE
