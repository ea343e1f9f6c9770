"""What one scrape shows of one model, put together by the model's writer at a bounded rate."""

from collections import Counter
from dataclasses import dataclass

from scatonline.drift import FilterReport
from scatonline.model import Model


@dataclass(frozen=True)
class ModelReport:
    """A model's scores, filters and bounds at one event.

    Attributes:
        model: Name of the model.
        event: Number of events of the model.
        sessions: Number of sessions.
        pending_labels: Samples that wait for their label.
        expired_labels: Samples that gave up their place before their label came.
        scores: Prequential scores over all samples, by name.
        recent_scores: The same over the recent samples.
        filters: Every filter with its parameters, drift and CAR index.
        bounds: Layer → least and greatest Littlewood–Paley sum.
    """

    model: str
    event: int
    sessions: int
    pending_labels: int
    expired_labels: int
    scores: dict[str, float]
    recent_scores: dict[str, float]
    filters: tuple[FilterReport, ...]
    bounds: dict[int, tuple[float, float]]

    @classmethod
    def of(cls, model: Model) -> "ModelReport":
        """Reads a model; only the thread that owns it may call this."""
        scores = model.scores()
        return cls(
            model=model.spec.name,
            event=model.event,
            sessions=len(model.sessions),
            pending_labels=model.pending,
            expired_labels=model.expired,
            scores=dict(scores.values),
            recent_scores=dict(scores.recent),
            filters=model.filters(),
            bounds=dict(model.bounds()),
        )

    def orientations(self) -> dict[tuple[int, int], int]:
        """Number of filters at each (layer, scale)."""
        return dict(Counter((report.layer, report.scale) for report in self.filters))
