"""Whatever happens to a bank, it stays within its bound and its filters keep their identity."""

import copy
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from scatonline.config import BankSpec, Bound
from scatonline.errors import NumericalError, UnknownName
from scatonline.families import FAMILIES, Coordinates, Kinds, make_family
from scatonline.filterbank import FilterBank
from scatonline.scattering import Scattering

GRIDS = {1: (64,), 2: (16, 12)}
EVERY = [pytest.param(name, d, id=f"{name}-{d}-D") for name, d in FAMILIES]
BOUNDS: tuple[Bound, ...] = ("clamp", "open", "tight")
SLACK = 1e-10


def make_bank(name: str, dimensions: int, bound: Bound, layer: int = 1) -> FilterBank:
    spec = BankSpec(family=name, J=2, L=3, Q=(3,), bound=bound)
    return FilterBank(spec, make_family(spec, GRIDS[dimensions]), layer)


def by_id(bank: FilterBank) -> dict[str, Tensor]:
    with torch.no_grad():
        spectra = bank.spectra()
    ordered = torch.cat([spectra[scale] for scale in bank.scales])
    return {name.id: psi for name, psi in zip(bank.names, ordered, strict=True)}


def assert_within_bound(bank: FilterBank) -> None:
    """A ≤ 1, and A ≡ 1 for a tight bank; a tight one that cannot cover everything says so."""
    try:
        energy = bank.littlewood_paley()
    except NumericalError:
        if bank.bound == "tight":
            return
        raise
    assert float(energy.max()) <= 1 + SLACK
    if bank.bound == "tight":
        assert float(energy.min()) >= 1 - SLACK


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
@pytest.mark.parametrize("bound", BOUNDS)
def test_first_filters_are_within_the_bound(name: str, dimensions: int, bound: Bound) -> None:
    bank = make_bank(name, dimensions, bound)
    energy = bank.littlewood_paley()
    assert float(energy.max()) <= 1 + SLACK
    assert math.isclose(float(energy.flatten()[0]), 1)
    if bound == "tight":
        assert float(energy.min()) >= 1 - SLACK


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_littlewood_paley_sum_is_what_it_says(name: str, dimensions: int) -> None:
    """|φ̂|² + ½Σ(|ψ̂(ω)|² + |ψ̂(−ω)|²), summed here filter by filter."""
    bank = make_bank(name, dimensions, "clamp")
    total: NDArray[np.float64] = bank.family.low_pass().square().numpy()
    for psi in by_id(bank).values():
        mirrored = psi.numpy()
        for axis in range(dimensions):
            mirrored = np.take(mirrored, -np.arange(psi.shape[axis]), axis)
        total = total + 0.5 * (psi.numpy() ** 2 + mirrored**2)
    np.testing.assert_allclose(bank.littlewood_paley(), total, atol=1e-13)


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
@pytest.mark.parametrize("bound", BOUNDS)
@settings(max_examples=12)
@given(seed=st.integers(0, 2**31), spread=st.floats(0.01, 20))
def test_no_parameters_leave_the_bound(
    name: str, dimensions: int, bound: Bound, seed: int, spread: float
) -> None:
    bank = make_bank(name, dimensions, bound)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(bank.theta.shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        bank.theta.add_(spread * noise)
    assert_within_bound(bank)
    values = bank.values()
    free = bank.angle
    rounding = 1e-12 * values.abs()
    assert bool(((values >= bank.lower - rounding) | free).all())
    assert bool(((values <= bank.upper + rounding) | free).all())


MOVES = st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.floats(0, 1)), max_size=8)


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
@pytest.mark.parametrize("bound", BOUNDS)
@settings(max_examples=12)
@given(moves=MOVES)
def test_no_moves_leave_the_bound_or_mix_up_filters(
    name: str, dimensions: int, bound: Bound, moves: list[tuple[bool, int, float]]
) -> None:
    """Ids are never given twice, and whoever stays keeps id, values, place and bounds."""
    bank = make_bank(name, dimensions, bound)
    given_out = {n.id for n in bank.names}
    for adds, which, share in moves:
        before = table(bank)
        if adds:
            scale = bank.scales[which % len(bank.scales)]
            row = bank.rows(scale)[0]
            values = bank.values().detach()[row] * (0.9 + 0.2 * share)
            added = bank.add(scale, values.tolist())
            assert added not in given_out
            given_out.add(added)
            assert bank.names[bank.rows(scale)[-1]].id == added
            np.testing.assert_allclose(bank.initial[bank.row(added)], values)
        elif len(bank) > 1:
            gone = bank.names[which % len(bank)].id
            place = bank.row(gone)
            assert bank.drop(gone) == place
            del before[gone]
        after = table(bank)
        assert [n.scale for n in bank.names] == sorted(n.scale for n in bank.names)
        assert list(before) == [key for key in after if key in before]
        for key, rows in before.items():
            assert torch.equal(rows, after[key])
        assert_within_bound(bank)


