"""Where and what apart: what few samples are enough for, and what stays known through changes."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from scatonline.config import ReadoutSpec
from scatonline.model import Model
from scatonline.readout import FactorisedReadout
from scatonline.readout.places import Places
from tests.scatonline.models import OUTPUTS, copied, decided, specification, stream

MAPS, CELLS = 12, 9


def readout(maps: int = MAPS, cells: int = CELLS, outputs: int = 1, **values: Any) -> Any:
    spec = ReadoutSpec(**{"kind": "gaussian", "method": "factorised", "ridge": 3.0, **values})
    return FactorisedReadout(spec, torch.full((maps * cells,), cells), outputs, float(maps * cells))


def planted(
    count: int, seed: int, rank: int = 1, outputs: int = 1, maps: int = MAPS, cells: int = CELLS
) -> tuple[Tensor, Tensor, Tensor]:
    """Columns, weights of few products a mask each, and targets of which a fifth is noise."""
    rng = np.random.default_rng(seed)
    what = rng.standard_normal((outputs, maps, rank))
    where = np.exp(1.5 * rng.standard_normal((outputs, cells, rank)))
    weights = np.einsum("kfr,ksr->fsk", what, where).reshape(maps * cells, outputs)
    weights /= np.linalg.norm(weights, axis=0)
    z = rng.standard_normal((count, maps * cells))
    y = z @ weights + 0.5 * rng.standard_normal((count, outputs)) + 2
    return torch.from_numpy(z), torch.from_numpy(weights), torch.from_numpy(y)


def ridge(z: Tensor, y: Tensor, strength: float) -> Tensor:
    """Exact ridge regression with a level that is free, without the level."""
    z, y = z - z.mean(0), y - y.mean(0)
    solved: Tensor = torch.linalg.solve(z.T @ z + strength * torch.eye(z.shape[1]), z.T @ y)
    return solved


def teach(taught: Any, z: Tensor, y: Tensor) -> None:
    for one, target in zip(z, y, strict=True):
        taught.observe(one, target)


def settle(taught: Any, times: int) -> None:
    """Lets it think on: samples without a target teach nothing, and outputs are fitted further."""
    z = torch.zeros(len(taught.cells), dtype=torch.float64)
    nothing = torch.full_like(taught.level, math.nan)
    for _ in range(times):
        taught.observe(z, nothing)


def test_few_samples_are_enough_for_a_product() -> None:
    """Fewer than columns: its weights are a fifth as wrong as those of the best linear ridge."""
    ratios = []
    for seed in range(2):
        z, weights, y = planted(80, seed, outputs=6)
        taught = readout(outputs=6)
        teach(taught, z, y)
        settle(taught, 5)
        own = (taught.weights - weights).square().sum(0)
        fits = [ridge(z, y, 10.0**e) for e in np.arange(-1, 3, 0.5)]
        linear = torch.stack([(fit - weights).square().sum(0) for fit in fits])
        ratios += (own / linear.amin(0)).tolist()
    assert len(ratios) == 12
    assert np.median(ratios) < 0.2
    assert sorted(ratios)[-2] < 0.5


def test_two_products_take_rank_two() -> None:
    z, weights, y = planted(100, 0, rank=2, outputs=4)
    y = 0.2 * y + 0.8 * (z @ weights)
    errors = {}
    for rank in (1, 2):
        taught = readout(outputs=4, rank=rank)
        teach(taught, z, y)
        errors[rank] = float((taught.weights - weights).square().sum())
    assert errors[2] < 0.3 * errors[1]


@pytest.mark.parametrize(("maps", "cells", "rank"), [(5, 3, 3), (2, 9, 2), (7, 1, 1), (1, 6, 1)])
def test_full_rank_is_ridge_regression(maps: int, cells: int, rank: int) -> None:
    z, _, y = planted(60, 1, outputs=2, maps=maps, cells=cells)
    taught = readout(maps, cells, 2, rank=rank, window=128)
    teach(taught, z, y)
    np.testing.assert_allclose(taught.weights, ridge(z, y, 3.0), atol=1e-5)


def test_each_half_is_the_ridge_regression_given_the_other() -> None:
    """Where it settles: channel weights given masks, and masks given channel weights."""
    z, _, y = planted(60, 2)
    taught = readout(window=256, ridge=20.0)
    teach(taught, z, y)
    settle(taught, 40)
    table = z.view(60, MAPS, CELLS)
    weights = taught.weights.view(MAPS, CELLS)
    where = taught.masks[0][0]
    np.testing.assert_allclose(where.T @ where, torch.eye(1), atol=1e-12)
    seen = (table @ where)[..., 0]
    np.testing.assert_allclose(ridge(seen, y, 20.0) @ where.T, weights, atol=2e-4)
    what = weights @ where
    what = what / what.norm()
    asked = torch.einsum("nfs,fr->ns", table, what)
    np.testing.assert_allclose(what @ ridge(asked, y, 20.0).T, weights, atol=2e-4)


def test_columns_of_no_map_are_fitted_beside() -> None:
    """Two grids and two columns more: what only those say is found, too."""
    z, weights, y = planted(200, 3, maps=8, cells=9)
    more, _, _ = planted(200, 4, maps=6, cells=4)
    cells = torch.tensor([4] * 24 + [9] * 72 + [2] * 2)
    rest = torch.from_numpy(np.random.default_rng(0).standard_normal((200, 2)))
    every = torch.cat((more, z, rest), 1)
    spec = ReadoutSpec("gaussian", method="factorised", ridge=3.0, window=256)
    taught = FactorisedReadout(spec, cells, 1, float(len(cells)))
    teach(taught, every, y + rest @ torch.tensor([[0.7], [-0.4]], dtype=torch.float64))
    np.testing.assert_allclose(taught.weights[-2:, 0], [0.7, -0.4], atol=0.15)
    assert float((taught.weights[24:96] - weights).square().sum()) < 0.1
    assert float(taught.weights[:24].square().sum()) < 0.1


def test_a_sample_costs_the_same_for_ever() -> None:
    """Operations, not times; and while few are remembered not more than that."""
    z, _, y = planted(60, 5, outputs=5)
    taught = readout(outputs=5, window=16)
    costs = {}
    for number, (one, target) in enumerate(zip(z, y, strict=True)):
        if number not in (0, 2, 7, 15, 30, 59):
            taught.observe(one, target)
            continue
        with FlopCounterMode(display=False) as counter:
            taught.observe(one, target)
        costs[number] = counter.get_total_flops()
    assert costs[15] == costs[30] == costs[59]
    assert max(costs.values()) < 1.05 * costs[59]
    assert len(taught.targets) == len(taught.rows.linear) == 16


def test_parts_are_the_columns_in_another_order() -> None:
    cells = torch.tensor([2] * 6 + [1] * 2 + [4] * 8 + [2] * 2 + [5] * 5)
    places = Places.of(cells, 1)
    assert [tuple(table.shape) for table in places.maps] == [(4, 2), (2, 4)]
    assert places.linear.tolist() == [6, 7, *range(18, 23)]
    rows = torch.arange(3.0 * len(cells)).view(3, -1)
    assert torch.equal(places.together(places.apart(rows)), rows)


def test_dropped_maps_are_made_up_for() -> None:
    """Two maps that say the same: when one goes, the other takes over at once."""
    z, _, y = planted(80, 6, maps=4, cells=6)
    z = torch.cat((z[:, :6], z), 1)
    taught = readout(5, 6, window=128)
    teach(taught, z, y)
    settle(taught, 20)
    smaller = taught.restructured(torch.arange(6, 30), torch.full((24,), 6))
    np.testing.assert_allclose(smaller.predict(z[:, 6:]), taught.predict(z), atol=0.1)
    torn = taught.predict(torch.cat((torch.zeros_like(z[:, :6]), z[:, 6:]), 1))
    assert float((torn - taught.predict(z)).abs().max()) > 0.3


def test_gradient_is_the_slope_of_the_loss() -> None:
    z, _, y = planted(60, 7, outputs=2)
    taught = readout(outputs=2, window=64)
    teach(taught, z, y)
    target = torch.tensor([5.0, math.nan], dtype=torch.float64)
    slope = taught.gradient(z[0], target)

    def loss(at: Tensor) -> float:
        return float(0.5 * ((taught.predict(at) - target) ** 2 / taught.variance)[0])

    for column in (0, 31, 80):
        step = torch.zeros_like(z[0])
        step[column] = 1e-4
        difference = (loss(z[0] + step) - loss(z[0] - step)) / 2e-4
        assert difference == pytest.approx(float(slope[column]), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("values", [{"forgetting": 0.97}, {"window": 40}])
def test_what_is_forgotten_makes_room(values: dict[str, Any]) -> None:
    """A mask that turns to another place, once the samples from before count little or are gone."""
    z, weights, y = planted(100, 8, maps=6, cells=4)
    later, changed, targets = planted(100, 9, maps=6, cells=4)
    taught = readout(6, 4, **values)
    teach(taught, z, y)
    teach(taught, later, targets)
    near = float((taught.weights - changed).square().sum())
    assert near < 0.3
    assert near < 0.3 * float((taught.weights - weights).square().sum())


def test_loosened_readout_follows_a_change_sooner() -> None:
    z, _, y = planted(100, 10, maps=6, cells=4)
    later, changed, targets = planted(40, 11, maps=6, cells=4)
    errors = {}
    held = readout(6, 4)
    teach(held, z, y)
    for name, taught in (("loosened", held.loosened()), ("held", held.promoted(held.spec))):
        teach(taught, later, targets)
        errors[name] = float((taught.weights - changed).square().sum())
        held = held.promoted(held.spec)
    assert errors["loosened"] < 0.9 * errors["held"]


@pytest.mark.parametrize("factor", [1e3, 1e8])
def test_an_artefact_is_drawn_in(factor: float) -> None:
    z, weights, y = planted(150, 12)
    taught = readout(window=256)
    teach(taught, torch.cat((z[:1] * factor, z[1:])), y)
    assert float((taught.weights - weights).square().sum()) < 0.5


def test_an_output_that_never_varied_has_the_variance_of_the_others() -> None:
    z, _, y = planted(20, 13, outputs=2)
    taught = readout(outputs=3)
    teach(taught, z, torch.cat((y, torch.full((20, 1), 4.0, dtype=torch.float64)), 1))
    assert float(taught.variance[2]) == pytest.approx(float(taught.variance[:2].mean()))
    assert float(taught.weights[:, 2].abs().max()) < 1e-50
    np.testing.assert_allclose(taught.predict(z)[:, 2], 4.0)


def test_an_output_without_remembered_targets_stays_as_it_was() -> None:
    """A neuron that is lost, for longer than samples are remembered."""
    z, _, y = planted(50, 14, outputs=2)
    taught = readout(outputs=2, window=20)
    settle(taught, 2)
    assert not taught.predict(z).any()
    teach(taught, z[:25], y[:25])
    lost = y.clone()
    lost[:, 1] = math.nan
    settle(taught, 20)
    kept = taught.predict(z)
    teach(taught, z[25:], lost[25:])
    assert torch.equal(taught.predict(z)[:, 1], kept[:, 1])
    assert float((taught.predict(z) - kept)[:, 0].abs().max()) > 0.1


@pytest.mark.parametrize("kind", ["poisson", "softmax"])
def test_model_goes_on_to_the_same_bits_through_moves_and_sessions(kind: Any) -> None:
    """A checkpoint after a structure move, θ learning, and a new session that shares a unit."""
    spec = specification(
        kind, 2, readout=ReadoutSpec(kind, ridge=5.0, method="factorised", window=32)
    )
    model = Model(spec)
    model.open_session("a", OUTPUTS)
    first, second = stream(spec, 24), stream(spec, 8, seed=1)
    for sample in first:
        model.step(sample)
    moves = model.apply(decided(model))
    assert len(moves) == 2
    twin = copied(model)
    for one in (model, twin):
        for sample in second:
            one.step(sample)
        one.open_session("b", (OUTPUTS[1], "new"))
        for sample in stream(spec, 4, seed=2, session="b", outputs=2):
            one.step(sample)
    assert model.state_hash() == twin.state_hash()
    assert json.dumps(model.state()[1]["sessions"]) == json.dumps(twin.state()[1]["sessions"])
    read = model.reader().predict("b", second[0].input).values
    np.testing.assert_array_equal(read, twin.reader().predict("b", second[0].input).values)
