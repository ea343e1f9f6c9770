"""docs/metrics.md and the registry agree both ways; series follow the model."""

import os
import platform
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from scatonline.drift import FilterReport
from scatonline.families import FAMILIES
from service.client import Client
from service.telemetry import Instruments, ModelReport, ReportCollector, show_check_process
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
    show_check_process(registry, os.getpid)
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


def series_of(registry: CollectorRegistry, model: str) -> set[str]:
    return {
        sample.name
        for metric in registry.collect()
        for sample in metric.samples
        if sample.labels.get("model") == model
    }


def test_the_series_of_a_model_end_with_it() -> None:
    registry = CollectorRegistry()
    instruments = Instruments(registry, "1.2.3")
    ended, other = instruments.of_model("ended"), instruments.of_model("other")
    for name in ("ended", "other"):
        instruments.count_rejected(name, "not_found")
    ended.watch_queue(lambda: 3, 256)
    before = series_of(registry, "other")
    assert series_of(registry, "ended") == before

    instruments.forget("ended")
    # Its writer may still finish what it was doing.
    ended.samples.inc()
    ended.update_latency.observe(0.1)
    other.samples.inc(2)

    assert series_of(registry, "ended") == set()
    assert series_of(registry, "other") == before
    assert registry.get_sample_value("scatonline_samples_total", {"model": "other"}) == 2
    assert registry.get_sample_value("scatonline_models") == 1


def test_a_model_made_again_counts_from_zero() -> None:
    registry = CollectorRegistry()
    instruments = Instruments(registry, "1.2.3")
    instruments.of_model("m").samples.inc(5)
    instruments.forget("m")
    instruments.of_model("m").samples.inc()
    assert registry.get_sample_value("scatonline_samples_total", {"model": "m"}) == 1
    assert registry.get_sample_value("scatonline_models") == 1


def test_names_that_clients_make_up_make_no_series() -> None:
    registry = CollectorRegistry()
    instruments = Instruments(registry, "1.2.3")
    instruments.of_model("m")
    instruments.of_model("deleted")
    instruments.forget("deleted")
    for name in ("deleted", *(f"made-up-{number}" for number in range(1000))):
        instruments.count_rejected(name, "not_found")
    (rejected,) = (each for each in registry.collect() if each.name == "scatonline_rejected")
    counted = {
        tuple(each.labels.values()): each.value
        for each in rejected.samples
        if "_total" in each.name
    }
    assert counted == {("m", "internal"): 0, ("unknown", "not_found"): 1001}


def test_models_come_and_go_while_pages_are_made() -> None:
    registry = CollectorRegistry()
    instruments = Instruments(registry, "1.2.3")
    instruments.of_model("stays").samples.inc()

    def come_and_go(name: str) -> None:
        for _ in range(30):
            instruments.of_model(name).samples.inc()
            instruments.count_rejected(name, "not_found")
            instruments.forget(name)

    with ThreadPoolExecutor() as threads:
        changes = [threads.submit(come_and_go, f"m{number}") for number in range(4)]
        while not all(change.done() for change in changes):
            generate_latest(registry)
        for change in changes:
            change.result()
    assert registry.get_sample_value("scatonline_models") == 1
    assert {f"m{number}" for number in range(4)}.isdisjoint(
        sample.labels.get("model") for metric in registry.collect() for sample in metric.samples
    )


def test_a_processor_has_no_device_memory() -> None:
    registry = CollectorRegistry()
    Instruments(registry, "1.2.3", "cpu")
    shown = {each.name: each.samples for each in registry.collect()}
    assert shown["scatonline_device_memory_free_bytes"] == []
    assert shown["process_resident_memory_bytes"][0].value > 2**20
    (build,) = shown["scatonline_build"]
    assert build.labels == {
        "version": "1.2.3",
        "device": "cpu",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def test_a_gpu_that_is_lost_leaves_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_: torch.device) -> tuple[int, int]:
        raise RuntimeError("CUDA error: device lost")

    monkeypatch.setattr(torch.cuda, "mem_get_info", lost)
    registry = CollectorRegistry()
    Instruments(registry, "1.2.3", "cuda:0").of_model("m").samples.inc()
    page = generate_latest(registry).decode()
    assert 'scatonline_samples_total{model="m"} 1.0' in page
    assert "scatonline_device_memory_free_bytes{" not in page


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