def table(bank: FilterBank) -> dict[str, Tensor]:
    rows = torch.stack([bank.values().detach(), *bank.tables()], 1)
    return {name.id: row for name, row in zip(bank.names, rows, strict=True)}


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
@settings(max_examples=12)
@given(data=st.data())
def test_open_bank_forgets_a_filter_without_touching_the_others(
    name: str, dimensions: int, data: st.DataObject
) -> None:
    """Bit for bit, as long as the bank's first filters have not moved."""
    bank = make_bank(name, dimensions, "open")
    first = by_id(bank)
    order = data.draw(st.permutations([n.id for n in bank.names]))
    for gone in order[:-1]:
        bank.drop(gone)
        left = by_id(bank)
        assert left
        for key, psi in left.items():
            assert torch.equal(psi, first[key])


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_other_bounds_touch_only_frequencies_where_they_bind(name: str, dimensions: int) -> None:
    bare, bounded = (make_bank(name, dimensions, bound) for bound in ("none", "clamp"))
    for bank in (bare, bounded):
        # A whole bank may leave no frequency at all below the bound.
        for other in bank.names[1:]:
            bank.drop(other.id)
    raw, clamped = by_id(bare), by_id(bounded)
    energy = bare.littlewood_paley()
    free = energy < 1 - 1e-9
    assert bool(free.any())
    for key, psi in raw.items():
        assert torch.equal(psi[free], clamped[key][free])
        assert bool((clamped[key].abs() <= psi.abs()).all())


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_crowded_bank_would_leave_the_bound_without_it(name: str, dimensions: int) -> None:
    """The other tests would not notice a bound that is never needed."""
    bank = make_bank(name, dimensions, "none")
    values = bank.values().detach()[0].tolist()
    for _ in range(4):
        bank.add(bank.names[0].scale, values)
    assert float(bank.littlewood_paley().max()) > 1.5


def test_unknown_filter_is_refused_with_those_that_exist() -> None:
    bank = make_bank("morlet", 2, "clamp")
    for attempt in (bank.row, bank.drop):
        with pytest.raises(UnknownName, match=r"no filter '1/j9/0' in layer 1; it has 1/j0/0, "):
            attempt("1/j9/0")
    assert len(bank) == 6


def test_tight_bank_that_leaves_a_frequency_empty_is_refused() -> None:
    """A third layer has only coarse filters, which do not reach the corners."""
    spec = BankSpec(J=3, L=4, bound="tight")
    bank = FilterBank(spec, make_family(spec, (32, 32)), 3)
    with pytest.raises(NumericalError, match=r"'tight' needs every frequency covered, layer 3"):
        bank.spectra()


def test_ids_name_layer_scale_and_number() -> None:
    bank = make_bank("morlet", 2, "clamp", layer=2)
    assert [n.id for n in bank.names] == ["2/j1/0", "2/j1/1", "2/j1/2"]
    bank.drop("2/j1/2")
    assert bank.add(1, bank.values()[0].tolist()) == "2/j1/3"
    assert bank.add(1, bank.values()[0].tolist(), "2/j1/4") == "2/j1/4"
    assert bank.add(1, bank.values()[0].tolist()) == "2/j1/5"


