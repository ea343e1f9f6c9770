"""Labels that come late, out of order, twice, wrong or never."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scatonline import session as session_module
from scatonline.config import ReadoutKind
from scatonline.errors import DuplicateName, NumericalError, ShapeError
from scatonline.model import Model
from tests.scatonline.knowledge import (
    MOVING,
    STILL,
    opened,
    predictions,
    require_same_knowledge,
    target_of,
)
from tests.scatonline.models import KINDS, decided, specification, stream, taught, unlabelled


def facts(model: Model) -> dict[str, Any]:
    """The state that is no tensor, but for what was sent."""
    meta = model.state()[1]
    kept = {k: v for k, v in meta.items() if k not in ("event", "expired", "pending", "sessions")}
    sessions = [{k: v for k, v in s.items() if k != "ids"} for s in meta["sessions"]]
    return {**kept, "sessions": sessions}


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_whose_label_never_comes_teaches_nothing(kind: ReadoutKind) -> None:
    """Whether it still waits or has given way: readout, θ, scales, window and scores are the same.

    Also during the calibration, and while wavelets move.
    """
    spec = specification(kind, 1, learning=MOVING, pending=5)
    without, among = opened(spec), opened(spec)
    strays = iter(stream(spec, 60, seed=5))
    for i, sample in enumerate(stream(spec, 45)):
        for _ in range(i % 3):
            assert among.step(unlabelled(next(strays))).pending
        expected, outcome = without.step(sample), among.step(sample)
        np.testing.assert_array_equal(expected.prediction.values, outcome.prediction.values)
        assert expected.loss == outcome.loss
    assert (among.pending, among.expired) == (5, 40)
    require_same_knowledge(without, among)
    assert without.scores() == among.scores()
    assert facts(without) == facts(among)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_learned_depends_on_the_order_of_labels_alone(kind: ReadoutKind) -> None:
    """When the samples themselves came changes which predictions are scored, and nothing else."""
    spec = specification(kind, 1, learning=MOVING)
    samples = stream(spec, 50)
    order = np.random.default_rng(2).permutation(len(samples))
    early, just_in_time = opened(spec), opened(spec)
    for sample in samples:
        early.step(unlabelled(sample))
    for i in order:
        just_in_time.step(unlabelled(samples[i]))
        for model in (early, just_in_time):
            assert model.label("a", samples[i].id, target_of(samples[i])).learned
    require_same_knowledge(early, just_in_time)
    assert early.filters()[0].parameters != Model(spec).filters()[0].parameters
    assert early.scores() != just_in_time.scores()


@pytest.mark.slow
@settings(max_examples=12)
@given(st.permutations(range(16)), st.permutations(range(16, 40)))
def test_values_are_learned_alike_in_any_order(first: list[int], rest: list[int]) -> None:
    """Recursive least squares is ridge regression on all samples, and a sum has no order.

    The scales are those of the first 16 labels, in any order; with θ held and no gaps.
    """
    spec = specification("gaussian", 1, learning=STILL)
    samples = [replace(s, target=np.nan_to_num(target_of(s), nan=1.0)) for s in stream(spec, 40)]
    in_order, shuffled = opened(spec), opened(spec)
    for sample in samples:
        in_order.step(unlabelled(sample))
        shuffled.step(unlabelled(sample))
    for sample in samples:
        in_order.label("a", sample.id, target_of(sample))
    for i in [*first, *rest]:
        shuffled.label("a", samples[i].id, target_of(samples[i]))
    np.testing.assert_allclose(predictions(shuffled), predictions(in_order), rtol=1e-5, atol=1e-5)
    ours, theirs = shuffled.scores(), in_order.scores()
    assert ours.values == pytest.approx(theirs.values, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_after_a_structure_move_teaches_the_new_filters(kind: ReadoutKind) -> None:
    """As if the sample had come after the move; scored is what was predicted before it."""
    spec = specification(kind, 2, learning=STILL)
    before, after = taught(spec, 40), taught(spec, 40)
    (sample,) = stream(spec, 1, seed=6)
    made = before.step(unlabelled(sample)).prediction
    before.apply(decided(before))
    after.apply(decided(after))
    expected = after.step(sample)
    outcome = before.label("a", sample.id, target_of(sample))
    np.testing.assert_array_equal(outcome.prediction.values, made.values)
    assert not np.array_equal(made.values, expected.prediction.values)
    np.testing.assert_array_equal(predictions(before), predictions(after))
    np.testing.assert_array_equal(
        before.state()[0]["session.0.window.inputs"], after.state()[0]["session.0.window.inputs"]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_label_stands(kind: ReadoutKind) -> None:
    """A correction is refused, for samples labelled at once as for late ones, at any time after.

    The sample can be sent again under another id.
    """
    model = taught(specification(kind, 1), 30)
    at_once, late, *others = stream(model.spec, 8, seed=4)
    model.step(at_once)
    model.step(unlabelled(late))
    model.label("a", late.id, target_of(late))
    for other in [None, *others]:
        if other is not None:
            model.step(other)
        before = model.state_hash()
        for sample in (at_once, late):
            corrected = np.roll(target_of(sample), 1)
            with pytest.raises(DuplicateName, match="no longer waits for a label"):
                model.label("a", sample.id, corrected)
            with pytest.raises(DuplicateName, match="was sent before"):
                model.step(replace(sample, target=corrected))
        assert model.state_hash() == before
    assert model.step(replace(late, id="again")).learned


def wrong(kind: ReadoutKind) -> dict[str, NDArray[Any]]:
    """Labels that say nothing, or nothing that could be."""
    labels = {
        "nothing seen": np.full(3, np.nan, np.float32),
        "infinite": np.array([1, np.inf, 0], np.float32),
        "too few": np.ones(2, np.float32),
        "too many": np.ones(4, np.float32),
        "a table": np.ones((1, 3), np.float32),
        "none": np.ones(0, np.float32),
    }
    if kind == "poisson":
        labels["less than none"] = np.array([1, -1, np.nan], np.float32)
    if kind == "softmax":
        labels["a gap"] = np.array([1, 0, np.nan], np.float32)
        labels["two"] = np.array([1, 1, 0], np.float32)
        labels["no class"] = np.zeros(3, np.float32)
        labels["shares"] = np.array([0.5, 0.5, 0], np.float32)
    return labels


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_label_leaves_the_sample_waiting_for_the_right_one(kind: ReadoutKind) -> None:
    """Which is then learned as if the wrong ones had never come."""
    model, twin = (taught(specification(kind, 1), 30) for _ in range(2))
    (sample,) = stream(model.spec, 1, seed=4)
    for each in (model, twin):
        each.step(unlabelled(sample))
    for name, label in wrong(kind).items():
        with pytest.raises((ShapeError, NumericalError)):
            model.label("a", sample.id, label)
        assert model.pending == 1, name
    for each in (model, twin):
        assert each.label("a", sample.id, target_of(sample)).learned
    assert model.state_hash() == twin.state_hash()


def test_an_id_that_still_waits_is_not_given_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another sample of that id would take its place, and no count would tell that one is lost.

    With the real limit: 20 000 samples with their labels, while one waits.
    """
    monkeypatch.setattr(session_module, "REMEMBERED_IDS", 3)
    model = opened(specification("poisson", 1))
    first, *others, second = stream(model.spec, 6)
    model.step(unlabelled(first))
    for other in others:
        model.step(other)
    before = model.state_hash()
    with pytest.raises(DuplicateName, match="still waits for its label"):
        model.step(unlabelled(replace(second, id=first.id)))
    assert model.state_hash() == before
    assert model.label("a", first.id, target_of(first)).learned


def test_labels_of_samples_from_before_the_calibration_use_its_scales() -> None:
    """Whatever was predicted of them, silence: it is learned as if they had come just now."""
    spec = specification("gaussian", 1, learning=STILL)
    early, now = opened(spec), opened(spec)
    strangers = stream(spec, 3, seed=4)
    for sample in strangers:
        assert not early.step(unlabelled(sample)).prediction.values.any()
    for sample in stream(spec, 30):
        early.step(sample)
        now.step(sample)
    for sample in strangers:
        early.label("a", sample.id, target_of(sample))
        now.step(sample)
    require_same_knowledge(early, now)
