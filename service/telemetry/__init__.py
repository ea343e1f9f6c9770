"""What Prometheus sees: instruments that count, and a collector that shows the last report.

`docs/metrics.md` lists every metric; a test holds it against the registry.
"""

from service.telemetry.collector import ReportCollector
from service.telemetry.instruments import Instruments
from service.telemetry.latency import Latency, LatencySummary
from service.telemetry.logs import configure_log
from service.telemetry.model_instruments import ModelInstruments
from service.telemetry.page import MetricsPage
from service.telemetry.process import show_check_process
from service.telemetry.report import ModelReport

__all__ = [
    "Instruments",
    "Latency",
    "LatencySummary",
    "MetricsPage",
    "ModelInstruments",
    "ModelReport",
    "ReportCollector",
    "configure_log",
    "show_check_process",
]
