"""Grids, padding, sub-sampling: each against the plain way to do it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from scatonline.config import Padding
from scatonline.errors import ConfigError, ShapeError
from scatonline.fourier import (
    check_signal,
    crop,
    fold,
    fold_filters,
    gaussian_low_pass,
    low_pass,
    low_pass_matrix,
    low_pass_to_input,
    pad,
    padded_length,
)
from tests.scatonline.plain import PAD_MODES

PADDINGS: tuple[Padding, ...] = ("reflect", "periodic", "zero")


def noise(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(len(shape)).standard_normal(shape))


@pytest.mark.parametrize(("n", "sigma"), [(64, 3.0), (63, 0.8), (32, 12.0)])
def test_low_pass_is_the_spectrum_of_a_periodised_gaussian(n: int, sigma: float) -> None:
    positions = np.arange(n) + n * np.arange(-12, 13)[:, None]
    kernel = np.exp(-(positions**2) / (2 * sigma**2)).sum(0)
    expected = np.fft.fft(kernel / kernel.sum()).real
    phi = gaussian_low_pass(n, sigma)
    assert phi[0] == 1
    np.testing.assert_allclose(phi, expected, atol=1e-12)


@given(
    n=st.integers(4, 700),
    J=st.integers(1, 6),
    dimensions=st.sampled_from([1, 2]),
    padding=st.sampled_from(PADDINGS),
)
def test_padded_axis_can_be_made_or_is_refused(
    n: int, J: int, dimensions: int, padding: Padding
) -> None:
    """Never shorter, divisible down to the last level, and within what the padding can fill."""
    assume(n >= 2**J)
    try:
        total = padded_length(n, J, dimensions, padding)
    except ConfigError:
        assert padding == "reflect"
        return
    assert total >= n
    assert total % 2**J == 0
    shape = (1, n) if dimensions == 1 else (1, n, n)
    assert pad(torch.zeros(shape), (total,) * dimensions, padding).shape[-1] == total


def test_periodic_axis_is_not_padded_where_it_need_not_be() -> None:
    assert padded_length(96, 5, 1, "periodic") == 96
    assert padded_length(96, 5, 2, "periodic") == 96


def test_reflection_that_needs_too_much_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"J=4 is too large for an axis of 16 samples"):
        padded_length(16, 4, 2, "reflect")


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("shape", "padded"), [((13,), (24,)), ((9, 14), (16, 24))])
def test_padding_is_numpys(
    padding: Padding, shape: tuple[int, ...], padded: tuple[int, ...]
) -> None:
    x = noise(2, *shape)
    widths = [((p - n) // 2, p - n - (p - n) // 2) for n, p in zip(shape, padded, strict=True)]
    expected = np.pad(x.numpy(), [(0, 0), *widths], mode=PAD_MODES[padding])  # type: ignore[call-overload]
    np.testing.assert_array_equal(pad(x, padded, padding), expected)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_cropping_keeps_the_frequencies_of_the_coarser_grid(level: int) -> None:
    spectrum = torch.fft.fftfreq(24)
    expected = torch.fft.fftfreq(24 >> level) / 2**level
    np.testing.assert_allclose(crop(spectrum, level, (0,)), expected, atol=1e-7)


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("grid", [(24,), (8, 12)])
def test_folding_is_sub_sampling(grid: tuple[int, ...], factor: int) -> None:
    """Product and sum over aliases = convolution on the full grid, then leaving samples out."""
    x, psi = noise(3, *grid), noise(2, *grid)
    axes = tuple(range(1, 1 + len(grid)))
    folded = fold(torch.fft.fftn(x, dim=axes), factor)
    product = torch.einsum("aln,can->lcn", fold_filters(psi, factor).to(folded.dtype), folded)
    coarse = [n // factor for n in grid]
    ours = torch.fft.ifftn(product.view(2, 3, *coarse), dim=[axis + 1 for axis in axes])
    for k in range(2):
        full = torch.fft.ifftn(torch.fft.fftn(x, dim=axes) * psi[k], dim=axes)
        kept = full[:, ::factor] if len(grid) == 1 else full[:, ::factor, ::factor]
        np.testing.assert_allclose(ours[k], kept, atol=1e-13)


@pytest.mark.parametrize(("level", "stride", "first", "count"), [(0, 4, 1, 5), (1, 2, 0, 8)])
def test_low_pass_matrix_is_convolution_and_sub_sampling(
    level: int, stride: int, first: int, count: int
) -> None:
    phi = gaussian_low_pass(32, 3.0)
    u = noise(32 >> level)
    smooth = torch.fft.ifft(torch.fft.fft(u) * crop(phi, level, (0,))).real
    expected = smooth[first * stride :: stride][:count]
    matrix = low_pass_matrix(phi, level, stride, slice(first, first + count))
    np.testing.assert_allclose(matrix @ u, expected, atol=1e-13)


def test_low_pass_averages_each_axis() -> None:
    """Over a plane: rows, then columns, each channel by itself."""
    x = noise(2, 6, 8)
    rows, columns = noise(3, 6), noise(4, 8)
    expected = torch.einsum("am,bn,cmn->cab", rows, columns, x)
    np.testing.assert_allclose(low_pass(x, [rows, columns]), expected, atol=1e-13)
    line = noise(2, 6)
    np.testing.assert_allclose(low_pass(line, [rows]), line @ rows.T, atol=1e-13)


def test_way_back_through_averaging_is_its_adjoint() -> None:
    """⟨A x, y⟩ = ⟨x, Aᵀ y⟩."""
    for matrices in ([noise(3, 6), noise(4, 8)], [noise(4, 8)]):
        x = noise(2, *(m.shape[1] for m in matrices))
        y = noise(2, *(m.shape[0] for m in matrices))
        there, back = (low_pass(x, matrices) * y).sum(), (x * low_pass_to_input(y, matrices)).sum()
        assert math.isclose(float(there), float(back), rel_tol=1e-12)


def test_no_padding_wants_whole_periods() -> None:
    assert padded_length(96, 5, 2, "none") == 96
    with pytest.raises(ConfigError, match=r"multiple of 2\^J = 32: got 100"):
        padded_length(100, 5, 1, "none")


@pytest.mark.parametrize(
    ("x", "named"),
    [
        (torch.zeros(8, dtype=torch.int32), "int32"),
        (torch.zeros(8, dtype=torch.complex64), "complex64"),
        (torch.zeros(8, dtype=torch.float16), "float16"),
        (torch.zeros(9), r"\(9,\)"),
        (torch.zeros(8, 1), r"\(8, 1\)"),
    ],
)
def test_signals_of_another_type_or_shape_are_refused(x: torch.Tensor, named: str) -> None:
    with pytest.raises(ShapeError, match=rf"{named}.*expected"):
        check_signal(x, (8,))


def test_mean_is_kept() -> None:
    """A constant goes through averaging unchanged."""
    matrix = low_pass_matrix(gaussian_low_pass(64, 6.4), 2, 2, slice(1, 5))
    assert math.isclose(float((matrix @ torch.ones(16, dtype=torch.float64)).min()), 1.0)
