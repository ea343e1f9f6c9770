"""Cascades of two-channel filters split energy, whatever the filters are."""

import math
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor

from scatonline.config import BankSpec
from scatonline.families import coiflet, daubechies, lattice
from scatonline.families.orthonormal import (
    OrthonormalBand,
    Quadrature,
    band,
    complement,
    low_pass,
)
from tests.scatonline.filters import Floats, squared_amplitude

OMEGA = np.linspace(0, math.pi, 97)
SCALES = pytest.mark.parametrize("J", [1, 2, 3, 4])
CENTRES = {2: 2.0, 3: 2.0, 4: 4.0, 6: 6.0}
# Filters, and whether their columns are of levels or of filters' own scales.
KINDS = [
    pytest.param({"family": "daubechies"}, id="daubechies"),
    pytest.param({"family": "daubechies", "order": 3}, id="daubechies, one zero"),
    pytest.param({"family": "daubechies", "order": 6, "exponentials": 2}, id="daubechies, pairs"),
    pytest.param({"family": "daubechies", "coupling": "free"}, id="daubechies, free"),
    *(pytest.param({"family": "coiflet", "order": n}, id=f"coiflet, {n}") for n in CENTRES),
    *(pytest.param({"family": "lattice", "order": n}, id=f"lattice, {n}") for n in (2, 4, 7)),
]
EVERY = pytest.mark.parametrize("options", KINDS)


def tolerance(options: dict[str, object]) -> float:
    """Taking six zeros out of a coiflet's polynomial costs a digit."""
    return 1e-10 if options == {"family": "coiflet", "order": 6} else 1e-11


Made = tuple[Quadrature, Tensor, list[Floats]]


def made(options: dict[str, object], J: int, seed: int) -> Made:
    """Random filters shared by scales 0 to J − 1: one row a scale, and the filter of each level."""
    rng = np.random.default_rng(seed)
    spec = BankSpec(**{"J": J, **options})  # type: ignore[arg-type]
    if spec.family == "coiflet":
        t = CENTRES[spec.order] + float(rng.uniform(-0.8, 0.8))
        values = torch.tensor([[t]], dtype=torch.float64).expand(J, -1)
        return coiflet.Coiflet(spec), values, [coiflet.fir(spec.order, t)] * J
    if spec.family == "lattice":
        row = rng.uniform(-3, 3, spec.order - 1)
        return (
            lattice.Lattice(spec),
            torch.from_numpy(row).expand(J, -1),
            [lattice.fir(row.tolist())] * J,
        )
    filters = daubechies.Daubechies(spec)
    columns = len(filters.parameters)
    c = rng.uniform(filters.lowest, 3, columns)
    if spec.coupling == "free":
        levels = c.reshape(-1, filters.pairs)[:J]
        values = torch.from_numpy(c).expand(J, -1)
    else:
        chain = [c]
        for _ in range(J - 1):
            chain.append(np.sqrt((1 + chain[-1]) / 2))
        levels = np.stack(chain[::-1])
        values = torch.from_numpy(levels)
    return filters, values, [daubechies.fir(tuple(each.tolist()), filters.zeros) for each in levels]


@EVERY
@SCALES
@pytest.mark.parametrize("seed", [0, 1])
def test_low_pass_and_bands_hold_all_energy(options: dict[str, object], J: int, seed: int) -> None:
    """|Φ_J|² + Σ|Ψ_j|² = 1, with Φ_J from the filters' coefficients themselves."""
    filters, values, taps = made(options, J, seed)
    omega = torch.from_numpy(OMEGA)
    psi = band(filters, values, list(range(J)), omega.expand(J, -1)).numpy()
    through = np.ones_like(OMEGA)
    for level, h in enumerate(taps):
        through = through * squared_amplitude(h, 2**level * OMEGA)
    np.testing.assert_allclose(through + (psi**2).sum(0), 1, rtol=0, atol=tolerance(options))


@EVERY
@SCALES
def test_bands_are_products_of_filters(options: dict[str, object], J: int) -> None:
    """|Ψ_j|² = |m_j(2^j ω + π)|²·∏|m_i(2^i ω)|², by discrete Fourier sums."""
    filters, values, taps = made(options, J, 2)
    omega = torch.from_numpy(OMEGA)
    psi = band(filters, values, list(range(J)), omega.expand(J, -1)).numpy()
    through = np.ones_like(OMEGA)
    for scale, h in enumerate(taps):
        expected = through * squared_amplitude(h, 2**scale * OMEGA + math.pi)
        np.testing.assert_allclose(psi[scale] ** 2, expected, rtol=0, atol=tolerance(options))
        through = through * squared_amplitude(h, 2**scale * OMEGA)


