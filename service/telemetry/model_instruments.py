"""Counters, histograms and gauges of one model, moved as things happen."""

from collections.abc import Callable

from service.telemetry.shelf import Shelf
from service.telemetry.table import Table, counter, counters, gauge, histogram, latency

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
FLUSH_SECONDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
CHECK_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0)
BATCH_RECORDS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class ModelInstruments(Table):
    """The instruments of one model, every series present from the start.

    Counters count since the process started. A model has learning on, storage that is ready and
    nothing left to replay until its owner says otherwise.
    """

    samples = counter("samples", "Samples predicted, scored and learned since the process started.")
    labels = counter("labels", "Late labels applied since the process started.")
    repeated_requests = counter(
        "repeated_requests", "Requests answered from memory, as they had been answered before."
    )
    orphan_labels = counter("orphan_labels", "Labels of samples that never came.")
    missing_samples = counter(
        "missing_samples", "Samples that their sequence numbers say were lost on the way."
    )
    watch_missed = counter(
        "watch_missed", "Notices that watchers missed because they did not keep up."
    )
    update_latency = latency(
        "update_latency_seconds", "From the arrival of a sample to its published result.", SECONDS
    )
    predict_latency = latency(
        "predict_latency_seconds", "From the arrival of a request to its prediction.", SECONDS
    )
    _queue_depth = gauge("queue_depth", "Events that wait for the model's writer.")
    _queue_capacity = gauge("queue_capacity", "Events that may wait for the model's writer.")

    frozen = gauge("frozen", "1 while nothing is learned, else 0.")
    loss_changes = counter(
        "loss_changes", "Rises of the prequential loss found since the process started."
    )
    retreats = counter(
        "retreats", "Times that learned filters were given up since the process started."
    )
    rollbacks = counter("rollbacks", "Times that the model was returned to an earlier checkpoint.")
    moves = counters(
        "structure_moves", "Filters added or dropped since the process started.", ("add", "drop")
    )
    check_duration = histogram(
        "structure_check_duration_seconds",
        "Time that a structure check computed beside the writer.",
        CHECK_SECONDS,
    )
    check_failures = counter(
        "structure_check_failures",
        "Structure checks that ended in an error since the process started.",
    )
    report_failures = counter(
        "report_failures",
        "Reports of filters and scores that could not be made since the process started.",
    )

    storage_ready = gauge("storage_ready", "1 while the disk takes records, 0 while it takes none.")
    journal_flush = histogram(
        "journal_flush_seconds",
        "Time until the records of one flush of the journal were on the disk.",
        FLUSH_SECONDS,
    )
    journal_batch = histogram(
        "journal_batch_events", "Events that one flush of the journal made durable.", BATCH_RECORDS
    )
    journal_record = gauge("journal_record_number", "Number of the newest record in the journal.")
    journal_bytes = gauge("journal_bytes", "Size of the journal on the disk.")
    journal_replayed = counter(
        "journal_replayed", "Records of the journal applied anew when the process started."
    )
    recovery_progress = gauge(
        "recovery_progress_ratio",
        "Share of the journal's records after the checkpoint that are applied; 1 when done.",
    )
    recovery_seconds = gauge(
        "recovery_seconds",
        "How long the model's checkpoint and journal have taken to load, so far or in all.",
    )
    checkpoint_timestamp = gauge(
        "checkpoint_timestamp_seconds",
        "When the newest checkpoint was written, Unix time; 0 before the first.",
    )
    checkpoint_event = gauge("checkpoint_event_number", "Event number of the newest checkpoint.")
    checkpoint_failures = counter(
        "checkpoint_failures", "Checkpoints that could not be written since the process started."
    )
    checkpoints_damaged = gauge(
        "checkpoints_damaged", "Damaged checkpoints that were passed over when the process started."
    )

    def __init__(self, shelf: Shelf, model: str) -> None:
        super().__init__(shelf, model)
        self.storage_ready.set(1)
        self.recovery_progress.set(1)

    def watch_queue(self, depth: Callable[[], int], capacity: int) -> None:
        """Shows the queue's depth at every scrape."""
        self._queue_depth.set_function(depth)
        self._queue_capacity.set(capacity)
