"""Prequential scores: every prediction is scored before its sample is learned from.

Sums are kept, not samples, so the cost and the memory of a score do not grow; a ring of the last
samples gives the recent score.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatonline.kernels import scores as kernels

Floats = NDArray[np.float64]

RECENT = 300
_RATE_FLOOR = 1e-6
PRIMARY = {
    "poisson": "explained_deviance",
    "gaussian": "correlation",
    "softmax": "accuracy",
}


@dataclass(frozen=True)
class ScoreReport:
    """Scores so far.

    Attributes:
        samples: Scored samples.
        primary: The entry of ``values`` to look at first.
        values: Over all samples. Encoding: ``correlation`` (Pearson r, mean over outputs, an output
            that never changed counts 0), ``explained_variance`` (1 − error/variance about the
            stream's own mean), and for counts ``explained_deviance`` (1 − deviance / deviance of
            the stream's own mean) and ``bits_per_spike`` (log-likelihood gained over that mean).
            Classes: ``accuracy``, ``balanced_accuracy``, ``log_loss`` (nats).
        recent: The same over the last :data:`RECENT` samples.
    """

    samples: int
    primary: str
    values: dict[str, float]
    recent: dict[str, float]


class Score:
    """Running and recent score of one session."""

    def __init__(self, kind: str, outputs: int) -> None:
        """Starts empty.

        Args:
            kind: ``poisson``, ``gaussian`` or ``softmax``.
            outputs: Number of outputs.
        """
        self.kind, self.outputs = kind, outputs
        self.samples = 0
        self.sums = _nothing(kind, outputs)
        self.ring = np.zeros((RECENT, 2, outputs))

    def add(
        self, prediction: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]]
    ) -> float:
        """Scores one prediction; outputs with a missing target (NaN) are left out.

        Returns:
            Its loss, see :func:`loss_of`.
        """
        p, y = prediction.astype(np.float64), target.astype(np.float64)
        row = self.ring[self.samples % RECENT]
        row[0], row[1] = p, y
        self.samples += 1
        return _add(self.kind, p[None], y[None], self.sums)

    def values(self) -> dict[str, float]:
        """Scores over all samples; empty before the first."""
        return _scores(self.kind, self.sums) if self.samples else {}

    def recent(self) -> dict[str, float]:
        """Scores over the last samples; empty before the first."""
        if not self.samples:
            return {}
        ring = self.ring[: min(self.samples, RECENT)]
        return score(self.kind, ring[:, 0], ring[:, 1])

    def arrays(self) -> dict[str, Floats]:
        """State that a checkpoint keeps."""
        return {"sums": self.sums, "ring": self.ring}

    def load(self, samples: int, arrays: Mapping[str, Floats]) -> None:
        """Inverse of :meth:`arrays`."""
        self.samples = samples
        self.sums, self.ring = arrays["sums"].copy(), arrays["ring"].copy()


def score(
    kind: str, predictions: NDArray[np.floating[Any]], targets: NDArray[np.floating[Any]]
) -> dict[str, float]:
    """Scores of ``(samples, outputs)`` predictions against targets, NaN where missing."""
    p, y = predictions.astype(np.float64), targets.astype(np.float64)
    return _scores(kind, _summed(kind, p, y))


def loss_of(
    kind: str, prediction: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]]
) -> float:
    """Squared error or Poisson deviance, mean over observed outputs, or log loss, of one sample."""
    p, y = prediction.astype(np.float64), target.astype(np.float64)
    return _add(kind, p[None], y[None], _nothing(kind, len(p)))


def combine(kind: str, sessions: Mapping[str, Score], active: str | None = None) -> ScoreReport:
    """One report over sessions: each entry averaged with the number of scored samples.

    Args:
        kind: ``poisson``, ``gaussian`` or ``softmax``.
        sessions: Scores by session.
        active: Session whose recent score is given; None for the last one that has any.
    """
    scored = [s for s in sessions.values() if s.samples]
    samples = [s.samples for s in scored]
    values = _weighted([s.values() for s in scored], samples)
    latest = sessions[active] if active is not None else scored[-1] if scored else None
    recent = latest.recent() if latest is not None else {}
    return ScoreReport(sum(samples), PRIMARY[kind], values, recent)


_MOMENTS = ("n", "y", "p", "yy", "pp", "yp", "error")
_SUMS = {
    "gaussian": _MOMENTS,
    "poisson": (*_MOMENTS, "y_log_y", "y_log_rate"),
    "softmax": ("n", "hits", "members", "log_loss"),
}


def _nothing(kind: str, outputs: int) -> Floats:
    return np.zeros((len(_SUMS[kind]), outputs))


def _summed(kind: str, p: Floats, y: Floats) -> Floats:
    """The sums of ``(samples, outputs)``: ``(sums, outputs)``."""
    sums = _nothing(kind, p.shape[1])
    _add(kind, p, y, sums)
    return sums


def _add(kind: str, p: Floats, y: Floats, sums: Floats) -> float:
    """Adds samples to their sums; gives their loss."""
    if kind == "softmax":
        return kernels.add_classes(p, y, sums)
    return kernels.add_values(p, y, sums, counts=kind == "poisson")


def _scores(kind: str, sums: Floats) -> dict[str, float]:
    s = dict(zip(_SUMS[kind], sums, strict=True))
    if kind == "softmax":
        present = s["members"] > 0
        total = max(s["n"].max(), 1.0)
        return {
            "accuracy": float(s["hits"].sum() / total),
            "balanced_accuracy": float((s["hits"][present] / s["members"][present]).mean()),
            "log_loss": float(s["log_loss"].sum() / total),
        }
    n = np.maximum(s["n"], 1.0)
    variance_y = s["yy"] - s["y"] ** 2 / n
    variance_p = s["pp"] - s["p"] ** 2 / n
    covariance = s["yp"] - s["y"] * s["p"] / n
    spread = np.sqrt(np.maximum(variance_y * variance_p, 0.0))
    moved = spread > 1e-9 * (s["yy"] + s["pp"])
    r = np.where(moved, covariance / np.where(moved, spread, 1.0), 0.0)
    scores = {
        "correlation": float(r.mean()),
        "explained_variance": _explained(s["error"], variance_y, s["yy"]),
    }
    if kind == "poisson":
        mean_y = np.maximum(s["y"] / n, _RATE_FLOOR)
        null = s["y_log_y"] - s["y"] * np.log(mean_y)
        model = s["y_log_y"] - s["y_log_rate"] - (s["y"] - s["p"])
        scores["explained_deviance"] = _explained(model, null, s["y"])
        spikes = max(float(s["y"].sum()), 1.0)
        scores["bits_per_spike"] = float((null - model).sum() / (spikes * np.log(2)))
    return scores


def _explained(left: Floats, total: Floats, size: Floats) -> float:
    """1 − left/total, mean over outputs that varied by more than a rounding of ``size``."""
    varied = total > 1e-12 * size
    return float((1 - left[varied] / total[varied]).mean()) if varied.any() else 0.0


def _weighted(parts: list[dict[str, float]], weights: list[int]) -> dict[str, float]:
    if not parts:
        return {}
    return {
        key: float(np.average([part[key] for part in parts], weights=weights)) for key in parts[0]
    }
