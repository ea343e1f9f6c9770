"""docs/metrics.md and the registry agree both ways; series follow the model."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from scatonline.drift import FilterReport
from scatonline.families import FAMILIES
from service.client import Client
from service.telemetry import Instruments, ModelReport, ReportCollector
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

ROW = re.compile(r"\| `(?P<name>\w+)` \| (?P<type>\w+) \| (?P<labels>[^|]*) \| (?P<unit>[^|]*) \|")
GPU_MEMORY = {"mem_get_info": (6, 10), "memory_allocated": 2, "memory_reserved": 3}
UNITS = ("bytes", "seconds", "radians", "octaves", "ratio")


def table(repository: Path) -> dict[str, tuple[str, frozenset[str], str]]:
    text = (repository / "docs" / "metrics.md").read_text()
    return {
        row["name"]: (row["type"], frozenset(re.findall(r"`(\w+)`", row["labels"])), row["unit"])
        for row in ROW.finditer(text)
    }


def report(*filters: FilterReport, model: str = "m") -> ModelReport:
    return ModelReport(
        model=model,
        event=3,
        sessions=1,
        pending_labels=2,
        expired_labels=0,
        scores={"correlation": 0.5},
        recent_scores={"correlation": 0.6},
        filters=filters,
        bounds={1: (0.4, 0.99)},
    )


def filter_report(number: int) -> FilterReport:
    return FilterReport(
        id=f"1/j0/{number}",
        layer=1,
        scale=0,
        parameters={},
        drift={
            "angle_rad": 0.1,
            "log2_frequency": 0.2,
            "log2_bandwidth": 0.3,
            "spectral_distance": 0.4,
        },
        car=0.01,
        car_se=0.002,
        car_upper=0.02,
        born_event=0,
    )


def exposed_name(metric: Metric) -> str:
    return metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")


def labels_of(metric: Metric) -> frozenset[str]:
    names = {name for sample in metric.samples for name in sample.labels}
    return frozenset(names - {"le"})


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> dict[str, Metric]:
    """Every metric of a registry in which every series has a value, as on a machine with a GPU."""
    for name, value in GPU_MEMORY.items():
        monkeypatch.setattr(torch.cuda, name, lambda _, value=value: value)
    registry = CollectorRegistry()
    instruments = Instruments(registry, "1.2.3", "cuda:0")
    instruments.of_model("m")
    instruments.count_rejected("m", "not_found")
    registry.register(ReportCollector(lambda: [report(filter_report(0))]))
    return {exposed_name(metric): metric for metric in registry.collect()}


def test_the_table_and_the_registry_have_the_same_metrics(
    metrics: dict[str, Metric], repository: Path
) -> None:
    documented = table(repository)
    assert documented.keys() == metrics.keys()
    for name, (kind, labels, _) in documented.items():
        assert (name, metrics[name].type, labels_of(metrics[name])) == (name, kind, labels)


def test_names_follow_prometheus_conventions(metrics: dict[str, Metric], repository: Path) -> None:
    for name, (_, _, unit) in table(repository).items():
        assert re.fullmatch(r"(scatonline|process)_[a-z0-9_]+", name)
        assert metrics[name].documentation.endswith(".")
        for suffix in UNITS:
            if name.endswith(f"_{suffix}"):
                assert unit == suffix


def test_series_of_a_dropped_filter_end() -> None:
    registry = CollectorRegistry()
    filters = [filter_report(0), filter_report(1)]

    def reports() -> Iterator[ModelReport]:
        yield report(*filters)

    registry.register(ReportCollector(reports))
    dropped = {"model": "m", "layer": "1", "scale": "0", "filter": "1/j0/1"}
    assert registry.get_sample_value("scatonline_filter_car", dropped) == 0.01
    filters.pop()
    assert registry.get_sample_value("scatonline_filter_car", dropped) is None
    place = {"model": "m", "layer": "1", "scale": "0"}
    assert registry.get_sample_value("scatonline_orientations", place) == 1


def test_a_running_service_shows_what_it_did(service: LocalService, client: Client) -> None:
    for index in range(12):
        client.update("encoder", "day-1", f"s{index}", waveform(index), counts(index))
    client.update("encoder", "day-1", "late", waveform(50))
    client.predict("encoder", "day-1", waveform(0))
    client.update("decoder", "day-1", "a", waveform(0, 2, 32))
    client.label("decoder", "day-1", "a", "rest")
    with pytest.raises(Exception, match="NOT_FOUND"):
        client.predict("other", "day-1", waveform(0))
    status = client.status().models["encoder"]
    eventually(
        lambda: service.scrape()[series("scatonline_event_number", model="encoder")] == status.event
    )
    page = service.scrape()
    expected = {
        series("scatonline_samples_total", model="encoder"): 13,
        series("scatonline_samples_total", model="decoder"): 1,
        series("scatonline_labels_total", model="decoder"): 1,
        series("scatonline_rejected_total", model="unknown", reason="not_found"): 1,
        series("scatonline_update_latency_seconds_count", model="encoder"): 13,
        series("scatonline_predict_latency_seconds_count", model="encoder"): 1,
        series("scatonline_queue_depth", model="encoder"): 0,
        series("scatonline_queue_capacity", model="encoder"): 256,
        series("scatonline_pending_labels", model="encoder"): 1,
        series("scatonline_sessions", model="encoder"): 1,
    }
    assert {key: page.get(key) for key in expected} == expected
    for name, value in status.scores.values.items():
        shown = page[series("scatonline_score", model="encoder", metric=name)]
        assert shown == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize("family", sorted({name for name, _ in FAMILIES}))
def test_filters_of_every_family_show_how_far_they_drifted(tmp_path: Path, family: str) -> None:
    model = {
        **ENCODER,
        "bank": {"family": family, "J": 3, "Q": [1, 1], "max_order": 1},
        "learning": {"warmup": 8, "every": 2, "rate": 0.05},
    }
    with local_service(settings_values(tmp_path, model)) as (service, client):
        client.open_session("encoder", "day-1", ["u1", "u2"])
        for index in range(30):
            client.update("encoder", "day-1", f"s{index}", waveform(index), counts(index))

        def drifted() -> bool:
            rows = service.scrape()
            own = {"model": "encoder", "layer": "1", "scale": "0", "filter": "1/j0/0"}
            distance = rows.get(series("scatonline_filter_spectral_distance_ratio", **own), 0.0)
            octaves = rows.get(series("scatonline_filter_log2_frequency_drift_octaves", **own), 0.0)
            bound = rows[series("scatonline_littlewood_paley_max", model="encoder", layer="1")]
            return distance > 1e-9 and abs(octaves) > 1e-6 and bound <= 1 + 1e-10

        eventually(drifted)
