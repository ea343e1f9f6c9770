"""Free filters in polar frequency: turning is exact, and radial functions split energy."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from scatonline.config import BankSpec
from scatonline.errors import ConfigError
from scatonline.families.steerable import Steerable, SteerableBand, radial, radial_low_pass
from tests.scatonline.differences import assert_gradient
from tests.scatonline.filters import Floats

SQUARE = pytest.mark.parametrize("n", [15, 16])
GRIDS = pytest.mark.parametrize("grid", [(16, 16), (15, 15), (12, 20), (9, 14)])
HARMONICS = pytest.mark.parametrize("harmonics", [1, 3, 8])


def family(grid: tuple[int, int], harmonics: int = 3) -> Steerable:
    return Steerable(BankSpec(family="steerable", J=2, L=4, order=harmonics), grid)


def random_values(chosen: Steerable, count: int, seed: int = 0) -> Tensor:
    drawn = np.random.default_rng(seed).uniform(-1, 1, (count, len(chosen.parameters)))
    drawn[:, 0] *= 4
    return torch.from_numpy(drawn)


def mirrored(spectra: Tensor, *axes: int) -> Tensor:
    """ω → −ω along axes."""
    return torch.roll(torch.flip(spectra, axes), (1,) * len(axes), axes)


def plane(grid: tuple[int, int]) -> tuple[Floats, Floats]:
    x, y = np.meshgrid(*(2 * np.pi * np.fft.fftfreq(n) for n in grid), indexing="ij")
    return x, y


@HARMONICS
@GRIDS
def test_spectra_are_sums_of_radial_and_angular_functions(
    grid: tuple[int, int], harmonics: int
) -> None:
    """Written out frequency by frequency, away from the border, with one norm for all."""
    chosen = family(grid, harmonics)
    values = random_values(chosen, 4)
    scales = [0, 0, 1, 2]
    psi = chosen.spectra(values, scales).numpy()
    x, y = plane(grid)
    inside = (x > -math.pi) & (y > -math.pi)
    octaves = np.log2(np.maximum(np.minimum(np.hypot(x, y), math.pi), 1e-300) / math.pi)
    norms = []
    for found, (theta, *own), scale in zip(psi, values.tolist(), scales, strict=True):
        shares = np.reshape(own, (3, 2 * harmonics + 1)) / np.linalg.norm(own)
        angle = np.arctan2(y, x) - theta
        expected = np.zeros(grid)
        for b, share in enumerate(shares):
            offset = octaves + scale + 0.5 * b
            beta = np.where(abs(offset) < 0.5, np.cos(np.pi * offset), 0)
            waves = share[0] + sum(
                share[m] * np.cos(m * angle) + share[harmonics + m] * np.sin(m * angle)
                for m in range(1, harmonics + 1)
            )
            expected += beta * waves
        norm = (found * expected)[inside].sum() / (expected[inside] ** 2).sum()
        np.testing.assert_allclose(found[inside], norm * expected[inside], rtol=0, atol=1e-11)
        norms.append(norm)
    np.testing.assert_allclose(norms, norms[0], rtol=1e-11)


@HARMONICS
def test_turning_theta_is_turning_coefficients(harmonics: int) -> None:
    """(a + ib) → (a + ib)·e^{imθ} of every harmonic m."""
    chosen = family((16, 20), harmonics)
    values = random_values(chosen, 3)
    own = values[:, 1:].view(3, 3, -1)
    m = torch.arange(1, harmonics + 1)
    turn = torch.polar(torch.ones(3, harmonics).double(), values[:, :1] * m)[:, None]
    turned = torch.complex(own[..., 1 : harmonics + 1], own[..., harmonics + 1 :]) * turn
    still = torch.cat((own[..., :1], turned.real, turned.imag), 2).flatten(1)
    told = torch.cat((torch.zeros(3, 1, dtype=torch.float64), still), 1)
    scales = [0, 1, 1]
    expected = chosen.spectra(values, scales)
    np.testing.assert_allclose(chosen.spectra(told, scales), expected, rtol=0, atol=1e-14)


@SQUARE
def test_turning_by_a_right_angle_turns_the_spectrum(n: int) -> None:
    """ω = (a, b) turned by a right angle is (−b, a)."""
    chosen = family((n, n))
    values = random_values(chosen, 3)
    expected = mirrored(chosen.spectra(values, [0, 1, 2]).transpose(1, 2), 1)
    values[:, 0] += math.pi / 2
    np.testing.assert_allclose(chosen.spectra(values, [0, 1, 2]), expected, rtol=0, atol=1e-14)


@GRIDS
def test_turning_by_half_a_turn_mirrors_the_spectrum(grid: tuple[int, int]) -> None:
    chosen = family(grid)
    values = random_values(chosen, 3)
    expected = mirrored(chosen.spectra(values, [0, 1, 2]), 1, 2)
    values[:, 0] += math.pi
    np.testing.assert_allclose(chosen.spectra(values, [0, 1, 2]), expected, rtol=0, atol=1e-14)


def test_only_ratios_of_coefficients_count() -> None:
    chosen = family((12, 20))
    values = random_values(chosen, 2)
    scaled = torch.cat((values[:, :1], 0.3 * values[:, 1:]), 1)
    expected = chosen.spectra(values, [0, 1])
    np.testing.assert_allclose(chosen.spectra(scaled, [0, 1]), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("J", [1, 2, 4])
def test_squares_of_radial_functions_and_low_pass_add_up_to_1(J: int) -> None:
    """Those half an octave apart, half of the last one; all but the low-pass vanish at ω = 0."""
    omega = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    centres = torch.arange(0, -2 * J - 1, -1, dtype=torch.float64)[:, None] / 2
    beta = radial(omega, centres)
    assert float(beta[:, 0].abs().max()) == 0
    phi = radial_low_pass(omega, J)
    assert float(phi[0]) == 1
    assert float(phi[omega >= math.pi * 2 ** (0.5 - J)].abs().max()) <= 1e-16
    total = beta[:-1].square().sum(0) + 0.5 * beta[-1].square() + phi.square()
    np.testing.assert_allclose(total, 1, rtol=0, atol=1e-14)


@pytest.mark.parametrize("L", [1, 2, 3, 8])
def test_first_bank_is_as_large_as_the_bound_lets_it_be(L: int) -> None:
    """Half the energy of all directions, both signs together, is 1 at most and nearly so."""
    chosen = Steerable(BankSpec(family="steerable", J=3, L=L), (64, 64))
    filters = [(j, values) for j, rows in chosen.defaults(1).items() for values in rows]
    scales, rows = (list(column) for column in zip(*filters, strict=True))
    psi = chosen.spectra(torch.tensor(rows, dtype=torch.float64), scales)
    energy = 0.5 * (psi.square() + mirrored(psi, 1, 2).square()).sum(0)
    assert 0.95 < float(energy.max()) <= 1 + 1e-3


@pytest.mark.parametrize("turn", [0.0, 0.4, 1.2, 2.9])
def test_first_filters_look_where_theta_says(turn: float) -> None:
    chosen = family((32, 32))
    _, *own = chosen.defaults(1)[1][0]
    (described,) = chosen.describe([[turn, *own]], [1])
    assert math.remainder(described["angle"] - turn, math.pi) == pytest.approx(0, abs=1e-12)
    (psi,) = chosen.spectra(torch.tensor([[turn, *own]], dtype=torch.float64), [1])
    x, y = plane((32, 32))
    towards = complex((psi.square().numpy() * (x + 1j * y)).sum())
    assert math.remainder(np.angle(towards) - turn, 2 * math.pi) == pytest.approx(0, abs=0.02)


def test_orders_that_are_not_served_are_refused() -> None:
    with pytest.raises(ConfigError, match="17 harmonics: expected 1 to 16"):
        Steerable(BankSpec(family="steerable", order=17), (16, 16))
    with pytest.raises(ConfigError, match="over time have no harmonics: got order 2, expected 0"):
        SteerableBand(BankSpec(family="steerable", order=2))


@pytest.mark.parametrize(("L", "harmonics"), [(1, 2), (3, 3), (8, 8), (12, 8)])
def test_harmonics_follow_the_orientations_where_nothing_else_is_asked_for(
    L: int, harmonics: int
) -> None:
    assert Steerable(BankSpec(family="steerable", L=L), (16, 16)).harmonics == harmonics


@HARMONICS
def test_gradients(harmonics: int) -> None:
    chosen = family((9, 12), harmonics)
    values = random_values(chosen, 3)
    weight = torch.from_numpy(np.random.default_rng(1).standard_normal((3, 9, 12)))
    assert_gradient(lambda v: (chosen.spectra(v, [0, 1, 1]) * weight).sum(), values)
    line = SteerableBand(BankSpec(family="steerable", J=2))
    omega = torch.linspace(0, math.pi, 41, dtype=torch.float64).expand(3, -1)
    along = torch.from_numpy(np.random.default_rng(2).standard_normal((3, 41)))
    assert_gradient(lambda v: (line.along(v, [0, 1, 2], omega) * along).sum(), values[:, 1:4])
