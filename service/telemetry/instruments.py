"""All instruments of a service, and the models that they are of."""

import threading

from prometheus_client import CollectorRegistry, Counter, Gauge

from service.telemetry.entrance import EntranceInstruments
from service.telemetry.model_instruments import ModelInstruments
from service.telemetry.process import show_process
from service.telemetry.shelf import PREFIX, Shelf

UNKNOWN_MODEL = "unknown"


class Instruments:
    """All instruments on one registry.

    Labels are bounded: a series with a model's name ends with the model (:meth:`forget`), reasons
    come from the table of status codes, kinds of moves from the library.

    Args:
        registry: Where they are registered; one set per registry.
        version: Version of the service, shown by `scatonline_build_info`.
        device: What models compute on: `cpu`, `cuda` or `cuda:N`.

    Attributes:
        streams: Streams that are open now.
        entrance: What is counted where calls come in.
    """

    def __init__(self, registry: CollectorRegistry, version: str, device: str = "cpu") -> None:
        show_process(registry, version, device)
        self._shelf = Shelf(registry)
        self._known: set[str] = set()
        self._lock = threading.Lock()
        self._models = Gauge(f"{PREFIX}models", "Models that are served.", registry=registry)
        self.streams = Gauge(f"{PREFIX}streams", "Streams that are open.", registry=registry)
        self.entrance = EntranceInstruments(registry)

    def of_model(self, model: str) -> ModelInstruments:
        """The instruments of one model, which is counted as served until it is forgotten."""
        with self._lock:
            self._known.add(model)
            self._models.set(len(self._known))
            # Present from the start, so that a first one is seen as a rise.
            self._rejected(model, "internal")
            return ModelInstruments(self._shelf, model)

    def forget(self, model: str) -> None:
        """Ends all series of a model that is served no more; does nothing for an unknown one."""
        with self._lock:
            self._known.discard(model)
            self._models.set(len(self._known))
            self._shelf.forget(model)

    def count_rejected(self, model: str, reason: str) -> None:
        """Counts a refused request.

        Args:
            model: The name that was asked for; one that is not served is counted as `unknown`.
            reason: A gRPC status code's name in lower case.
        """
        with self._lock:
            self._rejected(model if model in self._known else UNKNOWN_MODEL, reason).inc()

    def _rejected(self, model: str, reason: str) -> Counter:
        return self._shelf.counter(
            model,
            "rejected",
            "Requests refused since the process started, by status code.",
            reason=reason,
        )
