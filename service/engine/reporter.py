"""Keeps the report that Prometheus scrapes fresh at a bounded rate; tells of filters gone far."""

import time
from collections.abc import Callable

import structlog

from scatonline.drift import FilterReport
from scatonline.model import Model
from service.telemetry import ModelInstruments, ModelReport

# As the alerts have it: half a radian, or half of what it had in common with where it began.
_FAR = {"angle_rad": 0.5, "spectral_distance": 0.5}
# A filter that goes back and forth around a limit is told of once.
_NEAR_AGAIN = 0.5
_log = structlog.get_logger(__name__)


class Reporter:
    """Reading every filter after every sample would cost more than learning from it.

    Args:
        model: The writer's model.
        instruments: The model's instruments.
        every_s: Least seconds between two reports.
        drifted: Called with the event number and the report of a filter that has moved far.
    """

    def __init__(
        self,
        model: Model,
        instruments: ModelInstruments,
        every_s: float,
        drifted: Callable[[int, FilterReport], object],
    ) -> None:
        self._instruments = instruments
        self._drifted = drifted
        # What is far already when the process starts was told of before.
        self._far = {each.id for each in model.filters() if _share(each) >= 1}
        self._every_s = every_s
        self.refresh(model)

    @property
    def report(self) -> ModelReport:
        """The newest report; safe from any thread."""
        return self._report

    def refresh(self, model: Model) -> ModelReport:
        """Makes a report now, in the writer's thread."""
        self._tried_s = time.monotonic()
        self._report = ModelReport.of(model)
        self._seen_event = model.event
        # Names of filters that are gone would add up.
        self._far &= {each.id for each in self._report.filters}
        for each in self._report.filters:
            share = _share(each)
            if share >= 1 and each.id not in self._far:
                self._far.add(each.id)
                self._drifted(model.event, each)
            elif share < _NEAR_AGAIN:
                self._far.discard(each.id)
        return self._report

    def refresh_if_due(self, model: Model) -> None:
        """Makes a report if the model changed and the last one is old enough."""
        if self.seconds_until_due(model.event) != 0.0:
            return
        try:
            self.refresh(model)
        except Exception:  # noqa: BLE001 (a report is a view: the model itself goes on)
            self._seen_event = model.event
            self._instruments.report_failures.inc()
            _log.exception("report_failed", model=model.spec.name)

    def hasten(self) -> None:
        """Makes a report due now."""
        self._tried_s = time.monotonic() - self._every_s

    def seconds_until_due(self, event: int) -> float | None:
        """Seconds until a model at this event wants a report; None while nothing changed."""
        if event == self._seen_event:
            return None
        return max(0.0, self._tried_s + self._every_s - time.monotonic())


def _share(report: FilterReport) -> float:
    """How far a filter has gone, relative to what is far."""
    return max(abs(report.drift.get(name, 0.0)) / far for name, far in _FAR.items())
