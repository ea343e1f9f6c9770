"""What the public transforms compute: arguments, channels, averages, sampling and gradients."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scatonline import BankSpec, Scattering, Scattering1D, Scattering2D
from scatonline.config import Bound, Padding
from tests.scatonline.differences import central_differences

Make = Callable[..., Scattering]
BOUNDS: tuple[Bound, ...] = ("none", "clamp", "open", "tight")


def line(J: int = 4, shape: int = 90, Q: Any = 2, **options: Any) -> Scattering:
    return Scattering1D(J, shape, Q, **options)


def plane(J: int = 2, shape: tuple[int, int] = (14, 17), L: int = 2, **options: Any) -> Scattering:
    return Scattering2D(J, shape, L, **options)


BOTH = pytest.mark.parametrize("make", [line, plane])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def scattered(transform: Scattering, x: Tensor) -> Any:
    with torch.no_grad():
        return transform(x)


def relative(ours: Tensor, expected: Tensor) -> float:
    return float((ours - expected).norm() / expected.norm())


def test_arguments_are_the_specification() -> None:
    options: dict[str, Any] = {"family": "morlet", "bound": "none", "padding": "zero"}
    options |= {"average": "global", "oversampling": 1}
    flat = Scattering2D(3, (32, 24), 5, 1, **options)
    assert flat.spec == BankSpec(J=3, L=5, max_order=1, **options)
    assert flat.geometry.shape == (32, 24)
    long = Scattering1D(4, (90,), (3, 2), 3, aliases="sum", **options)
    assert long.spec == BankSpec(J=4, Q=(3, 2), max_order=3, aliases="sum", **options)
    assert long.geometry.shape == (90,)


def test_arguments_left_out_are_as_documented() -> None:
    assert Scattering2D(2, (16, 16)).spec == BankSpec(J=2, L=8, bound="clamp")
    spec = BankSpec(J=4, Q=(1, 1), bound="clamp", aliases="mean")
    assert Scattering1D(4, 90).spec == spec
    assert Scattering1D(4, 90, 6).spec == replace(spec, Q=(6, 1))
    assert Scattering1D(4, 90, [6, 2]).spec == replace(spec, Q=(6, 2))
    assert Scattering1D(J=4, shape=90).geometry.shape == (90,)


@BOTH
@pytest.mark.parametrize("max_order", [0, 1, 2, 3])
def test_meta_tells_what_each_channel_is(make: Make, max_order: int) -> None:
    """Order 0, order 1 by filter, order 2 by first and then second filter; also after moves."""
    transform = make() if max_order < 3 else make(4, 200) if make is line else make(3, (16, 19))
    transform = Scattering(replace(transform.spec, max_order=max_order), transform.geometry.shape)
    check_meta(transform)
    if max_order < 2:
        return
    values = transform.bank(1).values().tolist()
    with torch.no_grad():
        transform.bank(1).theta[:, -1] += 0.2
    transform.drop(1, transform.bank(1).names[1].id)
    transform.add(1, 0, values[0])
    transform.add(2, 1, values[-1])
    check_meta(transform)
    for name in list(transform.bank(2).names):
        transform.drop(2, name.id)
        check_meta(transform)


def check_meta(transform: Scattering) -> None:
    meta, banks = transform.meta(), [transform.bank(m + 1) for m in range(len(transform.banks))]
    names = [parameter.name for parameter in banks[0].family.parameters] if banks else []
    assert list(meta) == ["order", "key", "n", "j", *names]
    assert meta["order"] == [path.order for path in transform.paths]
    assert meta["key"] == [path.key for path in transform.paths]
    expected: list[tuple[int, ...]] = [()]
    for m, bank in enumerate(banks):
        expected += [
            (*rows, n)
            for rows in [rows for rows in expected if len(rows) == m]
            for n in range(len(bank))
            if not rows or bank.names[n].scale > banks[m - 1].names[rows[-1]].scale
        ]
    assert meta["n"] == expected
    for channel, rows in enumerate(meta["n"]):
        filters = [bank.names[row] for bank, row in zip(banks, rows, strict=False)]
        assert meta["order"][channel] == len(rows)
        assert meta["key"][channel] == tuple(f.id for f in filters)
        assert meta["j"][channel] == tuple(f.scale for f in filters)
        for column, name in enumerate(names):
            values = [
                bank.values().detach()[row, column] for bank, row in zip(banks, rows, strict=False)
            ]
            assert meta[name][channel] == tuple(float(v) for v in values)
    maps = scattered(transform, noise(*transform.geometry.shape))
    assert len(maps) == len(meta["key"])


@BOTH
@pytest.mark.parametrize("batch", [(), (1,), (3,), (2, 1, 2), (0,), (2, 0), (70,)])
@pytest.mark.parametrize("average", ["local", "global", "none"])
def test_batches_may_have_any_shape(make: Make, batch: tuple[int, ...], average: str) -> None:
    """None, empty, of many axes, or so large that it goes through in pieces."""
    transform = make(average=average)
    x = noise(*batch, *transform.geometry.shape)
    together, single = list(scattered(transform, x)), []
    if average != "none":
        together = list(scattered(transform, x).movedim(len(batch), 0))
    for index in np.ndindex(*batch):
        single = list(scattered(transform, x[index]))
        for u, v in zip(together, single, strict=True):
            np.testing.assert_allclose(u[index], v, rtol=0, atol=1e-12)
    assert len(together) == len(transform.paths)
    assert all(u.shape[: len(batch)] == batch for u in together)


@BOTH
def test_signals_may_lie_in_memory_in_any_way(make: Make) -> None:
    transform = make()
    shape = transform.geometry.shape
    wide = noise(3, *(2 * n for n in shape))[(slice(None), *(slice(None, None, 2) for _ in shape))]
    turned = noise(*shape, 3).movedim(-1, 0)
    repeated = noise(*shape).expand(3, *shape)
    imaginary = torch.complex(noise(3, *shape), noise(3, *shape, seed=1)).conj().imag
    for x in (wide, turned, repeated, imaginary):
        assert torch.equal(
            scattered(transform, x), scattered(transform, x.resolve_neg().contiguous())
        )


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("average", ["local", "none"])
def test_results_have_the_type_of_the_signal(make: Make, dtype: torch.dtype, average: str) -> None:
    transform = make(average=average)
    maps = transform(noise(*transform.geometry.shape).to(dtype))
    assert {u.dtype for u in maps} == {dtype}


@BOTH
@pytest.mark.parametrize("bound", BOUNDS)
def test_single_precision_follows_double_with_every_bound(make: Make, bound: Bound) -> None:
    options: dict[str, Any] = {"max_order": 1} if make is line else {"L": 3}
    transform = make(bound=bound, **options)
    x = noise(2, *transform.geometry.shape)
    thetas = list(transform.parameters())
    found = []
    for dtype in (torch.float32, torch.float64):
        maps = transform(x.to(dtype))
        found.append((maps.detach().double(), *torch.autograd.grad(maps.square().sum(), thetas)))
    for single, double in zip(*found, strict=True):
        assert relative(single, double) < 1e-5


@BOTH
def test_without_filters_the_averaged_signal_is_left(make: Make) -> None:
    """Local averages of order 0 are those of any order; global ones are the mean."""
    transform = make(max_order=0)
    x = noise(3, *transform.geometry.shape)
    only = scattered(transform, x)
    assert only.shape[1] == len(transform.paths) == 1
    np.testing.assert_allclose(only[:, 0], scattered(make(), x)[:, 0], rtol=0, atol=1e-14)
    mean = scattered(make(max_order=0, average="global"), x)
    np.testing.assert_allclose(mean[:, 0], x.flatten(1).mean(1), rtol=0, atol=1e-14)
    (signal,) = scattered(make(max_order=0, average="none"), x)
    assert torch.equal(signal, x)


@BOTH
@pytest.mark.parametrize("padding", ["reflect", "periodic", "zero", "none"])
@pytest.mark.parametrize("oversampling", [0, 1])
def test_global_average_is_the_mean_of_the_moduli_over_the_signal(
    make: Make, padding: Padding, oversampling: int
) -> None:
    sizes: Any = (96, (16, 20)) if padding == "none" else (90, (14, 17))
    moduli, means = (
        make(shape=sizes[make is plane], average=a, padding=padding, oversampling=oversampling)
        for a in ("none", "global")
    )
    x = noise(2, *moduli.geometry.shape)
    assert means.geometry.output_shape == ()
    expected = [u.flatten(1).mean(1) for u in scattered(moduli, x)]
    np.testing.assert_allclose(scattered(means, x), torch.stack(expected, 1), rtol=0, atol=1e-14)


@BOTH
@pytest.mark.parametrize("oversampling", [0, 1, 9])
def test_moduli_are_as_many_as_their_scale_needs(make: Make, oversampling: int) -> None:
    """A path whose last filter has scale j keeps every 2^(j − oversampling)-th sample."""
    transform = make(average="none", oversampling=oversampling)
    shape = transform.geometry.shape
    maps = scattered(transform, noise(2, *shape))
    for scales, u in zip(transform.meta()["j"], maps, strict=True):
        stride = 2 ** max(min(scales[-1], transform.spec.J) - oversampling, 0) if scales else 1
        before = [(p - n) // 2 for p, n in zip(transform.geometry.padded, shape, strict=True)]
        for size, n, b in zip(u.shape[1:], shape, before, strict=True):
            # Over space a step that ends beyond the signal is left out, as in Kymatio.
            end = b + n if len(shape) == 1 else b + n - stride + 1
            assert size == len([k for k in range(b, end) if k % stride == 0])
    assert maps[0].shape == (2, *shape)


def smooth(*shape: int) -> Tensor:
    """Noise of the lower half of the frequencies."""
    spectrum = torch.fft.fftn(noise(*shape))
    for axis, n in enumerate(shape):
        low = (torch.fft.fftfreq(n).abs() <= 0.25).double()
        spectrum = spectrum * low.view([-1 if a == axis else 1 for a in range(len(shape))])
    x: Tensor = torch.fft.ifftn(spectrum).real
    return x


@pytest.mark.parametrize(
    ("make", "shape", "J", "tolerances"),
    [(plane, (32, 32), 3, (2.5e-2, 1.5e-3, 1e-12)), (line, (256,), 4, (1e-3, 1e-4, 1e-6, 1e-12))],
)
def test_oversampling_is_denser_and_hardly_different(
    make: Make, shape: tuple[int, ...], J: int, tolerances: tuple[float, ...]
) -> None:
    """What a modulus has beyond its grid's Nyquist frequency: measured, falls with every octave."""
    options: dict[str, Any] = {"bound": "none", "padding": "periodic", "L": 4, "aliases": "sum"}
    del options["aliases" if make is plane else "L"]
    x = smooth(*shape)
    size = shape if len(shape) == 2 else shape[0]
    full = scattered(make(J, size, oversampling=J, **options), x)
    assert full.shape[1:] == shape
    for oversampling, tolerance in enumerate(tolerances):
        maps = scattered(make(J, size, oversampling=oversampling, **options), x)
        step = slice(None, None, 2 ** (J - oversampling))
        common = full[(slice(None), *(step for _ in shape))]
        assert maps.shape == common.shape
        assert relative(maps, common) < tolerance


