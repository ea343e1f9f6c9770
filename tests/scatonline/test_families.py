"""The contract that every wavelet family keeps, and what only Morlet does."""

import ast
import gc
import io
import math
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import scatonline
from scatonline.config import Average, BankSpec, Bound, LearningSpec
from scatonline.descent import Descent
from scatonline.errors import ConfigError, NumericalError
from scatonline.families import FAMILIES, Coordinates, Family, Kinds, make_family
from scatonline.families.gaps import angle_gaps, log_frequency_gaps
from scatonline.filterbank import FilterBank
from scatonline.model import Model
from scatonline.scattering import Scattering
from tests.scatonline import models
from tests.scatonline.differences import assert_close, assert_gradient, central_differences

GRIDS = {1: (48,), 2: (16, 20)}
EVERY = [pytest.param(name, d, id=f"{name}-{d}-D") for name, d in FAMILIES]
AVERAGES: tuple[Average, ...] = ("none", "local")


def specification(name: str, bound: Bound = "clamp") -> BankSpec:
    return BankSpec(family=name, J=2, L=3, Q=(2,), bound=bound, padding="periodic")


def family(name: str, dimensions: int) -> Family:
    return make_family(specification(name), GRIDS[dimensions])


def random_values(chosen: Family, seed: int) -> dict[int, Tensor]:
    """Natural values anywhere in the domains of the default filters, by scale."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {}
    for scale, filters in chosen.defaults(1).items():
        limits = torch.tensor([chosen.bounds(v) for v in filters], dtype=torch.float64)
        u = 2 * torch.randn(limits.shape[:2], generator=generator, dtype=torch.float64)
        kinds = Kinds.of(chosen.parameters)
        drawn[scale] = Coordinates(kinds, limits[..., 0], limits[..., 1]).natural(u)
    return drawn


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
@pytest.mark.parametrize("seed", range(4))
def test_wavelets_are_real_spectra_without_mean(name: str, dimensions: int, seed: int) -> None:
    chosen = family(name, dimensions)
    for scale, values in random_values(chosen, seed).items():
        spectra = chosen.spectra(values, [scale] * len(values))
        assert spectra.dtype == torch.float64
        assert spectra.shape == (len(values), *GRIDS[dimensions])
        flat = spectra.flatten(1)
        assert bool((flat[:, 0].abs() <= 1e-12 * flat.abs().max(1).values).all())


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_low_pass_keeps_the_mean_and_never_amplifies(name: str, dimensions: int) -> None:
    phi = family(name, dimensions).low_pass()
    assert phi.shape == GRIDS[dimensions]
    assert phi.flatten()[0] == 1
    assert float(phi.abs().max()) == 1
    axes = tuple(range(dimensions))
    mirrored = torch.roll(torch.flip(phi, axes), (1,) * dimensions, axes)
    np.testing.assert_allclose(phi, mirrored, atol=1e-15)


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_first_filters_lie_inside_their_bounds(name: str, dimensions: int) -> None:
    chosen = family(name, dimensions)
    scales = [set(chosen.defaults(layer)) for layer in (1, 2)]
    assert scales[1] == {j for j in scales[0] if j >= 1}
    for filters in chosen.defaults(1).values():
        for values in filters:
            limits = chosen.bounds(values)
            for spec, value, (lower, upper) in zip(chosen.parameters, values, limits, strict=True):
                assert lower < upper
                assert spec.free or lower < value < upper


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_natural_and_unconstrained_values_are_one_another(name: str, dimensions: int) -> None:
    chosen = family(name, dimensions)
    kinds = Kinds.of(chosen.parameters)
    for values in random_values(chosen, 0).values():
        limits = torch.tensor([chosen.bounds(v) for v in values.tolist()], dtype=torch.float64)
        coordinates = Coordinates(kinds, limits[..., 0], limits[..., 1])
        there = coordinates.unconstrained(values)
        np.testing.assert_allclose(coordinates.natural(there), values, rtol=1e-9)


@given(
    u=st.floats(-1e3, 1e3),
    lower=st.floats(1e-3, 1e2),
    octaves=st.floats(0.01, 4),
    kind=st.sampled_from(["ratio", "level"]),
)
def test_no_coordinate_leaves_its_interval(
    u: float, lower: float, octaves: float, kind: str
) -> None:
    def row(x: float) -> Tensor:
        return torch.tensor([[x]], dtype=torch.float64)

    upper = lower * 2**octaves
    kinds = Kinds(torch.tensor([False]), torch.tensor([kind == "ratio"]))
    coordinates = Coordinates(kinds, row(lower), row(upper))
    natural = float(coordinates.natural(row(u)))
    assert lower * (1 - 1e-12) <= natural <= upper * (1 + 1e-12)
    assert math.isfinite(float(coordinates.unconstrained(row(natural))))


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_descriptions_can_be_compared(name: str, dimensions: int) -> None:
    chosen = family(name, dimensions)
    expected = {"frequency", "bandwidth"} | ({"angle"} if dimensions == 2 else set())
    for scale, filters in chosen.defaults(1).items():
        for found in chosen.describe(filters, [scale] * len(filters)):
            assert set(found) == expected
            assert all(found[key] > 0 for key in ("frequency", "bandwidth"))


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_candidates_are_new_filters_of_the_family(name: str, dimensions: int) -> None:
    """Each stands apart from its neighbours, inside its own domain, and says why."""
    chosen = family(name, dimensions)
    for scale, filters in chosen.defaults(1).items():
        found = chosen.candidates(filters, [0.0] * len(filters))
        assert found
        for values, reason in found:
            assert reason
            assert all(values != old for old in filters)
            limits = chosen.bounds(values)
            for spec, value, (lower, upper) in zip(chosen.parameters, values, limits, strict=True):
                assert spec.free or lower < value < upper
            psi = chosen.spectra(torch.tensor([values], dtype=torch.float64), [scale])
            assert bool(torch.isfinite(psi).all())


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_gradients_of_spectra(name: str, dimensions: int) -> None:
    chosen = family(name, dimensions)
    for scale, values in random_values(chosen, 1).items():
        weight = torch.randn(
            len(values), *GRIDS[dimensions], generator=torch.Generator().manual_seed(0)
        ).double()

        def loss(v: Tensor, scale: int = scale, weight: Tensor = weight) -> Tensor:
            return (chosen.spectra(v, [scale] * len(v)) * weight).sum()

        assert_gradient(loss, values)


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
@pytest.mark.parametrize("bound", ["none", "clamp", "open", "tight"])
def test_gradients_of_a_bank(name: str, dimensions: int, bound: Bound) -> None:
    """Every parameter of every filter, through the coordinates and the frame bound."""
    bank = FilterBank(specification(name, bound), family(name, dimensions), 1)
    generator = torch.Generator().manual_seed(2)
    weights = {j: torch.randn(psi.shape, generator=generator) for j, psi in bank.spectra().items()}

    def loss(theta: Tensor) -> Tensor:
        bank.theta.data = theta.detach()
        spectra = bank.spectra()
        terms = [
            (spectra[j].square() * w).sum() + (spectra[j] * w).sum() for j, w in weights.items()
        ]
        return torch.stack(terms).sum()

    start = bank.theta.detach() + 0.1 * torch.randn(
        bank.theta.shape, generator=generator, dtype=torch.float64
    )
    expected = central_differences(loss, start)
    (gradient,) = torch.autograd.grad(loss(start), bank.theta)
    assert_close(gradient, expected)


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_gradients_of_the_whole_transform(name: str, dimensions: int) -> None:
    transform = Scattering(specification(name, "open"), GRIDS[dimensions])
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(2, *GRIDS[dimensions], generator=generator, dtype=torch.float64)
    weight = torch.randn(transform(x).shape, generator=generator, dtype=torch.float64)
    for layer in (1, 2):
        bank = transform.bank(layer)
        start = bank.theta.detach() + 0.05

        def loss(theta: Tensor, bank: FilterBank = bank) -> Tensor:
            bank.theta.data = theta.detach()
            maps: Tensor = transform(x)
            return (maps * weight).sum()

        expected = central_differences(loss, start)
        (gradient,) = torch.autograd.grad(loss(start), bank.theta)
        assert_close(gradient, expected)
        assert float(gradient.abs().max()) > 0


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
@pytest.mark.parametrize("bound", ["clamp", "open", "tight"])
def test_large_steps_of_any_direction_leave_every_bound_kept(
    name: str, dimensions: int, bound: Bound
) -> None:
    """A ≤ 1, ψ̂(0) = 0 and parameters inside their intervals, from the start and all the way."""
    bank = FilterBank(specification(name, bound), family(name, dimensions), 1)
    limits = LearningSpec(rate=100.0, max_angle_rad=0.5, max_log_step=0.5)
    descent = Descent(limits, bank)
    generator = torch.Generator().manual_seed(4)
    drift = torch.randn(bank.theta.shape, generator=generator, dtype=torch.float64)
    start = bank.values().detach()
    for _ in range(30):
        assert_kept(bank)
        noise = torch.randn(bank.theta.shape, generator=generator, dtype=torch.float64)
        descent.step(bank, drift + 0.5 * noise)
    assert_kept(bank)
    used = torch.tensor(
        [[name.scale >= p.least_scale for p in bank.family.parameters] for name in bank.names]
    )
    assert bool(((bank.values() - start).abs() > 1e-3)[used].all())


def assert_kept(bank: FilterBank) -> None:
    try:
        energy = bank.littlewood_paley()
        spectra = torch.cat(list(bank.spectra().values())).detach().flatten(1)
    except NumericalError:
        # A tight bank that no longer reaches every frequency says so.
        assert bank.bound == "tight"
        return
    assert float(energy.max()) <= 1 + 1e-10
    assert float(spectra[:, 0].abs().max()) <= 1e-12
    values = bank.values()
    rounding = 1e-12 * values.abs()
    assert bool(((values >= bank.lower - rounding) | bank.angle).all())
    assert bool(((values <= bank.upper + rounding) | bank.angle).all())


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_third_order_reaches_every_bank(name: str, dimensions: int) -> None:
    spec = replace(specification(name), J=3, max_order=3, padding="reflect")
    transform = Scattering(spec, GRIDS[dimensions])
    x = signals(dimensions)
    maps = transform(x)
    assert {len(key) for key in transform.meta()["key"]} == {0, 1, 2, 3}
    thetas = [transform.bank(layer).theta for layer in (1, 2, 3)]
    for gradient in torch.autograd.grad(maps.square().sum(), thetas):
        assert bool(torch.isfinite(gradient).all())
        assert bool((gradient != 0).any(1).all())


def signals(dimensions: int, count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(count, *GRIDS[dimensions], generator=generator, dtype=torch.float64)


def scattered(transform: Scattering, x: Tensor) -> Tensor:
    with torch.no_grad():
        maps: Tensor = transform(x)
    return maps


def restructured(transform: Scattering) -> Scattering:
    """After a step on θ, with one filter gone and one new."""
    for layer in (1, 2):
        bank = transform.bank(layer)
        with torch.no_grad():
            bank.theta.add_(0.1 * torch.linspace(-1, 1, bank.theta.numel()).view_as(bank.theta))
    bank = transform.bank(1)
    rows = bank.values().tolist()
    transform.drop(1, bank.names[1].id)
    at = [rows[row] for row in bank.rows(0)]
    (values, _), *_ = bank.family.candidates(at, [0.0] * len(at))
    transform.add(1, 0, values)
    return transform


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
@pytest.mark.parametrize("moved", [False, True])
def test_saved_state_gives_the_same_bits(name: str, dimensions: int, moved: bool) -> None:
    spec, grid = specification(name, "open"), GRIDS[dimensions]
    transform = Scattering(spec, grid)
    x = signals(dimensions)
    before = transform.meta()["key"]
    if moved:
        restructured(transform)
        assert transform.meta()["key"] != before
    file = io.BytesIO()
    torch.save(transform.state_dict(), file)
    file.seek(0)
    fresh = Scattering(spec, grid)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert fresh.meta() == transform.meta()
    assert torch.equal(scattered(fresh, x), scattered(transform, x))
    gradients = [
        torch.autograd.grad(t(x).square().sum(), [t.bank(1).theta, t.bank(2).theta])
        for t in (fresh, transform)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_filters_that_stay_keep_their_channels_when_others_come_and_go(
    name: str, dimensions: int
) -> None:
    """In bound "open" before θ has moved: moduli to the bit, averages to a rounding."""
    x = signals(dimensions)
    for average in AVERAGES:
        spec = replace(specification(name, "open"), average=average)
        transform = Scattering(spec, GRIDS[dimensions])
        before = channels(transform, x)
        gone = transform.bank(1).names[0].id
        transform.drop(1, gone)
        after = channels(transform, x)
        assert list(after) == [key for key in before if gone not in key]
        for key, maps in after.items():
            np.testing.assert_allclose(
                maps, before[key], rtol=0, atol=1e-14 if average == "local" else 0
            )
        bank = transform.bank(1)
        added = transform.add(1, bank.names[0].scale, bank.values()[0].tolist())
        found = channels(transform, x)
        assert [key for key in found if added not in key] == list(after)
        assert all(bool(torch.isfinite(maps).all()) for maps in found.values())


def channels(transform: Scattering, x: Tensor) -> dict[tuple[str, ...], Tensor]:
    with torch.no_grad():
        maps = transform(x)
    listed = maps.unbind(1) if isinstance(maps, Tensor) else maps
    return dict(zip(transform.meta()["key"], listed, strict=True))


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_model_learns_and_goes_on_from_a_checkpoint_with_the_same_bits(
    name: str, dimensions: int
) -> None:
    small = models.specification("gaussian", dimensions)
    bank = replace(small.bank, family=name, J=2, max_order=2)
    features = replace(small.features, orders=(0, 1, 2))
    spec = replace(small, bank=bank, features=features, shape=(8, 8) if dimensions == 2 else (32,))
    model = Model(spec)
    banks = [model.learner.scattering.bank(layer) for layer in (1, 2)]
    start = [bank.theta.detach().clone() for bank in banks]
    model.open_session("a", models.OUTPUTS)
    samples = models.stream(spec, 72)
    for sample in samples[:60]:
        model.step(sample)
    for before, now in zip(start, banks, strict=True):
        assert not torch.equal(before, now.theta)
    assert all(largest <= 1 + 1e-10 for _, largest in model.bounds().values())
    other = models.copied(model)
    for sample in samples[60:]:
        ours, theirs = model.step(sample), other.step(sample)
        assert np.array_equal(ours.prediction.values, theirs.prediction.values)
        assert ours.loss == theirs.loss
    assert model.state_hash() == other.state_hash()


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
@pytest.mark.parametrize(
    "convert",
    [
        lambda module: module.to(torch.float64),
        lambda module: module.double(),
        lambda module: module.half(),
    ],
)
def test_theta_stays_in_double_precision(
    name: str, dimensions: int, convert: Callable[[nn.Module], nn.Module]
) -> None:
    transform, x = Scattering(specification(name), GRIDS[dimensions]), signals(dimensions)
    before = scattered(transform, x)
    convert(transform)
    assert {p.dtype for p in transform.parameters()} == {torch.float64}
    assert torch.equal(scattered(transform, x), before)


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_single_precision_follows_double(name: str, dimensions: int) -> None:
    transform, x = Scattering(specification(name), GRIDS[dimensions]), signals(dimensions)
    restructured(transform)
    double, single = scattered(transform, x), scattered(transform, x.float())
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, double, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_parameters_have_names_and_units(name: str, dimensions: int) -> None:
    """Every column one; the plane has one direction, the line none."""
    chosen = family(name, dimensions)
    names = [parameter.name for parameter in chosen.parameters]
    assert len(set(names)) == len(names) > 0
    assert all(names)
    assert all(parameter.unit for parameter in chosen.parameters)
    directions = [p.name for p in chosen.parameters if p.kind == "direction"]
    assert directions == (["theta"] if dimensions == 2 else [])
    assert all(p.unit == "rad" for p in chosen.parameters if p.free)
    for filters in chosen.defaults(1).values():
        assert all(len(values) == len(names) for values in filters)
    transform = Scattering(specification(name), GRIDS[dimensions])
    assert {"order", "key", "n", "j", *names} == set(transform.meta())


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_new_filter_has_the_bits_that_it_has_after_a_restart(name: str, dimensions: int) -> None:
    """Alone it is evaluated when it comes, and with all others when a state is loaded."""
    spec, x = specification(name, "open"), signals(dimensions)
    transform, fresh = (Scattering(spec, GRIDS[dimensions]) for _ in range(2))
    bank = transform.bank(1)
    drawn = random_values(bank.family, 6)
    with torch.no_grad():
        bank.theta.add_(0.1 * torch.linspace(-1, 1, bank.theta.numel()).view_as(bank.theta))
    scattered(transform, x)
    for scale, rows in drawn.items():
        for values in rows.tolist():
            transform.add(1, scale, values)
            scattered(transform, x)
    fresh.load_state_dict(transform.state_dict())
    assert torch.equal(scattered(fresh, x), scattered(transform, x))


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_a_filter_alone_has_the_bits_that_it_has_among_others(name: str, dimensions: int) -> None:
    """Of its own scale or of any."""
    chosen = family(name, dimensions)
    drawn = random_values(chosen, 3)
    scales = [scale for scale, values in drawn.items() for _ in values]
    every = torch.cat(list(drawn.values()))
    together = chosen.spectra(every, scales)
    for row, scale in enumerate(scales):
        alone = chosen.spectra(every[row : row + 1], [scale])
        assert torch.equal(alone[0], together[row])


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_spectra_are_let_go_when_nobody_holds_them(name: str, dimensions: int, used: bool) -> None:
    """At once: a step's worth of planes must not wait for a collection of garbage."""
    chosen = family(name, dimensions)
    values = torch.tensor(chosen.defaults(1)[0], dtype=torch.float64).requires_grad_()
    gc.collect()
    gc.disable()
    try:
        psi = chosen.spectra(values, [0] * len(values))
        held = weakref.ref(psi if psi._base is None else psi._base)
        if used:
            torch.autograd.backward(psi.sum())
        del psi
        assert held() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("dimensions", [1, 2])
