"""A real Prometheus scrapes a real service: values, rules, and every query of the dashboard."""

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from service.client import Client, ClientError, Filter, ModelStatus
from tests.service.prometheus import PrometheusServer, prometheus_server
from tests.service.running import (
    DECODER,
    ServerProcess,
    counts,
    eventually,
    scrape,
    server_process,
    settings_values,
    waveform,
)

# It waits for two starts of the service, and for scrapes once a second.
pytestmark = pytest.mark.slow
FRAMES: dict[str, Any] = {
    "name": "frames",
    "channels": 1,
    "shape": [16, 16],
    "bank": {"J": 2, "L": 2, "max_order": 1},
    "features": {"orders": [0, 1], "calibration": 8},
    "learning": {"warmup": 8},
    "structure": {"window": 64, "check_every": 1000, "min_effective": 10.0, "restarts": 2},
}
SAMPLES = 60
WAITING = 3
# What a page shows only where there is something to show.
NO_GPU = {
    f"scatonline_device_memory_{part}_bytes" for part in ("allocated", "reserved", "free", "size")
}


@dataclass(frozen=True)
class Scene:
    """A service that has learned, and the Prometheus that watched."""

    folder: Path
    values: dict[str, Any]
    service: ServerProcess
    prometheus: PrometheusServer
    client: Client


def frame(index: int) -> Any:
    return waveform(index, length=256).reshape(1, 16, 16)


def stream(client: Client) -> None:
    """Frames with targets, some without; windows with late labels; two refused requests."""
    client.open_session("frames", "day-1", ["unit-1", "unit-2"])
    client.open_session("decoder", "day-1", ["rest", "fist"])
    with client.stream(in_flight=8) as sent:
        answers = [
            sent.update("frames", "day-1", f"s{index}", frame(index), counts(index))
            for index in range(SAMPLES)
        ]
        answers += [
            sent.update("frames", "day-1", f"waits{index}", frame(index))
            for index in range(WAITING)
        ]
        for answer in answers:
            answer.result(60)
    for index in range(5):
        client.predict("frames", "day-1", frame(index))
        client.update("decoder", "day-1", f"w{index}", waveform(index, 2, 32))
        client.label("decoder", "day-1", f"w{index}", ("rest", "fist")[index % 2])
    for model in ("frames", "made-up"):
        with pytest.raises(ClientError):
            client.predict(model, "no-such-session", frame(0))
    client.check_structure("frames")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("scene")
    values = settings_values(folder, FRAMES, DECODER)
    values["storage"]["checkpoint_every_s"] = 1.0
    with (
        server_process(folder, values) as service,
        prometheus_server(
            folder / "prometheus", repository / "deploy", service.metrics_port
        ) as prometheus,
        Client(service.address) as client,
    ):
        # Rises can only be seen by who has seen a value before.
        eventually(lambda: prometheus.value('up{job="scatonline"}') == 1)
        stream(client)
        eventually(lambda: _caught_up(prometheus, client))
        yield Scene(folder, values, service, prometheus, client)


def _caught_up(prometheus: PrometheusServer, client: Client) -> bool:
    """Whether the last scrape shows the present event, in a report and in a checkpoint."""
    return all(
        prometheus.value(f'{metric}{{model="{name}"}}') == status.event
        for name, status in client.status().models.items()
        for metric in ("scatonline_event_number", "scatonline_checkpoint_event_number")
    )


def test_every_documented_metric_arrives(scene: Scene, repository: Path) -> None:
    text = (repository / "docs" / "metrics.md").read_text(encoding="utf-8")
    table = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", text, flags=re.MULTILINE))
    missing = {
        name
        for name, kind in table.items()
        if not scene.prometheus.query(name + ("_count" if kind == "histogram" else ""))
    }
    assert missing == NO_GPU


