"""Models that come and go while the service runs, and go back to what they were."""

import gc
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from grpc import StatusCode

from scatonline.model import Model
from service.client import Client, ClientError
from tests.service.running import (
    ENCODER,
    LocalService,
    counts,
    eventually,
    local_service,
    series,
    settings_values,
    waveform,
)

UNITS = ["unit-1", "unit-2"]
OTHER: dict[str, Any] = {**ENCODER, "name": "other"}


def learn(client: Client, model: str, count: int, first: int = 0) -> int:
    event = 0
    for number in range(first, first + count):
        x, target = waveform(number), counts(number)
        event = client.update(model, "day-1", f"s{number}", x, target).event
    return event


def state_hash(client: Client, model: str) -> str:
    return client.status([model], include_state_hash=True).models[model].state_hash


def refused_with(code: StatusCode, message: str) -> Any:
    def has_code(error: ClientError) -> bool:
        return error.code is code

    return pytest.RaisesExc(ClientError, match=message, check=has_code)


def test_a_model_is_made_used_listed_described_and_deleted(
    service: LocalService, client: Client, tmp_path: Path
) -> None:
    assert client.create_model(yaml.safe_dump(OTHER)) == "other"
    client.open_session("other", "day-1", UNITS)
    assert learn(client, "other", 3) == 4
    assert client.models() == ("decoder", "encoder", "other")
    described = client.describe("other")
    assert described.specification["bank"]["J"] == OTHER["bank"]["J"]
    assert not described.in_settings
    assert client.describe("encoder").in_settings
    event = series("scatonline_event_number", model="other")
    eventually(lambda: service.scrape().get(event) == 4)
    client.delete_model("other", confirm="other")
    assert client.models() == ("decoder", "encoder")
    assert not (tmp_path / "state" / "other").exists()
    assert event not in service.scrape()
    with refused_with(StatusCode.NOT_FOUND, "expected one of decoder, encoder"):
        client.predict("other", "day-1", waveform(0))


def test_a_model_that_was_deleted_leaves_the_memory(client: Client) -> None:
    def alive() -> int:
        return sum(type(each) is Model for each in gc.get_objects())

    gc.collect()
    before = alive()
    gc.disable()  # else Python might come by and see to it
    try:
        client.create_model(yaml.safe_dump(OTHER))
        client.open_session("other", "day-1", UNITS)
        learn(client, "other", 3)
        assert alive() > before
        client.delete_model("other", confirm="other")
        eventually(lambda: alive() <= before)
    finally:
        gc.enable()


def test_a_model_that_was_made_is_there_after_a_restart(tmp_path: Path) -> None:
    values = settings_values(tmp_path, ENCODER)
    with local_service(values) as (_, client):
        client.create_model(json.dumps(OTHER))
        client.create_model(json.dumps({**OTHER, "name": "gone"}))
        client.open_session("other", "day-1", UNITS)
        learn(client, "other", 20)
        client.delete_model("gone", confirm="gone")
        before = state_hash(client, "other")
    with local_service(values) as (_, client):
        assert client.models() == ("encoder", "other")
        assert state_hash(client, "other") == before
        assert not client.describe("other").in_settings


@pytest.mark.parametrize(
    ("specification", "message"),
    [
        ("name: [", "not valid YAML or JSON"),
        ("just text", "specification"),
        (json.dumps({**OTHER, "shape": [3]}), "shape"),
        (
            json.dumps({**OTHER, "nonsense": 1}),
            "nonsense: got an unknown key, expected one of name",
        ),
        (json.dumps({**OTHER, "name": "../up"}), "a name that can be a folder"),
        (json.dumps({**OTHER, "bank": {**OTHER["bank"], "J": 9}}), "J"),
        (json.dumps({**OTHER, "bank": {"family": "auto"}}), "expected the name of a family"),
        ("# " + "x" * 70_000, "expected at most"),
    ],
)
def test_a_bad_specification_is_refused_and_leaves_nothing(
    client: Client, tmp_path: Path, specification: str, message: str
) -> None:
    with refused_with(StatusCode.INVALID_ARGUMENT, message):
        client.create_model(specification)
    assert client.models() == ("decoder", "encoder")
    assert sorted(path.name for path in (tmp_path / "state").glob("[a-z]*/")) == [
        "decoder",
        "encoder",
    ]


def test_names_and_numbers_of_models_are_bounded(tmp_path: Path) -> None:
    values = settings_values(tmp_path, ENCODER) | {"limits": {"models": 2, "sessions": 1}}
    with local_service(values) as (_, client):
        with refused_with(StatusCode.ALREADY_EXISTS, "take another name"):
            client.create_model(json.dumps(ENCODER))
        client.create_model(json.dumps(OTHER))
        with refused_with(StatusCode.RESOURCE_EXHAUSTED, "expected fewer than 2"):
            client.create_model(json.dumps({**OTHER, "name": "third"}))
        client.open_session("other", "day-1", UNITS)
        client.open_session("other", "day-1", UNITS)
        with refused_with(StatusCode.RESOURCE_EXHAUSTED, "raise limits.sessions"):
            client.open_session("other", "day-2", UNITS)


def test_deleting_asks_for_the_name_and_spares_the_settings(client: Client) -> None:
    client.create_model(json.dumps(OTHER))
    with refused_with(StatusCode.INVALID_ARGUMENT, "expected the name of the model: 'other'"):
        client.delete_model("other", confirm="yes")
    with refused_with(StatusCode.FAILED_PRECONDITION, "stands in the settings"):
        client.delete_model("encoder", confirm="encoder")
    with refused_with(StatusCode.NOT_FOUND, "expected one of"):
        client.delete_model("nobody", confirm="nobody")
    assert client.models() == ("decoder", "encoder", "other")


