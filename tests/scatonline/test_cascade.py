"""Laws of the transform, and agreement with the plain way to compute it."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from scatonline.config import BankSpec, Bound, Padding
from scatonline.errors import ConfigError, ShapeError
from scatonline.scattering import Scattering
from tests.scatonline.plain import plain_scattering

BOUNDS: tuple[Bound, ...] = ("clamp", "open", "tight")
PADDINGS: tuple[Padding, ...] = ("reflect", "periodic", "zero")
# A transform that is never sub-sampled and never padded: the one that the theory speaks about.
PLANE = BankSpec(J=3, L=3, padding="periodic", oversampling=3)
LINE = BankSpec(J=3, Q=(2,), padding="periodic", oversampling=3)
# A tight bank must cover every frequency; deeper layers have no filters fine enough for that.
TIGHT_ORDERS = {2: 2, 1: 1}
FULL = [pytest.param(PLANE, (16, 8), id="plane"), pytest.param(LINE, (64,), id="line")]


def bounds_and_orders(dimensions: int, bounds: Sequence[Bound]) -> list[tuple[Bound, int]]:
    """All that can be made."""
    return [
        (bound, order)
        for bound in bounds
        for order in (1, 2, 3)
        if bound != "tight" or order <= TIGHT_ORDERS[dimensions]
    ]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def compare_with_plain(spec: BankSpec, shape: tuple[int, ...]) -> None:
    transform = Scattering(spec, shape)
    x = noise(*shape)
    with torch.no_grad():
        ours = transform(x).numpy()
    plain = plain_scattering(transform, x.numpy())
    keys = transform.meta()["key"]
    assert set(keys) == set(plain)
    largest = float(np.abs(ours).max())
    for key, channel in zip(keys, ours, strict=True):
        np.testing.assert_allclose(channel, plain[key], rtol=0, atol=1e-13 * largest)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("oversampling", [0, 1, 3])
@pytest.mark.parametrize("shape", [(16, 16), (19, 30)])
def test_plane_by_the_plain_route(
    shape: tuple[int, int], oversampling: int, padding: Padding
) -> None:
    compare_with_plain(BankSpec(J=3, L=2, padding=padding, oversampling=oversampling), shape)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("oversampling", [0, 1, 3])
@pytest.mark.parametrize("shape", [(64,), (53,)])
def test_line_by_the_plain_route(shape: tuple[int], oversampling: int, padding: Padding) -> None:
    compare_with_plain(BankSpec(J=3, Q=(3, 2), padding=padding, oversampling=oversampling), shape)


@pytest.mark.parametrize(
    ("shape", "bound", "max_order"),
    [
        (shape, bound, order)
        for shape in ((24, 17), (100,))
        for bound, order in bounds_and_orders(len(shape), ("none", *BOUNDS))
    ],
)
def test_every_order_and_bound_by_the_plain_route(
    shape: tuple[int, ...], bound: Bound, max_order: int
) -> None:
    compare_with_plain(BankSpec(J=3, L=2, Q=(2,), bound=bound, max_order=max_order), shape)


def test_plain_route_after_moves() -> None:
    """Also when a scale has lost all its filters and another has got a new one."""
    transform = Scattering(BankSpec(J=3, L=2), (16, 16))
    for name in ("1/j1/0", "1/j1/1", "2/j2/0"):
        transform.drop(int(name[0]), name)
    transform.add(1, 0, [0.3, 2.0, 0.9, 1.5])
    x = noise(16, 16)
    with torch.no_grad():
        ours = transform(x).numpy()
    plain = plain_scattering(transform, x.numpy())
    assert set(transform.meta()["key"]) == set(plain)
    for key, channel in zip(transform.meta()["key"], ours, strict=True):
        np.testing.assert_allclose(channel, plain[key], rtol=0, atol=1e-12)


# Families whose low-pass is no product of lines, averaged through spectra; and one over time.
OTHERS = pytest.mark.parametrize("family", ["daubechies", "coiflet", "lattice", "steerable"])


@OTHERS
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("oversampling", "max_order"), [(0, 2), (1, 1), (3, 2)])
@pytest.mark.parametrize("shape", [(16, 16), (19, 30), (53,)])
def test_other_families_by_the_plain_route(
    family: str, shape: tuple[int, ...], oversampling: int, max_order: int, padding: Padding
) -> None:
    spec = BankSpec(family, 3, 2, (2,), max_order, padding, oversampling=oversampling)
    compare_with_plain(spec, shape)


@OTHERS
@pytest.mark.parametrize("bound", ["none", "clamp", "tight"])
def test_every_bound_of_other_families_by_the_plain_route(family: str, bound: Bound) -> None:
    compare_with_plain(BankSpec(family, 2, 2, max_order=1, bound=bound), (24, 17))


@pytest.mark.parametrize("batch", [(), (1,), (3,), (2, 9)])
@pytest.mark.parametrize("family", ["morlet", "daubechies"])
@pytest.mark.parametrize("shape", [(16, 16), (40,)])
def test_batches_are_their_signals(
    family: str, shape: tuple[int, ...], batch: tuple[int, ...]
) -> None:
    transform = Scattering(BankSpec(family, J=2, L=2, Q=(2,)), shape)
    x = noise(*batch, *shape)
    with torch.no_grad():
        together = transform(x)
        assert together.shape[: len(batch)] == batch
        for index in np.ndindex(*batch):
            np.testing.assert_allclose(together[index], transform(x[index]), rtol=0, atol=1e-13)


@pytest.mark.parametrize("shape", [(16, 16), (40,)])
def test_single_precision_follows_double(shape: tuple[int, ...]) -> None:
    transform = Scattering(BankSpec(J=2, L=3, Q=(2,)), shape)
    x = noise(*shape)
    with torch.no_grad():
        single, double = transform(x.float()), transform(x)
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    np.testing.assert_allclose(single, double, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("spec", "shape"), FULL)
@pytest.mark.parametrize("bound", ["none", *BOUNDS])
def test_a_shifted_signal_has_shifted_coefficients(
    spec: BankSpec, shape: tuple[int, ...], bound: Bound
) -> None:
    max_order = TIGHT_ORDERS[len(shape)] if bound == "tight" else 3
    transform = Scattering(replace(spec, bound=bound, max_order=max_order), shape)
    x = noise(*shape)
    axes = tuple(range(len(shape)))
    with torch.no_grad():
        still = transform(x)
        for shift in ((1, 5), (7, -3)):
            moved = transform(torch.roll(x, shift[: len(shape)], axes))
            expected = torch.roll(still, shift[: len(shape)], tuple(a + 1 for a in axes))
            assert float((moved - expected).abs().max()) < 1e-12


@pytest.mark.parametrize(("spec", "shape"), [(PLANE, (32, 32)), (LINE, (256,))])
def test_coefficients_depend_less_on_position_the_wider_the_averaging(
    spec: BankSpec, shape: tuple[int, ...]
) -> None:
    """‖S T_c x − S x‖ falls with J, and stays below ‖T_c φ − φ‖₁ · √(orders) · ‖x‖."""
    x, axes = noise(*shape), tuple(range(len(shape)))
    shift = (2,) * len(shape)
    changes = []
    for J in range(1, 5):
        wider = replace(spec, J=J, oversampling=J, bound="clamp", max_order=1)
        transform = Scattering(wider, shape)
        with torch.no_grad():
            change = transform(torch.roll(x, shift, axes)) - transform(x)
        changes.append(float(change.norm() / x.norm()))
        kernel = torch.fft.ifftn(transform.bank(1).family.low_pass()).real
        moved = (torch.roll(kernel, shift, axes) - kernel).abs().sum()
        assert changes[-1] <= float(moved) * math.sqrt(2)
    assert all(later < 0.7 * earlier for earlier, later in pairwise(changes))


def pairs(shape: tuple[int, ...]) -> list[tuple[Tensor, Tensor]]:
    """Signals far from each other and signals close to each other."""
    x, other = noise(*shape, seed=1), noise(*shape, seed=2)
    impulse = torch.zeros(shape, dtype=torch.float64)
    impulse[(0,) * len(shape)] = 5.0
    wave = torch.cos(torch.arange(shape[-1]).double() * 2 * math.pi / 4).expand(shape).contiguous()
    return [
        (x, other),
        (x, -x),
        (x, torch.zeros_like(x)),
        (x, torch.roll(x, 1, -1)),
        (impulse, torch.roll(impulse, 3, -1)),
        (wave, torch.roll(wave, 1, -1)),
        (wave, 1.001 * wave),
        (x, x + 1e-4 * other),
        (wave, wave + 1e-6 * x),
    ]


def assert_distances_never_grow(transform: Scattering) -> None:
    x, y = (torch.stack(signals) for signals in zip(*pairs(transform.geometry.shape), strict=True))
    with torch.no_grad():
        apart = (transform(x) - transform(y)).flatten(1).norm(dim=1)
    before = (x - y).flatten(1).norm(dim=1)
    assert bool((apart <= (1 + 1e-9) * before).all())


@pytest.mark.parametrize(
    ("spec", "shape", "bound", "max_order"),
    [
        (spec, shape, bound, order)
        for spec, shape in ((PLANE, (16, 8)), (LINE, (64,)))
        for bound, order in bounds_and_orders(len(shape), BOUNDS)
    ],
)
def test_distances_never_grow(
    spec: BankSpec, shape: tuple[int, ...], bound: Bound, max_order: int
) -> None:
    """‖Sx − Sy‖ ≤ ‖x − y‖ over all paths; paths that do not get coarser may be left out."""
    transform = Scattering(replace(spec, bound=bound, max_order=max_order), shape)
    assert_distances_never_grow(transform)


@pytest.mark.parametrize(("spec", "shape"), FULL)
def test_distances_never_grow_after_moves_and_steps(spec: BankSpec, shape: tuple[int, ...]) -> None:
    transform = Scattering(replace(spec, bound="open"), shape)
    bank = transform.bank(1)
    with torch.no_grad():
        bank.theta.add_(0.5 * noise(*bank.theta.shape))
        for scale in bank.scales:
            transform.add(1, scale, bank.values()[bank.rows(scale)[0]].tolist())
    assert_distances_never_grow(transform)


@pytest.mark.parametrize(("spec", "shape"), FULL)
def test_tight_bank_keeps_the_energy(spec: BankSpec, shape: tuple[int, ...]) -> None:
    """‖x ∗ φ‖² + Σ ‖x ∗ ψ‖² = ‖x‖², one layer."""
    bank = Scattering(replace(spec, bound="tight", max_order=1), shape).bank(1)
    x = noise(*shape)
    spectrum = torch.fft.fftn(x)
    low = bank.family.low_pass()
    with torch.no_grad():
        filters = [low, *(psi for group in bank.spectra().values() for psi in group)]
    energy = sum(float(torch.fft.ifftn(spectrum * f).abs().square().sum()) for f in filters)
    assert math.isclose(energy, float(x.square().sum()), rel_tol=1e-10)


@pytest.mark.parametrize(("spec", "shape"), FULL)
def test_more_orders_hold_more_energy_but_never_more_than_the_signal(
    spec: BankSpec, shape: tuple[int, ...]
) -> None:
    x = noise(*shape)
    energies = []
    for m in (1, 2, 3):
        with torch.no_grad():
            maps = Scattering(replace(spec, bound="clamp", max_order=m), shape)(x)
        energies.append(float(maps.square().sum() / x.square().sum()))
    assert energies == sorted(energies)
    assert energies[-1] <= 1 + 1e-12


def test_blank_signal_has_blank_coefficients_and_finite_gradients() -> None:
    transform = Scattering(BankSpec(J=2, L=2), (16, 16))
    maps = transform(torch.zeros(16, 16, dtype=torch.float64))
    assert float(maps.detach().abs().max()) == 0
    torch.autograd.backward(maps.sum())
    for bank in (transform.bank(1), transform.bank(2)):
        assert bank.theta.grad is not None
        assert bool(torch.isfinite(bank.theta.grad).all())


def test_orders_are_homogeneous() -> None:
    """S(cx) = c·Sx for c ≥ 0; the sign of x shows in order 0 only."""
    transform = Scattering(BankSpec(J=2, L=2), (16, 16))
    x = noise(16, 16)
    with torch.no_grad():
        once, thrice, minus = transform(x), transform(3 * x), transform(-x)
    np.testing.assert_allclose(thrice, 3 * once, atol=1e-12)
    np.testing.assert_allclose(minus[0], -once[0], atol=1e-12)
    np.testing.assert_allclose(minus[1:], once[1:], atol=1e-12)


@pytest.mark.parametrize(
    ("x", "named"),
    [
        (torch.zeros(16, 15), r"\(16, 15\).*\(16, 16\)"),
        (torch.zeros(16, 16, dtype=torch.int64), "int64.*float32"),
    ],
)
def test_other_signals_are_refused(x: Tensor, named: str) -> None:
    with pytest.raises(ShapeError, match=named):
        Scattering(BankSpec(J=2, L=2), (16, 16))(x)


@pytest.mark.parametrize(
    ("spec", "shape", "named"),
    [
        (BankSpec(J=5), (16, 16), "J=5 averages over 32 samples"),
        (BankSpec(J=4), (16, 16), "J=4 is too large"),
        (BankSpec(J=2), (8, 8, 8), "3 axes"),
        (BankSpec(J=2, family="haar"), (16, 16), "'haar'.* is unknown, expected .*morlet"),
        (BankSpec(J=1, max_order=2), (16, 16), "layer 2 has no filters"),
    ],
)
def test_impossible_transforms_are_refused(
    spec: BankSpec, shape: tuple[int, ...], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        Scattering(spec, shape)