def test_prometheus_has_the_page_to_the_last_series(scene: Scene) -> None:
    page = {
        (name, labels): value
        for (name, labels), value in scrape(scene.service.metrics_port).items()
        if not name.startswith("process_")
    }
    (instance,) = {
        value
        for labels in scene.prometheus.query("up")
        for key, value in labels
        if key == "instance"
    }
    own = {("instance", instance), ("job", "scatonline")}
    seen = {}
    for labels, value in scene.prometheus.query('{__name__=~"scatonline_.+"}').items():
        name = dict(labels)["__name__"]
        seen[name, labels - own - {("__name__", name)}] = value
    assert seen.keys() == page.keys()
    assert {key: value for key, value in seen.items() if not _same(value, page[key])} == {}


def test_values_are_what_the_client_knows(scene: Scene) -> None:
    frames, decoder = (scene.client.status().models[name] for name in ("frames", "decoder"))
    expected = {
        'scatonline_samples_total{model="frames"}': SAMPLES + WAITING,
        'scatonline_samples_total{model="decoder"}': 5,
        'scatonline_labels_total{model="decoder"}': 5,
        'scatonline_pending_labels{model="frames"}': WAITING,
        'scatonline_update_latency_seconds_count{model="frames"}': SAMPLES + WAITING,
        'scatonline_predict_latency_seconds_count{model="frames"}': 5,
        'scatonline_structure_check_duration_seconds_count{model="frames"}': 1,
        'sum(scatonline_structure_moves_total{model="frames"})': len(frames.moves),
        'scatonline_event_number{model="decoder"}': decoder.event,
        'scatonline_rejected_total{model="frames", reason="not_found"}': 1,
        'scatonline_rejected_total{model="frames", reason="internal"}': 0,
        'scatonline_rejected_total{model="unknown"}': 1,
        "scatonline_models": 2,
        "scatonline_streams": 0,
        "scatonline_build_info": 1,
    }
    assert {query: scene.prometheus.value(query) for query in expected} == expected
    _scores_agree(scene.prometheus, frames)


def _scores_agree(prometheus: PrometheusServer, status: ModelStatus) -> None:
    for name, value in status.scores.values.items():
        shown = prometheus.value(f'scatonline_score{{model="{status.name}", metric="{name}"}}')
        assert shown == pytest.approx(value, nan_ok=True)


def test_filters_are_where_the_client_sees_them(scene: Scene) -> None:
    filters = scene.client.filters("frames")
    of: dict[str, Callable[[Filter], float | None]] = {
        "scatonline_filter_angle_drift_radians": lambda each: each.drift.angle_rad,
        "scatonline_filter_log2_frequency_drift_octaves": lambda each: each.drift.log2_frequency,
        "scatonline_filter_log2_bandwidth_drift_octaves": lambda each: each.drift.log2_bandwidth,
        "scatonline_filter_spectral_distance_ratio": lambda each: each.drift.spectral_distance,
        "scatonline_filter_car": lambda each: each.car,
        "scatonline_filter_car_standard_error": lambda each: each.car_standard_error,
    }
    for metric, value in of.items():
        shown = {
            dict(labels)["filter"]: number
            for labels, number in scene.prometheus.query(f'{metric}{{model="frames"}}').items()
        }
        told = {each.id: value(each) for each in filters.filters if value(each) is not None}
        assert shown == pytest.approx(told), metric
        assert shown, metric
    assert any(abs(each.drift.log2_frequency) > 1e-6 for each in filters.filters)
    for layer, (least, greatest) in filters.bounds.items():
        place = f'{{model="frames", layer="{layer}"}}'
        assert scene.prometheus.value(f"scatonline_littlewood_paley_min{place}") == least
        assert scene.prometheus.value(f"scatonline_littlewood_paley_max{place}") == greatest


def test_every_panel_of_the_dashboard_has_data(scene: Scene, repository: Path) -> None:
    text = (repository / "deploy" / "grafana" / "dashboards" / "scatonline.json").read_text()
    empty = {
        panel["title"]
        for panel in json.loads(text)["panels"]
        for target in panel.get("targets", ())
        if not scene.prometheus.query(_filled_in(target["expr"]))
    }
    assert empty == {"Memory of the GPU", "Certificate holds for"}


