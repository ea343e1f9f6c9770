"""Gauges that are made at scrape time from the models' last reports.

A filter that was dropped is absent from the next report, and so are its series.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from scatonline.drift import FilterReport
from service.telemetry.report import ModelReport

Row = tuple[tuple[str, ...], float]


@dataclass(frozen=True)
class ReportGauge:
    """A gauge and how it is read from a report.

    Attributes:
        name: Name of the metric.
        meaning: Its help text.
        labels: Label names beside `model`.
        rows: Report → label values beside the model's name, and the value.
    """

    name: str
    meaning: str
    labels: tuple[str, ...]
    rows: Callable[[ModelReport], Iterable[Row]]

    def family(self, reports: Iterable[ModelReport]) -> GaugeMetricFamily:
        """The metric with one series per row."""
        family = GaugeMetricFamily(self.name, self.meaning, labels=("model", *self.labels))
        for report in reports:
            for labels, value in self.rows(report):
                family.add_metric((report.model, *labels), value)
        return family


def _single(value: Callable[[ModelReport], float]) -> Callable[[ModelReport], Iterable[Row]]:
    return lambda report: [((), value(report))]


def _named(values: Callable[[ModelReport], dict[str, float]]) -> Callable[[ModelReport], list[Row]]:
    return lambda report: [((name,), value) for name, value in values(report).items()]


def _bound(index: int) -> Callable[[ModelReport], list[Row]]:
    return lambda report: [((str(la),), bounds[index]) for la, bounds in report.bounds.items()]


def _orientations(report: ModelReport) -> list[Row]:
    return [
        ((str(layer), str(scale)), count) for (layer, scale), count in report.orientations().items()
    ]


def _per_filter(
    value: Callable[[FilterReport], float | None],
) -> Callable[[ModelReport], Iterator[Row]]:
    """One series per filter; filters that lack the value have none."""

    def rows(report: ModelReport) -> Iterator[Row]:
        for each in report.filters:
            number = value(each)
            if number is not None:
                yield (str(each.layer), str(each.scale), each.id), number

    return rows


_FILTER = ("layer", "scale", "filter")
GAUGES = (
    ReportGauge(
        "scatonline_event_number",
        "Events that changed the model so far.",
        (),
        _single(lambda report: report.event),
    ),
    ReportGauge(
        "scatonline_sessions",
        "Sessions opened so far.",
        (),
        _single(lambda report: report.sessions),
    ),
    ReportGauge(
        "scatonline_pending_labels",
        "Samples that wait for their label.",
        (),
        _single(lambda report: report.pending_labels),
    ),
    ReportGauge(
        "scatonline_expired_labels",
        "Samples that gave up their place before their label came.",
        (),
        _single(lambda report: report.expired_labels),
    ),
    ReportGauge(
        "scatonline_score",
        "Prequential score over all samples.",
        ("metric",),
        _named(lambda report: report.scores),
    ),
    ReportGauge(
        "scatonline_recent_score",
        "Prequential score over the recent samples.",
        ("metric",),
        _named(lambda report: report.recent_scores),
    ),
    ReportGauge(
        "scatonline_orientations",
        "Filters at a scale of a layer.",
        ("layer", "scale"),
        _orientations,
    ),
    ReportGauge(
        "scatonline_littlewood_paley_min",
        "Least Littlewood-Paley sum of a layer over frequencies.",
        ("layer",),
        _bound(0),
    ),
    ReportGauge(
        "scatonline_littlewood_paley_max",
        "Greatest Littlewood-Paley sum of a layer over frequencies.",
        ("layer",),
        _bound(1),
    ),
    ReportGauge(
        "scatonline_filter_angle_drift_radians",
        "Angle between a filter's present and initial direction; 2-D only.",
        _FILTER,
        _per_filter(lambda report: report.drift.get("angle_rad")),
    ),
    ReportGauge(
        "scatonline_filter_log2_frequency_drift_octaves",
        "Change of a filter's centre frequency since it was made.",
        _FILTER,
        _per_filter(lambda report: report.drift.get("log2_frequency")),
    ),
    ReportGauge(
        "scatonline_filter_log2_bandwidth_drift_octaves",
        "Change of a filter's bandwidth since it was made.",
        _FILTER,
        _per_filter(lambda report: report.drift.get("log2_bandwidth")),
    ),
    ReportGauge(
        "scatonline_filter_spectral_distance_ratio",
        "1 - |cosine| between a filter's present and initial spectrum.",
        _FILTER,
        _per_filter(lambda report: report.drift.get("spectral_distance")),
    ),
    ReportGauge(
        "scatonline_filter_car",
        "CAR index of a filter at the last structure check.",
        _FILTER,
        _per_filter(lambda report: report.car),
    ),
    ReportGauge(
        "scatonline_filter_car_standard_error",
        "Standard error of the CAR index.",
        _FILTER,
        _per_filter(lambda report: report.car_se),
    ),
)


class ReportCollector(Collector):
    """Shows the last report of every model.

    Args:
        reports: Gives the last reports; called at each scrape from the page's thread.
    """

    def __init__(self, reports: Callable[[], Iterable[ModelReport]]) -> None:
        self._reports = reports

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The metrics without series, so that registering needs no report."""
        return (gauge.family(()) for gauge in GAUGES)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The metrics with the series of the last reports."""
        reports = tuple(self._reports())
        return (gauge.family(reports) for gauge in GAUGES)
