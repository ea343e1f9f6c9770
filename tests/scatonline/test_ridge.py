"""Closed-form refits are brute-force refits, by either factorisation, after any change."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scatonline.structure.bags import Bags
from scatonline.structure.ridge import Dual, Primal, Refit, dual_cost, fit, primal_cost

CLOSE = 1e-9


def problem(samples: int, width: int, outputs: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = 2 + torch.randn(samples, width, generator=generator, dtype=torch.float64)
    noise = torch.randn(samples, outputs, generator=generator, dtype=torch.float64)
    mixing = torch.randn(width, outputs, generator=generator, dtype=torch.float64)
    return x, x @ mixing / math.sqrt(width) + noise


def bags_of(samples: int, block: int = 6, restarts: int = 3, seed: int = 0) -> Bags:
    return Bags.of(samples, block, restarts, torch.Generator().manual_seed(seed))


def brute_force(x: Tensor, y: Tensor, bags: Bags, restart: int, ridge: float) -> Tensor:
    """Repeated rows, an intercept that is not penalised, augmented least squares."""
    rows = torch.repeat_interleave(torch.arange(len(x)), bags.counts[restart].long())
    width = x.shape[1]
    penalty = math.sqrt(ridge) * np.eye(width + 1)[1:]
    design = np.vstack([np.hstack([np.ones((len(rows), 1)), x[rows].numpy()]), penalty])
    goal = np.vstack([y[rows].numpy(), np.zeros((width, y.shape[1]))])
    weights, *_ = np.linalg.lstsq(design, goal, rcond=None)
    held = x[bags.held(restart)].numpy()
    return torch.from_numpy(np.hstack([np.ones((len(held), 1)), held]) @ weights)


def both(x: Tensor, y: Tensor, bags: Bags, restart: int, ridge: float) -> list[Refit]:
    x = x - x.mean(0)
    return [Primal(x, y, bags, restart, ridge), Dual(x, x @ x.T, y, bags, restart, ridge)]


@pytest.mark.parametrize("ridge", [0.1, 1.0, 100.0])
@pytest.mark.parametrize("width", [9, 150])
def test_refits_without_a_group_are_brute_force_refits(ridge: float, width: int) -> None:
    """Fewer columns than samples and more; one column, half of them, more than samples, all."""
    x, y = problem(80, width)
    bags = bags_of(80)
    for group in ([0], list(range(0, width, 2)), list(range(1, width)), list(range(width))):
        kept = [i for i in range(width) if i not in group]
        for restart in range(len(bags)):
            whole = brute_force(x, y, bags, restart, ridge)
            left = brute_force(x[:, kept], y, bags, restart, ridge)
            for refit in both(x, y, bags, restart, ridge):
                np.testing.assert_allclose(refit.predictions(), whole, atol=CLOSE)
                np.testing.assert_allclose(refit.without(torch.tensor(group)), left, atol=CLOSE)


@pytest.mark.parametrize("ridge", [0.1, 1.0, 100.0])
@pytest.mark.parametrize(("width", "new"), [(9, 3), (20, 70), (150, 3), (150, 90)])
def test_refits_with_new_columns_are_brute_force_refits(ridge: float, width: int, new: int) -> None:
    x, y = problem(80, width + new)
    bags = bags_of(80)
    for restart in range(len(bags)):
        expected = brute_force(x, y, bags, restart, ridge)
        for refit in both(x[:, :width], y, bags, restart, ridge):
            np.testing.assert_allclose(refit.plus(x[:, width:]), expected, atol=CLOSE)


@pytest.mark.parametrize(("samples", "width", "kind"), [(200, 20, Primal), (60, 300, Dual)])
def test_the_cheaper_factorisation_is_taken(samples: int, width: int, kind: type) -> None:
    x, y = problem(samples, width)
    bags = bags_of(samples)
    groups = [torch.arange(width // 2), torch.arange(width // 2, width)]
    refits = fit(x, y, bags, 1.0, groups)
    assert all(isinstance(refit, kind) for refit in refits)
    widths = [len(group) for group in groups]
    drawn = len(bags.drawn(0))
    cheaper = primal_cost(width, drawn, samples, widths) < dual_cost(width, drawn, samples, widths)
    assert cheaper == (kind is Primal)


@settings(max_examples=50)
@given(samples=st.integers(2, 300), block=st.integers(1, 40), seed=st.integers(0, 5))
def test_bags_draw_and_hold_out_whole_blocks(samples: int, block: int, seed: int) -> None:
    """As many blocks as there are; every restart trains on some and holds some out."""
    bags = bags_of(samples, block, 4, seed)
    block = min(block, max(samples // 4, 1))
    for restart in range(len(bags)):
        together = torch.cat((bags.drawn(restart), bags.held(restart))).sort().values
        assert together.tolist() == list(range(samples))
        assert len(bags.drawn(restart)) >= 1
        assert len(bags.held(restart)) >= 1
        for neighbours in torch.split(bags.counts[restart], block):
            assert len(set(neighbours.tolist())) == 1


def test_over_restarts_nearly_everything_is_held_out() -> None:
    bags = bags_of(600, 12, 5)
    assert float((bags.counts == 0).any(0).double().mean()) > 0.8
    assert float((bags.counts == 0).double().mean()) == pytest.approx(math.exp(-1), abs=0.05)


def test_bags_repeat_with_their_seed() -> None:
    first, again, other = (bags_of(60, 6, 4, seed).counts for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
