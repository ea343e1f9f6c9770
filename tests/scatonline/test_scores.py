"""Every score against an independent computation, and the running sums against all at once."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from scatonline.config import ReadoutKind
from scatonline.scores import PRIMARY, RECENT, Score, combine, score

Floats = NDArray[np.float64]
KINDS: tuple[ReadoutKind, ...] = ("gaussian", "poisson", "softmax")


def stream(
    kind: ReadoutKind, samples: int, outputs: int = 4, seed: int = 0, missing: float = 0.2
) -> tuple[Floats, Floats]:
    """Predictions that know something, and targets with gaps where a kind allows them."""
    rng = np.random.default_rng(seed)
    if kind == "softmax":
        eta = rng.standard_normal((samples, outputs))
        p = np.exp(eta) / np.exp(eta).sum(1, keepdims=True)
        return p, np.eye(outputs)[(eta + rng.gumbel(size=eta.shape)).argmax(1)]
    p = np.exp(rng.normal(0, 0.7, (samples, outputs)))
    y = rng.poisson(p).astype(float) if kind == "poisson" else p + rng.normal(0, 0.5, p.shape)
    y[rng.random(y.shape) < missing] = np.nan
    return p, y


def columns(p: Floats, y: Floats) -> list[tuple[Floats, Floats]]:
    """Predictions and targets of each output where it was observed."""
    return [(p[~np.isnan(y[:, k]), k], y[~np.isnan(y[:, k]), k]) for k in range(y.shape[1])]


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_correlation_and_explained_variance(kind: ReadoutKind) -> None:
    p, y = stream(kind, 200)
    found = score(kind, p, y)
    r = [stats.pearsonr(a, b).statistic for a, b in columns(p, y)]
    assert found["correlation"] == pytest.approx(np.mean(r))
    left = [1 - ((b - a) ** 2).sum() / ((b - b.mean()) ** 2).sum() for a, b in columns(p, y)]
    assert found["explained_variance"] == pytest.approx(np.mean(left))


def test_explained_deviance_and_bits_per_spike() -> None:
    """From the likelihoods themselves: of the rates, of the mean, and of the counts as rates."""
    p, y = stream("poisson", 200)
    found = score("poisson", p, y)
    shares, gained, spikes = [], 0.0, 0.0
    for rate, count in columns(p, y):
        model = stats.poisson.logpmf(count, rate).sum()
        null = stats.poisson.logpmf(count, count.mean()).sum()
        saturated = stats.poisson.logpmf(count, np.maximum(count, 1e-300)).sum()
        shares.append(1 - (saturated - model) / (saturated - null))
        gained += model - null
        spikes += count.sum()
    assert found["explained_deviance"] == pytest.approx(np.mean(shares))
    assert found["bits_per_spike"] == pytest.approx(gained / spikes / np.log(2))


def test_class_scores() -> None:
    p, y = stream("softmax", 200)
    truth, guess = y.argmax(1), p.argmax(1)
    found = score("softmax", p, y)
    assert found["accuracy"] == pytest.approx((truth == guess).mean())
    recalls = [(guess[truth == k] == k).mean() for k in range(4)]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert found["log_loss"] == pytest.approx(-np.log(p[np.arange(200), truth]).mean())


def test_class_that_never_came_does_not_count() -> None:
    p = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.9, 0.05, 0.05]])
    y = np.eye(3)[[0, 1, 1]]
    assert score("softmax", p, y)["balanced_accuracy"] == pytest.approx((1 + 0.5) / 2)


@pytest.mark.parametrize("kind", KINDS)
def test_perfect_and_mean_predictions(kind: ReadoutKind) -> None:
    _, y = stream(kind, 300, missing=0.0)
    perfect = score(kind, y, y)
    if kind == "softmax":
        assert perfect == pytest.approx(
            {"accuracy": 1, "balanced_accuracy": 1, "log_loss": 0}, abs=1e-9
        )
        return
    assert perfect["correlation"] == pytest.approx(1)
    assert perfect["explained_variance"] == pytest.approx(1)
    mean = score(kind, np.broadcast_to(y.mean(0), y.shape), y)
    assert mean["correlation"] == pytest.approx(0, abs=1e-6)
    assert mean["explained_variance"] == pytest.approx(0, abs=1e-9)
    if kind == "poisson":
        assert perfect["explained_deviance"] == pytest.approx(1, abs=1e-4)
        assert mean["explained_deviance"] == pytest.approx(0, abs=1e-9)
        assert mean["bits_per_spike"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_output_that_never_changed_counts_as_uncorrelated_and_unexplained_by_none(
    kind: ReadoutKind,
) -> None:
    """Half the mean correlation with one such output of two; variances are of those that varied."""
    p, y = stream(kind, 100, outputs=1, missing=0.0)
    alone = score(kind, p, y)
    both = score(kind, np.hstack([p, p]), np.hstack([y, np.full_like(y, 3.0)]))
    assert both["correlation"] == pytest.approx(alone["correlation"] / 2)
    assert both["explained_variance"] == pytest.approx(alone["explained_variance"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("samples", [1, 2, RECENT, RECENT + 37, 2 * RECENT + 5])
def test_running_scores_are_those_of_all_samples_and_of_the_last(
    kind: ReadoutKind, samples: int
) -> None:
    p, y = stream(kind, samples)
    running = Score(kind, 4)
    for pi, yi in zip(p, y, strict=True):
        running.add(pi, yi)
    assert running.samples == samples
    assert running.values() == pytest.approx(score(kind, p, y), abs=1e-9)
    assert running.recent() == pytest.approx(score(kind, p[-RECENT:], y[-RECENT:]), abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_survive_a_checkpoint(kind: ReadoutKind) -> None:
    p, y = stream(kind, 350)
    running, restored = Score(kind, 4), Score(kind, 4)
    for pi, yi in zip(p[:320], y[:320], strict=True):
        running.add(pi, yi)
    restored.load(running.samples, running.arrays())
    for pi, yi in zip(p[320:], y[320:], strict=True):
        running.add(pi, yi)
        restored.add(pi, yi)
    assert restored.values() == running.values()
    assert restored.recent() == running.recent()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_scored_yet(kind: ReadoutKind) -> None:
    empty = Score(kind, 4)
    assert (empty.values(), empty.recent()) == ({}, {})
    report = combine(kind, {"a": empty})
    assert (report.samples, report.primary, report.values) == (0, PRIMARY[kind], {})


@pytest.mark.parametrize("kind", KINDS)
def test_sessions_count_by_their_samples(kind: ReadoutKind) -> None:
    scores: dict[str, Score] = {}
    parts: list[tuple[int, dict[str, Any]]] = []
    for name, samples in (("a", 30), ("empty", 0), ("b", 90)):
        scores[name] = Score(kind, 4)
        p, y = stream(kind, samples, seed=samples)
        for pi, yi in zip(p, y, strict=True):
            scores[name].add(pi, yi)
        if samples:
            parts.append((samples, scores[name].values()))
    report = combine(kind, scores)
    first = next(iter(scores))
    assert combine(kind, scores, first).recent == scores[first].recent()
    assert report.samples == 120
    assert PRIMARY[kind] == report.primary in report.values
    for key, value in report.values.items():
        assert value == pytest.approx(sum(n * part[key] for n, part in parts) / 120)
    assert report.recent == scores["b"].recent()
