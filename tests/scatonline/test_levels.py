"""Levels and order open and close as filters come and go."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scatonline.config import BankSpec, FeatureSpec, LearningSpec, ModelSpec, ReadoutSpec
from scatonline.config import StructureSpec as Limits
from scatonline.errors import ConfigError
from scatonline.families import FAMILIES
from scatonline.features import Layout, Standardiser
from scatonline.model import Model
from scatonline.sample import Sample
from scatonline.scattering import Scattering
from scatonline.structure.candidates import candidates
from scatonline.structure.standing import Standing
from tests.scatonline.planted import check_of

SPEC = ModelSpec(
    "levels",
    1,
    (16, 16),
    bank=BankSpec(J=2, L=3, max_order=2, padding="periodic"),
    features=FeatureSpec(orders=(1, 2), grid=(1,), order_weight=(1.0,), calibration=16),
    readout=ReadoutSpec("gaussian", ridge=1.0),
    learning=LearningSpec(enabled=False),
    structure=Limits(window=240, check_every=60, min_effective=20, epsilon=0.02, max_drops=12),
)
# What answers depend on: paths of order 1 at a scale, or of order 2.
FINE, COARSE, DEEP = "1/j0/", "1/j1/", "2/"

# No sample of a window sees those before it.
NO_LAGS = torch.zeros(1000, 0, dtype=torch.long)


def with_bank(**bank: Any) -> ModelSpec:
    return replace(SPEC, bank=replace(SPEC.bank, **bank))


def images(samples: int, seed: int) -> Tensor:
    """White noise, coarse noise, and fine noise whose strength varies over the image."""
    rng = np.random.default_rng(seed)
    strength = rng.uniform(0.2, 1.5, (3, samples, 1, 1))
    fine, mask = rng.standard_normal((2, samples, 16, 16))
    blocks = rng.standard_normal((samples, 4, 4)).repeat(4, 1).repeat(4, 2)
    spots = (np.abs(blocks) > 0.7) * mask
    x = strength[0] * fine + strength[1] * blocks + strength[2] * spots
    return torch.from_numpy(x[:, None]).float()


def answers(x: Tensor, depends: str, seed: int = 0) -> Tensor:
    """Two outputs: mixtures of the whole transform's columns of one kind.

    From those of coarse paths and of order 2 is taken away what all other columns tell already.
    """
    scattering = Scattering(SPEC.bank, SPEC.shape)
    layout = Layout(SPEC, scattering.cascade)
    with torch.no_grad():
        averages = scattering.averages(torch.float32, torch.device("cpu"))
        columns = layout.columns(x, scattering.build(), averages).double()
    z = (columns - columns.mean(0)) / columns.std(0)
    mine = [
        column
        for block in layout.blocks
        if any(name.startswith(depends) for name in block.key)
        and (depends == DEEP or len(block.key) == 1)
        for column in range(block.start, block.start + block.width)
    ]
    others = [c for c in range(z.shape[1]) if c not in mine]
    own = z[:, mine]
    if depends != FINE:
        own = own - z[:, others] @ torch.linalg.lstsq(z[:, others], own).solution
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(len(mine), 2, generator=generator, dtype=torch.float64)
    y = (own / own.std(0)) @ mixing
    noise = torch.randn(len(x), 2, generator=generator, dtype=torch.float64)
    return (y / y.std(0) + 0.3 * noise).float()


@pytest.mark.parametrize("name", [name for name, dimensions in FAMILIES if dimensions == 2])
def test_what_is_open_at_the_start_is_what_the_whole_bank_has_there(name: str) -> None:
    """Under the bound ``open`` bit for bit, as after dropping the others."""
    whole = Scattering(replace(SPEC.bank, family=name), SPEC.shape)
    part = Scattering(replace(SPEC.bank, family=name, levels=1, layers=1), SPEC.shape)
    assert part.bank(1).scales == [0]
    assert len(part.bank(2)) == 0
    assert torch.equal(part.bank(1).spectra()[0], whole.bank(1).spectra()[0])
    assert torch.equal(part.bank(1).ceiling, whole.bank(1).ceiling)
    assert {path.order for path in part.paths} == {0, 1}
    assert part.geometry.output_shape == whole.geometry.output_shape


def test_over_time_levels_and_layers_start_closed_too() -> None:
    spec = BankSpec(J=4, Q=(2, 1), levels=2)
    bank = Scattering(spec, (64,)).bank(1)
    assert bank.scales
    assert max(bank.scales) <= 1
    assert len(Scattering(replace(spec, layers=1), (64,)).bank(2)) == 0


def test_first_layer_is_never_without_filters() -> None:
    """Voices over time may all be at coarser scales than the ones that are open."""
    fine = BankSpec(J=4, Q=(8,), max_order=1, levels=1)
    assert Scattering(fine, (64,)).bank(1).scales == [0]
    coarse = replace(fine, Q=(64,))
    assert Scattering(replace(coarse, levels=0), (64,)).bank(1).scales == [3]
    with pytest.raises(ConfigError, match="leaves the first layer without filters"):
        Scattering(coarse, (64,))


def test_empty_layer_has_bounds_and_a_state() -> None:
    scattering = Scattering(with_bank(layers=1).bank, SPEC.shape)
    sums = scattering.bank(2).littlewood_paley()
    assert float(sums.max()) <= 1
    assert scattering.bank(2).spectra() == {}
    assert scattering.meta()["order"] == [0, *[1] * 6]
    other = Scattering(SPEC.bank, SPEC.shape)
    other.load_state_dict(scattering.state_dict())
    assert other.paths == scattering.paths


def test_coarser_level_opens_when_it_is_needed() -> None:
    for seed in range(3):
        x = images(240, seed)
        spec = with_bank(levels=1, layers=1)
        check = check_of(x, answers(x, COARSE), seed, spec, max_drops=0)
        moves = check.run().moves
        assert {(m.kind, m.layer, m.scale) for m in moves} == {("add", 1, 1)}
        assert "opening level 1" in moves[0].reason


def test_order_rises_when_it_is_needed() -> None:
    for seed in range(3):
        x = images(240, seed)
        check = check_of(x, answers(x, DEEP), seed, with_bank(layers=1), max_drops=0)
        moves = check.run().moves
        assert {(m.kind, m.layer) for m in moves} == {("add", 2)}
        assert "opening the layer itself" in moves[0].reason


def test_neither_opens_when_it_is_not() -> None:
    for seed in range(3):
        x = images(240, seed)
        spec = with_bank(levels=1, layers=1)
        decision = check_of(x, answers(x, FINE), seed, spec, max_drops=0, max_filters=3).run()
        assert decision.moves == ()


def test_level_and_layer_close_when_they_are_not_needed() -> None:
    """Unless the limits keep a filter at every scale."""
    x = images(240, 1)
    y = answers(x, FINE)
    closed = check_of(x, y, 0, SPEC, candidates=0, epsilon=0.1).run()
    gone = [m.filter_id for m in closed.moves]
    assert sum(name.startswith(DEEP) for name in gone) == 3
    assert sum(name.startswith(COARSE) for name in gone) == 3
    kept = check_of(x, y, 0, SPEC, candidates=0, epsilon=0.1, min_filters=1).run()
    left = [m.filter_id for m in kept.moves]
    assert sum(name.startswith(DEEP) for name in left) == 2
    assert sum(name.startswith(COARSE) for name in left) == 2


def test_only_the_coarsest_scale_closes_and_only_the_deepest_layer() -> None:
    spec = with_bank(J=3, L=1, max_order=3)
    scattering = Scattering(spec.bank, spec.shape)
    x = images(8, 0)
    layout = Layout(spec, scattering.cascade)
    silent = Standardiser.silent(layout.width, "cpu")
    standing = Standing.of(spec, scattering, silent, x, NO_LAGS[: len(x)])
    assert [bank.scales for bank in map(scattering.bank, (1, 2, 3))] == [[0, 1, 2], [1, 2], [2]]

    def closable(now: Standing) -> list[str]:
        names = [name for layer in now.scattering.cascade.layers for name in layer]
        return [name.id for name in names if now.may_go(name, 0)]

    assert closable(standing) == ["1/j2/0", "2/j2/0", "3/j2/0"]
    shallow = standing.without(2, "2/j2/0")
    # The third layer stands on what is left of the second one.
    assert closable(shallow) == ["1/j2/0", "3/j2/0"]
    assert closable(shallow.without(3, "3/j2/0")) == ["1/j2/0", "2/j1/0"]
    lone = standing.without(1, "1/j2/0").without(1, "1/j1/0")
    assert "1/j0/0" not in closable(lone)


def test_what_just_closed_does_not_open_again() -> None:
    spec = with_bank(levels=1, layers=1)
    scattering = Scattering(spec.bank, spec.shape)
    options = candidates(scattering, {}, (), 2, 16)
    assert [o.layer for o in options if "opening" in o.why] == [1, 2]
    x = images(240, 0)
    check = check_of(x, answers(x, FINE), 0, SPEC, candidates=0, epsilon=0.1)
    model = Model(replace(SPEC, structure=replace(SPEC.structure, epsilon=0.1)))
    model.open_session("a", ["u", "v"])
    model.apply(check.run())
    drops = tuple(drop for drop, _ in model.structure.recent_drops)
    assert {(d.layer, d.scale) for d in drops} >= {(1, 1), (2, 1)}
    again = candidates(model.learner.scattering, {}, drops, 2, 16)
    assert not [o for o in again if "opening" in o.why]


def test_model_learns_on_through_levels_that_close_and_open() -> None:
    """And the columns that open are on the scales that the check told, in its order."""
    x = images(200, 0)
    y = answers(x, DEEP)
    model = Model(with_bank(levels=1, layers=1))
    model.open_session("a", ["u", "v"])

    def teach(rows: range) -> None:
        for row in rows:
            model.step(Sample(f"{row}", "a", x[row].numpy(), y[row].numpy()))

    teach(range(140))
    assert model.bounds()[2][1] <= 1
    check = model.structure_check(0)
    assert check is not None
    opened = replace(check, look=1).run()
    assert {m.kind for m in opened.moves} == {"add"}
    before = model.learner.layout
    model.apply(opened)
    new = model.learner.layout.carried_from(before) < 0
    standing = Standing.of(
        model.spec,
        model.learner.scattering,
        model.learner.standardiser,
        check.inputs,
        NO_LAGS[: len(check.inputs)],
    )
    assert float(standing.x[:, new].mean(0).abs().max()) < 1e-5
    np.testing.assert_allclose(standing.x[:, new].std(0, correction=0), 1, rtol=1e-4)
    teach(range(140, 170))
    copy = Model.restore(model.spec, *model.state())
    assert copy.state_hash() == model.state_hash()
    for filter_id in [n.id for n in model.learner.banks()[0].names if n.scale == 1]:
        model.learner.scattering.drop(1, filter_id)
    assert model.learner.scattering.bank(1).scales == [0]


def test_each_output_tells_which_filter_it_needs() -> None:
    x = images(240, 0)
    y = torch.cat((answers(x, FINE)[:, :1], answers(x, COARSE)[:, :1], torch.zeros(240, 1)), 1)
    spec = replace(SPEC, features=replace(SPEC.features, orders=(1,)))
    spec = replace(spec, bank=replace(spec.bank, max_order=1))
    cars = check_of(x, y, 0, spec, candidates=0, max_drops=0).run().cars
    fine = torch.tensor([c.by_output for c in cars if c.scale == 0]).sum(0)
    coarse = torch.tensor([c.by_output for c in cars if c.scale == 1]).sum(0)
    assert fine[0] > 5 * abs(coarse[0])
    assert coarse[1] > 5 * abs(fine[1])
    assert fine[2] == coarse[2] == 0