def test_a_frozen_model_predicts_and_scores_and_learns_nothing(
    service: LocalService, client: Client
) -> None:
    learn(client, "encoder", 20)
    waiting = client.update("encoder", "day-1", "before", waveform(50))
    assert waiting.pending
    event = client.freeze("encoder")
    assert client.freeze("encoder") == event
    before = client.predict("encoder", "day-1", waveform(77)).values
    outcome = client.update("encoder", "day-1", "during", waveform(51), counts(51))
    assert (outcome.learned, outcome.pending) == (False, False)
    assert outcome.loss is not None
    client.update("encoder", "day-1", "asleep", waveform(52))
    np.testing.assert_array_equal(client.predict("encoder", "day-1", waveform(77)).values, before)
    status = client.status().models["encoder"]
    assert (status.frozen, status.scores.samples) == (True, 21)
    with refused_with(StatusCode.FAILED_PRECONDITION, "learning is frozen"):
        client.check_structure("encoder")
    assert service.scrape()[series("scatonline_frozen", model="encoder")] == 1
    client.resume("encoder")
    asleep = client.label("encoder", "day-1", "asleep", counts(52))
    assert (asleep.learned, asleep.pending) == (False, False)
    np.testing.assert_array_equal(client.predict("encoder", "day-1", waveform(77)).values, before)
    assert client.label("encoder", "day-1", "before", counts(50)).learned
    assert not client.status().models["encoder"].frozen


def test_freezing_survives_a_restart(tmp_path: Path) -> None:
    values = settings_values(tmp_path, ENCODER)
    with local_service(values) as (service, client):
        client.freeze("encoder")
        service.app.hurry()
    with local_service(values) as (_, client):
        assert client.status().models["encoder"].frozen


def test_a_model_goes_back_to_a_checkpoint_and_on_from_there(tmp_path: Path) -> None:
    values = settings_values(tmp_path, ENCODER)
    values["storage"] |= {"checkpoint_every_s": 0.05, "keep": 1000}
    with local_service(values) as (_, client):
        client.open_session("encoder", "day-1", UNITS)
        there = learn(client, "encoder", 20)
        eventually(lambda: client.checkpoints("encoder")[0].event == there)
        values_there = client.predict("encoder", "day-1", waveform(77)).values
        last = learn(client, "encoder", 5, first=20)
        with refused_with(StatusCode.NOT_FOUND, "expected that of a checkpoint"):
            client.rollback("encoder", 10**6)
        assert client.rollback("encoder", there) == last + 1
        found = client.predict("encoder", "day-1", waveform(77))
        np.testing.assert_array_equal(found.values, values_there)
        assert found.event == last + 1
        assert client.status().models["encoder"].scores.samples == 20
        assert learn(client, "encoder", 5, first=20) == last + 6
        before = state_hash(client, "encoder")
    with local_service(values) as (_, client):
        assert state_hash(client, "encoder") == before


def test_a_rollback_is_replayed_from_the_journal_alone(tmp_path: Path) -> None:
    values = settings_values(tmp_path, ENCODER)
    values["storage"]["checkpoint_every_s"] = 3600.0
    with local_service(values) as (_, client):
        client.open_session("encoder", "day-1", UNITS)
        there = learn(client, "encoder", 20)
    with local_service(values) as (service, client):
        learn(client, "encoder", 10, first=20)
        client.rollback("encoder", there)
        learn(client, "encoder", 3, first=20)
        before = state_hash(client, "encoder")
        service.app.hurry()
    with local_service(values) as (_, client):
        assert state_hash(client, "encoder") == before


def test_an_exported_model_lives_on_under_another_name(client: Client, tmp_path: Path) -> None:
    learn(client, "encoder", 25)
    client.update("encoder", "day-1", "waiting", waveform(60))
    file = tmp_path / "encoder.scat"
    assert client.export_model("encoder", file) == file.stat().st_size
    copy = client.import_model(file, "copy")
    assert (copy.model, copy.event) == ("copy", 27)
    x = waveform(77)
    np.testing.assert_array_equal(
        client.predict("copy", "day-1", x).values, client.predict("encoder", "day-1", x).values
    )
    for model in ("encoder", "copy"):
        client.label(model, "day-1", "waiting", counts(60))
        learn(client, model, 10, first=30)
    np.testing.assert_array_equal(
        client.predict("copy", "day-1", x).values, client.predict("encoder", "day-1", x).values
    )
    with refused_with(StatusCode.ALREADY_EXISTS, "take another name"):
        client.import_model(file, "copy")
    replaced = client.import_model(file, "copy", replace=True)
    assert replaced.event == client.status().models["copy"].event
    assert client.status().models["copy"].scores.samples == 25


def test_what_is_no_exported_model_is_refused(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "file.scat"
    client.export_model("encoder", file)
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content, message in (
        (b"", "expected what ExportModel gave|got nothing"),
        (b"something else", "expected what ExportModel gave"),
        (whole[:-1], "cut short: expected what ExportModel gave"),
        (bytes(flipped), "has changed or is cut short: expected what ExportModel gave"),
    ):
        file.write_bytes(content)
        with refused_with(StatusCode.INVALID_ARGUMENT, message):
            client.import_model(file, "copy")
    assert client.models() == ("decoder", "encoder")


def test_a_state_of_another_specification_replaces_nothing(client: Client, tmp_path: Path) -> None:
    client.create_model(json.dumps({**OTHER, "bank": {**OTHER["bank"], "J": 2}}))
    file = tmp_path / "encoder.scat"
    client.export_model("encoder", file)
    before = state_hash(client, "other")
    with refused_with(StatusCode.FAILED_PRECONDITION, "belongs to another specification"):
        client.import_model(file, "other", replace=True)
    assert state_hash(client, "other") == before
