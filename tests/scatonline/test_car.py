"""CAR in closed form is CAR by brute force, and its bound means what it says."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scatonline.config import StructureSpec
from scatonline.structure.car import Difference, Refit, Split, car, explained, quantile, restarts


def problem(samples: int = 60, width: int = 9, outputs: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = 2 + torch.randn(samples, width, generator=generator, dtype=torch.float64)
    noise = torch.randn(samples, outputs, generator=generator, dtype=torch.float64)
    mixing = torch.randn(width, outputs, generator=generator, dtype=torch.float64)
    return x, x @ mixing + noise


def brute_force(x: Tensor, y: Tensor, ridge: float, kept: list[int], new: Tensor) -> Tensor:
    """Ridge regression on some columns only, intercept unpenalised, by augmented least squares."""
    part = x[:, kept].numpy()
    rows = np.hstack([np.ones((len(part), 1)), part])
    penalty = math.sqrt(ridge) * np.eye(len(kept) + 1)[1:]
    design = np.vstack([rows, penalty])
    goal = np.vstack([y.numpy(), np.zeros((len(kept), y.shape[1]))])
    weights, *_ = np.linalg.lstsq(design, goal, rcond=None)
    return torch.from_numpy(np.hstack([np.ones((len(new), 1)), new[:, kept].numpy()]) @ weights)


GROUPS = [[0], [3, 4], [8, 1, 5], [0, 1, 2, 3, 4, 5, 6, 7], list(range(9))]


@pytest.mark.parametrize("ridge", [1e-3, 1.0, 100.0])
def test_refit_without_a_group_is_the_brute_force_refit(ridge: float) -> None:
    x, y = problem()
    new, _ = problem(20)
    fitted = Refit.fit(x, y, ridge)
    whole = brute_force(x, y, ridge, list(range(9)), new)
    np.testing.assert_allclose(fitted.predict(new), whole, atol=1e-10)
    groups = [torch.tensor(group) for group in GROUPS]
    for group, found in zip(GROUPS, fitted.predict_without(new, groups), strict=True):
        kept = [i for i in range(9) if i not in group]
        expected = brute_force(x, y, ridge, kept, new)
        np.testing.assert_allclose(found, expected, atol=1e-10)


def test_refits_after_refits_are_brute_force_refits() -> None:
    """Three removals in a row, each from what the one before has left."""
    x, y = problem()
    new, _ = problem(20)
    fitted, left = Refit.fit(x, y, 2.0), list(range(9))
    for gone in ([4], [7, 0], [1, 8]):
        group = torch.tensor([left.index(i) for i in gone])
        (expected,) = fitted.predict_without(new[:, left], [group])
        kept = [place for place, i in enumerate(left) if i not in gone]
        fitted = fitted.without(group, torch.tensor(kept))
        left = [i for i in left if i not in gone]
        found = fitted.predict(new[:, left])
        np.testing.assert_allclose(found, brute_force(x, y, 2.0, left, new), atol=1e-10)
        np.testing.assert_allclose(found, expected, atol=1e-10)


@settings(max_examples=50)
@given(samples=st.integers(3, 400), block=st.integers(1, 40))
def test_split_keeps_neighbours_together(samples: int, block: int) -> None:
    """Every row once, in training or held out; about a third held out, in whole blocks."""
    if samples < 3 * block:
        return
    split = Split.of(samples, block)
    train = torch.cat(split.train)
    together = torch.cat((train, split.held)).sort().values
    assert together.tolist() == list(range(samples))
    assert {int(i) // block % 3 for i in split.held} == {2}
    assert {int(i) // block % 3 for i in train} <= {0, 1}
    assert len(split.held) <= samples / 3 + block


@pytest.mark.parametrize("samples", [3, 16, 24, 25])
def test_small_windows_too_have_rows_to_train_on_and_rows_held_out(samples: int) -> None:
    split = Split.of(samples, 12)
    assert len(split.train) >= 2
    assert len(split.held) >= 1


def test_bootstrap_draws_whole_training_blocks() -> None:
    split = Split.of(100, 10)
    rows = split.bootstrap(torch.Generator().manual_seed(0))
    assert set(rows.tolist()) <= set(torch.cat(split.train).tolist())
    blocks = [tuple(b.tolist()) for b in split.train]
    drawn = [tuple(b.tolist()) for b in torch.split(rows, 10)]
    assert set(drawn) <= set(blocks)
    assert len(set(drawn)) < len(blocks)


def test_restarts_repeat_with_their_seed() -> None:
    x, y = problem()
    split = Split.of(60, 6)
    first, again, other = (
        restarts(x, y, split, 1.0, 4, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.weights, b.weights)
    train = torch.cat(split.train)
    plain = Refit.fit(x[train], y[train], 1.0)
    assert torch.equal(first[0].weights, plain.weights)
    assert torch.equal(other[0].weights, plain.weights)
    assert not torch.equal(other[1].weights, first[1].weights)


def test_car_is_the_loss_of_score_restart_by_restart() -> None:
    x, y = problem()
    refits = restarts(x, y, Split.of(60, 6), 1.0, 3, torch.Generator().manual_seed(0))
    new, target = problem(25)
    variance = target.var(0)
    groups = [torch.tensor(group) for group in GROUPS[:3]]
    table = car(refits, new, groups, [lambda p: explained(p, target, variance)])
    for g, group in enumerate(groups):
        losses = []
        for refit in refits:
            full = -((target - refit.predict(new)) ** 2 / variance).mean(1)
            (left,) = refit.predict_without(new, [group])
            losses.append(float((full + ((target - left) ** 2 / variance).mean(1)).mean()))
        found = table[g][0]
        assert found.by_restart == pytest.approx(losses, abs=1e-12)
        assert found.mean == pytest.approx(np.mean(losses), abs=1e-12)


def test_explained_leaves_out_what_was_not_observed() -> None:
    target = torch.tensor([[1.0, math.nan], [2.0, 4.0]])
    prediction = torch.tensor([[0.0, 9.0], [2.0, 2.0]])
    found = explained(prediction, target, torch.tensor([1.0, 2.0]))
    assert found.tolist() == [-1.0, -1.0]


def autoregressive(rho: float, samples: int, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(samples)
    series = np.zeros(samples)
    for i in range(1, samples):
        series[i] = rho * series[i - 1] + math.sqrt(1 - rho**2) * noise[i]
    return torch.from_numpy(series)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.9])
def test_neighbours_that_agree_count_for_less(rho: float) -> None:
    found = Difference.of(autoregressive(rho, 20_000)[None])
    assert found.n_eff / 20_000 == pytest.approx((1 - rho) / (1 + rho), rel=0.1)


def test_alternating_differences_count_no_more_than_they_are() -> None:
    series = torch.tensor([1.0, -1.0] * 50, dtype=torch.float64)
    assert Difference.of(series[None]).n_eff == 100


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_standard_error_is_the_spread_of_the_mean(rho: float) -> None:
    """Over many series; a bound z errors up lies below the true mean as rarely as z says."""
    found = [Difference.of(autoregressive(rho, 400, seed)[None]) for seed in range(300)]
    spread = float(np.std([d.mean for d in found]))
    assert np.mean([d.se for d in found]) == pytest.approx(spread, rel=0.15)
    misses = np.mean([d.bound(1.645) < 0 for d in found])
    assert 0.01 < misses < 0.1


def test_restarts_that_disagree_widen_the_error() -> None:
    one = Difference.of(autoregressive(0.0, 200)[None])
    shifted = autoregressive(0.0, 200)[None] + torch.tensor([[-0.5], [0.0], [0.5]]).double()
    three = Difference.of(shifted)
    assert three.mean == pytest.approx(one.mean)
    assert three.se**2 - one.se**2 == pytest.approx(0.25 / 3)
    assert [b - three.mean for b in three.by_restart] == pytest.approx([-0.5, 0.0, 0.5])


def test_equal_scores_have_no_difference_and_no_error() -> None:
    found = Difference.of(torch.zeros(3, 40, dtype=torch.float64))
    assert (found.mean, found.se, found.bound(3.0)) == (0, 0, 0)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.5])
@pytest.mark.parametrize("groups", [1, 12])
def test_all_looks_together_spend_no_more_than_alpha(alpha: float, groups: int) -> None:
    spec = StructureSpec(alpha=alpha)
    z = [quantile(spec, look, groups) for look in range(1, 2001)]
    spent = sum(groups * (1 - NormalDist().cdf(value)) for value in z)
    assert 0.99 * alpha < spent <= alpha
    assert z == sorted(z)


def test_more_filters_need_more_certainty() -> None:
    values: list[Any] = [quantile(StructureSpec(), 1, groups) for groups in (0, 1, 2, 20)]
    assert values == sorted(values)
