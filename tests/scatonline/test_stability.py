"""The claims of docs/stability.md, by number, for every family and wherever θ has moved to."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.stability import __main__ as command
from benchmarks.stability import measure, solution
from benchmarks.stability.deform import Warp, random_warp
from benchmarks.stability.torus import scattered
from scatonline import BankSpec, Scattering, stability
from scatonline.config import Average, Bound, Padding
from scatonline.errors import ConfigError
from scatonline.families import FAMILIES
from scatonline.fourier import pad
from scatonline.stability import Deformation, Kernels

SHAPES = {1: (64,), 2: (16, 16)}
SCALES = {1: 3, 2: 2}
EVERY = [pytest.param(name, d, id=f"{name}-{d}-D") for name, d in FAMILIES]
LINES = sorted(name for name, d in FAMILIES if d == 1)


def transform(
    family: str,
    dimensions: int,
    *,
    oversampling: int = 3,
    seed: int = 0,
    padding: Padding = "none",
    bound: Bound = "open",
    average: Average = "local",
    max_order: int = 2,
) -> Scattering:
    """With the filters that a family starts with for seed 0, moved ones for others."""
    spec = BankSpec(
        family=family,
        J=SCALES[dimensions],
        L=3,
        Q=(2, 1),
        padding=padding,
        oversampling=oversampling,
        bound=bound,
        average=average,
        max_order=max_order,
    )
    made = Scattering(spec, SHAPES[dimensions]).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for layer in range(1, max_order + 1):
        theta = made.bank(layer).theta
        way = torch.randn(theta.shape, generator=generator, dtype=torch.float64)
        theta.add_(0.5 * bool(seed) * way)
    return made


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Of mean 0."""
    drawn = torch.from_numpy(np.random.default_rng(seed).standard_normal((1, *shape)))
    return drawn - drawn.mean()


def smooth(x: Tensor) -> Tensor:
    """As an image's spectrum falls; nothing at the highest frequency, which has no direction."""
    axes = tuple(range(1, x.dim()))
    total, keep = torch.ones_like(x[0]), torch.ones_like(x[0])
    for axis, n in enumerate(x.shape[1:]):
        number = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
        place = [-1 if i == axis else 1 for i in range(len(axes))]
        total = total + number.square().view(place)
        keep = keep * (number.abs() < n / 2).view(place)
    found: Tensor = torch.fft.ifftn(
        torch.fft.fftn(x, dim=axes) * keep / total.sqrt(), dim=axes
    ).real
    return found