@pytest.mark.parametrize("average", ["local", "none"])
def test_mean_of_aliases_divides_by_the_sub_sampling_of_what_is_filtered(average: str) -> None:
    """By 2^level for every filter, φ included, that acts on that level."""
    total, mean = (line(Q=(3, 2), max_order=3, aliases=a, average=average) for a in ("sum", "mean"))
    x = noise(90)
    maps = zip(scattered(mean, x), scattered(total, x), total.meta()["j"], strict=True)
    for ours, theirs, scales in maps:
        acted_on = scales if average == "local" else scales[:-1]
        np.testing.assert_allclose(ours, theirs * 2.0 ** -sum(acted_on), rtol=1e-12)


@pytest.mark.parametrize("padding", ["reflect", "periodic", "zero"])
@pytest.mark.parametrize("shape", [(8, 8), (9, 31), (11, 13), (40, 9)])
def test_small_and_odd_images_have_a_pixel_for_every_whole_step(
    shape: tuple[int, int], padding: Padding
) -> None:
    maps = scattered(plane(shape=shape, padding=padding), noise(2, *shape))
    assert maps.shape == (2, 9, shape[0] // 4, shape[1] // 4)
    assert bool(torch.isfinite(maps).all())


@pytest.mark.parametrize("padding", ["reflect", "periodic", "zero"])
@pytest.mark.parametrize("shape", [16, 17, 31, 101])
def test_short_and_odd_signals_have_a_sample_for_every_begun_step(
    shape: int, padding: Padding
) -> None:
    transform = line(J=3, shape=shape, padding=padding)
    maps = scattered(transform, noise(2, shape))
    assert maps.shape == (2, len(transform.paths), *transform.geometry.output_shape)
    assert abs(maps.shape[-1] - shape / 8) <= 1
    assert bool(torch.isfinite(maps).all())


@BOTH
@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("average", ["local", "none"])
def test_gradients_are_central_differences(make: Make, bound: Bound, average: str) -> None:
    """Of every θ of every layer, and of the signal, after θ has moved."""
    order = 1 if make is line and bound == "tight" else 2
    sizes: dict[str, Any] = {"J": 3, "shape": 33} if make is line else {"shape": (9, 11), "L": 3}
    transform = make(bound=bound, max_order=order, average=average, **sizes)
    thetas = [transform.bank(m + 1).theta for m in range(order)]
    with torch.no_grad():
        for theta in thetas:
            theta.add_(0.3 * noise(*theta.shape))
    x = noise(*transform.geometry.shape).requires_grad_()

    def loss(signal: Tensor) -> Tensor:
        maps = transform(signal)
        return torch.stack([(noise(*u.shape, seed=9) * u).sum() for u in maps]).sum()

    found = torch.autograd.grad(loss(x), [x, *thetas])
    expected = [central_differences(loss, x.detach())]
    for theta in thetas:
        still = theta.detach().clone()

        def moved(at: Tensor, theta: Tensor = theta) -> Tensor:
            theta.data.copy_(at)
            return loss(x)

        expected.append(central_differences(moved, still))
        theta.data.copy_(still)
    for ours, theirs in zip(found, expected, strict=True):
        assert bool((ours != 0).any())
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * float(theirs.abs().max()))


