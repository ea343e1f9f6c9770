"""Counters, histograms and gauges that the service moves as things happen."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from service.telemetry.latency import Latency

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
CHECK_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0)
UNKNOWN_MODEL = "unknown"


class _Maker:
    """Makes instruments of one registry, each with the model's name as its first label."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"scatonline_{name}", text, ("model", *labels), registry=self._registry)

    def gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"scatonline_{name}", text, ("model",), registry=self._registry)

    def histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(
            f"scatonline_{name}", text, ("model",), buckets=buckets, registry=self._registry
        )


class Instruments:
    """All instruments on one registry.

    Labels are bounded: model names come from the settings, reasons from the table of status codes,
    kinds of moves from the library.

    Args:
        registry: Where they are registered; one set per registry.
        version: Version of the service, shown by `scatonline_build_info`.
    """

    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        make = _Maker(registry)
        Info("scatonline_build", "Version of the service.", registry=registry).info(
            {"version": version}
        )
        self.samples = make.counter(
            "samples", "Samples predicted, scored and learned since the process started."
        )
        self.labels = make.counter("labels", "Late labels applied since the process started.")
        self.loss_changes = make.counter(
            "loss_changes", "Rises of the prequential loss found since the process started."
        )
        self.retreats = make.counter(
            "retreats", "Times that learned filters were given up since the process started."
        )
        self.rejected = make.counter(
            "rejected", "Requests refused since the process started, by status code.", "reason"
        )
        self.update_latency = make.histogram(
            "update_latency_seconds",
            "From the arrival of a sample to its published result.",
            SECONDS,
        )
        self.predict_latency = make.histogram(
            "predict_latency_seconds", "From the arrival of a request to its prediction.", SECONDS
        )
        self.queue_depth = make.gauge("queue_depth", "Events that wait for the model's writer.")
        self.queue_capacity = make.gauge(
            "queue_capacity", "Events that may wait for the model's writer."
        )
        self.moves = make.counter(
            "structure_moves", "Filters added or dropped since the process started.", "kind"
        )
        self.check_duration = make.histogram(
            "structure_check_duration_seconds",
            "Time that a structure check ran beside the writer.",
            CHECK_SECONDS,
        )
        self.check_failures = make.counter(
            "structure_check_failures",
            "Structure checks that ended in an error since the process started.",
        )
        self.report_failures = make.counter(
            "report_failures",
            "Reports of filters and scores that could not be made since the process started.",
        )
        self.checkpoint_timestamp = make.gauge(
            "checkpoint_timestamp_seconds",
            "When the newest checkpoint was written, Unix time; 0 before the first.",
        )
        self.checkpoint_event = make.gauge(
            "checkpoint_event_number", "Event number of the newest checkpoint."
        )
        self.checkpoint_failures = make.counter(
            "checkpoint_failures",
            "Checkpoints that could not be written since the process started.",
        )
        self.checkpoints_damaged = make.gauge(
            "checkpoints_damaged",
            "Damaged checkpoints that were passed over when the process started.",
        )

    def of_model(self, model: str) -> "ModelInstruments":
        """The instruments of one model."""
        return ModelInstruments(self, model)

    def count_rejected(self, model: str, reason: str) -> None:
        """Counts a refused request; `reason` is a gRPC status code's name in lower case."""
        self.rejected.labels(model, reason).inc()


class ModelInstruments:
    """The instruments of one model, every series present from the start."""

    def __init__(self, instruments: Instruments, model: str) -> None:
        self.samples = instruments.samples.labels(model)
        self.labels = instruments.labels.labels(model)
        self.loss_changes = instruments.loss_changes.labels(model)
        self.retreats = instruments.retreats.labels(model)
        self.update_latency = Latency(instruments.update_latency.labels(model))
        self.predict_latency = Latency(instruments.predict_latency.labels(model))
        self.moves = {kind: instruments.moves.labels(model, kind) for kind in ("add", "drop")}
        self.check_duration = instruments.check_duration.labels(model)
        self.check_failures = instruments.check_failures.labels(model)
        self.report_failures = instruments.report_failures.labels(model)
        self.checkpoint_timestamp = instruments.checkpoint_timestamp.labels(model)
        self.checkpoint_event = instruments.checkpoint_event.labels(model)
        self.checkpoint_failures = instruments.checkpoint_failures.labels(model)
        self.checkpoints_damaged = instruments.checkpoints_damaged.labels(model)
        self._queue_depth = instruments.queue_depth.labels(model)
        self._queue_capacity = instruments.queue_capacity.labels(model)

    def watch_queue(self, depth: Callable[[], int], capacity: int) -> None:
        """Shows the queue's depth at every scrape."""
        self._queue_depth.set_function(depth)
        self._queue_capacity.set(capacity)
