"""The main job: a real server process, a real recording, a real scrape, a stop and a restart."""

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.client import Client, Outcome
from service.recordings import RecordedSample, Recording, load
from tests.service.running import (
    ServerProcess,
    eventually,
    scrape,
    series,
    server_process,
    settings_values,
)

SAMPLES = 500


def model_of(recording: Recording) -> dict[str, Any]:
    return {
        "name": "receptor",
        "channels": recording.channels,
        "shape": list(recording.shape),
        "bank": {"J": 3, "Q": [2, 1], "max_order": 2},
        "features": {"grid": [4, 2, 1], "raw_grid": 16},
        "readout": {"kind": recording.kind},
        "structure": {"window": 200, "check_every": 200, "restarts": 2},
        "input_scale": np.atleast_1d(np.asarray(recording.input_scale, float)).tolist(),
    }


def stream(client: Client, recording: Recording, samples: list[RecordedSample]) -> list[Outcome]:
    for session, outputs in recording.sessions:
        client.open_session("receptor", session, outputs)
    with client.stream() as open_stream:
        sent = [
            open_stream.update(
                "receptor",
                sample.session,
                sample.sample_id,
                sample.input,
                sample.target,
                device_time_s=sample.device_time_s,
            )
            for sample in samples
        ]
    return [future.result() for future in sent]


def check_page_against_status(server: ServerProcess, client: Client) -> None:
    status = client.status(["receptor"]).models["receptor"]
    eventually(
        lambda: (
            scrape(server.metrics_port)[series("scatonline_event_number", model="receptor")]
            >= status.event
        )
    )
    status = client.status(["receptor"]).models["receptor"]
    filters = client.filters("receptor")
    page = scrape(server.metrics_port)
    assert page[series("scatonline_samples_total", model="receptor")] == SAMPLES
    assert page[series("scatonline_update_latency_seconds_count", model="receptor")] == SAMPLES
    assert page[series("scatonline_sessions", model="receptor")] == len(status.sessions)
    for name, value in status.scores.values.items():
        shown = page[series("scatonline_score", model="receptor", metric=name)]
        assert shown == pytest.approx(value, rel=1e-9)
    for layer, (low, high) in filters.bounds.items():
        assert page[
            series("scatonline_littlewood_paley_min", model="receptor", layer=str(layer))
        ] == pytest.approx(low)
        assert page[
            series("scatonline_littlewood_paley_max", model="receptor", layer=str(layer))
        ] == pytest.approx(high)
    for each in filters.filters:
        labels = {"layer": str(each.layer), "scale": str(each.scale), "filter": each.id}
        drift = page[
            series("scatonline_filter_log2_frequency_drift_octaves", model="receptor", **labels)
        ]
        assert drift == pytest.approx(each.drift.log2_frequency)
    moves = [
        page[series("scatonline_structure_moves_total", model="receptor", kind=kind)]
        for kind in ("add", "drop")
    ]
    assert sum(moves) == len(status.moves)


def settled_hash(client: Client) -> str:
    """Hash of the model's state once no structure check is under way."""
    eventually(lambda: not client.status().models["receptor"].structure_check_running, 300)
    return client.status(include_state_hash=True).models["receptor"].state_hash


@pytest.mark.slow
def test_stream_scrape_stop_restart_and_predict_the_same(tmp_path: Path) -> None:
    recording = load()
    samples = list(islice(recording.stream(), SAMPLES))
    unseen: NDArray[Any] = next(islice(recording.stream(), SAMPLES, None)).input
    session = samples[0].session
    values = settings_values(tmp_path, model_of(recording))

    with server_process(tmp_path, values) as server:
        with Client(server.address) as client:
            outcomes = stream(client, recording, samples)
            assert all(outcome.learned for outcome in outcomes)
            assert [outcome.sample_id for outcome in outcomes] == [s.sample_id for s in samples]
            state_hash = settled_hash(client)
            check_page_against_status(server, client)
            expected = client.predict("receptor", session, unseen)
            status = client.status().models["receptor"]
            assert status.scores.samples == SAMPLES
            assert status.event == expected.event
        assert server.terminate() == 0

    with server_process(tmp_path, values) as server, Client(server.address) as client:
        found = client.predict("receptor", session, unseen)
        assert found.event == expected.event
        assert found.values.tobytes() == expected.values.tobytes()
        again = client.status(include_state_hash=True).models["receptor"]
        assert again.state_hash == state_hash
        assert again.scores == status.scores
        assert again.moves == status.moves
        assert server.terminate() == 0