def test_unknown_family_is_refused_with_those_that_exist(dimensions: int) -> None:
    with pytest.raises(ConfigError, match=r"family 'haar'.* is unknown, expected .*daubechies"):
        make_family(BankSpec(family="haar", J=2), GRIDS[dimensions])


@pytest.mark.parametrize(
    ("name", "dimensions", "order", "named"),
    [
        *(("daubechies", d, 2, r"expected an order between 2·pairs \+ 1 = 3") for d in (1, 2)),
        *(("daubechies", d, 9, "at the highest frequency, and 8") for d in (1, 2)),
        *(("coiflet", d, 5, "order 5: expected one of 2, 3, 4, 6") for d in (1, 2)),
        *(("lattice", d, 1, "1 angles: expected 2 to 10") for d in (1, 2)),
        *(("lattice", d, 11, "11 angles: expected 2 to 10") for d in (1, 2)),
        ("steerable", 1, 3, "got order 3, expected 0"),
        ("steerable", 2, 17, "17 harmonics: expected 1 to 16"),
    ],
)
def test_impossible_orders_are_refused(name: str, dimensions: int, order: int, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Scattering(BankSpec(family=name, J=2, order=order), GRIDS[dimensions])


BOUNDED = [
    pytest.param(name, d, column, id=f"{name}-{d}-D-{parameter.name}")
    for name, d in FAMILIES
    # Morlet takes any width and moves it inside; a voice's bounds go with it.
    if name != "morlet"
    for column, parameter in enumerate(family(name, d).parameters)
    if not parameter.free and not (d == 1 and parameter.name == "dilation")
]


@pytest.mark.parametrize(("name", "dimensions", "column"), BOUNDED)
def test_values_outside_a_domain_are_refused_and_change_nothing(
    name: str, dimensions: int, column: int
) -> None:
    transform, x = Scattering(specification(name), GRIDS[dimensions]), signals(dimensions, 1)
    bank = transform.bank(1)
    first = bank.values()[0].tolist()
    before = scattered(transform, x)
    kept = [table.clone() for table in bank.tables()]
    lower, upper = (float(table[0, column]) for table in (bank.lower, bank.upper))
    parameter = bank.family.parameters[column]
    span = upper - lower
    for beyond in (lower, upper, lower - 0.01 * span, upper + 0.01 * span, upper + 100 * span):
        values = [beyond if k == column else value for k, value in enumerate(first)]
        if parameter.kind == "ratio" and beyond <= 0:
            named = f"{parameter.name} = .*expected more than 0"
        else:
            named = f"{parameter.name} = .*between its bounds {lower:g} and {upper:g}"
        with pytest.raises(ConfigError, match=named):
            transform.add(1, 0, values)
    assert all(torch.equal(a, b) for a, b in zip(bank.tables(), kept, strict=True))
    assert torch.equal(scattered(transform, x), before)


def test_refused_filter_uses_up_no_id() -> None:
    transform = Scattering(specification("coiflet"), GRIDS[2])
    bank = transform.bank(1)
    values = bank.values()[0].tolist()
    for asked in ("", "1/j0/9"):
        with pytest.raises(ConfigError, match="between its bounds"):
            transform.add(1, 0, [*values[:-1], 100.0], asked)
    assert bank.made == {0: 3, 1: 3}
    assert transform.add(1, 0, values) == "1/j0/3"


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_values_that_no_filter_has_are_refused_and_change_nothing(
    name: str, dimensions: int
) -> None:
    """Too few or too many, not finite, or a ratio of nothing."""
    transform = Scattering(specification(name), GRIDS[dimensions])
    bank = transform.bank(1)
    first = bank.values()[0].tolist()
    names = [bank.id for bank in bank.names]
    wrong = [
        ([], "0 values, expected"),
        ([*first, 1.0], f"{len(first) + 1} values, expected"),
        *(
            ([bad if k == column else value for k, value in enumerate(first)], "expected finite")
            for column in range(len(first))
            for bad in (math.nan, math.inf)
        ),
        *(
            (
                [zero if k == column else value for k, value in enumerate(first)],
                f"{parameter.name} = .*expected more than 0",
            )
            for column, parameter in enumerate(bank.family.parameters)
            if parameter.kind == "ratio"
            for zero in (0.0, -1.0)
        ),
    ]
    for values, named in wrong:
        with pytest.raises(ConfigError, match=named):
            transform.add(1, 0, values)
    assert [name.id for name in bank.names] == names


def circle_distance(a: float, b: float) -> float:
    apart = abs(a - b) % math.pi
    return min(apart, math.pi - apart)


@given(angles=st.lists(st.floats(-10, 10), min_size=1, max_size=8), data=st.data())
def test_first_angle_tried_is_as_far_from_all_others_as_can_be(
    angles: list[float], data: st.DataObject
) -> None:
    """No other direction is farther from its nearest neighbour."""
    car = data.draw(st.lists(st.floats(-1, 1), min_size=len(angles), max_size=len(angles)))
    tried = angle_gaps(angles, car)
    assert 1 <= len(tried) <= 3
    nearest = min(circle_distance(tried[0][0], a) for a in angles)
    everywhere = np.linspace(0, math.pi, 721)
    farthest = max(min(circle_distance(p, a) for a in angles) for p in everywhere)
    assert nearest >= farthest - 1e-9
    assert all(0 <= angle < math.pi for angle, _ in tried)
    assert tried[0][1].startswith("middle of the largest gap")


def test_angles_beside_the_best_filter_come_next() -> None:
    tried = [angle for angle, _ in angle_gaps([0.0, 0.5, 1.0, 1.4], [0.0, 0.9, 0.1, 0.0])]
    assert tried == pytest.approx([1.4 + (math.pi - 1.4) / 2, 0.75, 0.25])


@given(
    frequencies=st.lists(st.floats(0.01, 0.5), min_size=1, max_size=8, unique=True), data=st.data()
)
def test_frequencies_tried_stand_between_their_neighbours(
    frequencies: list[float], data: st.DataObject
) -> None:
    """The first one in the middle (in octaves) of the widest gap."""
    car = data.draw(
        st.lists(st.floats(-1, 1), min_size=len(frequencies), max_size=len(frequencies))
    )
    tried = log_frequency_gaps(frequencies, car)
    logs = np.sort(np.log2(frequencies))
    if len(logs) == 1:
        assert abs(math.log2(tried[0][0]) - logs[0]) == pytest.approx(0.25)
        return
    widest = float(np.diff(logs).max())
    nearest = float(np.abs(math.log2(tried[0][0]) - logs).min())
    assert nearest == pytest.approx(widest / 2, abs=1e-9)
    assert all(logs[0] - 1e-9 <= math.log2(f) <= logs[-1] + 1e-9 for f, _ in tried)


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.9])
def test_morlet_in_the_plane_peaks_at_its_frequency_and_direction(angle: float) -> None:
    chosen = make_family(BankSpec(J=3, L=4), (64, 64))
    xi = 1.1
    (psi,) = chosen.spectra(torch.tensor([[angle, xi, 5.0, 0.8]], dtype=torch.float64), [2])
    peak = np.unravel_index(int(psi.argmax()), psi.shape)
    omega = 2 * math.pi * np.fft.fftfreq(64)
    found = np.array([omega[peak[0]], omega[peak[1]]])
    step = 2 * math.pi / 64
    np.testing.assert_allclose(found, [xi * math.cos(angle), xi * math.sin(angle)], atol=step)


