"""Bands of frequencies in all directions of the plane, and over time."""

import math
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor

from scatonline.config import BankSpec
from scatonline.errors import ConfigError
from scatonline.families import make_family
from scatonline.families.line import Line, one_sided
from scatonline.families.polar import Polar

BANDS = pytest.mark.parametrize("name", ["daubechies", "coiflet", "lattice"])
LINES = pytest.mark.parametrize("name", ["daubechies", "coiflet", "lattice", "steerable"])
GRIDS = pytest.mark.parametrize("grid", [(16, 16), (15, 15), (12, 20), (9, 14)])


def polar(name: str, grid: tuple[int, int], L: int = 4) -> Polar:
    made = make_family(BankSpec(family=name, J=2, L=L), grid)
    assert isinstance(made, Polar)
    return made


def line(name: str, n: int) -> Line:
    made = make_family(BankSpec(family=name, J=3, Q=(2,)), (n,))
    assert isinstance(made, Line)
    return made


def rows(chosen: Polar, *window: tuple[float, float, float]) -> Tensor:
    """Filters of the band to start from."""
    return torch.tensor([(*each, *chosen.band.start) for each in window], dtype=torch.float64)


WINDOWS = ((0.3, 0.9, 1.0), (2.1, 0.5, 1.2), (-1.0, 1.4, 0.8))
SCALES = [0, 1, 1]


def mirrored(spectra: Tensor, *axes: int) -> Tensor:
    """ω → −ω along axes; ±π are one and the same."""
    return torch.roll(torch.flip(spectra, axes), (1,) * len(axes), axes)


@BANDS
@GRIDS
def test_spectra_are_bands_times_windows(name: str, grid: tuple[int, int]) -> None:
    """Written out frequency by frequency, away from the border, with one norm for all."""
    chosen = polar(name, grid)
    x, y = np.meshgrid(*(2 * np.pi * np.fft.fftfreq(n) for n in grid), indexing="ij")
    inside = (x > -math.pi) & (y > -math.pi) & ((x != 0) | (y != 0))
    values = rows(chosen, *WINDOWS)
    psi = chosen.spectra(values, SCALES).numpy()
    radii = torch.from_numpy(np.minimum(np.hypot(x, y), math.pi)[inside])
    norms = []
    for found, value, scale in zip(psi, values, SCALES, strict=True):
        theta, delta, dilation = value[:3].tolist()
        omega = (radii / dilation).clamp_max(math.pi)
        along = chosen.band.along(value[None, 3:], [scale], omega[None])[0].numpy()
        turned = np.cos(np.arctan2(y, x)[inside] - theta)
        expected = along * np.exp(2 / delta**2 * (turned - 1))
        norm = (found[inside] * expected).sum() / (expected**2).sum()
        np.testing.assert_allclose(found[inside], norm * expected, rtol=0, atol=1e-11)
        norms.append(norm)
    np.testing.assert_allclose(norms, norms[0], rtol=1e-10)


@BANDS
@GRIDS
def test_border_stands_for_both_of_its_directions(name: str, grid: tuple[int, int]) -> None:
    """Mirroring θ along an axis, or both, mirrors the spectrum, +π and −π being one."""
    chosen = polar(name, grid)
    values = rows(chosen, *WINDOWS)
    psi = chosen.spectra(values, SCALES)
    for axes, turn, sign in (((1, 2), math.pi, 1), ((2,), 0.0, -1), ((1,), math.pi, -1)):
        other = values.clone()
        other[:, 0] = turn + sign * values[:, 0]
        found = chosen.spectra(other, SCALES)
        np.testing.assert_allclose(found, mirrored(psi, *axes), rtol=0, atol=1e-13)


@BANDS
@pytest.mark.parametrize("n", [15, 16])
def test_turning_by_a_right_angle_turns_the_spectrum(name: str, n: int) -> None:
    """ω = (a, b) turned by a right angle is (−b, a)."""
    chosen = polar(name, (n, n))
    values = rows(chosen, *WINDOWS)
    expected = mirrored(chosen.spectra(values, SCALES).transpose(1, 2), 1)
    values[:, 0] += math.pi / 2
    np.testing.assert_allclose(chosen.spectra(values, SCALES), expected, rtol=0, atol=1e-13)


@BANDS
@pytest.mark.parametrize("grid", [(32, 32), (33, 33), (32, 48)])
@pytest.mark.parametrize("theta", [0.0, 0.5, 1.3, 2.6, 4.0])
def test_filters_look_where_theta_says(name: str, grid: tuple[int, int], theta: float) -> None:
    chosen = polar(name, grid)
    (psi,) = chosen.spectra(rows(chosen, (theta, 0.6, 1.0)), [1])
    x, y = np.meshgrid(*(2 * np.pi * np.fft.fftfreq(n) for n in grid), indexing="ij")
    towards = complex((psi.square().numpy() * (x + 1j * y)).sum())
    assert math.remainder(np.angle(towards) - theta, 2 * math.pi) == pytest.approx(0, abs=0.03)


@BANDS
def test_wider_windows_let_more_directions_through(name: str) -> None:
    chosen = polar(name, (32, 32))
    narrow, wide = chosen.spectra(rows(chosen, (0.4, 0.5, 1.0), (0.4, 1.0, 1.0)), [1, 1])
    assert bool((wide.abs() >= narrow.abs() - 1e-15).all())
    assert float(wide.square().sum()) > 1.5 * float(narrow.square().sum())


