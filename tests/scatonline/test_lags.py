"""Lags: a sample's columns, and beside them those of the inputs before, each computed once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from scatonline.cascade import Cascade
from scatonline.config import FeatureSpec, LearningSpec, ModelSpec, ReadoutSpec, StructureSpec
from scatonline.errors import ConfigError
from scatonline.features import Layout
from scatonline.model import Model
from scatonline.nested import CalibrationSet, NestedSpec, Session, fit
from scatonline.past import shifted, sources
from scatonline.readout import WindowReadout, fresh
from scatonline.sample import Sample
from tests.scatonline.models import (
    OUTPUTS,
    copied,
    decided,
    specification,
    stream,
    unlabelled,
)

STILL = LearningSpec(enabled=False)
WINDOW = ReadoutSpec("gaussian", method="window", window=24, noises=(0.5,), refresh=1)


def lagging(lags: int, raw_grid: int = 0, **values: Any) -> ModelSpec:
    """A small model of two orders that sees ``lags`` inputs back."""
    spec = specification("gaussian", 1, **values)
    return replace(spec, features=replace(spec.features, lags=lags, raw_grid=raw_grid))


def opened(spec: ModelSpec, samples: Sequence[Sample] = ()) -> Model:
    model = Model(spec)
    model.open_session("a", OUTPUTS)
    for sample in samples:
        model.step(sample)
    return model


def own_columns(model: Model, samples: list[Sample]) -> Tensor:
    """Columns of single inputs, by the filters as they are now."""
    learner = model.learner
    x = torch.from_numpy(np.stack([sample.input for sample in samples]).astype(np.float32))
    with torch.no_grad():
        return learner.layout.columns(x, learner.filters, learner.averages)


def by_hand(columns: Tensor, weight: Tensor, lags: int, calibration: int) -> Tensor:
    """Standardised by the first samples, then shifted, zeros before the start."""
    first = columns[:calibration].double()
    z = (columns.double() - first.mean(0)) / first.std(0, correction=0) * weight
    blank = z.new_zeros(lags, z.shape[1])
    padded = torch.cat((blank, z))
    return torch.cat([padded[lags - lag : len(padded) - lag] for lag in range(lags + 1)], 1)


def movie(frames: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Noise of changing loudness, and responses to the loudness two frames before."""
    rng = np.random.default_rng(seed)
    loudness = rng.uniform(0.2, 2.0, frames)
    x = loudness[:, None, None] * rng.standard_normal((frames, 2, 32))
    late = np.concatenate((np.ones(2), loudness[:-2]))
    y = late[:, None] * np.linspace(0.5, 1.0, 3) + 0.05 * rng.standard_normal((frames, 3))
    return x.astype(np.float32), y.astype(np.float32)


def explained(lags: int) -> float:
    """Share of the variance predicted over the second half of a movie."""
    model = opened(lagging(lags))
    x, y = movie(300)
    said = [model.step(Sample(str(i), "a", x[i], y[i])).prediction.values for i in range(len(x))]
    error = (np.array(said)[150:] - y[150:]) ** 2
    return float(1 - error.mean() / y[150:].var(0).mean())


def test_a_response_to_the_frame_two_before_is_predicted_with_two_lags_only() -> None:
    assert explained(0) < 0.05
    assert explained(1) < 0.05
    assert explained(2) > 0.7


@pytest.mark.parametrize("readout", [ReadoutSpec("gaussian", ridge=5.0), WINDOW])
@pytest.mark.parametrize("raw_grid", [0, 3])
def test_predictions_are_those_of_a_readout_fed_by_hand(
    readout: ReadoutSpec, raw_grid: int
) -> None:
    """Two routes: the model, and columns that are concatenated outside and given to a readout."""
    spec = lagging(2, raw_grid, learning=STILL, readout=readout)
    model = opened(spec)
    samples = stream(spec, 40)
    said = [model.step(sample).prediction.values for sample in samples]
    layout = Layout(lagging(0, raw_grid), model.learner.scattering.cascade)
    z = by_hand(own_columns(model, samples), layout.weight, 2, 16)
    size = float(layout.weight.square().sum()) * 3
    plain = fresh(readout, torch.ones(z.shape[1], dtype=torch.long), OUTPUTS, size, "cpu")
    assert model.learner.layout.width == z.shape[1] == 3 * layout.width
    for i, sample in enumerate(samples):
        if i >= 16:
            np.testing.assert_allclose(said[i], plain.predict(z[i]), rtol=2e-5, atol=2e-5)
        plain.observe(z[i], torch.from_numpy(np.asarray(sample.target, np.float64)))