def test_morlet_on_the_line_peaks_at_its_frequency() -> None:
    chosen = make_family(BankSpec(J=3, Q=(2,)), (256,))
    (psi,) = chosen.spectra(torch.tensor([[0.2, 0.02]], dtype=torch.float64), [0])
    assert abs(int(psi.argmax()) / 256 - 0.2) <= 1 / 256
    assert float(torch.fft.ifft(psi).abs().sum()) == pytest.approx(1)


def test_turning_a_morlet_by_a_right_angle_turns_its_spectrum() -> None:
    chosen = make_family(BankSpec(J=2, L=4), (32, 32))
    values = torch.tensor([[0.3, 1.5, 2.0, 0.7], [0.3 + math.pi / 2, 1.5, 2.0, 0.7]]).double()
    first, second = chosen.spectra(values, [1, 1])
    # ω = (a, b) turned by a right angle is (−b, a).
    turned = torch.roll(torch.flip(first.T, (0,)), 1, 0)
    np.testing.assert_allclose(second, turned, atol=1e-6)


def test_nothing_outside_families_knows_one_from_another() -> None:
    """Names of families stand in their registry, and as the default of a specification."""
    package = Path(scatonline.__file__).parent
    names = {name for name, _ in FAMILIES}
    named = [
        f"{path.relative_to(package)}: {node.value}"
        for folder in (package, package.parent / "service")
        for path in sorted(folder.rglob("*.py"))
        if path.parent.name not in ("families", "_generated")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in names
    ]
    assert named == ["config/bank.py: morlet", "scattering.py: morlet", "scattering.py: morlet"]
