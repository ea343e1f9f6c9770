"""A sample is learned from once, whatever is sent again, late, twice or never."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grpc import StatusCode

from service.client import Client, ClientError, Outcome
from tests.service.running import (
    ENCODER,
    LocalService,
    counts,
    local_service,
    series,
    settings_values,
    waveform,
)

UNITS = ["unit-1", "unit-2"]


def learn(client: Client, count: int, first: int = 0) -> list[Outcome]:
    return [
        client.update("encoder", "day-1", f"s{number}", waveform(number), counts(number))
        for number in range(first, first + count)
    ]


def same(first: Outcome, second: Outcome) -> bool:
    values = (first.prediction.values, second.prediction.values)
    return np.array_equal(*values) and all(
        getattr(first, name) == getattr(second, name)
        for name in ("sample_id", "learned", "pending", "loss", "event")
    )


def state_hash(client: Client) -> str:
    return client.status(["encoder"], include_state_hash=True).models["encoder"].state_hash


def values_of(folder: Path, **model: Any) -> dict[str, Any]:
    return settings_values(folder, {**ENCODER, **model})


def test_a_repeated_sample_gets_the_same_answer_and_changes_nothing(client: Client) -> None:
    outcomes = learn(client, 30)
    before = state_hash(client)
    assert all(same(*pair) for pair in zip(learn(client, 30), outcomes, strict=True))
    assert state_hash(client) == before
    status = client.status(["encoder"]).models["encoder"]
    assert status.repeated_requests == 30
    assert status.journal_record == 31


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped", "journal only"])
def test_also_after_a_restart(tmp_path: Path, stopped: bool) -> None:
    values = values_of(tmp_path)
    with local_service(values) as (service, client):
        client.open_session("encoder", "day-1", UNITS)
        outcomes = learn(client, 30)
        late = client.update("encoder", "day-1", "late", waveform(99))
        before = state_hash(client)
        if not stopped:
            service.app.hurry()
    with local_service(values) as (_, client):
        assert state_hash(client) == before
        assert all(same(*pair) for pair in zip(learn(client, 30), outcomes, strict=True))
        assert same(client.update("encoder", "day-1", "late", waveform(99)), late)
        assert state_hash(client) == before


def test_other_content_under_a_known_id_is_refused(client: Client) -> None:
    learn(client, 3)
    before = state_hash(client)
    for x, target in ((waveform(7), counts(1)), (waveform(1), counts(7)), (waveform(1), None)):
        with pytest.raises(ClientError, match="was sent before") as refused:
            client.update("encoder", "day-1", "s1", x, target)
        assert refused.value.code is StatusCode.ALREADY_EXISTS
    assert state_hash(client) == before


def test_an_answer_that_was_forgotten_is_refused_not_learned_again(tmp_path: Path) -> None:
    values = values_of(tmp_path) | {"limits": {"remembered_answers": 5}}
    with local_service(values) as (_, client):
        client.open_session("encoder", "day-1", UNITS)
        outcomes = learn(client, 10)
        assert same(learn(client, 1, first=9)[0], outcomes[9])
        with pytest.raises(ClientError, match="was sent before") as refused:
            learn(client, 1)
        assert refused.value.code is StatusCode.ALREADY_EXISTS


def test_a_repeated_label_gets_the_same_answer(client: Client) -> None:
    client.update("encoder", "day-1", "late", waveform(0))
    first = client.label("encoder", "day-1", "late", counts(0))
    assert first.learned
    assert same(client.label("encoder", "day-1", "late", counts(0)), first)
    with pytest.raises(ClientError, match="no longer waits for a label") as refused:
        client.label("encoder", "day-1", "late", counts(0) + 1)
    assert refused.value.code is StatusCode.ALREADY_EXISTS


def test_labels_of_samples_that_never_came_are_counted(
    service: LocalService, client: Client
) -> None:
    for _ in range(2):
        with pytest.raises(ClientError, match="send it before its label") as refused:
            client.label("encoder", "day-1", "nobody", counts(0))
        assert refused.value.code is StatusCode.NOT_FOUND
    assert client.status().models["encoder"].orphan_labels == 2
    assert service.scrape()[series("scatonline_orphan_labels_total", model="encoder")] == 2


def test_a_label_that_is_held_back_can_be_corrected(tmp_path: Path) -> None:
    """The corrected label is what is learned, as if it had come first."""
    hashes: list[str] = []
    for wrong in (counts(5) + 3, counts(5)):
        folder = tmp_path / str(len(hashes))
        folder.mkdir()
        with local_service(values_of(folder, label_hold=4)) as (_, client):
            client.open_session("encoder", "day-1", UNITS)
            learn(client, 10)
            client.update("encoder", "day-1", "late", waveform(5))
            held = client.label("encoder", "day-1", "late", wrong)
            assert (held.learned, held.pending, held.loss) == (False, True, None)
            client.label("encoder", "day-1", "late", counts(6))
            learn(client, 10, first=10)
            status = client.status().models["encoder"]
            assert (status.pending_labels, status.scores.samples) == (0, 21)
            with pytest.raises(ClientError, match="no longer waits"):
                client.label("encoder", "day-1", "late", counts(7))
            hashes.append(state_hash(client))
    assert hashes[0] == hashes[1]


def test_a_held_label_survives_a_restart(tmp_path: Path) -> None:
    values = values_of(tmp_path, label_hold=6)
    with local_service(values) as (_, client):
        client.open_session("encoder", "day-1", UNITS)
        client.update("encoder", "day-1", "late", waveform(0))
        client.label("encoder", "day-1", "late", counts(0))
    with local_service(values) as (_, client):
        client.label("encoder", "day-1", "late", counts(3))
        learn(client, 8, first=1)
        status = client.status().models["encoder"]
        assert (status.pending_labels, status.scores.samples) == (0, 9)


def test_samples_grow_too_old_for_a_label(tmp_path: Path) -> None:
    with local_service(values_of(tmp_path, pending_age_s=0.2)) as (_, client):
        client.open_session("encoder", "day-1", UNITS)
        client.update("encoder", "day-1", "old", waveform(0))
        assert client.status().models["encoder"].pending_labels == 1
        time.sleep(0.3)
        client.update("encoder", "day-1", "new", waveform(1))
        status = client.status().models["encoder"]
        assert (status.pending_labels, status.expired_labels) == (1, 1)
        with pytest.raises(ClientError, match="waited longer than the limits"):
            client.label("encoder", "day-1", "old", counts(0))


def test_gaps_in_sequence_numbers_are_counted_also_over_a_restart(tmp_path: Path) -> None:
    values = values_of(tmp_path)

    def send(client: Client, *numbers: int) -> int:
        for number in numbers:
            client.update(
                "encoder", "day-1", f"s{number}", waveform(number), counts(number), sequence=number
            )
        return client.status().models["encoder"].missing_samples

    with local_service(values) as (service, client):
        client.open_session("encoder", "day-1", UNITS)
        assert send(client, 5, 6, 7) == 0
        assert send(client, 10) == 2
        assert send(client, 9) == 1
        missing = series("scatonline_missing_samples_total", model="encoder")
        assert service.scrape()[missing] == 2
    with local_service(values) as (_, client):
        assert send(client, 13) == 3


def test_a_prediction_can_ask_for_what_was_just_learned(
    service: LocalService, client: Client
) -> None:
    outcome = learn(client, 1)[0]
    x = waveform(50)
    assert client.predict("encoder", "day-1", x, at_least_event=outcome.event).event >= 1
    with Client(service.address, timeout_s=0.3) as hasty:
        with pytest.raises(ClientError) as late:
            hasty.predict("encoder", "day-1", x, at_least_event=outcome.event + 1)
        assert late.value.code is StatusCode.DEADLINE_EXCEEDED
    with client.stream() as stream:
        ahead = stream.predict("encoder", "day-1", x, at_least_event=outcome.event + 3)
        for number in range(1, 4):
            stream.update("encoder", "day-1", f"s{number}", waveform(number), counts(number))
        assert ahead.result(20).event >= outcome.event + 3
