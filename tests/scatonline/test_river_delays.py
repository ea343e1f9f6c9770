"""River's delayed progressive validation as an oracle for the model's late labels.

Both sides see one stream with one delay a sample. River asks an estimator for a prediction when a
sample comes and shows it features and target again when its label does; it knows no sample ids and
keeps the predictions itself. The model is sent the sample by :meth:`Model.step` and its label by
:meth:`Model.label`, and keeps what it needs. Predictions must be the same to the bit, and so must
what has been learned; scores, which the two sum up in different ways, agree to rounding.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from river import evaluate, metrics

from scatonline.config import LearningSpec, ModelSpec, ReadoutKind
from scatonline.model import Model
from scatonline.river import (
    ScatteringClassifier,
    ScatteringMultiTargetRegressor,
    ScatteringRegressor,
)
from scatonline.river.estimator import ScatteringEstimator
from scatonline.sample import Sample
from tests.scatonline.models import specification, stream, unlabelled

# Typed as anything: River's metrics are called from typed code, and are not.
SCORES: Any = metrics
COUNT = 60
ASK, TELL = "ask", "tell"
# Constant, none, longer than the calibration, longer than the stream, and all kinds together: a
# label overtakes another, and some come at once.
DELAYS: dict[str, Sequence[int]] = {
    "none": [0] * COUNT,
    "one": [1] * COUNT,
    "long": [25] * COUNT,
    "beyond the end": [COUNT + 5] * COUNT,
    "out of order": [int(d) for d in np.random.default_rng(3).integers(0, 40, COUNT)],
    "in blocks": [15 - i % 15 for i in range(COUNT)],
}

# In the plane the hardest of them; nothing about delays knows of dimensions.
EACH = [pytest.param(1, delays, id=f"1-D, {name}") for name, delays in DELAYS.items()]
EACH += [pytest.param(2, DELAYS["out of order"], id="2-D, out of order")]


def in_order(delays: Sequence[int]) -> list[tuple[str, int]]:
    """What happens when: a label that is due with a question comes before it.

    Without a delay it comes right after its own question. Labels that are due at one time come in
    the order of their samples.
    """
    asks = [((i, 1, i), ASK) for i in range(len(delays))]
    tells = [((i + d, 0 if d else 2, i), TELL) for i, d in enumerate(delays)]
    return [(what, time[2]) for time, what in sorted(asks + tells)]


def test_the_order_of_events_is_rivers_own() -> None:
    """As in the documentation of `river.stream.simulate_qa`: departures and arrivals."""
    assert in_order([2, 1, 0, 0]) == [
        (ASK, 0),
        (ASK, 1),
        (TELL, 0),
        (TELL, 1),
        (ASK, 2),
        (TELL, 2),
        (ASK, 3),
        (TELL, 3),
    ]


@dataclass
class Run:
    """Predictions in the order in which their labels came."""

    predictions: list[Any]
    model: Model
    session: str


def with_model(
    spec: ModelSpec, outputs: Sequence[str], samples: list[Sample], delays: Sequence[int]
) -> Run:
    model = Model(spec)
    model.open_session("a", outputs)
    predictions = []
    for what, i in in_order(delays):
        if what == ASK:
            assert model.step(unlabelled(samples[i])).pending
        else:
            target = samples[i].target
            assert target is not None
            predictions.append(model.label("a", samples[i].id, target).prediction.values)
    assert model.pending == model.expired == 0
    return Run(predictions, model, "a")


def with_river(
    estimator: ScatteringEstimator,
    samples: list[Sample],
    targets: Sequence[Any],
    delays: Sequence[int],
    metric: Any,
) -> Run:
    """Through River, with inputs as dicts of features by position."""
    dataset: list[tuple[dict[Hashable, Any], Any]] = [
        (dict(enumerate(sample.input.ravel().tolist())), target)
        for sample, target in zip(samples, targets, strict=True)
    ]
    due = iter(delays)
    steps = evaluate.iter_progressive_val_score(
        dataset,
        estimator,
        metric,
        # One answer for each sample, in the order of the stream.
        delay=(lambda *_: next(due)) if any(delays) else None,
        yield_predictions=True,
    )
    predictions = [step["Prediction"] for step in steps]
    assert estimator.model is not None
    return Run(predictions, estimator.model, list(estimator.model.sessions)[-1])


def settings(spec: ModelSpec) -> dict[str, Any]:
    """The arguments of an estimator with a model of `spec`."""
    names = ("shape", "channels", "bank", "features", "readout", "learning")
    return {name: getattr(spec, name) for name in names}


def moving(kind: ReadoutKind, dimensions: int) -> ModelSpec:
    """A model whose wavelets move at every third sample, after the first 16."""
    return specification(kind, dimensions, learning=LearningSpec(warmup=4, every=3, rate=0.03))


def require_same_knowledge(ours: Run, rivers: Run, samples: list[Sample]) -> None:
    """θ, which has moved, and predictions for inputs that neither has seen, to the bit."""
    untouched, mine, theirs = (
        [f.parameters for f in model.filters()]
        for model in (Model(ours.model.spec), ours.model, rivers.model)
    )
    assert mine == theirs != untouched
    readers = ours.model.reader(), rivers.model.reader()
    for sample in samples:
        np.testing.assert_array_equal(
            readers[0].predict(ours.session, sample.input).values,
            readers[1].predict(rivers.session, sample.input).values,
        )


@pytest.mark.parametrize(("dimensions", "delays"), EACH)
@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_one_value_with_late_labels_is_as_river_has_it(
    kind: ReadoutKind, dimensions: int, delays: Sequence[int]
) -> None:
    spec = moving(kind, dimensions)
    samples = stream(spec, COUNT, outputs=1)
    targets = [float(s.target[0]) for s in samples if s.target is not None]
    metric = SCORES.R2() + SCORES.MSE()
    ours = with_model(spec, ["y"], samples, delays)
    rivers = with_river(ScatteringRegressor(**settings(spec)), samples, targets, delays, metric)
    assert [float(p[0]) for p in ours.predictions] == rivers.predictions
    require_same_knowledge(ours, rivers, stream(spec, 5, seed=1, outputs=1))
    r2, mse = (m.get() for m in metric)
    scores = ours.model.scores()
    assert scores.samples == COUNT
    assert scores.values["explained_variance"] == pytest.approx(r2, abs=1e-9)
    assert 1 - mse / np.var(targets) == pytest.approx(r2, abs=1e-9)


@pytest.mark.parametrize(("dimensions", "delays"), EACH)
def test_classes_with_late_labels_are_as_river_has_them(
    dimensions: int, delays: Sequence[int]
) -> None:
    spec = moving("softmax", dimensions)
    classes = ("low", "mid", "high")
    samples = stream(spec, COUNT)
    labels = [classes[int(s.target.argmax())] for s in samples if s.target is not None]
    ours = with_model(spec, classes, samples, delays)
    # River gives a metric either labels or probabilities: the chosen class is the likeliest one.
    loss, chosen = SCORES.CrossEntropy(), SCORES.Accuracy() + SCORES.BalancedAccuracy()
    estimator = ScatteringClassifier(**settings(spec), classes=classes)
    rivers = with_river(estimator, samples, labels, delays, loss)
    likeliest = with_river(estimator.clone(), samples, labels, delays, chosen)
    assert likeliest.predictions == [max(p, key=p.__getitem__) for p in rivers.predictions]
    for mine, theirs in zip(ours.predictions, rivers.predictions, strict=True):
        # A probability of River's sums to 1 in double precision.
        wide = mine.astype(np.float64)
        assert dict(zip(classes, wide / wide.sum(), strict=True)) == theirs
    require_same_knowledge(ours, rivers, stream(spec, 5, seed=1))
    values = ours.model.scores().values
    accuracy, balanced = (m.get() for m in chosen)
    assert values["accuracy"] == pytest.approx(accuracy, abs=1e-9)
    assert values["balanced_accuracy"] == pytest.approx(balanced, abs=1e-9)
    # Summed here in single precision's probabilities.
    assert values["log_loss"] == pytest.approx(loss.get(), abs=1e-6)


@pytest.mark.parametrize("delays", DELAYS.values(), ids=DELAYS)
@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_many_targets_with_gaps_are_as_river_has_them(
    kind: ReadoutKind, delays: Sequence[int]
) -> None:
    """A target that was not observed is NaN in the model and absent from River's dict."""
    spec = moving(kind, 1)
    units = ("u1", "u2", "u3")
    samples = stream(spec, COUNT)
    targets = [present(units, s.target) for s in samples if s.target is not None]
    assert min(len(t) for t in targets) < len(units)
    ours = with_model(spec, units, samples, delays)
    estimator = ScatteringMultiTargetRegressor(**settings(spec), targets=units)
    macro = SCORES.multioutput.MacroAverage(SCORES.MSE())
    rivers = with_river(estimator, samples, targets, delays, macro)
    for mine, theirs in zip(ours.predictions, rivers.predictions, strict=True):
        assert dict(zip(units, mine.astype(float).tolist(), strict=True)) == theirs
    require_same_knowledge(ours, rivers, stream(spec, 5, seed=1))
    told = [samples[i].target for what, i in in_order(delays) if what == TELL]
    errors = np.array(told, float) - np.array(ours.predictions, float)
    assert macro.get() == pytest.approx(np.nanmean(errors**2, 0).mean(), abs=1e-9)


def test_a_delay_is_felt() -> None:
    """Otherwise equality above would say little: what is late is not known yet."""
    spec = moving("gaussian", 1)
    samples = stream(spec, COUNT, outputs=1)
    runs = [with_model(spec, ["y"], samples, DELAYS[name]) for name in ("none", "long")]
    assert runs[0].model.scores().values["explained_variance"] > (
        runs[1].model.scores().values["explained_variance"] + 0.05
    )
    drifts = [[f.parameters for f in run.model.filters()] for run in runs]
    assert drifts[0] == drifts[1], "the labels came in one order, so one θ was learned"


def present(units: Sequence[str], target: NDArray[Any]) -> dict[str, float]:
    pairs: Iterator[tuple[str, float]] = zip(units, target.tolist(), strict=True)
    return {unit: value for unit, value in pairs if not np.isnan(value)}
