"""Every compiled operation against the formula that it stands for; those of Morlet elsewhere."""

from collections.abc import Iterator
from typing import Any
from unittest import mock

import numba
import numpy as np
import pytest
import torch
from numpy.typing import DTypeLike, NDArray

from scatonline.config import BankSpec
from scatonline.fourier import crop, fold_filters
from scatonline.kernels import bank, moduli, morlet, orthonormal, padding, polar, products, spectra
from scatonline.kernels.compile import Loop, follow_threads
from scatonline.scattering import Scattering

Array = NDArray[Any]
SINGLE_AND_DOUBLE = pytest.mark.parametrize("dtype", [np.float32, np.float64])
LOOPS = {
    f"{module.__name__}.{name}": loop
    for module in (products, moduli, spectra, padding, bank, morlet, orthonormal, polar)
    for name, loop in vars(module).items()
    if isinstance(loop, Loop)
}


def noise(*shape: int, dtype: DTypeLike = np.float64, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def close(ours: Array, expected: Array) -> None:
    """To a few roundings of the type of ``ours``, relative to the largest entry."""
    assert ours.shape == expected.shape
    tolerance = 64 * float(np.finfo(ours.dtype).eps) * max(float(np.abs(expected).max()), 1e-300)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance)


def complexes(pairs: Array) -> Array:
    """Real pairs as complex numbers, in double precision."""
    return pairs.astype(np.float64).view(np.complex128)


def everything(psi: Array) -> Array:
    """Blocks that leave no row out."""
    aliases, filters, _ = psi.shape
    return np.tile([aliases, *range(aliases)], (filters, 1)).astype(np.int64)


def some(psi: Array) -> Array:
    """Blocks of filter l that leave out all rows but the last l + 1, down to none at all."""
    aliases, filters, _ = psi.shape
    blocks = np.zeros((filters, 1 + aliases), np.int64)
    for row in range(filters):
        kept = range(max(aliases - row, 0), aliases)
        blocks[row, 0] = len(kept)
        blocks[row, 1 : 1 + len(kept)] = kept
    return blocks


def masked(psi: Array, blocks: Array) -> Array:
    """ψ with zeros in the rows that the blocks leave out."""
    left = np.zeros_like(psi)
    for row, (count, *kept) in enumerate(blocks.tolist()):
        left[kept[:count], row] = psi[kept[:count], row]
    return left


@pytest.fixture(scope="module")
def calls() -> list[tuple[Loop, tuple[Any, ...]]]:
    """What transforms of several sizes ask of every loop, with the arrays as they stood."""
    noted: list[tuple[Loop, tuple[Any, ...]]] = []

    def note(loop: Loop, _size: int, *arguments: Any) -> None:
        noted.append((loop, duplicate(arguments)))
        loop.alone(*arguments)

    with mock.patch.object(Loop, "__call__", note):
        for family, shape in (("morlet", (19, 30)), ("morlet", (100,)), ("daubechies", (19, 30))):
            J = 2 if len(shape) == 2 else 4
            transform = Scattering(BankSpec(family=family, J=J, L=3, Q=(3, 1)), shape)
            for dtype in (torch.float32, torch.float64):
                x = torch.from_numpy(noise(2, *shape)).to(dtype).requires_grad_()
                torch.autograd.backward(transform(x).square().sum())
                with torch.no_grad():
                    transform(x)
    return noted


def test_transforms_exercise_every_loop(calls: list[tuple[Loop, tuple[Any, ...]]]) -> None:
    """So that the next test forgets none."""
    called = {id(loop) for loop, _ in calls}
    assert [name for name, loop in LOOPS.items() if id(loop) not in called] == []