def test_restored_bank_is_the_bank() -> None:
    bank, other = make_bank("morlet", 2, "open"), make_bank("morlet", 2, "open")
    bank.drop("1/j0/1")
    with torch.no_grad():
        bank.theta.add_(0.1)
    other.restore(bank.names, bank.made, *(t.clone() for t in bank.tables()))
    assert by_id(other).keys() == by_id(bank).keys()
    for key, psi in by_id(bank).items():
        assert torch.equal(by_id(other)[key], psi)
    values = bank.values()[0].tolist()
    assert other.add(0, values) == bank.add(0, values)


@pytest.mark.parametrize("way", ["add", "drop", "restore", "load", "copy"])
def test_values_follow_bounds_however_they_change(way: str) -> None:
    """What is kept of them was asked for before, in inference mode even."""
    bank, other = make_bank("morlet", 2, "open"), make_bank("morlet", 2, "open")
    with torch.inference_mode():
        bank.values()
    other.drop("1/j0/1")
    other.add(1, [0.3, 1.1, 1.9, 0.9])
    match way:
        case "add":
            bank.add(1, [0.3, 1.1, 1.9, 0.9])
        case "drop":
            bank.drop("1/j0/1")
        case "restore":
            bank.restore(other.names, other.made, *(t.clone() for t in other.tables()))
        case "load":
            bank.load_state_dict(other.state_dict())
        case "copy":
            bank = copy.deepcopy(bank)
    kinds = Kinds(bank.angle, bank.ratio)
    anew = Coordinates(kinds, bank.lower, bank.upper).natural(bank.theta)
    assert torch.equal(bank.values(), anew)
    assert torch.autograd.grad(bank.values().sum(), bank.theta)[0].isfinite().all()


@pytest.mark.parametrize(("shape", "max_order"), [((16, 16), 2), ((16, 16), 3), ((64,), 3)])
def test_channels_follow_the_paths(shape: tuple[int, ...], max_order: int) -> None:
    """As many channels as paths; by order, then by first, second, … filter; scales rise."""
    transform = Scattering(BankSpec(J=3, L=2, Q=(2,), max_order=max_order), shape)
    check_paths(transform)
    keys = transform.meta()["key"]
    for layer, gone in ((1, "1/j0/1"), (2, "2/j1/0")):
        transform.drop(layer, gone)
        check_paths(transform)
        keys = [key for key in keys if gone not in key]
        assert transform.meta()["key"] == keys
    bank = transform.bank(1)
    added = transform.add(1, 0, bank.values()[0].tolist())
    check_paths(transform)
    assert [key for key in transform.meta()["key"] if added not in key] == keys


def check_paths(transform: Scattering) -> None:
    meta = transform.meta()
    x = torch.zeros(transform.geometry.shape)
    assert transform(x).shape == (len(meta["key"]), *transform.geometry.output_shape)
    assert meta["order"] == sorted(meta["order"])
    rows = [
        tuple(transform.bank(m + 1).row(name) for m, name in enumerate(key)) for key in meta["key"]
    ]
    scales = {n.id: n.scale for names in transform.cascade.layers for n in names}
    expected = []
    for order in range(transform.spec.max_order + 1):
        banks = [range(len(transform.bank(m + 1))) for m in range(order)]
        expected += [
            index
            for index in np.ndindex(*(len(b) for b in banks))
            if all(
                a < b
                for a, b in pairwise(
                    transform.bank(m + 1).names[i].scale for m, i in enumerate(index)
                )
            )
        ]
    assert rows == expected
    assert [tuple(scales[name] for name in key) for key in meta["key"]] == meta["j"]
    assert [len(key) for key in meta["key"]] == meta["order"]