def signals(dimensions: int) -> list[Tensor]:
    shape = SHAPES[dimensions]
    impulse = torch.zeros(1, *shape, dtype=torch.float64)
    impulse[(0, *(n // 3 for n in shape))] = 1
    wave = torch.cos(torch.arange(shape[-1]).double() * 2 * math.pi / 8).expand(1, *shape)
    found = [noise(*shape), smooth(noise(*shape, seed=1)), impulse, wave.contiguous()]
    return [x / x.norm() for x in found]


def still(dimensions: int, finer: int) -> Warp:
    shape = SHAPES[dimensions]
    tau = torch.zeros(dimensions, *(finer * n for n in shape), dtype=torch.float64)
    return Warp(tau, 0.0, 0.0, shape)


def shifted_warp(warp: Warp, by: float) -> Warp:
    tau = warp.tau + by
    return Warp(tau, warp.gradient, float(tau.norm(dim=0).max()), warp.size)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("family", "dimensions"), EVERY)
def test_claim_1_distances_never_grow(family: str, dimensions: int, seed: int) -> None:
    made = transform(family, dimensions, seed=seed)
    for layer in (1, 2):
        assert float(made.bank(layer).littlewood_paley().max()) <= 1 + 1e-10
    assert stability.lipschitz(made) <= 1 + 1e-10
    every = signals(dimensions)
    other = noise(*SHAPES[dimensions], seed=7)
    for x in every:
        for y in (*every[:2], -x, 0 * x, x + 1e-5 * other, x + 1e-2 * other):
            before = float((x - y).norm())
            assert float(measure.apart(made, x, y)) <= (1 + 1e-9) * before
    assert measure.worst(made, every[1], 6) <= 1 + 1e-9
    # Nothing smaller would do: means go through whole.
    assert float(measure.apart(made, every[0] + 1, every[0])) == pytest.approx(
        math.sqrt(every[0].numel()), rel=1e-9
    )


@pytest.mark.parametrize(("oversampling", "seed"), [(0, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize(("family", "dimensions"), EVERY)
def test_claim_2_sub_sampling_stretches_by_no_more_than_its_factor(
    family: str, dimensions: int, oversampling: int, seed: int
) -> None:
    made = transform(family, dimensions, oversampling=oversampling, seed=seed)
    most = stability.lipschitz(made)
    assert most >= 1 - 1e-12
    for x in signals(dimensions)[:2]:
        assert measure.worst(made, x, 5) <= most * (1 + 1e-9)
    x, y = (noise(*SHAPES[dimensions], seed=s) for s in (1, 2))
    assert measure.far(made, [torch.cat((x, y))]) <= most * (1 + 1e-9)


@pytest.mark.parametrize("family", ["morlet", "daubechies"])
@pytest.mark.parametrize("dimensions", [1, 2])
def test_claim_2_is_exact_for_what_is_linear(family: str, dimensions: int) -> None:
    """Order 0 alone: the factor is the norm of the matrix of averages, aliases and all."""
    made = transform(family, dimensions, oversampling=0, max_order=0)
    size = math.prod(SHAPES[dimensions])
    impulses = torch.eye(size, dtype=torch.float64).view(size, *SHAPES[dimensions])
    matrix = made(impulses).flatten(1)
    norm = float(torch.linalg.matrix_norm(matrix, ord=2)) * 2 ** (
        SCALES[dimensions] * dimensions / 2
    )
    assert stability.lipschitz(made) == pytest.approx(norm, rel=1e-10)


@pytest.mark.parametrize(("family", "dimensions"), EVERY)
def test_claim_3_padding_repeats_samples(family: str, dimensions: int) -> None:
    made = transform(family, dimensions, oversampling=0, padding="reflect")
    most = stability.lipschitz(made) * math.sqrt(stability.repeats(made))
    for x in signals(dimensions):
        padded = pad(x, made.geometry.padded, "reflect")
        assert float(padded.square().sum()) <= stability.repeats(made) * float(x.square().sum())
    assert measure.worst(made, signals(dimensions)[1], 5, mean_free=False) <= most * (1 + 1e-9)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("family", "dimensions"), EVERY)
def test_claim_4_a_shift_moves_coefficients_as_far_as_it_moves_phi(
    family: str, dimensions: int, seed: int
) -> None:
    made = transform(family, dimensions, seed=seed)
    phi = stability.low_pass(made)
    kernel, axes = torch.fft.ifftn(phi).real, tuple(range(dimensions))
    for shift in ((1, 0), (2, 2), (-5, 3)):
        c = shift[:dimensions]
        most = stability.translation(made, c)
        moved = float((torch.roll(kernel, c, axes) - kernel).abs().sum())
        assert most <= math.sqrt(3) * moved * (1 + 1e-9)
        for x in signals(dimensions):
            centred = x - x.mean()
            assert measure.shifted(made, centred, c) <= most * (1 + 1e-9)
            # The mean takes no part in it.
            apart = measure.apart(made, torch.roll(x + 3, c, tuple(a + 1 for a in axes)), x + 3)
            assert float(apart) <= most * float(centred.norm()) * (1 + 1e-9)


@pytest.mark.parametrize("gradient", [0.02, 0.2])
@pytest.mark.parametrize("family", LINES)
def test_claim_5_filters_and_deformations_nearly_commute(family: str, gradient: float) -> None:
    """The largest of all signals, by matrices: over time, on a grid four times as fine."""
    finer, (n,) = 4, SHAPES[1]
    size = finer * n
    for seed in (0, 1):
        made = transform(family, 1, seed=seed)
        bounds = Deformation.of(made)
        own = shifted_warp(random_warp((n,), gradient, 2, seed, finer), 1.7)
        fine = Warp(finer * own.tau, own.gradient, finer * own.displacement, (size,))
        waves = torch.fft.ifft(torch.eye(size, dtype=torch.complex128), norm="ortho")
        number = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64)
        waves = waves[number.abs() < 1.4 * n]
        moved = fine(waves)

        def filtered(x: Tensor, spectrum: Tensor) -> Tensor:
            found: Tensor = torch.fft.ifft(torch.fft.fft(x) * stability.continued(spectrum, finer))
            return found

        for layer, kernels in zip((1, 2), bounds.layers, strict=True):
            spectra = torch.cat(list(made.bank(layer).spectra().values()))
            for spectrum, most in zip(spectra, bounds.commutators(kernels, gradient), strict=True):
                apart = filtered(moved, spectrum) - fine(filtered(waves, spectrum))
                norm = float(torch.linalg.matrix_norm(apart, ord=2))
                assert norm <= float(most)
                # For little deformation no empty bound, as one deformation already shows.
                assert seed or gradient > 0.02 or norm >= 0.15 * float(most)
        average = filtered(moved - waves, stability.low_pass(made))
        most_moved = bounds.averages(own.gradient, own.displacement)
        assert float(torch.linalg.matrix_norm(average, ord=2)) <= most_moved


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("family", "dimensions"), EVERY)
def test_claim_6_deformations_move_coefficients_in_proportion(
    family: str, dimensions: int, seed: int
) -> None:
    finer = 4
    made = transform(family, dimensions, seed=seed)
    bounds = Deformation.of(made)
    for gradient, by in ((0.0, 0.5), (0.02, 0.0), (0.2, 0.0), (0.2, 1.5)):
        drawn = random_warp(SHAPES[dimensions], max(gradient, 1e-12), 2, seed, finer)
        warp = shifted_warp(drawn, by)
        most = bounds.bound(warp.gradient, warp.displacement)
        for x in signals(dimensions)[:2]:
            before, after = still(dimensions, finer)(x), warp(x)
            apart = scattered(made, after, finer) - scattered(made, before, finer)
            assert float(apart.norm()) <= most * float(before.norm())


@pytest.mark.parametrize(("family", "dimensions"), EVERY)
def test_claim_6_filters_keep_the_frame_bound_beyond_the_grid(family: str, dimensions: int) -> None:
    for seed in (0, 1):
        made, axes = transform(family, dimensions, seed=seed), tuple(range(dimensions))
        phi = stability.continued(stability.low_pass(made), 4)
        for layer in (1, 2):
            total = torch.zeros_like(phi)
            for spectrum in torch.cat(list(made.bank(layer).spectra().values())):
                total += stability.continued(spectrum, 4).square()
            mirrored = torch.roll(torch.flip(total, axes), (1,) * dimensions, axes)
            assert float((phi.square() + 0.5 * (total + mirrored)).max()) <= 1 + 1e-10


@pytest.mark.parametrize(("family", "dimensions"), EVERY)
def test_claim_7_on_the_grid_itself(family: str, dimensions: int) -> None:
    """Coefficients move less than the signal; and within claim 6 and what sampling costs."""
    made, finer = transform(family, dimensions), 4
    bounds = Deformation.of(made)
    phi = stability.low_pass(made)
    for axis, n in enumerate(phi.shape):
        assert float(phi.select(axis, n // 2).abs().max()) <= 1e-5
    keep = tuple(slice(None, None, finer) for _ in range(dimensions))
    for x in signals(dimensions)[:2]:
        for gradient in (0.02, 0.2):
            warp = random_warp(SHAPES[dimensions], gradient, 2, 3, finer)
            fine = still(dimensions, finer)(x), warp(x)
            (before, after) = (f[:, *keep] for f in fine)
            torch.testing.assert_close(before, x, rtol=0, atol=1e-12)
            apart = float(measure.apart(made, after, before))
            assert apart <= float((after - before).norm()) * (1 + 1e-9)
            gaps = sum(
                float((scattered(made, f, finer)[:, :, *keep] - made(f[:, *keep])).norm())
                for f in fine
            )
            most = bounds.bound(warp.gradient, warp.displacement)
            assert apart <= most * float(x.norm()) + gaps


@pytest.mark.parametrize("dimensions", [1, 2])
def test_integrals_over_kernels_hardly_depend_on_the_grid(dimensions: int) -> None:
    made = transform("daubechies", dimensions)
    spectra = made.bank(1).spectra()[0]
    coarse, fine = Kernels.of(spectra, 4), Kernels.of(spectra, 8)
    for name in ("mass", "slope", "moment"):
        np.testing.assert_allclose(getattr(coarse, name), getattr(fine, name), rtol=0.01)


def test_integrals_of_a_gaussian_are_known() -> None:
    sigma, n = 2.5, 64
    omega = 2 * math.pi * torch.fft.fftfreq(n, dtype=torch.float64)
    row = torch.exp(-0.5 * (sigma * omega).square())
    found = Kernels.of(torch.outer(row, row)[None])
    assert float(found.mass) == pytest.approx(1, rel=1e-6)
    assert float(found.slope) == pytest.approx(math.sqrt(math.pi / 2) / sigma, rel=1e-3)
    assert float(found.moment) == pytest.approx(2, rel=1e-3)


def test_what_has_no_bound_is_refused() -> None:
    whole = transform("morlet", 2)
    with pytest.raises(ConfigError, match="local averages"):
        stability.lipschitz(transform("morlet", 2, average="global"))
    for refused in (stability.Deformation.of, lambda t: stability.translation(t, (1, 0))):
        with pytest.raises(ConfigError, match="keeps every sample"):
            refused(transform("morlet", 2, oversampling=1))
    with pytest.raises(ConfigError, match="frame bound"):
        Deformation.of(transform("morlet", 2, bound="none"))
    with pytest.raises(ConfigError, match="0 to below 1"):
        Deformation.of(whole).bound(1.0, 0.0)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_warps_are_exact(dimensions: int) -> None:
    shape = SHAPES[dimensions]
    x, axes = smooth(noise(*shape)), tuple(range(1, dimensions + 1))
    shift = shifted_warp(still(dimensions, 1), 3.0)
    np.testing.assert_allclose(shift(x), torch.roll(x, (3,) * dimensions, axes), atol=1e-12)
    coarse, fine = (random_warp(shape, 0.1, 2, 5, finer) for finer in (1, 4))
    keep = (slice(None), *(slice(None, None, 4) for _ in shape))
    np.testing.assert_allclose(fine.tau[keep], coarse.tau, atol=1e-12)
    slope = torch.diff(fine.tau[0], dim=0) * 4
    assert float(slope.abs().max()) <= 0.1 * 1.001


def learned(angle: float, spectra: Tensor) -> solution.Learned:
    flat = spectra / spectra.norm(dim=1, keepdim=True)
    angles = np.full(len(flat), angle)
    return solution.Learned(angles, 0 * angles, angles[:, None] + 1, flat.numpy())


def test_agreement_of_runs() -> None:
    start = learned(0.0, torch.eye(4, 9).double() + 0.1)
    spectra = torch.eye(4, 9).double() + 0.2
    same = solution.agreement(start, [learned(0.1, spectra), learned(0.1, spectra)])
    assert same.angle_spread_deg == pytest.approx(0, abs=1e-6)
    assert same.angle_moved_deg == pytest.approx(math.degrees(0.1))
    assert same.matched_distance == pytest.approx(0, abs=1e-12)
    assert same.own == 1
    assert same.cosine_theta == pytest.approx(1)
    assert same.cosine_spectra == pytest.approx(1)
    opposite = solution.agreement(start, [learned(0.1, spectra), learned(-0.1, spectra)])
    assert opposite.cosine_theta == pytest.approx(-1)
    # Angles are read modulo π, and filters that have changed places are matched.
    around = np.array([[0.05], [math.pi - 0.05]])
    assert solution.circular_std(around) == pytest.approx(0.05, rel=1e-3)
    distance, own = solution.matched(start.spectra, start.spectra[[1, 0, 2, 3]])
    assert distance == pytest.approx(0, abs=1e-12)
    assert own == 0.5


def test_the_command_prints_tables_and_writes_them(
    shared_recording: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = {shared_recording(name).parent for name in ("v4_we_days1to3.npz", "flexemg_s1.npz")}
    folder |= {shared_recording("kth_tips_480.npz").parent}
    out = tmp_path / "results" / "stability.json"
    arguments = ["--quick", "--parts", "line", "--families", "steerable", "--out", str(out)]
    command.main([*arguments, "--data", str(folder.pop())])
    assert "| steerable |" in capsys.readouterr().out
    assert json.loads(out.read_text())["within_bounds"] is True