def duplicate(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(a.copy(order="K") if isinstance(a, np.ndarray) else a for a in arguments)


@pytest.fixture
def all_threads() -> Iterator[None]:
    before = numba.get_num_threads()
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    yield
    numba.set_num_threads(before)


@pytest.mark.parametrize("name", sorted(LOOPS))
def test_shared_loop_agrees_with_the_one_on_one_thread(
    name: str, calls: list[tuple[Loop, tuple[Any, ...]]], all_threads: None
) -> None:
    """To rounding: where the compiler vectorises the two in different ways, sums differ by it."""
    for arguments in [arguments for loop, arguments in calls if loop is LOOPS[name]]:
        alone, shared = duplicate(arguments), duplicate(arguments)
        LOOPS[name].alone(*alone)
        LOOPS[name].shared(*shared)
        for one, other in zip(alone, shared, strict=True):
            assert_same_to_rounding(other, one)


@pytest.mark.parametrize("name", sorted(LOOPS))
def test_shared_loop_gives_the_same_bits_with_any_number_of_threads(
    name: str, calls: list[tuple[Loop, tuple[Any, ...]]], all_threads: None
) -> None:
    most = numba.get_num_threads()
    for arguments in [arguments for loop, arguments in calls if loop is LOOPS[name]]:
        one, several = duplicate(arguments), duplicate(arguments)
        numba.set_num_threads(1)
        LOOPS[name].shared(*one)
        numba.set_num_threads(most)
        LOOPS[name].shared(*several)
        for a, b in zip(one, several, strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def assert_same_to_rounding(got: Any, expected: Any) -> None:
    got, expected = np.asarray(got), np.asarray(expected)
    if got.dtype.kind not in "fc":
        np.testing.assert_array_equal(got, expected)
        return
    # What a loop need not write may hold anything, and nothing that could be compared.
    largest = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0))
    tolerance = 64 * float(np.finfo(got.dtype).eps)
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * largest)


def test_numba_is_asked_for_its_threads_only_where_pytorch_has_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It answers behind a lock that a killed process keeps from those forked beside it."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(numba, "get_num_threads", mock.Mock(side_effect=AssertionError("asked")))
    follow_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    if torch.get_num_threads() > 1:
        with pytest.raises(AssertionError, match="asked"):
            follow_threads()


@pytest.mark.parametrize(("threads", "size"), [(1, 2**20), (2, 2**6), (2, 2**20)])
def test_only_large_work_is_shared_and_only_where_pytorch_has_threads(
    threads: int, size: int
) -> None:
    loop = next(iter(LOOPS.values()))
    with (
        mock.patch.object(loop, "alone") as alone,
        mock.patch.object(loop, "shared") as shared,
        mock.patch("torch.get_num_threads", return_value=threads),
    ):
        loop(size, 3)
    expected, other = (shared, alone) if threads > 1 and size == 2**20 else (alone, shared)
    expected.assert_called_once_with(3)
    other.assert_not_called()


@SINGLE_AND_DOUBLE
@pytest.mark.parametrize("blocks_of", [everything, some])
@pytest.mark.parametrize("aliases", [1, 3, 4, 5, 8, 16])
def test_product_is_a_sum_over_aliases(aliases: int, blocks_of: Any, dtype: DTypeLike) -> None:
    psi, x = noise(aliases, 10, 7, dtype=dtype), noise(5, aliases, 14, dtype=dtype, seed=1)
    blocks = blocks_of(psi)
    out = np.full((10, 3, 14), np.nan, dtype)
    products.product(psi, blocks, x, 1, out)
    expected = np.einsum("aln,can->lcn", masked(psi, blocks), complexes(x[1:4]))
    close(out, expected.view(np.float64))


@SINGLE_AND_DOUBLE
@pytest.mark.parametrize("blocks_of", [everything, some])
def test_ways_back_through_a_product_are_its_adjoints(blocks_of: Any, dtype: DTypeLike) -> None:
    """⟨ψ·x, y⟩ = ⟨x, ψᵀy⟩ = ⟨ψ, xᵀy⟩, as sums over the real and imaginary parts."""
    psi, x = noise(4, 6, 9, dtype=dtype), noise(5, 4, 18, dtype=dtype, seed=1)
    blocks, y = blocks_of(psi), noise(6, 3, 18, dtype=dtype, seed=2)
    out, to_x = np.empty_like(y), np.full_like(x[1:4], np.nan)
    to_psi = np.full_like(psi, np.nan)
    products.product(psi, blocks, x, 1, out)
    products.product_to_input(psi, blocks, y, to_x)
    products.product_to_filters(blocks, x, 1, y, to_psi)
    there = float((out.astype(np.float64) * y).sum())
    tolerance = 64 * float(np.finfo(np.dtype(dtype)).eps) * y.size
    assert there == pytest.approx(float((to_x.astype(np.float64) * x[1:4]).sum()), abs=tolerance)
    assert there == pytest.approx(float((to_psi.astype(np.float64) * psi).sum()), abs=tolerance)
    g, z = complexes(y), complexes(x[1:4])
    close(to_x, np.einsum("aln,lcn->can", masked(psi, blocks), g).view(np.float64))
    close(to_psi, masked(np.einsum("can,lcn->aln", z.conj(), g).real, blocks))