def test_layout_repeats_the_blocks_of_one_input_under_names_of_their_own() -> None:
    plain, lagged = (Layout(s, Model(s).learner.scattering.cascade) for s in PAIR)
    assert lagged.single == plain.width
    assert lagged.width == 3 * plain.width == len(lagged.weight)
    assert len({block.key for block in lagged.blocks}) == len(lagged.blocks)
    assert [b.lag for b in lagged.blocks] == sorted(b.lag for b in lagged.blocks)
    starts = [block.start for block in lagged.blocks]
    assert [*starts, lagged.width] == [0, *(b.start + b.width for b in lagged.blocks)]
    assert torch.equal(lagged.weight, plain.weight.repeat(3))
    filter_id = Model(PAIR[0]).learner.banks()[0].names[0].id
    own = plain.columns_of(filter_id)
    assert lagged.columns_of(filter_id) == [c + n * plain.width for n in range(3) for c in own]


PAIR = (lagging(0, raw_grid=2), lagging(2, raw_grid=2))


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Inputs that go through the cascade."""
    seen: list[int] = []
    transform = Cascade.transform

    def counting(self: Cascade, x: Tensor, *rest: Any) -> Tensor:
        seen.append(len(x))
        return transform(self, x, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Cascade, "transform", counting)
        yield seen


@pytest.mark.parametrize("readout", [ReadoutSpec("gaussian", ridge=5.0), WINDOW])
def test_lags_cost_no_transform(monkeypatch: pytest.MonkeyPatch, readout: ReadoutSpec) -> None:
    """Neither of samples nor of those that a readout has renewed."""
    passed = []
    for lags in (0, 3):
        spec = lagging(lags, readout=readout)
        model = opened(spec)
        with counted(monkeypatch) as seen:
            for sample in stream(spec, 30):
                model.step(sample)
            model.reader().predict("a", stream(spec, 1, seed=9)[0].input)
        passed.append(sum(seen))
    assert passed[0] == passed[1] >= 31 * 2


def test_a_structure_check_transforms_each_input_once(monkeypatch: pytest.MonkeyPatch) -> None:
    structure = StructureSpec(window=48, restarts=2, candidates=0, max_drops=0)
    spec = lagging(2, structure=structure)
    model = opened(spec, stream(spec, 60))
    check = model.structure_check(0)
    assert check is not None
    with counted(monkeypatch) as seen:
        decision = check.run()
    assert sum(seen) == 48 * spec.channels
    assert len(decision.cars) == sum(len(bank.names) for bank in model.learner.banks())


def test_reader_predicts_what_a_step_predicts() -> None:
    spec = lagging(3)
    model = opened(spec, stream(spec, 30))
    for sample in stream(spec, 12, seed=1):
        before = model.reader()
        expected = before.predict("a", sample.input).values
        np.testing.assert_array_equal(model.step(sample).prediction.values, expected)
        # What was published stays as it was.
        np.testing.assert_array_equal(before.predict("a", sample.input).values, expected)


@pytest.mark.parametrize("readout", [ReadoutSpec("gaussian", ridge=5.0), WINDOW])
@pytest.mark.parametrize("count", [1, 10, 30])
def test_a_restored_model_goes_on_to_the_same_bits(readout: ReadoutSpec, count: int) -> None:
    spec = lagging(2, readout=readout)
    model = opened(spec, stream(spec, count))
    waiting = stream(spec, 3, seed=1)
    for sample in waiting:
        model.step(unlabelled(sample))
    other = copied(model)
    for one in (model, other):
        for sample in stream(spec, 8, seed=2):
            one.step(sample)
        if one.learner.calibrated:
            one.apply(decided(one))
        for sample in waiting:
            assert sample.target is not None
            one.label("a", sample.id, sample.target)
        for sample in stream(spec, 8, seed=3):
            one.step(sample)
    assert other.state_hash() == model.state_hash()


def test_labels_that_come_late_teach_with_the_past_that_was_predicted_with() -> None:
    """θ still: labels that come in order, but late, leave the weights of labels that come at once.

    Samples without any label are part of the past all the same.
    """
    spec = lagging(2, learning=STILL)
    samples = stream(spec, 40)
    never = {7, 20, 21}
    model = opened(spec)
    for sample in samples:
        model.step(unlabelled(sample))
    for i, sample in enumerate(samples):
        if i not in never:
            assert sample.target is not None
            model.label("a", sample.id, sample.target)
    prompt = opened(spec)
    for i, sample in enumerate(samples):
        prompt.step(unlabelled(sample) if i in never else sample)
    x = stream(spec, 1, seed=5)[0].input
    late, soon = (m.reader().predict("a", x).values for m in (model, prompt))
    np.testing.assert_allclose(late, soon, rtol=1e-6)
    np.testing.assert_array_equal(
        model._sessions["a"].window.arrivals(), [i for i in range(40) if i not in never]
    )


def test_a_session_begins_without_a_past() -> None:
    spec = lagging(2)
    model = opened(spec, stream(spec, 30))
    model.open_session("b", OUTPUTS)
    sample = stream(spec, 1, seed=1, session="b")[0]
    columns = model.learner.columns(torch.from_numpy(sample.input), model._sessions["b"])
    single = model.learner.layout.single
    assert columns[single:].isnan().all()
    z = model.learner.standardised(columns)
    assert z[:single].any()
    assert not z[single:].any()
    assert len(model._sessions["a"].past) == 2


def test_kept_columns_follow_a_structure_move() -> None:
    """Those of filters that stay are as they were; new ones are at their mean, in every lag."""
    spec = lagging(2)
    model = opened(spec, stream(spec, 30))
    waiting = stream(spec, 1, seed=1)[0]
    model.step(unlabelled(waiting))
    session, learner = model._sessions["a"], model.learner
    before, old = session.past, learner.layout
    weights = session.readout
    model.apply(decided(model))
    layout = learner.layout
    index = layout.carried_from(old)
    single = index[: layout.single]
    assert (single < 0).any()
    assert torch.equal(index.view(3, -1) < 0, (single < 0).expand(3, -1))
    for lag in range(3):
        kept = single[single >= 0] + lag * old.single
        assert torch.equal(index.view(3, -1)[lag][single >= 0], kept)
    pending = model._pending.take("a", waiting.id)
    for past, was in ((session.past, before), (pending.past, (before[1], None))):
        for now, then in zip(past, was, strict=True):
            assert now[single < 0].isnan().all()
            if then is not None:
                assert torch.equal(now[single >= 0], then[single[single >= 0]])
    assert session.readout is not weights
    z = learner.standardised(learner.columns(torch.zeros(2, 32), session)).view(3, -1)
    assert not z[1:, single < 0].any()
    assert z[1:, single >= 0].any()


def test_gradient_flows_through_the_newest_columns_only() -> None:
    """The others were made with filters that have been replaced since."""
    spec = lagging(2, learning=LearningSpec(warmup=4, every=50))
    model = opened(spec, stream(spec, 30))
    session, learner = model._sessions["a"], model.learner
    assert not any(kept.requires_grad for kept in session.past)
    columns = learner.columns(torch.from_numpy(stream(spec, 1, seed=1)[0].input), session)
    assert columns.requires_grad
    single = learner.layout.single
    psi = next(p for _, p in learner.filters.items())
    assert torch.autograd.grad(columns[:single].sum(), psi, retain_graph=True)[0].any()
    (through,) = torch.autograd.grad(columns[single:].sum(), psi)
    assert not through.any()


def test_remembered_samples_are_renewed_with_their_lags() -> None:
    """After θ moved and every row had its turn, rows are what the present filters make of them."""
    spec = lagging(2, readout=WINDOW, learning=LearningSpec(warmup=4, every=3))
    samples = stream(spec, 80)
    model = opened(spec, samples)
    readout = model._sessions["a"].readout
    assert isinstance(readout, WindowReadout)
    learner = model.learner
    # From here on θ stays, and each sample renews one row.
    learner.spec = replace(spec, learning=replace(spec.learning, warmup=10_000))
    more = stream(spec, 60, seed=1)
    stale = renewed_error(model, samples)
    for sample in more:
        model.step(sample)
    assert renewed_error(model, samples + more) < 1e-4 < stale


def renewed_error(model: Model, samples: list[Sample]) -> float:
    """Largest difference between what is remembered and what the present filters make of it."""
    readout = model._sessions["a"].readout
    assert isinstance(readout, WindowReadout)
    lags = model.spec.features.lags
    found = sources(torch.arange(len(samples)), lags)
    z = model.learner.standardiser(shifted(own_columns(model, samples), found))
    slots = torch.arange(len(samples) - 24, len(samples)) % 24
    return float((readout.memory.rows.table()[slots] - z[-24:]).abs().max())


def test_places_of_the_samples_before_go_by_the_order_of_arrival() -> None:
    numbers = torch.tensor([4, 5, 2, 9, 3])
    expected = [[4, 2], [0, 4], [-1, -1], [-1, -1], [2, -1]]
    assert sources(numbers, 2).tolist() == expected
    assert sources(numbers[:0], 2).shape == (0, 2)
    columns = numbers[:, None].double()
    full = shifted(columns, sources(numbers, 2))
    assert full[0].tolist() == [4, 3, 2]
    assert full[4, :2].tolist() == [3, 2]
    assert full[2, 1:].isnan().all()


def test_lags_are_refused_where_samples_have_no_order() -> None:
    spec = lagging(1)
    samples = CalibrationSet(torch.randn(40, 2, 32), torch.randn(40, 3), torch.arange(40))
    with pytest.raises(ConfigError, match=r"features\.lags is 1: .* expected 0"):
        fit(spec, samples, Session("a", OUTPUTS), NestedSpec())
    for wrong in (-1, 17):
        with pytest.raises(ConfigError, match=rf"features\.lags: got {wrong}, .* from 0 to 16"):
            FeatureSpec(lags=wrong)
