"""A model that follows its classes while electrodes move, beside realignment used by hand."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from scatonline.config import AdaptationSpec, LearningSpec, ModelSpec, RealignmentSpec
from scatonline.model import Model
from scatonline.realignment import Realignment
from scatonline.sample import Sample, prepare
from tests.scatonline.models import OUTPUTS, copied, specification, unlabelled

CHANNELS, CLASSES, BLOCK = 6, len(OUTPUTS), 4
FOLLOWING = RealignmentSpec(enabled=True, memory=30.0)


def spec_of(realignment: RealignmentSpec = FOLLOWING, **values: Any) -> ModelSpec:
    return specification(
        "softmax",
        1,
        channels=CHANNELS,
        realignment=realignment,
        input_scale=(0.5, 2.0, 1.0, 1.0, 3.0, 0.1),
        **values,
    )


def gestures(count: int, seed: int = 0, moved: int | None = None) -> list[Sample]:
    """Windows in blocks of one class; from `moved` on every channel has another gain."""
    rng = np.random.default_rng(seed)
    loudness = rng.standard_normal((CLASSES, CHANNELS))
    gain = np.exp(1.5 * rng.standard_normal(CHANNELS))
    found = []
    for i in range(count):
        chosen = i // BLOCK % CLASSES
        x = np.exp(loudness[chosen])[:, None] * rng.standard_normal((CHANNELS, 32))
        if moved is not None and i >= moved:
            x *= gain[:, None]
        target = np.eye(CLASSES, dtype=np.float32)[chosen]
        found.append(Sample(f"{seed}-{i}", "a", x.astype(np.float32), target))
    return found


def opened(spec: ModelSpec, *sessions: str) -> Model:
    model = Model(spec)
    for session in sessions or ("a",):
        model.open_session(session, OUTPUTS)
    return model


def label(model: Model, sample: Sample, session: str = "a") -> None:
    assert sample.target is not None
    model.label(session, sample.id, sample.target)


def in_blocks(model: Model, samples: Sequence[Sample], seed: int = 0) -> list[bool]:
    """Labels of a block come after it, in any order, but for the last block's; what was right."""
    rng, right = np.random.default_rng(seed), []
    waiting: list[Sample] = []
    for i, sample in enumerate(samples):
        assert sample.target is not None
        if i and i % BLOCK == 0:
            for j in rng.permutation(len(waiting)):
                label(model, waiting[j])
            waiting = []
        values = model.step(unlabelled(sample)).prediction.values
        right.append(int(values.argmax()) == int(sample.target.argmax()))
        waiting.append(sample)
    return right


def realignment(model: Model, session: str = "a") -> Realignment:
    found = model._sessions[session].realignment
    assert found is not None
    return found


def test_predictions_are_those_of_realignment_by_hand() -> None:
    """Beside a model without it, which gives the readout's opinion; labels late and shuffled.

    Readout, θ and the watch on the loss are as they are without it.
    """
    spec = spec_of()
    plain = opened(spec_of(RealignmentSpec()))
    model, hand = opened(spec), Realignment(spec.realignment, CHANNELS, CLASSES)
    rng = np.random.default_rng(3)
    waiting: list[tuple[Sample, Any]] = []
    for i, sample in enumerate(gestures(120, moved=81)):
        late = i % 5 > 0
        sent = unlabelled(sample) if late else sample
        # The readout's opinion as it is before it learns from the sample.
        said = plain.step(sent).prediction.values
        decoded = hand.predict(prepare(spec, sample.input, "cpu"), torch.from_numpy(said))
        outcome = model.step(sent)
        np.testing.assert_allclose(outcome.prediction.values, decoded.probabilities, atol=1e-5)
        assert sample.target is not None
        if not late:
            hand.learn(decoded, int(sample.target.argmax()))
            continue
        waiting.append((sample, decoded))
        if len(waiting) > 6:
            for _ in range(5):
                old, seen = waiting.pop(int(rng.integers(len(waiting))))
                assert old.target is not None
                label(plain, old)
                label(model, old)
                hand.learn(seen, int(old.target.argmax()))
    assert realignment(model).alarms == hand.alarms == 1
    assert model.watch.losses == pytest.approx(plain.watch.losses, rel=1e-4, abs=1e-6)
    mine, without = model.state()[0], plain.state()[0]
    assert "session.0.realignment.classes.mean" in mine
    assert not any("realignment" in name for name in without)
    for name in without:
        if name.startswith(("bank", "session.0.readout")):
            np.testing.assert_array_equal(mine[name], without[name])


