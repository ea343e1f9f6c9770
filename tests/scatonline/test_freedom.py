"""Filters of a scale move together until one has earned steps of its own."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from scatonline.config import BankSpec, LearningSpec, Optimiser, Tie
from scatonline.descent import Descent
from scatonline.families import make_family
from scatonline.filterbank import FilterBank
from scatonline.freedom import shaping
from scatonline.structure import GroupCar

L = 4
LEARNING = LearningSpec(tie="earned", rate=0.01)
# Standard errors asked for, at a level that a fourth look would give four filters.
Z = 3.4
ODD = 1
STEPS = 400


def make_bank(scales: int = 1) -> FilterBank:
    spec = BankSpec(J=scales, L=L, max_order=1)
    return FilterBank(spec, make_family(spec, (64, 64)), 1)


def cars(bank: FilterBank, car: float = 0.1, upper: float = 0.15) -> dict[str, GroupCar]:
    """Every filter matters as much."""
    se = (upper - car) / Z
    return {
        name.id: GroupCar(name.id, 1, name.scale, car, se, upper, 0.0, None, False)
        for name in bank.names
    }


class Valley:
    """A loss that is quadratic in every filter's shape, seen through noise, as gradients are."""

    def __init__(
        self, seed: int, shifts: Sequence[float], tie: Tie = "earned", scales: int = 1
    ) -> None:
        """The lowest point is each filter's start, shifted in all but its direction.

        Args:
            seed: Of the noise.
            shifts: Of the filters of every scale, in unconstrained coordinates.
            tie: Which filters move together.
            scales: How many there are, each with a noise of its own.
        """
        self.generator = torch.Generator().manual_seed(seed)
        self.bank = make_bank(scales)
        self.descent = Descent(replace(LEARNING, tie=tie), self.bank)
        shift = torch.tensor([*shifts] * scales, dtype=torch.float64)[:, None]
        self.goal = self.bank.theta.detach() + shift * shaping(self.bank)

    def loss(self) -> float:
        """Mean over scales."""
        apart = self.bank.theta.detach() - self.goal
        return float(apart.square().sum()) / len(self.bank.scales)

    def walk(self, steps: int, every: int = 100) -> "Valley":
        """Takes steps, and has what is known reviewed every so often."""
        for number in range(1, steps + 1):
            apart = self.bank.theta.detach() - self.goal
            noise = torch.randn(apart.shape, generator=self.generator, dtype=torch.float64)
            self.descent.step(self.bank, apart + noise)
            if number % every == 0:
                self.descent.review(self.bank, cars(self.bank), Z, harmless=0.0)
        return self

    @property
    def freed(self) -> list[list[int]]:
        """By scale, the places of the free filters."""
        free = self.descent.freed
        return [
            [place for place, row in enumerate(self.bank.rows(scale)) if free[row]]
            for scale in self.bank.scales
        ]


# Streams, and scales of each: twenty lessons.
SEEDS, SCALES = range(4), 5


def test_the_filter_that_must_move_alone_is_freed_and_no_other() -> None:
    """And the loss ends below that of filters that are all tied, and of filters that are all free.

    Tied ones cannot reach the lowest point; free ones follow their noise.
    """
    freed: list[list[int]] = []
    ends: dict[Tie, list[float]] = {"earned": [], "scale": [], "filter": []}
    for seed in SEEDS:
        shifts = [0.0, 0.6 * (-1) ** seed, 0.0, 0.0]
        for tie, losses in ends.items():
            valley = Valley(seed, shifts, tie, SCALES).walk(STEPS)
            losses.append(valley.loss())
            freed += valley.freed if tie == "earned" else []
    assert len(freed) == 20
    assert freed.count([ODD]) >= 18
    earned, tied, free = (np.mean(losses) for losses in ends.values())
    assert earned < 0.5 * tied
    assert earned < free


@pytest.mark.parametrize("shift", [0.0, 0.6])
def test_filters_that_need_the_same_are_not_freed(shift: float) -> None:
    """Nor are filters that need nothing: at most one in twenty."""
    freed = [Valley(seed, [shift] * L, scales=SCALES).walk(STEPS).freed for seed in SEEDS]
    filters = [place for by_scale in freed for places in by_scale for place in places]
    assert len(filters) <= 0.05 * L * SCALES * len(SEEDS)


def on_its_own(steps: int = 300) -> Valley:
    """A filter has been pulled aside for long, and nobody has looked yet."""
    return Valley(0, [0.0, 0.8, 0.0, 0.0]).walk(steps, every=10_000)


def test_what_speaks_for_a_filter_frees_it_only_if_it_matters_for_sure() -> None:
    valley = on_its_own()
    bank, descent = valley.bank, valley.descent
    for known in ({}, cars(bank, car=0.1, upper=0.21), cars(bank, car=-0.1, upper=0.2)):
        descent.review(bank, known, Z, harmless=0.0)
        assert not any(descent.freed)
    descent.review(bank, cars(bank), Z, harmless=0.0)
    assert valley.freed == [[ODD]]


def test_a_filter_that_matters_is_freed_only_if_the_past_speaks_for_it_for_sure() -> None:
    valley = on_its_own()
    valley.descent.review(valley.bank, cars(valley.bank), 100.0, harmless=0.0)
    assert valley.freed == [[]]
    early = on_its_own(90)
    early.descent.review(early.bank, cars(early.bank), Z, harmless=0.0)
    assert early.freed == [[]]


def test_nobody_leaves_a_scale_that_is_on_its_way() -> None:
    """Though one of its filters has farther to go, and another not at all."""
    valley = Valley(0, [6.0, 9.0, 6.0, 6.0]).walk(250)
    assert valley.freed == [[]]
    assert valley.loss() > 1.0