@EVERY
@SCALES
def test_processor_and_portable_bands_agree(options: dict[str, object], J: int) -> None:
    """In value, and in the gradient of every parameter and frequency."""
    filters, row, _ = made(options, J, 3)
    found = []
    for compiling in (True, False):
        values = row.clone().requires_grad_()
        omega = torch.from_numpy(OMEGA).expand(J, -1).clone().requires_grad_()
        weight = torch.from_numpy(np.random.default_rng(4).standard_normal((J, len(OMEGA))))
        with mock.patch("torch.compiler.is_compiling", return_value=compiling):
            bands = band(filters, values, list(range(J)), omega)
        found.append([bands.detach(), *torch.autograd.grad(bands, (values, omega), weight)])
    for portable, swift in zip(*found, strict=True):
        np.testing.assert_allclose(
            swift, portable, rtol=1e-8, atol=1e-8 * float(portable.abs().max())
        )


@EVERY
def test_bands_have_no_mean(options: dict[str, object]) -> None:
    filters, values, _ = made(options, 3, 3)
    psi = band(filters, values, [0, 1, 2], torch.zeros(3, 1, dtype=torch.float64))
    assert float(psi.abs().max()) == 0


@EVERY
def test_a_band_does_not_depend_on_the_others(options: dict[str, object]) -> None:
    """Bit for bit, whether coarser scales are there or not."""
    filters, values, _ = made(options, 3, 4)
    omega = torch.from_numpy(OMEGA).expand(3, -1)
    together = band(filters, values, [0, 1, 2], omega)
    for scale in range(3):
        alone = band(filters, values[scale : scale + 1], [scale], omega[:1])
        assert torch.equal(alone[0], together[scale])


@EVERY
@SCALES
def test_low_pass_is_what_the_first_filters_leave(options: dict[str, object], J: int) -> None:
    filters, _, _ = made(options, J, 0)
    omega = torch.from_numpy(OMEGA)
    start = torch.tensor([filters.start], dtype=torch.float64).expand(J, -1)
    psi = band(filters, start, list(range(J)), omega.expand(J, -1))
    phi = low_pass(filters, J, omega)
    assert float(phi[0]) == 1
    assert float(phi.abs().max()) == 1
    np.testing.assert_allclose(
        phi.square() + psi.square().sum(0), 1, rtol=0, atol=tolerance(options)
    )


@EVERY
def test_octaves_follow_one_another(options: dict[str, object]) -> None:
    """The energy of the first filters of each scale is about an octave below the one before."""
    spec = BankSpec(**{"J": 4, **options})  # type: ignore[arg-type]
    filters = OrthonormalBand(made(options, 4, 0)[0], spec.J)
    omega = torch.from_numpy(OMEGA)
    start = torch.tensor([filters.start], dtype=torch.float64).expand(4, -1)
    energy = filters.along(start, [0, 1, 2, 3], omega.expand(4, -1)).square().numpy()
    centre = (energy * OMEGA).sum(1) / energy.sum(1)
    np.testing.assert_allclose(np.log2(centre[1:-1] / centre[2:]), 1, atol=0.25)
    np.testing.assert_allclose(np.log2(centre[:1] / centre[1:2]), 1, atol=0.45)


@pytest.mark.parametrize("zeros", [1, 2, 3, 4])
def test_complement_of_a_filter_is_what_its_zeros_leave(zeros: int) -> None:
    """|m|² = ((1 + X)/2)^zeros·B/2, of filters with four zeros."""
    h = np.stack([coiflet.fir(4, 3.7), coiflet.fir(4, 4.4)])
    b = complement(torch.from_numpy(h), zeros).numpy()
    assert b.shape == (2, 12 - zeros)
    x = np.cos(OMEGA)
    for row, taps in zip(b, h, strict=True):
        found = ((1 + x) / 2) ** zeros * np.polynomial.polynomial.polyval(x, row) / 2
        np.testing.assert_allclose(found, squared_amplitude(taps, OMEGA), rtol=0, atol=1e-12)
