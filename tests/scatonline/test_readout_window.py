"""The readout that remembers: exact weights, whatever comes, goes or is refreshed."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scatonline.config import ReadoutSpec
from scatonline.readout import WindowReadout

WIDTH, OUTPUTS = 7, ("a", "b")
SIMILARITIES = ("linear", "nonlinear")


def readout(window: int = 12, outputs: tuple[str, ...] = OUTPUTS, **values: Any) -> WindowReadout:
    spec = ReadoutSpec(**{"kind": "gaussian", "method": "window", "window": window, **values})
    return WindowReadout(spec, WIDTH, outputs, float(WIDTH), "cpu")


def samples(count: int, seed: int = 0, outputs: int = 2) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, WIDTH, generator=generator, dtype=torch.float64).float().double()
    mix = torch.randn(WIDTH, outputs, generator=torch.Generator().manual_seed(9)).double()
    noise = 0.3 * torch.randn(count, outputs, generator=generator, dtype=torch.float64)
    return list(zip(z, torch.tanh(z @ mix) + noise + 2, strict=True))


def direct(taught: WindowReadout, z: Tensor) -> Tensor:
    """Every expert's prediction by solving for all weights anew."""
    count = taught.memory.count
    basis = taught.basis[:count]
    times = taught.times[:count]
    shared = taught.memory.gram()
    answer = taught.heritage.answer(z)
    predicted = []
    for noise, fading in zip(taught.experts.noise, taught.experts.fading, strict=True):
        gram = shared * torch.exp(-(times[:, None] - times).abs() * fading)
        gram = gram + 1 + basis @ basis.T
        alpha = torch.linalg.solve(
            gram + noise * torch.eye(count), taught.targets[:count] - taught.starts[:count]
        )
        similar = taught.memory.similar(z) * torch.exp(-(taught.written - times) * fading)
        predicted.append((similar + 1 + basis @ answer.features) @ alpha + answer.start)
    return torch.stack(predicted)


def own(taught: WindowReadout, z: Tensor) -> Tensor:
    return taught._by_expert(taught.memory.similar(z), taught.heritage.answer(z))


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("memories", [(0.0,), (0.0, 5.0)])
def test_weights_are_those_of_a_solve_over_the_window(
    similarity: str, memories: tuple[float, ...]
) -> None:
    """While it fills, once it is full, and while remembered samples are refreshed."""
    taught = readout(similarity=similarity, memories=memories)
    (probe, _), *stream = samples(40)
    for number, (z, y) in enumerate(stream):
        due = taught.due()
        refreshed = z * 0.9 if number % 3 == 0 and due is not None else None
        taught.observe(z, y, refreshed)
        # Products are single precision; the inverse is not.
        np.testing.assert_allclose(own(taught, probe), direct(taught, probe), atol=2e-6)


def test_linear_window_is_ridge_regression() -> None:
    taught = readout(window=64, similarity="linear", noises=(0.5,))
    (probe, _), *stream = samples(31)
    for z, y in stream:
        taught.observe(z, y)
    x = torch.stack([torch.cat((z / WIDTH**0.5, torch.ones(1))) for z, _ in stream])
    y = torch.stack([y for _, y in stream])
    weights = torch.linalg.solve(x.T @ x + 0.5 * torch.eye(WIDTH + 1), x.T @ y)
    expected = torch.cat((probe / WIDTH**0.5, torch.ones(1).double())) @ weights
    np.testing.assert_allclose(taught.predict(probe), expected, atol=1e-5)


@pytest.mark.parametrize("offset", [0.0, 2.0])
def test_exact_after_thousands_of_samples(offset: float) -> None:
    """Updates of the inverse do not let rounding grow, nor where columns come off their mean."""
    taught = readout(window=16, noises=(0.15, 1.5))
    (probe, _), *stream = samples(4001)
    for number, (z, y) in enumerate(stream):
        away = 0.9 * z + offset * number / len(stream)
        taught.observe(away, y, away if taught.due() is not None else None)
    inverse = taught.inverse.inverse
    np.testing.assert_allclose(inverse, inverse.transpose(1, 2), atol=1e-14)
    np.testing.assert_allclose(own(taught, probe), direct(taught, probe), atol=1e-4)