@BANDS
@pytest.mark.parametrize("scale", [0, 1])
@pytest.mark.parametrize("dilation", [0.75, 0.9, 1.1])
def test_dilation_moves_the_described_frequency_in_the_plane(
    name: str, scale: int, dilation: float
) -> None:
    """By its factor, where the band ends before π; the finest one, which does not, less."""
    chosen = polar(name, (16, 16))
    still, moved = chosen.describe(
        rows(chosen, (0.2, 0.7, 1.0), (0.2, 0.7, dilation)).tolist(), [scale] * 2
    )
    found = moved["frequency"] / still["frequency"]
    if scale:
        assert found == pytest.approx(dilation, rel=0.05)
    else:
        assert min(dilation, 1) <= found <= max(dilation, 1)
    assert still["angle"] == moved["angle"] == pytest.approx(0.2)


@LINES
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("dilation", [0.75, 0.9])
def test_dilation_moves_the_described_frequency_over_time(
    name: str, scale: int, dilation: float
) -> None:
    chosen = line(name, 64)
    values = [[d, *chosen.band.start] for d in (1.0, dilation)]
    still, moved = chosen.describe(values, [scale] * 2)
    assert moved["frequency"] / still["frequency"] == pytest.approx(dilation, rel=0.05)
    (psi,) = chosen.spectra(torch.tensor(values[1:], dtype=torch.float64), [scale])
    energy = psi.square()[1:33].numpy()
    centre = float((energy * np.arange(1, 33)).sum() / energy.sum()) / 64
    assert centre == pytest.approx(moved["frequency"], rel=0.05)


@LINES
@pytest.mark.parametrize("n", [63, 64])
def test_both_signs_over_time_hold_the_energy_of_the_band(name: str, n: int) -> None:
    chosen = line(name, n)
    values = torch.tensor([[d, *chosen.band.start] for d in (1.0, 0.8)], dtype=torch.float64)
    psi = chosen.spectra(values, [0, 1]).square()
    omega = 2 * math.pi * torch.fft.fftfreq(n, dtype=torch.float64)
    dilated = (omega.abs() / values[:, :1]).clamp_max(math.pi)
    along = chosen.band.along(values[:, 1:], [0, 1], dilated).square()
    np.testing.assert_allclose(psi + mirrored(psi, 1), 2 * along, rtol=0, atol=1e-14)
    assert not bool(psi[:, (omega <= 0) & (omega > -0.75 * math.pi)].any())


def test_roll_off_shares_energy_between_both_signs() -> None:
    omega = torch.linspace(-math.pi, math.pi, 257, dtype=torch.float64)
    u = one_sided(omega)
    assert float(u[128]) == 0
    both = (u.square() + u.flip(0).square())[omega != 0]
    np.testing.assert_allclose(both, 2, rtol=0, atol=1e-14)
    np.testing.assert_allclose(u[(omega > 0) & (omega < 2.3)], math.sqrt(2), rtol=1e-15)
    assert float(u[[0, -1]].diff()) == pytest.approx(0, abs=1e-14)


@BANDS
@pytest.mark.parametrize("L", [1, 2, 3, 8])
def test_first_windows_hold_at_most_all_energy(name: str, L: int) -> None:
    """And in some direction all of it."""
    chosen = polar(name, (32, 32), L)
    (values, *_) = chosen.defaults(1).values()
    psi = chosen.spectra(torch.tensor(values, dtype=torch.float64), [0] * L)
    energy = 0.5 * (psi.square() + mirrored(psi, 1, 2).square()).sum(0)
    assert 0.95 < float(energy.max()) <= 1 + 1e-9


@BANDS
@pytest.mark.parametrize(
    ("column", "beyond"), [("delta", 0.3), ("delta", 1.6), ("dilation", 0.7), ("dilation", 1.5)]
)
def test_windows_beyond_their_bounds_are_refused(name: str, column: str, beyond: float) -> None:
    chosen = polar(name, (16, 16))
    (first, *_) = chosen.defaults(1)[0]
    values = [
        beyond if p.name == column else v for p, v in zip(chosen.parameters, first, strict=True)
    ]
    lower, upper = chosen.bounds(first)[1 if column == "delta" else 2]
    named = f"{column} = {beyond:g}.* between its bounds {lower:g} and {upper:g}"
    with pytest.raises(ConfigError, match=named):
        chosen.bounds(values)


@LINES
@pytest.mark.parametrize("Q", [1, 2, 5])
def test_voices_over_time_are_spread_over_an_octave(name: str, Q: int) -> None:
    chosen = make_family(BankSpec(family=name, J=3, Q=(Q, 1)), (64,))
    for layer, voices in ((1, Q), (2, 1), (3, 1)):
        first = chosen.defaults(layer)
        assert list(first) == list(range(layer - 1, 3))
        for filters in first.values():
            assert [v[0] for v in filters] == [2 ** (-q / voices) for q in range(voices)]


@BANDS
@GRIDS
def test_two_forms_of_a_window_agree(name: str, grid: tuple[int, int]) -> None:
    """On a processor and elsewhere: spectra, and their gradients with respect to everything."""
    chosen = polar(name, grid)
    values = rows(chosen, *WINDOWS).requires_grad_()
    weights = torch.from_numpy(np.random.default_rng(0).standard_normal((3, *grid)))
    found = []
    for compiling in (False, True):
        with mock.patch("torch.compiler.is_compiling", return_value=compiling):
            psi = chosen.spectra(values, SCALES)
        found.append((psi.detach(), *torch.autograd.grad(psi, values, weights)))
    for ours, theirs in zip(*found, strict=True):
        largest = float(theirs.abs().max())
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * largest)
