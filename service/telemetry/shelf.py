"""Instruments of one registry that carry a model's name, and their end when the model ends."""

import threading
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

PREFIX = "scatonline_"
_Kind = TypeVar("_Kind", Counter, Gauge, Histogram)


class Shelf:
    """Makes an instrument when it is first asked for, and hands out the series of one model.

    Safe from any thread.

    Args:
        registry: Where instruments are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._made: dict[str, Counter | Gauge | Histogram] = {}
        self._lock = threading.Lock()

    def counter(self, model: str, name: str, text: str, **labels: str) -> Counter:
        """A series of a counter; `name` without prefix and without `_total`."""
        return self._series(Counter, model, name, text, labels)

    def gauge(self, model: str, name: str, text: str) -> Gauge:
        """A series of a gauge; `name` without prefix."""
        return self._series(Gauge, model, name, text, {})

    def histogram(self, model: str, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        """A series of a histogram; `buckets` are upper bounds in the metric's unit."""
        return self._series(Histogram, model, name, text, {}, buckets=buckets)

    def forget(self, model: str) -> None:
        """Ends all series of a model. What still holds one may move it; nobody sees it."""
        with self._lock:
            for instrument in self._made.values():
                instrument.remove_by_labels({"model": model})

    def _series(
        self,
        kind: type[_Kind],
        model: str,
        name: str,
        text: str,
        labels: dict[str, str],
        **options: Any,
    ) -> _Kind:
        with self._lock:
            instrument = self._made.get(name)
            if instrument is None:
                instrument = kind(
                    PREFIX + name, text, ("model", *labels), registry=self._registry, **options
                )
                self._made[name] = instrument
            assert isinstance(instrument, kind)
            return instrument.labels(model=model, **labels)