def _filled_in(query: str) -> str:
    for variable in ("$model", "$layer", "$scale"):
        query = query.replace(variable, ".*")
    return query.replace("$__rate_interval", "1m")


def test_a_service_that_does_well_raises_no_alert(scene: Scene) -> None:
    rules = scene.prometheus.rules()
    assert {
        rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] != "ok"
    } == {}
    assert {rule["name"]: rule["state"] for rule in rules if rule["state"] != "inactive"} == {}
    assert len(rules) > 10


def test_a_client_that_is_refused_again_and_again_is_told_of(scene: Scene) -> None:
    def refused() -> bool:
        for _ in range(40):
            with pytest.raises(ClientError):
                scene.client.predict("frames", "no-such-session", frame(0))
        return "ScatonlineRequestsRefused" in scene.prometheus.alerts("firing")

    eventually(refused)


def test_what_was_lost_on_the_way_is_told_of(scene: Scene) -> None:
    for _ in range(2):
        scene.client.update("frames", "day-1", "n1", frame(1), counts(1), sequence=1)
    scene.client.update("frames", "day-1", "n5", frame(5), counts(5), sequence=5)
    with pytest.raises(ClientError, match="NOT_FOUND"):
        scene.client.label("frames", "day-1", "never-sent", counts(0))
    expected = {
        'scatonline_missing_samples_total{model="frames"}': 3,
        'scatonline_repeated_requests_total{model="frames"}': 1,
        'scatonline_orphan_labels_total{model="frames"}': 1,
    }
    eventually(lambda: {query: scene.prometheus.value(query) for query in expected} == expected)
    lost = {"ScatonlineSamplesMissing", "ScatonlineLabelsLost"}
    eventually(lambda: lost <= scene.prometheus.alerts("firing"))


def test_a_frozen_model_and_open_streams_are_seen(scene: Scene) -> None:
    scene.client.freeze("frames")
    with scene.client.stream() as stream:
        stream.predict("frames", "day-1", frame(0)).result(60)
        eventually(lambda: scene.prometheus.value("scatonline_streams") == 1)
    eventually(lambda: "ScatonlineFrozen" in scene.prometheus.alerts("firing"))
    scene.client.resume("frames")
    eventually(lambda: "ScatonlineFrozen" in scene.prometheus.alerts("inactive"))
    eventually(lambda: scene.prometheus.value("scatonline_streams") == 0)


def test_a_model_is_seen_as_long_as_it_is_served(scene: Scene) -> None:
    scene.client.create_model({**FRAMES, "name": "brief"})
    eventually(lambda: scene.prometheus.value('scatonline_storage_ready{model="brief"}') == 1)
    scene.client.delete_model("brief", confirm="brief")
    eventually(lambda: scene.prometheus.query('{model="brief"}') == {})
    assert scene.prometheus.value("scatonline_models") == 2


# The last one: it ends the service.
def test_a_service_that_is_killed_is_missed_and_its_recovery_is_seen(scene: Scene) -> None:
    event = scene.client.status().models["frames"].event
    scene.service.process.kill()
    eventually(lambda: "ScatonlineDown" in scene.prometheus.alerts("firing"))
    assert scene.prometheus.query("scatonline_samples_total") == {}
    values = {**scene.values, "metrics": {"port": scene.service.metrics_port}}
    again = scene.folder / "again"
    again.mkdir()
    with server_process(again, values):
        eventually(lambda: "ScatonlineDown" in scene.prometheus.alerts("inactive"))
        eventually(
            lambda: scene.prometheus.value('scatonline_event_number{model="frames"}') == event
        )
        assert scene.prometheus.value('scatonline_recovery_progress_ratio{model="frames"}') == 1
        assert scene.prometheus.value('scatonline_recovery_seconds{model="frames"}') > 0
        assert scene.prometheus.value('scatonline_samples_total{model="frames"}') == 0


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
