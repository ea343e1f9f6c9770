"""CAR's statistics: its scores, its bound, and what a look may spend."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scatonline.config import StructureSpec
from scatonline.structure.bags import Bags
from scatonline.structure.car import Difference, Loss, deviance, explained, hits, quantile
from scatonline.structure.window import Evidence


def test_explained_leaves_out_what_was_not_observed() -> None:
    target = torch.tensor([[1.0, math.nan], [2.0, 4.0]])
    prediction = torch.tensor([[0.0, 9.0], [2.0, 2.0]])
    found = explained(prediction, target, torch.tensor([1.0, 2.0]))
    assert found.nanmean(1).tolist() == [-1.0, -1.0]


def test_deviance_of_the_mean_is_what_there_is_to_explain() -> None:
    """The mean count itself explains nothing, the counts themselves everything."""
    counts = torch.tensor([[0.0], [1.0], [5.0], [2.0]], dtype=torch.float64)
    mean = counts.mean(0)
    null = -deviance(mean.expand(4, 1), counts, mean, torch.ones(1)).mean(0)
    by_hand = [2 * ((y * math.log(y / 2) if y else 0) - (y - 2)) for y in (0, 1, 5, 2)]
    assert float(null) == pytest.approx(np.mean(by_hand))
    assert float(deviance(mean.expand(4, 1), counts, mean, null).mean()) == pytest.approx(-1)
    perfect = counts.clamp_min(0.1)
    assert float(deviance(perfect, counts, mean, null)[1:].abs().max()) == 0


def test_rates_below_nothing_count_as_little() -> None:
    counts = torch.tensor([[2.0]], dtype=torch.float64)
    mean, null = torch.tensor([2.0]).double(), torch.tensor([1.0]).double()
    least = deviance(0.05 * mean[None], counts, mean, null)
    assert torch.equal(deviance(torch.tensor([[-3.0]]).double(), counts, mean, null), least)


def test_hits_are_accuracies_by_sample_and_by_class() -> None:
    target = torch.eye(3)[[0, 1, 1, 2]]
    prediction = torch.eye(3)[[0, 1, 2, 0]]
    found = hits(prediction, target)
    assert found.nanmean(1).tolist() == [1, 1, 0, 0]
    assert found.nanmean(0).tolist() == [1, 0.5, 0]


def test_loss_names_the_outputs_that_need_what_is_lost() -> None:
    """The second of two outputs loses what it knew; the first one had never known it."""
    rng = np.random.default_rng(0)
    y = torch.from_numpy(rng.standard_normal((60, 2)))
    evidence = Evidence.of(y, "gaussian", 3, 0)
    rows = [evidence.bags.held(r) for r in range(3)]
    knows = [torch.stack((torch.zeros(len(r)).double(), y[r, 1]), 1) for r in rows]
    blank = [torch.zeros_like(k) for k in knows]
    loss = evidence.loss(knows, blank)
    assert loss.by_output[0] == 0
    assert loss.by_output[1] == pytest.approx(1, abs=0.4)
    assert loss.by_score[0].mean == pytest.approx(loss.by_output[1] / 2, rel=0.1)


def test_loss_is_paired_restart_by_restart() -> None:
    bags = Bags.of(40, 4, 3, torch.Generator().manual_seed(0))
    rows = [bags.held(r) for r in range(3)]
    better = [torch.full((len(r), 1), 2.0) for r in rows]
    worse = [torch.full((len(r), 1), 1.0 + r0) for r0, r in enumerate(rows)]
    loss = Loss.of(better, worse, rows, 40, [lambda p, _: p])
    assert loss.by_score[0].by_restart == (1, 0, -1)


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


def test_samples_held_out_by_some_restarts_only_count_once() -> None:
    series = autoregressive(0.0, 900)
    table = series.expand(3, -1).clone()
    for restart in range(3):
        table[restart, restart::3] = math.nan
    table[:, 600:] = math.nan
    found = Difference.of(table)
    assert found.mean == pytest.approx(float(series[:600].mean()))
    assert found.n_eff <= 600
    assert found.se == pytest.approx(float(series[:600].std()) / math.sqrt(found.n_eff), rel=0.02)


@pytest.mark.parametrize("restarts", [2, 5, 20])
def test_error_over_bags_is_the_spread_of_the_mean(restarts: int) -> None:
    """Restarts that hold out different samples vary because of that; it is not counted twice."""
    means, errors = [], []
    for seed in range(300):
        bags = Bags.of(240, 12, restarts, torch.Generator().manual_seed(seed))
        series = autoregressive(0.0, 240, seed)
        found = Difference.of(torch.where(bags.counts == 0, series, math.nan))
        means.append(found.mean)
        errors.append(found.se)
    assert 0.95 < np.sqrt(np.mean(np.square(errors))) / np.std(means) < 1.35


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.5])
@pytest.mark.parametrize("tests", [1, 12])
def test_all_steps_of_all_looks_together_spend_no_more_than_alpha(alpha: float, tests: int) -> None:
    spec = StructureSpec(alpha=alpha)
    steps = range(1, 101)
    z = [quantile(spec, look, step, tests) for look in range(1, 201) for step in steps]
    spent = sum(tests * (1 - NormalDist().cdf(value)) for value in z)
    assert 0.98 * alpha < spent <= alpha
    assert z[:100] == sorted(z[:100])
    assert z[::100] == sorted(z[::100])


def test_more_filters_need_more_certainty() -> None:
    values: list[Any] = [quantile(StructureSpec(), 1, 1, tests) for tests in (0, 1, 2, 20)]
    assert values == sorted(values)
