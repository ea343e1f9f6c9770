"""Scores of the four models, computed here from the predictions that came back.

The definitions are the library's own (`scatonline.scores`); the numbers do not come from the
service but from what it answered before it learned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scatonline.scores import PRIMARY, score
from service.demo.ledger import Ledger, Stretch
from service.recordings.recording import ReadoutKind

SPAN = 300
BLOCK = 50
DRAWS = 100
CHECKPOINTS = 60
TITLES = {
    "explained_deviance": "explained deviance",
    "correlation": "correlation",
    "explained_variance": "explained variance",
    "bits_per_spike": "bits per spike",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "log_loss": "log loss (nats)",
}
Scores = dict[str, float]
Floats = NDArray[np.float64]


def stream_scores(kind: ReadoutKind, stretches: Sequence[Stretch]) -> Scores:
    """Every score over some samples: per session, then averaged with the number of samples.

    Sessions have outputs of their own, so a score is only defined within one.
    """
    if not stretches:
        return {}
    by_session: dict[str, list[Stretch]] = {}
    for stretch in stretches:
        by_session.setdefault(stretch.session, []).append(stretch)
    joined = [
        (
            np.concatenate([part.predictions for part in parts]),
            np.concatenate([part.targets for part in parts]),
        )
        for parts in by_session.values()
    ]
    scores = [score(kind, predictions, targets) for predictions, targets in joined]
    weights = [len(targets) for _, targets in joined]
    return {
        name: float(np.average([each[name] for each in scores], weights=weights))
        for name in scores[0]
    }


@dataclass(frozen=True)
class SpanScores:
    """Scores of every model over the same samples.

    Attributes:
        title: For example "last 300".
        samples: Number of samples scored.
        models: Scores by name, by model.
    """

    title: str
    samples: int
    models: dict[str, Scores]


def span_scores(kind: ReadoutKind, ledgers: Mapping[str, Ledger]) -> list[SpanScores]:
    """Scores over all samples, the first and the last :data:`SPAN`.

    Only samples that every model has scored count, so that an interrupted stream compares like
    with like.
    """
    scored = common_length(ledgers)
    spans = {"all": (0, scored)}
    if scored > SPAN:
        spans |= {f"first {SPAN}": (0, SPAN), f"last {SPAN}": (scored - SPAN, scored)}
    return [
        SpanScores(
            title,
            last - first,
            {
                name: stream_scores(kind, ledger.stretches(first, last))
                for name, ledger in ledgers.items()
            },
        )
        for title, (first, last) in spans.items()
        if last > first
    ]


def common_length(ledgers: Mapping[str, Ledger]) -> int:
    """Leading samples that every model has scored."""
    return min(ledger.scored for ledger in ledgers.values())


@dataclass(frozen=True)
class Comparison:
    """The learned model against one baseline over all samples.

    Attributes:
        baseline: Name of the baseline.
        difference: Learned less baseline, in the primary score.
        error: Standard error of the difference by block bootstrap: samples drawn in runs of
            :data:`BLOCK` within each session, the same runs for both models.
    """

    baseline: str
    difference: float
    error: float

    @property
    def verdict(self) -> str:
        """Said with the error in mind: within two of them nothing is claimed."""
        if abs(self.difference) <= 2 * self.error:
            return "level"
        return "ahead" if self.difference > 0 else "behind"


def compare(
    kind: ReadoutKind, ledgers: Mapping[str, Ledger], learned: str, seed: int = 0
) -> list[Comparison]:
    """The learned model against every other one."""
    scored = common_length(ledgers)
    if not scored:
        return []
    stretches = {name: ledger.stretches(0, scored) for name, ledger in ledgers.items()}
    overall = {name: _primary(kind, parts) for name, parts in stretches.items()}
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in ledgers}
    for _ in range(DRAWS):
        rows = [_resampled(len(part.targets), rng) for part in stretches[learned]]
        for name, parts in stretches.items():
            drawn[name].append(_primary(kind, _taken(parts, rows)))
    return [
        Comparison(
            name,
            overall[learned] - overall[name],
            float(np.std(np.subtract(drawn[learned], drawn[name]), ddof=1)),
        )
        for name in ledgers
        if name != learned
    ]


def curves(
    kind: ReadoutKind, ledgers: Mapping[str, Ledger]
) -> tuple[NDArray[np.int64], dict[str, tuple[Floats, Floats]]]:
    """Primary score over time.

    Returns:
        `(checkpoints,)` samples streamed, and for each model its score there over all samples so
        far and over the last :data:`SPAN`.
    """
    scored = common_length(ledgers)
    at = np.unique(np.linspace(min(BLOCK, scored), scored, CHECKPOINTS).astype(np.int64))
    return at, {
        name: (
            np.array([_primary(kind, ledger.stretches(0, end)) for end in at.tolist()]),
            np.array(
                [_primary(kind, ledger.stretches(max(0, end - SPAN), end)) for end in at.tolist()]
            ),
        )
        for name, ledger in ledgers.items()
    }


def _primary(kind: ReadoutKind, stretches: Sequence[Stretch]) -> float:
    return stream_scores(kind, stretches).get(PRIMARY[kind], float("nan"))


def _resampled(length: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of a stretch, drawn with replacement in runs of :data:`BLOCK`."""
    run = min(BLOCK, length)
    starts = rng.integers(0, length - run + 1, size=-(-length // run))
    return (starts[:, np.newaxis] + np.arange(run)).ravel()[:length]


def _taken(stretches: Sequence[Stretch], rows: Sequence[NDArray[np.int64]]) -> list[Stretch]:
    return [
        Stretch(part.session, part.predictions[row], part.targets[row])
        for part, row in zip(stretches, rows, strict=True)
    ]
