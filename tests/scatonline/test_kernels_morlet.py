"""Compiled Morlet spectra against the sum of Gaussians that they are."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from scatonline.config import BankSpec
from scatonline.families import make_family
from scatonline.filterbank import FilterBank
from scatonline.kernels import morlet
from tests.scatonline.differences import central_differences

Array = NDArray[Any]
REACH = morlet.reach(float(np.finfo(np.float64).eps))
GRIDS = [(16, 16), (24, 9), (15, 32), (31, 21)]


def drawn(seed: int, filters: int = 40) -> Array:
    """θ, ξ, σ and slant, wherever learning may take them."""
    rng = np.random.default_rng(seed)
    lower = np.array([-10, 0.01, math.log(0.5), math.log(0.1)])
    upper = np.array([10, math.pi, math.log(8), math.log(2)])
    values = rng.uniform(lower, upper, (filters, 4))
    values[:, 2:] = np.exp(values[:, 2:])
    return values


def made(values: Array, grid: tuple[int, int], reach: float = REACH) -> tuple[Array, Array]:
    """Spectra and κ from the kernel, whose outputs are written whatever was there."""
    out, kappa = np.full((len(values), *grid), np.nan), np.full(len(values), np.nan)
    morlet.spectra(values, reach, 1.0, out, kappa)
    return out, kappa


def gaussian(values: Array, centre: float, grid: tuple[int, int]) -> Array:
    """A Gaussian of frequency, summed over ±6 periods along both axes."""
    theta, _, sigma, slant = values
    periods = 2 * math.pi * np.arange(-6, 7)
    wx, wy = ((2 * math.pi * np.fft.fftfreq(n)[:, None] + periods).ravel() for n in grid)
    x = wx[:, None] - centre * math.cos(theta)
    y = wy[None, :] - centre * math.sin(theta)
    along = math.cos(theta) * x + math.sin(theta) * y
    across = math.cos(theta) * y - math.sin(theta) * x
    g = np.exp(-0.5 * sigma**2 * (along**2 + (across / slant) ** 2))
    return np.asarray(g.reshape(grid[0], 13, grid[1], 13).sum((1, 3)))


@pytest.mark.parametrize("grid", GRIDS)
def test_spectra_are_the_direct_sum_over_periods(grid: tuple[int, int]) -> None:
    """ψ̂ = g − κ·k, with ψ̂(0) exactly 0."""
    values = drawn(seed=grid[0])
    out, kappa = made(values, grid)
    assert not out[:, 0, 0].any()
    for row, psi, share in zip(values, out, kappa, strict=True):
        g, k = gaussian(row, row[1], grid), gaussian(row, 0, grid)
        assert share == pytest.approx(g[0, 0] / k[0, 0], abs=1e-12)
        np.testing.assert_allclose(psi, g - g[0, 0] / k[0, 0] * k, rtol=0, atol=1e-12)


SLIM = [
    ((20, 8), (3.85187554, 3.00806071, 4.70168745, 0.1028032)),
    ((14, 17), (-2.60520589, 3.05552581, 7.47578723, 0.12771938)),
    ((26, 8), (5.3752753, 2.23547506, 7.68885277, 0.14260813)),
]


@pytest.mark.parametrize(("grid", "row"), SLIM)
def test_slim_filters_oblique_to_a_coarse_grid_are_the_direct_sum(
    grid: tuple[int, int], row: tuple[float, ...]
) -> None:
    """From one row to the next their Gaussians change by more than a number can hold."""
    values = np.array(row)
    ((psi,), _) = made(values[None], grid)
    g, k = gaussian(values, row[1], grid), gaussian(values, 0, grid)
    np.testing.assert_allclose(psi, g - g[0, 0] / k[0, 0] * k, rtol=0, atol=1e-12)


@pytest.mark.parametrize("L", [1, 2, 8, 20, 32, 40])
@pytest.mark.parametrize("padding", ["reflect", "none"])
def test_filters_are_finite_at_every_corner_of_their_bounds(L: int, padding: Any) -> None:
    size = 24 if padding == "none" else 40
    spec = BankSpec(J=3, L=L, bound="none", padding=padding)
    bank = FilterBank(spec, make_family(spec, (size, size)), 1)
    with torch.no_grad():
        for corner in np.ndindex(2, 2, 2):
            bank.theta[:, 1:] = torch.tensor([-6.0, 6.0])[list(corner)].double()
            assert bool(torch.isfinite(bank.made_spectra()).all())


@pytest.mark.parametrize("precision", [1e-4, float(np.finfo(np.float32).eps), 1e-12])
def test_gaussians_are_cut_where_they_have_fallen_to_the_precision(precision: float) -> None:
    reach = morlet.reach(precision)
    assert math.exp(-0.5 * reach**2) == pytest.approx(precision)
    values = drawn(seed=1)
    values[:, 3] = np.maximum(values[:, 3], 0.5)
    exact, rough = made(values, (24, 18))[0], made(values, (24, 18), reach)[0]
    assert bool((rough == 0).any())
    assert 0 < float(np.abs(exact - rough).max()) < 100 * precision


def test_norm_is_a_factor_on_all() -> None:
    values = drawn(seed=2)
    out, kappa = np.empty((len(values), 16, 12)), np.empty(len(values))
    morlet.spectra(values, REACH, 0.75, out, kappa)
    expected, same = made(values, (16, 12))
    np.testing.assert_allclose(out, 0.75 * expected, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(kappa, same)


@pytest.mark.parametrize("grid", GRIDS)
def test_way_back_to_the_parameters_is_central_differences(grid: tuple[int, int]) -> None:
    values = drawn(seed=grid[1], filters=6)
    values[:, 3] = np.maximum(values[:, 3], 0.2)
    weights = np.random.default_rng(0).standard_normal((6, *grid))
    _, kappa = made(values, grid)
    found = np.full((6, 4), np.nan)
    morlet.to_values(values, REACH, 0.75, kappa, weights, found)

    def loss(at: Tensor) -> Tensor:
        return torch.tensor(0.75 * (weights * made(at.numpy(), grid)[0]).sum())

    expected = central_differences(loss, torch.from_numpy(values))
    scale = float(expected.abs().max())
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7 * scale)


def test_way_back_sees_the_mean_that_is_removed() -> None:
    """A weight at frequency 0 alone, where ψ̂ is 0 whatever the parameters, has no gradient."""
    values = drawn(seed=3, filters=6)
    values[:, 2] = np.minimum(values[:, 2], 2.0)
    _, kappa = made(values, (16, 12))
    weights, found = np.zeros((6, 16, 12)), np.full((6, 4), np.nan)
    weights[:, 0, 0] = 1
    morlet.to_values(values, REACH, 1.0, kappa, weights, found)
    np.testing.assert_allclose(found, 0, atol=1e-12)