@SINGLE_AND_DOUBLE
def test_only_rows_that_hold_less_than_rounding_are_left_out(dtype: Any) -> None:
    eps = float(np.finfo(dtype).eps)
    psi = noise(5, 4, 30, dtype=dtype)
    psi[1, 0] = 0
    psi[3, 0] *= dtype(eps / 100)
    psi[2, 1] *= dtype(eps)
    psi[:, 2] = 0
    psi[:, 3] *= dtype(1e-12)
    blocks = products.occupied(psi)
    found = [kept[:count] for count, *kept in blocks.tolist()]
    assert found == [[0, 2, 4], [0, 1, 2, 3, 4], [], [0, 1, 2, 3, 4]]
    lost = np.linalg.norm((psi - masked(psi, blocks)).astype(np.float64), axis=(0, 2))
    assert bool((lost <= eps * np.linalg.norm(psi.astype(np.float64), axis=(0, 2))).all())


@SINGLE_AND_DOUBLE
def test_modulus_and_phase_are_those_of_complex_numbers(dtype: DTypeLike) -> None:
    z = noise(3, 22, dtype=dtype)
    z[1, :4] = 0
    alone, with_phase = np.full((2, 3, 11), np.nan, dtype)
    phase = np.full_like(z, np.nan)
    moduli.modulus(z, alone)
    moduli.modulus(z, with_phase, phase)
    size = np.abs(complexes(z))
    np.testing.assert_array_equal(alone, with_phase)
    close(alone, size)
    close(phase, (complexes(z) / np.where(size == 0, 1, size)).view(np.float64))
    gradient, out = noise(3, 11, dtype=dtype, seed=1), np.empty_like(z)
    moduli.modulus_to_input(phase, gradient, out)
    close(out, (gradient * complexes(phase)).view(np.float64))


@SINGLE_AND_DOUBLE
@pytest.mark.parametrize("grid", [(1, 12), (1, 13), (6, 8), (5, 7), (4, 9), (2, 2)])
def test_half_a_spectrum_tells_the_whole(grid: tuple[int, int], dtype: DTypeLike) -> None:
    x = noise(3, *grid, dtype=dtype)
    half = np.fft.rfft2(x).astype(np.result_type(dtype, np.complex64))
    out = np.full((3, *grid), np.nan, half.dtype)
    spectra.whole_spectrum(half, out)
    close(out, np.fft.fft2(x.astype(np.float64)))


# Grid, and factor of sub-sampling along each axis; lines have one row.
COARSER = [
    ((1, 24), (1, 1)),
    ((1, 13), (1, 1)),
    ((1, 24), (1, 4)),
    ((1, 20), (1, 4)),
    ((1, 6), (1, 6)),
    ((8, 12), (1, 1)),
    ((7, 9), (1, 1)),
    ((16, 24), (4, 4)),
    ((12, 20), (4, 4)),
    ((12, 6), (2, 2)),
    ((20, 28), (4, 4)),
    ((4, 8), (4, 4)),
]


def even(phi: Array) -> Array:
    """φ̂(ω) = φ̂(−ω), as every low-pass is."""
    m, n = phi.shape
    doubled: Array = phi + phi[-np.arange(m) % m][:, -np.arange(n) % n]
    return doubled


