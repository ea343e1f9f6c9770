"""Structure checks on streams whose truth is known."""

import json
import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scatonline.config import FeatureSpec, ModelSpec, ReadoutKind, ReadoutSpec
from scatonline.families import FAMILIES
from scatonline.scattering import Scattering
from scatonline.structure import RecentDrop, StructureDecision, StructureState, Window
from tests.scatonline.planted import CARRIER, GRATINGS, check_of, gratings

SHORT = 180
PLANE = [name for name, dimensions in FAMILIES if dimensions == 2]
KINDS: tuple[ReadoutKind, ...] = ("gaussian", "poisson", "softmax")


def bank_without(filter_id: str) -> Scattering:
    scattering = Scattering(GRATINGS.bank, GRATINGS.shape)
    scattering.drop(1, filter_id)
    return scattering


def values_of(filter_id: str) -> tuple[float, ...]:
    bank = Scattering(GRATINGS.bank, GRATINGS.shape).bank(1)
    return tuple(bank.values().detach()[bank.row(filter_id)].tolist())


@pytest.mark.parametrize(("kind", "streams"), [("gaussian", 20), ("poisson", 4), ("softmax", 4)])
def test_what_carries_everything_stays_and_what_is_useless_goes(
    kind: ReadoutKind, streams: int
) -> None:
    """The first is never dropped, the filter across it in most of the streams."""
    spec = replace(GRATINGS, readout=ReadoutSpec(kind, ridge=1.0))
    outputs = 8 if kind == "poisson" else 1
    dropped = 0
    for seed in range(streams):
        x, y = gratings(SHORT, seed, kind, outputs)
        decision = check_of(x, y, seed, spec, epsilon=0.05, candidates=0).run()
        moves = [m.filter_id for m in decision.moves]
        assert CARRIER not in moves
        dropped += "1/j0/3" in moves
        cars = {c.filter_id: c for c in decision.cars}
        assert cars[CARRIER].car > 0.2
        assert max(cars.values(), key=lambda c: c.car).filter_id == CARRIER
        assert all(m.kind == "drop" for m in decision.moves)
        assert len(moves) <= 2
    assert dropped >= 0.75 * streams


def of_family(name: str) -> tuple[ModelSpec, str]:
    """The gratings' model with another family's bank, and its filter in the carrier's direction."""
    spec = replace(GRATINGS, bank=replace(GRATINGS.bank, family=name))
    bank = Scattering(spec.bank, spec.shape).bank(1)
    scales = [n.scale for n in bank.names]
    angles = [f["angle"] for f in bank.family.describe(bank.values().tolist(), scales)]
    wanted = values_of(CARRIER)[0]
    apart = [abs(math.sin(angle - wanted)) for angle in angles]
    return spec, bank.names[min(range(len(apart)), key=lambda i: apart[i])].id


@pytest.mark.parametrize("name", PLANE)
def test_of_every_family_the_filter_that_carries_everything_is_found(name: str) -> None:
    spec, carrier = of_family(name)
    for seed in range(3):
        x, y = gratings(SHORT, seed)
        decision = check_of(x, y, seed, spec, epsilon=0.05, candidates=0).run()
        assert carrier not in [m.filter_id for m in decision.moves]
        assert max(decision.cars, key=lambda c: c.car).filter_id == carrier


@pytest.mark.parametrize("name", PLANE)
def test_of_every_family_a_missing_direction_is_made_up_for(name: str) -> None:
    """By a filter that explains what was missing; in its very direction only if all are narrow."""
    spec, carrier = of_family(name)
    scattering = Scattering(spec.bank, spec.shape)
    scattering.drop(1, carrier)
    x, y = gratings(SHORT, 0)
    check = check_of(x, y, 0, spec, scattering=scattering, max_drops=0, candidates=8)
    before = check.run()
    (move,) = before.moves
    assert move.kind == "add"
    scattering.add(move.layer, move.scale, move.values, move.filter_id)
    after = check_of(x, y, 0, spec, scattering=scattering, max_drops=0, candidates=0).run()
    assert after.baseline_score > before.baseline_score + 0.5 * move.numbers["gain"]


def test_of_two_that_carry_the_same_one_stays() -> None:
    """Each can go, but not both: CARs are computed again after a removal."""
    gone = 0
    for seed in range(4):
        scattering = Scattering(GRATINGS.bank, GRATINGS.shape)
        twin = scattering.add(1, 0, values_of(CARRIER))
        x, y = gratings(SHORT, seed)
        decision = check_of(
            x, y, seed, scattering=scattering, epsilon=0.05, candidates=0, max_drops=4
        ).run()
        moves = {m.filter_id for m in decision.moves}
        assert not {CARRIER, twin} <= moves
        gone += bool({CARRIER, twin} & moves)
    assert gone >= 3