def test_due_names_every_remembered_sample_in_turn() -> None:
    taught = readout(window=8)
    named = set()
    for number, (z, y) in enumerate(samples(30)):
        due = taught.due()
        if due is not None:
            assert 0 <= due < min(number, 8)
            named.add((number - 1 - due) % 8)
        taught.observe(z, y, z)
    assert named == set(range(8))


def test_missing_targets_teach_nothing_about_their_output() -> None:
    taught, probe = readout(noises=(0.5,)), samples(1, seed=5)[0][0]
    for z, y in samples(10):
        taught.observe(z, y)
    before = taught.predict(probe)
    taught.observe(probe, torch.tensor([float("nan"), 9.0], dtype=torch.float64))
    after = taught.predict(probe)
    assert abs(float(after[0] - before[0])) < 1e-6
    assert float(after[1]) > float(before[1]) + 0.5


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_gradient_is_the_slope_of_the_loss(similarity: str) -> None:
    """Against differences of predictions, in single precision."""
    taught = readout(window=32, similarity=similarity)
    for z, y in samples(30):
        taught.observe(z, y)
    z, y = samples(1, seed=7)[0]

    def loss(at: Tensor) -> float:
        error = (taught.predict(at) - y).square() / taught.moments.variance()
        return float(0.5 * error.sum() / 2)

    slope = taught.gradient(z, y)
    for i in range(WIDTH):
        step = torch.zeros(WIDTH, dtype=torch.float64)
        step[i] = 1e-2
        difference = (loss(z + step) - loss(z - step)) / 2e-2
        assert abs(difference - float(slope[i])) < 2e-3 * float(slope.abs().max()) + 1e-4


def test_expert_with_the_right_noise_is_chosen() -> None:
    taught = readout(window=64, noises=(0.001, 1.0, 30.0), similarity="linear")
    generator = torch.Generator().manual_seed(0)
    for z, _ in samples(120):
        y = z[:2] + 3 * torch.randn(2, generator=generator, dtype=torch.float64)
        taught.observe(z, y)
    assert int(taught.experts.chosen()) == 2


def test_short_memory_is_chosen_where_the_function_keeps_changing() -> None:
    taught = readout(window=64, noises=(0.1,), memories=(0.0, 20.0), similarity="linear")
    for number, (z, _) in enumerate(samples(300)):
        taught.observe(z, z[:2] * np.cos(number / 15))
    assert int(taught.experts.chosen()) == 1


def test_new_units_learn_sooner_from_what_old_ones_answered_to() -> None:
    old = readout(window=128, outputs=("a", "b"))
    for z, y in samples(128):
        old.observe(z, y)
    fresh, heir = (readout(window=128, outputs=("c", "d")) for _ in range(2))
    heir.succeed(old)
    errors = {"fresh": 0.0, "heir": 0.0}
    for z, y in samples(30, seed=3):
        mixed = (y - 2) @ torch.tensor([[1.0, -0.5], [0.5, 1.0]], dtype=torch.float64)
        for name, taught in (("fresh", fresh), ("heir", heir)):
            errors[name] += float((taught.predict(z) - mixed).square().sum())
            taught.observe(z, mixed)
    assert errors["heir"] < 0.7 * errors["fresh"]


def test_known_unit_starts_from_its_old_prediction() -> None:
    old = readout(window=128)
    for z, y in samples(128):
        old.observe(z, y)
    heir = readout(window=128, outputs=("c", "a"))
    heir.succeed(old)
    probe = samples(1, seed=4)[0][0]
    prediction = heir.predict(probe)
    assert abs(float(prediction[1] - old.predict(probe)[0])) < 1e-6
    assert float(prediction[0]) == 0


def test_chain_of_ancestors_stays_short() -> None:
    taught = readout()
    for generation in range(6):
        for z, y in samples(14, seed=generation):
            taught.observe(z, y)
        heir = readout()
        heir.succeed(taught)
        taught = heir
    assert len(taught.heritage.ancestors) == 2
    assert all(not hasattr(a, "heritage") for a in taught.heritage.ancestors)