def test_one_filter_leaves_at_a_time_and_the_next_one_after_as_many_steps_again() -> None:
    valley = Valley(0, [1.0, -1.0, 0.0, 0.0]).walk(300, every=10_000)
    for _ in range(3):
        valley.descent.review(valley.bank, cars(valley.bank), Z, harmless=0.0)
        assert sum(valley.descent.freed) == 1


def test_a_freed_filter_is_tied_again_once_it_is_harmless_for_sure_and_not_before() -> None:
    valley = on_its_own()
    bank, descent = valley.bank, valley.descent
    descent.review(bank, cars(bank), Z, harmless=0.0)
    for upper in (0.011, 0.3):
        descent.review(bank, cars(bank, car=0.0, upper=upper), Z, harmless=0.01)
        assert valley.freed == [[ODD]]
    descent.review(bank, {}, Z, harmless=0.01)
    assert valley.freed == [[ODD]]
    descent.review(bank, cars(bank, car=0.0, upper=0.01), Z, harmless=0.01)
    assert valley.freed == [[]]
    descent.review(bank, cars(bank), Z, harmless=0.01)
    assert valley.freed == [[]]


def test_a_filter_alone_in_its_scale_is_not_freed() -> None:
    valley = on_its_own()
    for row in (3, 2, 0):
        valley.descent.remove(valley.bank.drop(valley.bank.names[row].id))
    valley.descent.review(valley.bank, cars(valley.bank), Z, harmless=0.0)
    assert not any(valley.descent.freed)


def gradient(bank: FilterBank, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(bank.theta.shape, generator=generator, dtype=torch.float64)


def freed_pair(optimiser: Optimiser) -> tuple[FilterBank, Descent]:
    """A bank of several scales with one free filter in each of two."""
    bank = make_bank(scales=2)
    descent = Descent(replace(LEARNING, optimiser=optimiser, rate=1e-4), bank)
    assert descent.freedom is not None
    for seed in range(3):
        descent.step(bank, gradient(bank, seed))
    descent.freedom.freed[[1, 5]] = True
    return bank, descent


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_a_freed_filter_follows_its_own_gradient_and_leaves_the_others_alone(
    optimiser: Optimiser,
) -> None:
    (bank, descent), (other, still) = freed_pair(optimiser), freed_pair(optimiser)
    for seed in range(3, 8):
        slope = gradient(bank, seed)
        before = bank.theta.detach().clone()
        descent.step(bank, slope)
        slope[1] *= -3
        still.step(other, slope)
        moved, shared = bank.theta.detach() - before, shaping(bank)
        np.testing.assert_allclose(moved[0, shared], moved[2, shared], rtol=1e-6)
        assert not torch.allclose(moved[1, shared], moved[0, shared], rtol=1e-3)
    rest = [row for row in range(len(bank)) if row != 1]
    assert torch.equal(bank.theta[rest], other.theta[rest])
    assert not torch.equal(bank.theta[1], other.theta[1])


def test_untold_and_unreviewed_it_is_tying_by_scale() -> None:
    bank, other = make_bank(), make_bank()
    descent, scale = Descent(LEARNING, bank), Descent(replace(LEARNING, tie="scale"), other)
    for seed in range(5):
        descent.step(bank, gradient(bank, seed))
        scale.step(other, gradient(other, seed))
    assert torch.equal(bank.theta, other.theta)


def test_freedom_follows_filters_that_come_and_go() -> None:
    bank, descent = freed_pair("adam")
    names = [bank.names[row].id for row in (1, 5)]
    added = bank.add(0, bank.values()[0].tolist())
    descent.insert(bank.row(added))
    descent.remove(bank.drop(bank.names[0].id))
    for seed in range(20):
        descent.step(bank, gradient(bank, seed))
    free = [name.id for name, own in zip(bank.names, descent.freed, strict=True) if own]
    assert free == names
    assert all(len(table) == len(bank) for table in descent.tensors().values())
    descent.remove(bank.drop(names[0]))
    assert sum(descent.freed) == 1


def test_a_bank_may_lose_all_its_filters_and_get_one_again() -> None:
    bank, descent = freed_pair("adam")
    values = bank.values()[0].tolist()
    while len(bank):
        descent.remove(bank.drop(bank.names[0].id))
    descent.insert(bank.row(bank.add(0, values)))
    descent.step(bank, gradient(bank, 0))
    assert descent.freed == [False]
    assert bool(torch.isfinite(bank.theta).all())


def test_restored_it_decides_and_steps_alike() -> None:
    valley = on_its_own(301)
    bank, again = valley.bank, make_bank()
    again.restore(bank.names, bank.made, *(table.clone() for table in bank.tables()))
    restored = Descent(LEARNING, again)
    restored.load({name: table.clone() for name, table in valley.descent.tensors().items()})
    for chosen, descent in ((bank, valley.descent), (again, restored)):
        descent.review(chosen, cars(chosen), Z, harmless=0.0)
        for seed in range(4):
            descent.step(chosen, gradient(chosen, seed))
    assert valley.freed == [[ODD]]
    assert torch.equal(bank.theta, again.theta)
    for name, table in valley.descent.tensors().items():
        assert torch.equal(table.nan_to_num(nan=7.0), restored.tensors()[name].nan_to_num(nan=7.0))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_is_not_held_against_anybody(bad: float) -> None:
    valley = on_its_own()
    spoiled = gradient(valley.bank, 9)
    spoiled[ODD, 2] = bad
    valley.descent.step(valley.bank, spoiled)
    valley.descent.review(valley.bank, cars(valley.bank), Z, harmless=0.0)
    assert valley.freed == [[ODD]]