def test_direction_that_is_missing_is_added() -> None:
    """In the middle of the gap that was left, with a reason and the scales of its columns."""
    for seed in range(4):
        x, y = gratings(SHORT, seed)
        check = check_of(x, y, seed, scattering=bank_without(CARRIER), max_drops=0, candidates=8)
        (move,) = check.run().moves
        assert (move.kind, move.filter_id, move.layer, move.scale) == ("add", "1/j0/4", 1, 0)
        turned = 2 * (move.values[0] - values_of(CARRIER)[0])
        assert abs(math.sin(turned / 2)) < 1e-6
        assert move.numbers["lower"] > 2 * check.epsilon
        assert "held-out gain" in move.reason
        assert len(move.mean) == len(move.column_scale) == 1
        assert all(scale > 0 for scale in move.column_scale)


def test_nothing_is_added_that_gains_nothing() -> None:
    """A complete bank and every candidate tried, stream after stream: hardly ever."""
    added = 0
    for seed in range(5):
        x, y = gratings(SHORT, seed)
        decision = check_of(x, y, seed, max_drops=0, candidates=8, epsilon=0.05).run()
        added += bool(decision.moves)
    assert added <= 1


def test_what_was_just_dropped_does_not_come_back() -> None:
    x, y = gratings(SHORT, 0)
    gone = (RecentDrop(1, 0, values_of(CARRIER)),)
    decision = check_of(
        x,
        y,
        scattering=bank_without(CARRIER),
        recent_drops=gone,
        max_drops=0,
        candidates=8,
    ).run()
    angles = [move.values[0] for move in decision.moves]
    assert all(abs(math.sin(a - values_of(CARRIER)[0])) > 0.3 for a in angles)


def test_check_in_the_cooldown_reports_and_moves_nothing() -> None:
    x, y = gratings(SHORT, 2)
    decision = check_of(x, y, cooling=True, epsilon=0.05, candidates=8).run()
    assert decision.moves == ()
    assert len(decision.cars) == 4
    assert not any(c.removable for c in decision.cars)
    assert "cooling down" in decision.reason


@pytest.mark.parametrize("fewest", [1, 2, 3, 4])
def test_never_fewer_filters_than_the_limit(fewest: int) -> None:
    """Targets that depend on nothing: all could go."""
    generator = torch.Generator().manual_seed(0)
    x, _ = gratings(SHORT, 0)
    y = torch.randn(SHORT, 1, generator=generator)
    decision = check_of(
        x, y, epsilon=2.0, min_filters=fewest, max_drops=9, candidates=0, min_effective=1
    ).run()
    assert len(decision.moves) == 4 - fewest


def test_never_more_filters_than_the_limit() -> None:
    x, y = gratings(SHORT, 0)
    full = check_of(
        x, y, scattering=bank_without(CARRIER), max_drops=0, candidates=8, max_filters=3
    )
    assert full.run().moves == ()


def test_nothing_is_dropped_on_little_evidence() -> None:
    x, y = gratings(SHORT, 3)
    decision = check_of(x, y, epsilon=0.05, min_effective=1000, candidates=0).run()
    assert decision.moves == ()
    assert decision.n_eff < 1000
    assert "no move" in decision.reason