def test_a_reader_says_what_a_step_would_and_changes_nothing() -> None:
    """From the first window on, while labels wait, when one came and at an alarm."""
    model = opened(spec_of())
    waiting: list[Sample] = []
    for i, sample in enumerate(gestures(110, moved=80)):
        before, reader = model.state_hash(), model.reader()
        glance = reader.predict("a", sample.input).values
        assert model.state_hash() == before
        np.testing.assert_array_equal(model.step(unlabelled(sample)).prediction.values, glance)
        waiting.append(sample)
        if i % 7 == 6:
            for old in waiting[::-2]:
                label(model, old)
            waiting = waiting[-2::-2]
        np.testing.assert_array_equal(reader.predict("a", sample.input).values, glance)
    assert realignment(model).alarms == 1


@pytest.mark.parametrize("placement", ["fixed", "ring"])
def test_a_restored_model_continues_to_the_same_bits(placement: str) -> None:
    """Also with windows that wait for their labels, some of which come out of order."""
    spec = spec_of(replace(FOLLOWING, placement=placement))  # type: ignore[arg-type]
    model = opened(spec)
    samples = gestures(90, moved=60)
    in_blocks(model, samples[:60])
    assert model.pending == BLOCK
    twin = copied(model)
    assert twin.state_hash() == model.state_hash()
    for each in (model, twin):
        for i in (58, 56):
            label(each, samples[i])
    for sample in samples[60:64]:
        a, b = (each.step(unlabelled(sample)) for each in (model, twin))
        np.testing.assert_array_equal(a.prediction.values, b.prediction.values)
    for each in (model, twin):
        for i in (63, 57, 61):
            label(each, samples[i])
        in_blocks(each, samples[64:])
    assert realignment(model).alarms == 1
    assert model.state_hash() == twin.state_hash()


def test_the_next_session_goes_on_with_the_same_classes() -> None:
    """Windows of either session teach that session alone from then on."""
    model = opened(spec_of())
    in_blocks(model, gestures(60))
    x = gestures(61)[-1].input
    known = model.reader().predict("a", x).values
    model.open_session("b", OUTPUTS)
    np.testing.assert_array_equal(model.reader().predict("b", x).values, known)
    first = realignment(model)
    learned, mean = first.learned, first.classes.mean.clone()
    for sample in gestures(8, seed=1):
        model.step(replace(sample, session="b"))
    assert (first.learned, realignment(model, "b").learned) == (learned, learned + 8)
    assert torch.equal(first.classes.mean, mean)
    model.open_session("other", ("u1", "u2"))
    model.open_session("turned", OUTPUTS[::-1])
    assert realignment(model, "other").learned == realignment(model, "turned").learned == 0


def test_scales_taken_anew_leave_realignment_as_it_is() -> None:
    """What a session learned before the calibration's end is not taken from it."""
    model = opened(spec_of())
    samples = gestures(20)
    for sample in samples[:6]:
        model.step(sample)
    model.open_session("b", OUTPUTS)
    model.open_session("c", OUTPUTS)
    for i, sample in enumerate(samples[6:]):
        model.step(replace(sample, session="b"))
        assert realignment(model, "b").learned == 7 + i
    assert model.learner.calibrated
    assert realignment(model, "c").learned == 6


def test_a_model_beside_has_it_too() -> None:
    """As long as no filter moves, both say the same."""
    still = LearningSpec(warmup=10_000)
    model = opened(spec_of(learning=still, adaptation=AdaptationSpec(shadow=True)))
    in_blocks(model, gestures(40))
    assert model.shadow is not None
    assert realignment(model.shadow).learned == realignment(model).learned == 36
    assert list(model.comparison.differences) == [0.0] * 36
    assert copied(model).state_hash() == model.state_hash()


def test_a_move_costs_less_than_without() -> None:
    """Errors in the four rounds after every gain has changed, over five arms."""
    costs = {}
    for name, realigned in (("with", FOLLOWING), ("without", RealignmentSpec())):
        errors = []
        for seed in range(5):
            samples = gestures(168, seed, moved=120)
            right = in_blocks(opened(spec_of(realigned)), samples)
            errors.append(right[120:].count(False))
        costs[name] = sum(errors)
    assert costs["with"] < 0.7 * costs["without"]