def texture(warp: float) -> Tensor:
    """A band-limited image x(u − τ(u)), evaluated as a sum of waves; |∇τ| ≤ warp."""
    rng, n = np.random.default_rng(0), 32
    waves = [w for w in np.ndindex(27, 27) if 10 <= math.hypot(w[0] - 13, w[1] - 13) <= 13]
    u = torch.arange(n, dtype=torch.float64) * 2 * math.pi / n
    rows, columns = u[:, None] + warp * torch.sin(u), u + warp * torch.sin(u)[:, None]
    image = torch.zeros(n, n, dtype=torch.float64)
    for (a, b), size, phase in zip(
        waves, rng.standard_normal(len(waves)), rng.uniform(0, 7, len(waves)), strict=True
    ):
        image += size * torch.cos((a - 13) * rows + (b - 13) * columns + phase)
    return image


def test_deformations_change_coefficients_in_proportion_and_little() -> None:
    """‖S x_τ − S x‖ ≤ C |∇τ| ‖S x‖; the modulus of the Fourier transform has no such bound."""
    transform = Scattering2D(3, (32, 32), 6, padding="periodic")
    still = texture(0)
    before, spectrum = scattered(transform, still), torch.fft.fft2(still).abs()
    sizes, changes = (0.01, 0.02, 0.04, 0.08, 0.16), []
    for size in sizes:
        warped = texture(size)
        changes.append(relative(scattered(transform, warped), before))
        assert changes[-1] < 0.7 * size
        assert relative(torch.fft.fft2(warped).abs(), spectrum) > 6 * changes[-1]
    assert all(1.7 < b / a < 2.05 for a, b in pairwise(changes))