def test_later_looks_need_more_certainty() -> None:
    x, y = gratings(SHORT, 0)
    first = check_of(x, y)
    uppers = [[c.upper for c in replace(first, look=k).run().cars] for k in (1, 2, 10)]
    for earlier, later in pairwise(uppers):
        assert all(a < b for a, b in zip(earlier, later, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_check_is_a_function_of_its_window_and_seed(kind: ReadoutKind) -> None:
    """Twice the same; another seed draws other restarts; the copy it works on stays as it was."""
    spec = replace(GRATINGS, readout=ReadoutSpec(kind, ridge=1.0))
    x, y = gratings(SHORT, 5, kind)
    check = check_of(x, y, 7, spec, epsilon=0.05)
    inputs, targets, names = x.clone(), y.clone(), list(check.scattering.bank(1).names)
    once, again = check.run(), check.run()
    assert once == again
    assert once != replace(check, seed=8).run()
    assert torch.equal(check.inputs, inputs)
    assert torch.equal(check.targets, targets)
    assert check.scattering.bank(1).names == names


def test_decision_survives_json() -> None:
    decisions = []
    for seed in (2, 3):
        x, y = gratings(SHORT, seed)
        decisions.append(check_of(x, y, seed, epsilon=0.05).run())
        missing = check_of(x, y, seed, scattering=bank_without(CARRIER), max_drops=0, candidates=8)
        decisions.append(missing.run())
    assert {m.kind for d in decisions for m in d.moves} == {"add", "drop"}
    for decision in decisions:
        text = json.dumps(decision.to_dict(), allow_nan=False)
        assert StructureDecision.from_dict(json.loads(text)) == decision


def test_memory_of_the_search_survives_json() -> None:
    x, y = gratings(SHORT, 2)
    decision = check_of(x, y, epsilon=0.05).run()
    memory = StructureState(
        look=4,
        version=2,
        learned=300,
        checked_at=240,
        moved_at=240,
        cars=decision.cars,
        born={"1/j0/4": 77},
        recent_drops=((RecentDrop(1, 0, values_of(CARRIER)), 240),),
        moves=decision.moves,
    )
    assert StructureState.from_dict(json.loads(json.dumps(memory.to_dict()))) == memory


@pytest.mark.parametrize(("kind", "samples"), [*((k, 16) for k in KINDS), ("gaussian", 25)])
def test_small_window_gives_a_decision(kind: ReadoutKind, samples: int) -> None:
    """Half of the smallest window that can be asked for is 16 samples."""
    spec = replace(GRATINGS, readout=ReadoutSpec(kind, ridge=1.0))
    x, y = gratings(samples, 0, kind)
    decision = check_of(x, y, 0, spec, candidates=2).run()
    assert decision.samples == samples
    assert len(decision.cars) == 4


def test_missing_targets_are_left_out() -> None:
    """The same verdict from two outputs of which each was observed half of the time."""
    x, y = gratings(SHORT, 3, outputs=2)
    gaps = y.clone()
    gaps[::2, 0] = math.nan
    gaps[1::2, 1] = math.nan
    decision = check_of(x, gaps, epsilon=0.05, candidates=0).run()
    cars = {c.filter_id: c.car for c in decision.cars}
    assert cars[CARRIER] > 0.3
    assert CARRIER not in {m.filter_id for m in decision.moves}
    assert math.isfinite(decision.baseline_score)


@pytest.mark.parametrize("level", [0.0, 3.0])
def test_targets_that_never_change_move_nothing(level: float) -> None:
    x, _ = gratings(SHORT, 0)
    decision = check_of(x, torch.full((SHORT, 2), level), candidates=2).run()
    assert decision.moves == ()
    json.dumps(decision.to_dict(), allow_nan=False)


def test_samples_that_show_nothing_that_varies_are_left_out() -> None:
    """One unit is silent throughout, the other was not observed in every third sample."""
    x, y = gratings(SHORT, 3)
    targets = torch.cat((torch.zeros_like(y), y), 1)
    targets[::3, 1] = math.nan
    decision = check_of(x, targets, epsilon=0.05, candidates=2).run()
    json.dumps(decision.to_dict(), allow_nan=False)
    assert {c.filter_id: c.car for c in decision.cars}[CARRIER] > 0.3


@pytest.mark.parametrize("orders", [(0,), (0, 1)])
def test_readout_that_sees_no_filter_drops_and_adds_none(orders: tuple[int, ...]) -> None:
    spec: ModelSpec = replace(GRATINGS, features=FeatureSpec(orders=orders, grid=(1,)))
    x, y = gratings(SHORT, 0)
    decision = check_of(x, y, spec=spec, candidates=2).run()
    if orders == (0,):
        assert (decision.cars, decision.moves) == ((), ())
        assert "no filter is used" in decision.reason
    else:
        assert len(decision.cars) == 4


@settings(max_examples=25)
@given(written=st.lists(st.floats(-5, 5, width=32), max_size=40), capacity=st.integers(1, 12))
def test_window_holds_the_newest_samples_in_order(written: list[Any], capacity: int) -> None:
    window = Window(capacity, (1, 2), 1, "cpu")
    for number, value in enumerate(written):
        window.append(torch.full((1, 2), value), torch.tensor([value]), number)
    inputs, targets = window.ordered()
    expected = written[-capacity:]
    assert len(window) == len(expected)
    assert targets[:, 0].tolist() == expected
    assert inputs[:, 0, 0].tolist() == expected
    assert window.arrivals().tolist() == list(range(len(written)))[-capacity:]
    window.append(torch.zeros(1, 2), torch.zeros(1), 0)
    assert targets[:, 0].tolist() == expected