def test_removed_columns_leave_what_was_never_there() -> None:
    both, fewer = readout(), readout()
    kept = torch.tensor([0, 2, 3, 6])
    mask = torch.zeros(WIDTH, dtype=torch.float64)
    mask[kept] = 1
    (probe, _), *stream = samples(20)
    for z, y in stream:
        both.observe(z, y)
        fewer.observe(z * mask, y)
    smaller = both.restructured(kept)
    np.testing.assert_allclose(own(smaller, probe[kept]), own(fewer, probe * mask), atol=1e-5)


def test_new_column_changes_nothing_until_it_says_something() -> None:
    taught = readout()
    (probe, _), *stream = samples(20)
    for z, y in stream:
        taught.observe(z, y)
    wider = taught.restructured(torch.tensor([*range(WIDTH), -1]))
    extended = torch.cat((probe, torch.zeros(1, dtype=torch.float64)))
    np.testing.assert_allclose(own(wider, extended), own(taught, probe), atol=1e-6)


def test_view_does_not_follow_later_steps() -> None:
    taught = readout()
    probe, *_ = (z for z, _ in samples(1, seed=2))
    for z, y in samples(20):
        taught.observe(z, y)
    view = taught.view()
    before = view.predict(probe).clone()
    for z, y in samples(20, seed=1):
        taught.observe(z, y, z)
    np.testing.assert_array_equal(view.predict(probe), before)


def test_restored_readout_gives_the_same_bits() -> None:
    old = readout(memories=(0.0, 30.0))
    for z, y in samples(20, seed=8):
        old.observe(z, y)
    taught = readout(memories=(0.0, 30.0))
    taught.succeed(old)
    for z, y in samples(17):
        taught.observe(z, y, z)
    restored = readout(memories=(0.0, 30.0))
    restored.load({k: v.clone() for k, v in taught.tensors().items()}, copy.deepcopy(taught.meta()))
    for z, y in samples(15, seed=6):
        np.testing.assert_array_equal(restored.predict(z), taught.predict(z))
        restored.observe(z, y, z)
        taught.observe(z, y, z)


@pytest.mark.parametrize("kind", ["poisson", "softmax"])
def test_predictions_are_where_targets_can_be(kind: str) -> None:
    taught = readout(kind=kind)
    generator = torch.Generator().manual_seed(0)
    for z, _ in samples(20):
        y = torch.poisson(z[:2].exp(), generator=generator)
        if kind == "softmax":
            y = torch.eye(2, dtype=torch.float64)[int(z[0] > z[1])]
        taught.observe(z, y)
        p = taught.predict(5 * z)
        assert bool((p > 0).all())
        assert kind == "poisson" or abs(float(p.sum()) - 1) < 1e-12


@pytest.mark.parametrize("factor", [1e3, 1e8])
def test_an_artefact_is_drawn_in(factor: float) -> None:
    """However loud: it raises nothing, and the weights stay those of a solve."""
    taught = readout(window=32)
    (probe, _), *stream = samples(200)
    for number, (z, y) in enumerate(stream):
        loud = z * factor if number % 9 == 0 else z
        taught.observe(loud, y, loud if taught.due() is not None else None)
    np.testing.assert_allclose(own(taught, probe), direct(taught, probe), atol=1e-3)
    quiet, loudest = taught.predict(1e2 * probe), taught.predict(1e8 * probe)
    np.testing.assert_allclose(quiet, loudest, rtol=1e-5)


def test_an_output_that_never_varied_does_not_decide_for_the_others() -> None:
    """Its error would count a million times theirs."""
    spoken, with_silent = readout(outputs=("a", "b")), readout(outputs=("a", "b", "silent"))
    for z, y in samples(30):
        spoken.observe(z, y)
        with_silent.observe(z, torch.cat((y, torch.zeros(1, dtype=torch.float64))))
    np.testing.assert_allclose(spoken.moments.variance(), with_silent.moments.variance()[:2])
    expected = with_silent.moments.variance()[:2].mean()
    np.testing.assert_allclose(with_silent.moments.variance()[2], expected)
    assert int(spoken.experts.chosen()) == int(with_silent.experts.chosen())