def half_of(spectra: Array) -> Array:
    half: Array = spectra[..., : spectra.shape[-1] // 2 + 1].copy()
    return half


@SINGLE_AND_DOUBLE
@pytest.mark.parametrize(("grid", "factors"), COARSER)
def test_averaging_sums_what_aliases(
    grid: tuple[int, int], factors: tuple[int, int], dtype: DTypeLike
) -> None:
    """Sub-sampling φ ∗ x is the inverse transform of the sum, told by half spectra."""
    m, n = (size // factor for size, factor in zip(grid, factors, strict=True))
    x, phi = noise(3, *grid, dtype=dtype), even(noise(*grid, dtype=dtype, seed=1))
    spectrum = np.fft.fft2(x.astype(np.float64))
    whole = (phi * spectrum).reshape(3, factors[0], m, factors[1], n).sum((1, 3))
    half = half_of(spectrum).astype(np.result_type(dtype, np.complex64))
    out = np.full((3, m, n // 2 + 1), np.nan, half.dtype)
    spectra.averaged(half, half_of(phi), (grid[1], n), out)
    close(out, half_of(whole))
    filtered = np.fft.ifft2(phi * spectrum).real[:, :: factors[0], :: factors[1]]
    averages = np.fft.irfft2(out.astype(np.complex128), s=(m, n)) / np.prod(factors)
    scale = np.abs(spectrum).max() * np.abs(phi).max()
    tolerance = 64 * float(np.finfo(np.dtype(dtype)).eps) * scale
    np.testing.assert_allclose(averages, filtered, rtol=0, atol=tolerance)


@SINGLE_AND_DOUBLE
@pytest.mark.parametrize(("grid", "factors"), COARSER)
def test_way_back_through_averaging_repeats_the_coarser_grid_and_is_the_adjoint(
    grid: tuple[int, int], factors: tuple[int, int], dtype: DTypeLike
) -> None:
    """⟨A x, y⟩ = ⟨x, Aᵀ y⟩ over signals: the mean over each grid is in its inverse transform."""
    m, n = (size // factor for size, factor in zip(grid, factors, strict=True))
    x, y = noise(3, *grid), noise(3, m, n, seed=2)
    phi = even(noise(*grid, dtype=dtype, seed=1))
    spectrum = np.fft.fft2(y)
    small = half_of(spectrum).astype(np.result_type(dtype, np.complex64))
    out = np.full((3, grid[0], grid[1] // 2 + 1), np.nan, small.dtype)
    spectra.averaged_to_input(small, half_of(phi), n, out)
    close(out, half_of(phi * np.tile(spectrum, (1, *factors))))
    there = np.empty((3, m, n // 2 + 1), small.dtype)
    spectra.averaged(half_of(np.fft.fft2(x)).astype(small.dtype), half_of(phi), (grid[1], n), there)
    averaged = np.fft.irfft2(there.astype(np.complex128), s=(m, n))
    back = np.fft.irfft2(out.astype(np.complex128), s=grid) * np.prod(factors)
    tolerance = 1e3 * float(np.finfo(np.dtype(dtype)).eps) * float(np.linalg.norm(averaged))
    assert (averaged * y).sum() == pytest.approx((x * back).sum(), abs=tolerance)


@SINGLE_AND_DOUBLE
def test_padding_reads_its_sources_and_its_way_back_is_the_adjoint(dtype: DTypeLike) -> None:
    """⟨P x, y⟩ = ⟨x, Pᵀ y⟩; what comes from nowhere is 0."""
    down, across = np.array([2, 1, 0, 1, 2, -1]), np.array([-1, 0, 1, 2, 3, 4, 0, -1])
    x, y = noise(2, 3, 5, dtype=dtype), noise(2, 6, 8, dtype=dtype, seed=1)
    out, back = np.full_like(y, np.nan), np.full_like(x, np.nan)
    padding.pad(x, [down, across], out)
    padding.unpad(y, [down, across], back)
    nowhere = np.pad(x, ((0, 0), (0, 1), (0, 1)))
    np.testing.assert_array_equal(out, nowhere[:, down][:, :, across])
    there, here = (out * y).sum(dtype=np.float64), (x * back).sum(dtype=np.float64)
    assert there == pytest.approx(here, abs=1e3 * float(np.finfo(np.dtype(dtype)).eps))


def torch_gain(psi: torch.Tensor, room: Array, ceiling: Array) -> tuple[torch.Tensor, torch.Tensor]:
    """E = ½Σ(|ψ̂(ω)|² + |ψ̂(−ω)|²) and min(ceiling, √(room/E))."""
    m, n = room.shape
    mirrored = psi[:, -np.arange(m) % m][:, :, -np.arange(n) % n]
    energy = 0.5 * (psi.square() + mirrored.square()).sum(0)
    reached = (torch.from_numpy(room) / energy.clamp_min(1e-100)).sqrt()
    return energy, torch.minimum(torch.from_numpy(ceiling), reached)


def bank_of_filters(grid: tuple[int, int]) -> tuple[Array, Array, Array]:
    """Filters, room and ceiling, where the bound binds at some frequencies and not at others."""
    psi, rng = noise(4, *grid), np.random.default_rng(1)
    room, ceiling = rng.uniform(0.5, 4, grid), rng.uniform(0.5, 1, grid)
    psi[:, -1, 3] = psi[:, 1 - grid[0], -3] = 0
    return psi, room, ceiling


@pytest.mark.parametrize("grid", [(1, 12), (6, 9), (5, 8)])
def test_gain_keeps_the_energy_within_its_room(grid: tuple[int, int]) -> None:
    psi, room, ceiling = bank_of_filters(grid)
    energy, gain = np.empty(grid), np.empty(grid)
    bank.bound(psi, room, ceiling, energy, gain)
    expected = torch_gain(torch.from_numpy(psi), room, ceiling)
    close(energy, expected[0].numpy())
    close(gain, expected[1].numpy())
    assert bool((gain**2 * energy <= room * (1 + 1e-12)).all())
    assert gain[-1, 3] == ceiling[-1, 3]
    assert 0 < int((gain < ceiling).sum()) < gain.size


@pytest.mark.parametrize("grid", [(1, 12), (6, 9), (5, 8)])
def test_way_back_through_the_bound_is_pytorchs(grid: tuple[int, int]) -> None:
    psi, room, ceiling = bank_of_filters(grid)
    energy, gain, weights = np.empty(grid), np.empty(grid), noise(4, *grid, seed=2)
    leaf = torch.from_numpy(psi).requires_grad_()
    within = leaf * torch_gain(leaf, room, ceiling)[1]
    (expected,) = torch.autograd.grad(within, leaf, torch.from_numpy(weights))
    bank.bound(psi, room, ceiling, energy, gain)
    bank.to_filters(psi, energy, gain, ceiling, weights)
    close(weights, expected.numpy())


FOLDS = [((1, 24), 0, 4), ((1, 24), 1, 2), ((1, 40), 3, 1), ((16, 24), 0, 4), ((24, 40), 2, 2)]


@SINGLE_AND_DOUBLE
@pytest.mark.parametrize(("grid", "level", "factor"), FOLDS)
def test_folding_crops_folds_and_casts(
    grid: tuple[int, int], level: int, factor: int, dtype: DTypeLike
) -> None:
    """And its way back is the adjoint: ⟨F ψ, y⟩ = ⟨ψ, Fᵀ y⟩."""
    psi, gain = noise(3, *grid), noise(*grid, seed=1)
    within = torch.from_numpy(gain * psi)
    line = within[:, 0] if grid[0] == 1 else within
    axes = tuple(range(1, line.dim()))
    expected = 0.3 * factor ** len(axes) * fold_filters(crop(line, level, axes), factor)
    out = np.full(tuple(expected.shape), np.nan, dtype)
    bank.fold(psi, gain, level, factor, 0.3, out)
    close(out, expected.numpy())
    y = noise(*out.shape, dtype=dtype, seed=2)
    # What is cropped is nobody's to write.
    alone, added = np.full_like(psi, 0 if level else np.nan), np.ones_like(psi)
    bank.unfold(y, level, factor, 0.3, False, alone)
    bank.unfold(y, level, factor, 0.3, True, added)
    exact = (expected.numpy() * y).sum()
    assert (alone * gain * psi).sum() == pytest.approx(exact, rel=1e-11)
    np.testing.assert_allclose(added, 1 + alone, rtol=0, atol=1e-15)


@pytest.mark.parametrize("frequencies", [1, 40])
def test_bands_are_dealt_out_to_frequencies_and_gathered_again(frequencies: int) -> None:
    """Gradients are PyTorch's, of bands times exponentials; lengths that nothing has get none."""
    rng = np.random.default_rng(3)
    index, directions = rng.integers(0, 6, frequencies), noise(3, frequencies, seed=4)
    along, linear = (torch.from_numpy(noise(3, n, seed=n)).requires_grad_() for n in (7, 3))
    window = (linear @ torch.from_numpy(directions)).exp()
    expected = along[:, torch.from_numpy(index)] * window
    psi = np.full((3, frequencies), np.nan)
    made = window.detach().numpy()
    polar.dealt_out(along.detach().numpy(), index, made, psi)
    close(psi, expected.detach().numpy())
    weights = noise(3, frequencies, seed=5)
    to_along, to_linear = np.full((3, 7), np.nan), np.full((3, 3), np.nan)
    polar.gathered(weights, psi, index, made, directions, to_along, to_linear)
    gradients = torch.autograd.grad(expected, (along, linear), torch.from_numpy(weights))
    for found, gradient in zip((to_along, to_linear), gradients, strict=True):
        close(found, gradient.numpy())
    assert not to_along[:, 6].any()
