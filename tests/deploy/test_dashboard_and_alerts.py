"""The dashboard and the alert rules, against docs/metrics.md and promtool."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

SERIES = {"histogram": ("_bucket", "_count", "_sum")}
NOT_SHOWN = {
    "process_virtual_memory_bytes": "address space says nothing about memory where CUDA is loaded",
    "scatonline_structure_check_process_virtual_memory_bytes": "nor where PyTorch is",
}
# What Grafana puts in before it asks Prometheus.
VARIABLES = {"$__rate_interval": "1m", "$model": ".*", "$layer": ".*", "$scale": ".*"}


@pytest.fixture(scope="module")
def documented(repository: Path) -> dict[str, str]:
    """Metric → type in docs/metrics.md, which is held against the service elsewhere."""
    table = (repository / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", table, flags=re.MULTILINE))
    assert rows
    return rows


@pytest.fixture(scope="module")
def exported(documented: dict[str, str]) -> set[str]:
    """Names of all their time series."""
    return {name + part for name, kind in documented.items() for part in SERIES.get(kind, ("",))}


@pytest.fixture(scope="module")
def dashboard(deploy: Path) -> dict[str, Any]:
    text = (deploy / "grafana" / "dashboards" / "scatonline.json").read_text(encoding="utf-8")
    tree = json.loads(text)
    assert isinstance(tree, dict)
    return tree


@pytest.fixture(scope="module")
def rules(deploy: Path) -> list[dict[str, Any]]:
    tree = yaml.safe_load((deploy / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in tree["groups"] for rule in group["rules"]]


def _queries(dashboard: dict[str, Any]) -> Iterator[str]:
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (each["expr"] for each in dashboard["annotations"]["list"])


def _filled_in(query: str) -> str:
    for variable, value in VARIABLES.items():
        query = query.replace(variable, value)
    return query


def _metrics(*texts: str) -> set[str]:
    """Names of metrics in PromQL; a quoted job's name is none."""
    return set(re.findall(r'(?<!")\b(?:scatonline|process)_\w+', " ".join(texts)))


def test_the_dashboard_asks_for_metrics_that_exist(
    dashboard: dict[str, Any], exported: set[str]
) -> None:
    variables = [each["definition"] for each in dashboard["templating"]["list"]]
    asked = _metrics(*_queries(dashboard), *variables)
    assert asked
    assert asked - exported == set()


def test_the_alerts_ask_for_metrics_that_exist(
    rules: list[dict[str, Any]], exported: set[str]
) -> None:
    asked = _metrics(*(rule["expr"] for rule in rules))
    assert asked
    assert asked - exported == set()


def test_the_dashboard_shows_every_metric(
    dashboard: dict[str, Any], documented: dict[str, str]
) -> None:
    asked = _metrics(*_queries(dashboard))
    unseen = {
        name
        for name, kind in documented.items()
        if not any(name + part in asked for part in SERIES.get(kind, ("",)))
    }
    assert unseen == NOT_SHOWN.keys()


def test_panels_lie_beside_each_other(dashboard: dict[str, Any]) -> None:
    cells = [
        (x, y)
        for panel in dashboard["panels"]
        for place in (panel["gridPos"],)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


def test_prometheus_accepts_its_configuration_and_rules(
    promtool: Callable[..., None], deploy: Path
) -> None:
    promtool("check", "config", deploy / "prometheus" / "prometheus.yml")


def test_prometheus_accepts_the_queries_of_the_dashboard(
    promtool: Callable[..., None], dashboard: dict[str, Any], tmp_path: Path
) -> None:
    rules = [
        {"record": f"query:{number}", "expr": _filled_in(query)}
        for number, query in enumerate(_queries(dashboard))
    ]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    promtool("check", "rules", "--lint=none", path)


@pytest.mark.slow
def test_alerts_fire_when_they_should(promtool: Callable[..., None], deploy: Path) -> None:
    promtool("test", "rules", Path(__file__).parent / "alerts_test.yml")


@pytest.mark.parametrize("raised", [True, False], ids=["raised", "quiet"])
def test_every_alert_is_tried_both_ways(rules: list[dict[str, Any]], raised: bool) -> None:
    tried = {name for name, is_raised, _ in _tried() if is_raised is raised}
    assert tried == {rule["alert"] for rule in rules}


def test_no_alert_is_quiet_for_want_of_what_it_watches(rules: list[dict[str, Any]]) -> None:
    watched = {rule["alert"]: _metrics(rule["expr"]) for rule in rules}
    assert [name for name, _, given in _tried() if not watched[name] <= given] == []


def _tried() -> Iterator[tuple[str, bool, set[str]]]:
    """Alerts of alerts_test.yml, whether they are raised, and the metrics that were given."""
    tree = yaml.safe_load((Path(__file__).parent / "alerts_test.yml").read_text(encoding="utf-8"))
    for test in tree["tests"]:
        given = _metrics(*(each["series"] for each in test["input_series"]))
        for each in test["alert_rule_test"]:
            yield each["alertname"], bool(each.get("exp_alerts")), given
