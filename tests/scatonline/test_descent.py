"""Steps on θ are small in natural units and keep one state a filter."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scatonline.config import BankSpec, LearningSpec, Optimiser, Tie
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


TIED: tuple[Tie, ...] = ("scale", "layer")
# A direction and the rest; no direction at all; free angles that are none; a column unused by some.
SHAPES = [
    pytest.param(BankSpec(J=2, L=3), (16, 16), id="morlet, plane"),
    pytest.param(BankSpec(J=2, Q=(2,)), (64,), id="morlet, line"),
    pytest.param(BankSpec(family="lattice", J=2, L=3), (16, 16), id="lattice, plane"),
    pytest.param(BankSpec(family="steerable", J=2, L=2, order=2), (16, 16), id="steerable"),
    pytest.param(BankSpec(family="coiflet", J=2, Q=(2,)), (64,), id="coiflet, line"),
    pytest.param(
        BankSpec(family="daubechies", J=2, L=2, coupling="free"), (16, 16), id="daubechies, free"
    ),
]


def bank_of(spec: BankSpec, shape: tuple[int, ...]) -> FilterBank:
    return FilterBank(spec, make_family(spec, shape), 1)


def groups_of(bank: FilterBank, tie: Tie) -> list[list[int]]:
    return [bank.rows(j) for j in bank.scales] if tie == "scale" else [list(range(len(bank)))]


def shared_columns(bank: FilterBank) -> Tensor:
    return torch.tensor([p.kind != "direction" for p in bank.family.parameters])


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("tie", TIED)
@pytest.mark.parametrize(("spec", "shape"), SHAPES)
def test_tied_filters_make_the_same_steps_in_all_but_their_directions(
    spec: BankSpec, shape: tuple[int, ...], tie: Tie, optimiser: Optimiser
) -> None:
    """In unconstrained coordinates; directions move as if nothing were tied."""
    bank, alone = bank_of(spec, shape), bank_of(spec, shape)
    # No step that a cap would shorten for some of them.
    limits = {"optimiser": optimiser, "rate": 1e-4, "max_angle_rad": 1.0, "max_log_step": 1.0}
    descent = Descent(LearningSpec(tie=tie, **limits), bank)  # type: ignore[arg-type]
    free = Descent(LearningSpec(**limits), alone)  # type: ignore[arg-type]
    shared = shared_columns(bank)
    for seed in range(4):
        before, slope = bank.theta.detach().clone(), gradient(bank, seed)
        descent.step(bank, slope)
        free.step(alone, slope)
        moved = bank.theta.detach() - before
        for group in groups_of(bank, tie):
            steps = moved[group][:, shared]
            assert bool((steps != 0).all())
            np.testing.assert_allclose(steps, steps[:1].expand_as(steps), rtol=1e-6, atol=1e-13)
        assert torch.equal(bank.theta[:, ~shared], alone.theta[:, ~shared])
    if tie == "scale":
        first, second = (bank.theta[bank.rows(j)[0], shared] for j in bank.scales[:2])
        assert not torch.equal(first, second)


@pytest.mark.parametrize("tie", TIED)
@pytest.mark.parametrize(("spec", "shape"), SHAPES)
def test_tied_step_is_the_one_down_the_mean_of_gradients(
    spec: BankSpec, shape: tuple[int, ...], tie: Tie
) -> None:
    bank = bank_of(spec, shape)
    limits = LearningSpec(
        optimiser="sgd", momentum=0.0, rate=1e-3, tie=tie, max_angle_rad=1.0, max_log_step=1.0
    )
    before, slope = bank.theta.detach().clone(), gradient(bank, 5)
    Descent(limits, bank).step(bank, slope)
    shared = shared_columns(bank)
    for group in groups_of(bank, tie):
        expected = torch.where(shared, slope[group].mean(0), slope[group])
        moved = (before - bank.theta.detach())[group]
        np.testing.assert_allclose(moved, 1e-3 * expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("tie", TIED)
def test_tied_filters_stay_together_when_another_has_come_later(
    tie: Tie, optimiser: Optimiser
) -> None:
    """Though its momentum is younger than theirs."""
    bank = make_bank(2)
    spec = LearningSpec(
        optimiser=optimiser, tie=tie, rate=1e-4, max_angle_rad=1.0, max_log_step=1.0
    )
    descent = Descent(spec, bank)
    for seed in range(3):
        descent.step(bank, gradient(bank, seed))
    descent.insert(bank.row(bank.add(0, bank.values()[0].tolist())))
    shared = shared_columns(bank)
    for seed in range(3, 6):
        before = bank.theta.detach().clone()
        descent.step(bank, gradient(bank, seed))
        for group in groups_of(bank, tie):
            steps = (bank.theta.detach() - before)[group][:, shared]
            np.testing.assert_allclose(steps, steps[:1].expand_as(steps), rtol=1e-6, atol=1e-13)


@pytest.mark.parametrize("tie", TIED)
def test_filter_alone_in_its_group_moves_as_if_untied(tie: Tie) -> None:
    bank, other = make_bank(1), make_bank(1)
    for chosen in (bank, other):
        for gone in [name.id for name in chosen.names[1:]]:
            chosen.drop(gone)
    descent, free = Descent(LearningSpec(tie=tie), bank), Descent(LearningSpec(), other)
    for seed in range(3):
        descent.step(bank, gradient(bank, seed))
        free.step(other, gradient(other, seed))
    assert torch.equal(bank.theta, other.theta)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_untied_filters_do_not_notice_the_gradients_of_others(optimiser: Optimiser) -> None:
    bank, other = make_bank(2), make_bank(2)
    spec = LearningSpec(optimiser=optimiser, tie="filter")
    descent, still = Descent(spec, bank), Descent(spec, other)
    for seed in range(3):
        slope = gradient(bank, seed)
        descent.step(bank, slope)
        slope[1:] *= -2
        still.step(other, slope)
    assert torch.equal(bank.theta[0], other.theta[0])
    assert not torch.equal(bank.theta[1:], other.theta[1:])
