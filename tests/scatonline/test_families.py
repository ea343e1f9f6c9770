"""The contract that every wavelet family keeps, and what only Morlet does."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from scatonline.config import BankSpec, Bound
from scatonline.families import FAMILIES, Coordinates, Family, Kinds, make_family
from scatonline.families.gaps import angle_gaps, log_frequency_gaps
from scatonline.filterbank import FilterBank
from scatonline.scattering import Scattering
from tests.scatonline.differences import central_differences

GRIDS = {1: (48,), 2: (16, 20)}
EVERY = [pytest.param(name, d, id=f"{name}-{d}-D") for name, d in FAMILIES]


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


def assert_gradient(loss: Callable[[Tensor], Tensor], at: Tensor) -> None:
    variable = at.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(variable), variable)
    assert_close(gradient, central_differences(loss, at))


def assert_close(gradient: Tensor, expected: Tensor) -> None:
    largest = float(expected.abs().max())
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6 * largest)


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
