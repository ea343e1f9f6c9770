"""Do no harm: a fixed model beside, and the way back to it."""

from dataclasses import replace

import numpy as np
import pytest

from scatonline.config import AdaptationSpec, LearningSpec, ReadoutSpec
from scatonline.guard import Comparison, fixed
from scatonline.model import Model
from tests.scatonline.models import specification, stream

GUARDED = AdaptationSpec(shadow=True)
METHODS = pytest.mark.parametrize("method", ["recursive", "window"])


def guarded(method: str, rate: float = 0.01) -> Model:
    readout = ReadoutSpec("gaussian", ridge=5.0, method=method, window=64)  # type: ignore[arg-type]
    spec = specification(
        "gaussian",
        2,
        readout=readout,
        adaptation=GUARDED,
        learning=LearningSpec(warmup=4, every=2, rate=rate, max_log_step=0.5),
    )
    return Model(spec)


def taught(model: Model, count: int, seed: int = 0) -> Model:
    model.open_session("a", ("u1", "u2", "u3"))
    for sample in stream(model.spec, count, seed):
        model.step(sample)
    return model


def test_verdict_needs_samples_and_confidence() -> None:
    generator = np.random.default_rng(0)
    comparison = Comparison()
    verdicts = []
    for _ in range(300):
        comparison.add(float(generator.normal(0.0, 1.0)), 0.0)
        verdicts.append(comparison.verdict())
    assert not any(verdicts)
    worse = Comparison()
    found = []
    for _ in range(300):
        worse.add(float(generator.normal(0.5, 1.0)), 0.0)
        found.append(worse.verdict())
    assert all(v is None for v in found[:99])
    assert any(v is not None and v[0] > 3 * v[1] for v in found)


def test_neighbours_that_err_alike_count_as_fewer() -> None:
    generator = np.random.default_rng(1)
    noise = np.repeat(generator.normal(0.25, 1.0, 15), 20)
    comparison = Comparison(noise.tolist(), 300)
    independent = Comparison(generator.permutation(noise).tolist(), 300)
    assert independent.verdict() is not None or noise.mean() < 0.17
    assert comparison.verdict() is None


def test_equal_losses_are_no_reason_to_retreat() -> None:
    comparison = Comparison([0.0] * 300, 300)
    assert comparison.verdict() is None


@METHODS
def test_shadow_is_the_fixed_model(method: str) -> None:
    """Its predictions are those of a model made from the fixed specification."""
    model = taught(guarded(method), 60)
    alone = taught(Model(fixed(model.spec)), 60)
    assert model.shadow is not None
    assert model.shadow.state_hash() == alone.state_hash()


@METHODS
def test_learned_filters_that_do_harm_are_given_up(method: str) -> None:
    model = taught(guarded(method), 60)
    # The comparison of a stream on which the learned one was worse, by as much as noise is not.
    model.comparison = Comparison([1.0 + 0.01 * (n % 5) for n in range(250)], 249)
    (sample,) = stream(model.spec, 1, seed=3)
    model.step(replace(sample, id="last"))
    assert model.shadow is not None
    (retreat,) = model.retreats
    assert retreat.worse > 3 * retreat.se
    assert retreat.event == model.event
    for mine, first in zip(model.learner.banks(), model.shadow.learner.banks(), strict=True):
        np.testing.assert_array_equal(mine.theta.detach(), first.theta.detach())
    probe = stream(model.spec, 1, seed=9)[0].input
    ours, theirs = (m.reader().predict("a", probe).values for m in (model, model.shadow))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)
    # And it learns on.
    for sample in stream(model.spec, 20, seed=4):
        model.step(replace(sample, id=f"later-{sample.id}"))


@METHODS
def test_guarded_model_is_restored_to_the_same_bits(method: str) -> None:
    model = taught(guarded(method), 60)
    tensors, meta = model.state()
    again = Model.restore(model.spec, {k: v.clone() for k, v in tensors.items()}, meta)
    for sample in stream(model.spec, 30, seed=5):
        later = replace(sample, id=f"later-{sample.id}")
        ours, theirs = model.step(later), again.step(later)
        np.testing.assert_array_equal(ours.prediction.values, theirs.prediction.values)
    assert model.state_hash() == again.state_hash()
