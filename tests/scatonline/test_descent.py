"""Steps on θ are small in natural units and keep one state a filter."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scatonline.config import BankSpec, LearningSpec, Optimiser
from scatonline.descent import Descent
from scatonline.families import make_family
from scatonline.filterbank import FilterBank

OPTIMISERS: tuple[Optimiser, ...] = ("sgd", "adam")
GRIDS = {1: (64,), 2: (16, 16)}


def make_bank(dimensions: int) -> FilterBank:
    spec = BankSpec(J=2, L=2, Q=(2,))
    return FilterBank(spec, make_family(spec, GRIDS[dimensions]), 1)


def gradient(bank: FilterBank, seed: int, size: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return size * torch.randn(bank.theta.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
@settings(max_examples=25)
@given(
    rate=st.floats(1e-4, 1e4),
    size=st.floats(1e-12, 1e12),
    max_angle=st.floats(1e-4, 0.5),
    max_log=st.floats(1e-4, 0.5),
)
def test_no_step_is_longer_than_its_cap(
    dimensions: int,
    optimiser: Optimiser,
    rate: float,
    size: float,
    max_angle: float,
    max_log: float,
) -> None:
    """Radians for angles, logarithm of the ratio for everything else."""
    bank = make_bank(dimensions)
    descent = Descent(
        LearningSpec(optimiser=optimiser, rate=rate, max_angle_rad=max_angle, max_log_step=max_log),
        bank,
    )
    for seed in range(3):
        before = bank.values().detach()
        descent.step(bank, gradient(bank, seed, size))
        after = bank.values().detach()
        turned = (after - before)[:, bank.angle].abs()
        stretched = torch.log(after / before)[:, ~bank.angle].abs()
        assert turned.numel() == 0 or float(turned.max()) <= max_angle + 1e-9
        assert float(stretched.max()) <= max_log + 1e-9


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_steps_go_downhill(optimiser: Optimiser) -> None:
    """A parameter that has a best value comes to it and stays."""
    bank = make_bank(2)
    goal = bank.values().detach() * 1.05
    goal[:, bank.angle] = bank.values().detach()[:, bank.angle] + 0.2
    descent = Descent(LearningSpec(optimiser=optimiser, rate=0.02), bank)
    losses = []
    for _ in range(300):
        loss = (bank.values() - goal).square().sum()
        losses.append(float(loss.detach()))
        (slope,) = torch.autograd.grad(loss, bank.theta)
        descent.step(bank, slope)
    assert losses[-1] < 1e-3 * losses[0]


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_gradient_that_is_not_finite_moves_nothing(optimiser: Optimiser, bad: float) -> None:
    """Not its filter, not by momentum either; the other filters move as if nothing had happened."""
    bank, other = make_bank(2), make_bank(2)
    spec = LearningSpec(optimiser=optimiser)
    descent, healthy = Descent(spec, bank), Descent(spec, other)
    for seed in range(3):
        descent.step(bank, gradient(bank, seed))
        healthy.step(other, gradient(other, seed))
    before = bank.theta.detach().clone()
    spoiled = gradient(bank, 3)
    spoiled[1, 2] = bad
    descent.step(bank, spoiled)
    healthy.step(other, gradient(other, 3))
    assert torch.equal(bank.theta[1], before[1])
    rest = [i for i in range(len(bank)) if i != 1]
    assert torch.equal(bank.theta[rest], other.theta[rest])
    assert all(bool(torch.isfinite(t).all()) for t in descent.tensors().values())


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_filters_that_stay_do_not_notice_who_comes_and_goes(optimiser: Optimiser) -> None:
    """Same steps, bit for bit, with a filter put in before them and another taken out."""
    bank, other = make_bank(2), make_bank(2)
    spec = LearningSpec(optimiser=optimiser)
    descent, still = Descent(spec, bank), Descent(spec, other)

    def both(seed: int, kept: dict[str, int]) -> None:
        whole = gradient(other, seed)
        mine = gradient(bank, 1000 + seed)
        for name, row in kept.items():
            mine[bank.row(name)] = whole[row]
        descent.step(bank, mine)
        still.step(other, whole)
        for name, row in kept.items():
            assert torch.equal(bank.theta[bank.row(name)], other.theta[row])

    kept = {name.id: row for row, name in enumerate(other.names)}
    for seed in range(3):
        both(seed, kept)
    added = bank.add(0, bank.values()[0].tolist())
    descent.insert(bank.row(added))
    for seed in range(3, 6):
        both(seed, kept)
    gone = bank.names[0].id
    descent.remove(bank.drop(gone))
    del kept[gone]
    for seed in range(6, 9):
        both(seed, kept)
    assert all(len(t) == len(bank) for t in descent.tensors().values())


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_restored_descent_takes_the_same_steps(optimiser: Optimiser) -> None:
    bank, other = make_bank(1), make_bank(1)
    spec = LearningSpec(optimiser=optimiser)
    descent, restored = Descent(spec, bank), Descent(spec, other)
    for seed in range(3):
        descent.step(bank, gradient(bank, seed))
    other.restore(bank.names, bank.made, *(t.clone() for t in bank.tables()))
    restored.load({name: t.clone() for name, t in descent.tensors().items()})
    descent.step(bank, gradient(bank, 3))
    restored.step(other, gradient(other, 3))
    assert torch.equal(bank.theta, other.theta)


def test_first_step_of_adam_has_the_length_of_the_rate() -> None:
    """In every coordinate, however large or small its gradient is."""
    bank = make_bank(2)
    before = bank.theta.detach().clone()
    scales = torch.logspace(-3, 3, before.numel(), dtype=torch.float64).view_as(before)
    Descent(LearningSpec(optimiser="adam", rate=1e-3), bank).step(bank, scales)
    np.testing.assert_allclose(before - bank.theta.detach(), 1e-3, rtol=1e-6)
