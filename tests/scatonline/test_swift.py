"""The cascade's two forms agree, and what the swift one promises about its buffers."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor

from scatonline.cascade import Filters, portable
from scatonline.cascade.averages import Spectral
from scatonline.cascade.swift import Swift
from scatonline.config import Average, BankSpec, Padding
from scatonline.fourier import pad
from scatonline.scattering import Scattering

SPEC = BankSpec(J=3, L=2, Q=(2,), bound="clamp")
LINE, PLANE = BankSpec(J=4, Q=(2,)), BankSpec(J=2, L=2)
SPECTRAL = replace(PLANE, family="daubechies")
SMALL = [
    pytest.param(LINE, (90,), id="line"),
    pytest.param(PLANE, (19, 14), id="plane"),
    pytest.param(SPECTRAL, (19, 14), id="plane, averaged through spectra"),
]
# Relative to the largest entry; what is compared has gone through some hundred roundings.
CLOSE = 1e-11


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def close(ours: Tensor, expected: Tensor, tolerance: float = CLOSE) -> None:
    assert ours.shape == expected.shape
    largest = float(expected.abs().max()) if expected.numel() else 0.0
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance * largest)


def thetas(transform: Scattering) -> list[Tensor]:
    return [transform.bank(m + 1).theta for m in range(len(transform.banks))]


def compiling() -> Any:
    """As if PyTorch compiled the program: everything takes the portable form."""
    return mock.patch("torch.compiler.is_compiling", return_value=True)


def compare_stages(transform: Scattering) -> None:
    """Maps of every stage, and the gradients that they send to signal, filters and θ."""
    geometry, plan = transform.geometry, transform.cascade.plan
    matrices = transform.averages(torch.float64, torch.device("cpu"))
    built = transform.build(torch.float64)
    found = []
    for route in ("swift", "portable"):
        signal = noise(2, *geometry.shape).requires_grad_()
        filters = built.leaves(True)
        padded = pad(signal, geometry.padded, geometry.spec.padding)
        maps = (
            Swift(plan, geometry).stages(signal, filters, matrices)
            if route == "swift"
            else portable.stages(padded, plan, geometry, filters.psi, matrices)
        )
        weights = [noise(*u.shape, seed=i) for i, u in enumerate(maps)]
        leaves = [signal, *filters.psi.values()]
        to_signal, *to_psi = torch.autograd.grad(maps, leaves, weights)
        to_theta = torch.autograd.grad(
            list(built.psi.values()), thetas(transform), to_psi, retain_graph=True
        )
        found.append((maps, to_signal, to_psi, to_theta))
    (maps, to_signal, to_psi, to_theta), (maps_, to_signal_, to_psi_, to_theta_) = found
    pairs = zip((*maps, to_signal, *to_theta), (*maps_, to_signal_, *to_theta_), strict=True)
    for ours, theirs in pairs:
        close(ours.detach(), theirs.detach())
    for use, ours, theirs in zip(built.psi, to_psi, to_psi_, strict=True):
        # Far out among zeros a modulus is rounding, and its phase, which ψ sees, means nothing.
        if geometry.spec.padding != "zero":
            compare_where_occupied(built.arrays[use][1], ours, theirs)


def compare_where_occupied(blocks: Any, ours: Tensor, theirs: Tensor) -> None:
    """Elsewhere a filter is less than rounding, and its gradient is left out."""
    largest = float(theirs.abs().max())
    for row, (count, *kept) in enumerate(blocks.tolist()):
        here = kept[:count]
        np.testing.assert_allclose(ours[here, row], theirs[here, row], rtol=0, atol=CLOSE * largest)
        elsewhere = [a for a in range(len(ours)) if a not in here]
        assert not bool(ours[elsewhere, row].any())


@pytest.mark.parametrize("average", ["local", "global", "none"])
@pytest.mark.parametrize("oversampling", [0, 1])
@pytest.mark.parametrize(
    ("padding", "shape"),
    [
        ("reflect", (53,)),
        ("reflect", (19, 30)),
        ("periodic", (64,)),
        ("periodic", (16, 21)),
        ("zero", (53,)),
        ("zero", (9, 24)),
        ("none", (72,)),
        ("none", (16, 24)),
    ],
)
def test_two_forms_of_the_cascade_agree(
    shape: tuple[int, ...], padding: Padding, oversampling: int, average: Average
) -> None:
    spec = replace(SPEC, padding=padding, oversampling=oversampling, average=average)
    compare_stages(Scattering(spec, shape))


@pytest.mark.parametrize("max_order", [1, 2, 3])
@pytest.mark.parametrize("shape", [(53,), (19, 14)])
def test_two_forms_agree_to_every_order(shape: tuple[int, ...], max_order: int) -> None:
    compare_stages(Scattering(replace(SPEC, max_order=max_order), shape))


@pytest.mark.parametrize("shape", [(53,), (19, 14)])
def test_two_forms_agree_whatever_filters_each_scale_has(shape: tuple[int, ...]) -> None:
    """Other numbers at every scale and layer; a scale without filters; one new beyond the rest."""
    transform = Scattering(replace(SPEC, J=3, max_order=3), shape)
    for layer, share in ((1, 0.5), (2, 0.3)):
        bank = transform.bank(layer)
        names = [name.id for name in bank.names if name.scale == layer]
        for gone in names[: max(1, round(share * len(names)))]:
            transform.drop(layer, gone)
    values = transform.bank(1).values().tolist()
    for layer, scale in ((1, 0), (1, 0), (1, 2), (2, 2), (2, 3), (3, 2)):
        transform.add(layer, scale, values[scale])
    for gone in [name.id for name in transform.bank(3).names if name.scale == 3]:
        transform.drop(3, gone)
    compare_stages(transform)


def values_and_gradients(transform: Scattering, x: Tensor) -> list[Tensor]:
    signal = x.clone().requires_grad_()
    maps = transform(signal)
    maps = maps if isinstance(maps, list) else [maps]
    weights = [noise(*u.shape, seed=i).to(x.dtype) for i, u in enumerate(maps)]
    gradients = torch.autograd.grad(maps, [signal, *thetas(transform)], weights)
    return [u.detach() for u in maps] + list(gradients)


def compare_as_theta_moves(transform: Scattering, x: Tensor, tolerance: float = CLOSE) -> None:
    """Both forms of the whole transform, before and after a step of θ."""
    for step in range(2):
        with torch.no_grad():
            for theta in thetas(transform):
                theta.add_(step * 0.3 * noise(*theta.shape))
        swift = values_and_gradients(transform, x)
        with compiling():
            plain = values_and_gradients(transform, x)
        for ours, theirs in zip(swift, plain, strict=True):
            close(ours, theirs, tolerance)


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        pytest.param(BankSpec(J=3, L=3, bound="none"), (19, 30), id="plane"),
        pytest.param(BankSpec(J=3, L=3, bound="clamp", max_order=3), (19, 30), id="plane, clamp"),
        pytest.param(BankSpec(J=2, L=4, bound="open", padding="none"), (20, 12), id="plane, open"),
        pytest.param(
            BankSpec(J=3, L=3, bound="tight", average="none"), (16, 24), id="plane, tight"
        ),
        pytest.param(BankSpec(J=4, Q=(3, 2), bound="none", aliases="mean"), (90,), id="line"),
        pytest.param(BankSpec(J=4, Q=(3, 2), bound="clamp", max_order=3), (90,), id="line, clamp"),
        pytest.param(BankSpec(J=4, Q=(3,), bound="open", average="none"), (64,), id="line, open"),
        pytest.param(
            BankSpec(J=4, Q=(3,), bound="tight", max_order=1, average="global"),
            (90,),
            id="line, tight",
        ),
    ],
)
def test_two_forms_of_the_whole_transform_agree(spec: BankSpec, shape: tuple[int, ...]) -> None:
    """Family, bound, folding and cascade; before and after θ has moved."""
    transform = Scattering(spec, shape)
    compare_as_theta_moves(transform, noise(2, *shape))


# The low-pass of these is no product of lines: averages go through spectra.
@pytest.mark.parametrize("family", ["daubechies", "lattice"])
@pytest.mark.parametrize("oversampling", [0, 1])
@pytest.mark.parametrize(
    ("padding", "shape"),
    [
        ("reflect", (19, 30)),
        ("periodic", (16, 21)),
        ("zero", (9, 24)),
        ("none", (16, 24)),
        ("none", (8, 40)),
    ],
)
def test_two_forms_agree_where_averages_go_through_spectra(
    family: str, shape: tuple[int, ...], padding: Padding, oversampling: int
) -> None:
    spec = replace(SPEC, family=family, padding=padding, oversampling=oversampling)
    transform = Scattering(spec, shape)
    assert isinstance(transform.averages(torch.float64, torch.device("cpu")), Spectral)
    compare_stages(transform)


@pytest.mark.parametrize("family", ["daubechies", "coiflet", "lattice", "steerable"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 3 * CLOSE)]
)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"J": 3, "L": 2, "max_order": 2}, id="open"),
        pytest.param({"J": 2, "L": 3, "max_order": 2, "bound": "clamp"}, id="clamp"),
        pytest.param({"J": 2, "L": 2, "max_order": 0}, id="no filters"),
        pytest.param({"J": 2, "L": 2, "bound": "none", "aliases": "mean"}, id="mean of aliases"),
        pytest.param({"J": 2, "L": 2, "oversampling": 1, "average": "global"}, id="global"),
    ],
)
def test_two_forms_of_other_families_agree_in_both_precisions(
    family: str, options: dict[str, Any], dtype: torch.dtype, tolerance: float
) -> None:
    """A batch of signals; before and after θ has moved."""
    transform = Scattering(BankSpec(family, **options), (19, 14))
    compare_as_theta_moves(transform, noise(3, 19, 14).to(dtype), tolerance)


def test_averages_of_every_level_and_their_ways_back_are_adjoint() -> None:
    """⟨A x, y⟩ = ⟨x, Aᵀ y⟩, and the swift averages are the portable ones."""
    for shape, oversampling in (((19, 30), 0), ((16, 21), 1), ((24, 40), 0)):
        transform = Scattering(replace(SPEC, family="coiflet", oversampling=oversampling), shape)
        averages = transform.averages(torch.float64, torch.device("cpu"))
        assert isinstance(averages, Spectral)
        for level in range(transform.geometry.level(3) + 1):
            x = noise(3, *transform.geometry.grid(level), seed=level)
            plain = averages.portable(x, level)
            swift = averages.swift(x, torch.fft.rfft2(x), level)
            close(swift, plain, 1e-13)
            y = noise(*plain.shape, seed=10 + level)
            back = averages.to_maps(y, level)
            assert float((plain * y).sum()) == pytest.approx(float((x * back).sum()), rel=1e-11)


@pytest.mark.parametrize(("spec", "shape"), SMALL)
@pytest.mark.parametrize("layer", [1, 2])
def test_two_forms_agree_where_a_layer_has_lost_all_filters(
    spec: BankSpec, shape: tuple[int, ...], layer: int
) -> None:
    transform = Scattering(spec, shape)
    for gone in [name.id for name in transform.bank(layer).names]:
        transform.drop(layer, gone)
    x = noise(2, *shape)
    ours = transform(x)
    with compiling():
        # The portable family cuts Gaussians at six standard deviations, which is 1e-8 of them.
        close(ours.detach(), transform(x).detach(), 1e-8)


@pytest.mark.parametrize(("spec", "shape"), SMALL)
def test_portable_form_has_second_derivatives(spec: BankSpec, shape: tuple[int, ...]) -> None:
    """The Hessian on a vector against differences of the gradient."""
    transform = Scattering(replace(spec, bound="none"), shape)
    x, direction = noise(*shape), noise(*shape, seed=1)

    def gradient(at: Tensor) -> Tensor:
        (g,) = torch.autograd.grad(transform(at).square().sum(), at, create_graph=True)
        return g

    with compiling():
        leaf = x.clone().requires_grad_()
        (ours,) = torch.autograd.grad(gradient(leaf), leaf, direction)
        ahead, behind = (
            gradient((x + s * 1e-6 * direction).requires_grad_()).detach() for s in (1, -1)
        )
    close(ours, (ahead - behind) / 2e-6, 1e-6)


@pytest.mark.parametrize(("spec", "shape"), SMALL)
@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("of", ["signal", "θ"])
def test_second_derivatives_are_refused(
    spec: BankSpec, shape: tuple[int, ...], power: int, of: str
) -> None:
    """With an error, whichever way they are asked for: never as a number that leaves them out."""
    transform = Scattering(spec, shape)
    x = noise(*shape).requires_grad_()
    leaf = x if of == "signal" else transform.bank(1).theta

    def penalty() -> Tensor:
        loss = transform(x).pow(power).sum()
        (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
        total: Tensor = loss + (gradient * leaf).sum()
        return total

    with pytest.raises(RuntimeError):
        torch.autograd.backward(penalty())
    with pytest.raises(RuntimeError):
        torch.autograd.grad(penalty(), leaf)


@pytest.mark.parametrize(("spec", "shape"), SMALL)
def test_any_part_of_a_result_has_its_gradient(spec: BankSpec, shape: tuple[int, ...]) -> None:
    """Also where a stage gets one from what lies deeper alone, or none at all."""
    transform = Scattering(replace(spec, average="none"), shape)
    filters = transform.build(torch.float64)
    elsewhere = Filters(filters.psi)
    elsewhere.arrays = {}
    signal = noise(1, *shape).requires_grad_()
    leaves = [signal, *thetas(transform)]
    for channel in range(len(transform.paths)):
        found = []
        for form in (filters, elsewhere):
            loss = transform.cascade.moduli(signal, form)[channel].square().sum()
            found.append(
                torch.autograd.grad(loss, leaves, retain_graph=True, materialize_grads=True)
            )
        for ours, theirs in zip(*found, strict=True):
            close(ours, theirs)


@pytest.mark.parametrize("average", ["local", "none"])
@pytest.mark.parametrize(("spec", "shape"), SMALL)
def test_way_back_can_be_taken_again(
    spec: BankSpec, shape: tuple[int, ...], average: Average
) -> None:
    transform = Scattering(replace(spec, average=average), shape)
    signal = noise(2, *shape).requires_grad_()
    maps = transform(signal)
    loss = torch.stack([u.square().sum() for u in maps]).sum()
    leaves = [signal, *thetas(transform)]
    first = torch.autograd.grad(loss, leaves, retain_graph=True)
    again = torch.autograd.grad(loss, leaves)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


@pytest.mark.parametrize(("spec", "shape"), SMALL)
def test_graphs_alive_at_once_do_not_mix(spec: BankSpec, shape: tuple[int, ...]) -> None:
    """Not with each other, nor with what goes through without gradients in between."""
    transform = Scattering(spec, shape)
    signals = [noise(2, *shape, seed=s).requires_grad_() for s in range(6)]
    expected = [
        torch.autograd.grad(transform(s).square().sum(), [s, *thetas(transform)]) for s in signals
    ]
    losses = [transform(s).square().sum() for s in signals]
    with torch.no_grad():
        transform(noise(2, *shape, seed=9))
    for i in (3, 0, 5, 1, 4, 2):
        found = torch.autograd.grad(losses[i], [signals[i], *thetas(transform)])
        assert all(torch.equal(a, b) for a, b in zip(found, expected[i], strict=True))


@pytest.mark.parametrize("form", ["swift", "portable"])
@pytest.mark.parametrize("average", ["local", "global", "none"])
@pytest.mark.parametrize("max_order", [0, 2])
@pytest.mark.parametrize(
    ("spec", "shape"), [(LINE, (96,)), (PLANE, (20, 12)), (SPECTRAL, (20, 12))]
)
def test_results_share_memory_with_nothing(
    spec: BankSpec, shape: tuple[int, ...], max_order: int, average: Average, form: str
) -> None:
    """Not with the signal, nor with what comes later."""
    whole = replace(spec, average=average, max_order=max_order, padding="none")
    transform = Scattering(whole, shape)
    x = noise(2, *shape)
    with torch.no_grad(), mock.patch("torch.compiler.is_compiling", return_value=form != "swift"):
        first = list(transform(x))
        kept = [u.clone() for u in first]
        x.add_(1)
        later = [u.clone() for u in transform(x)]
        for u in first:
            u.zero_()
        again = list(transform(x))
        fresh = list(Scattering(whole, shape)(x - 1))
    for one, other in zip(kept, fresh, strict=True):
        close(one, other, 1e-12)
    for one, other in zip(later, again, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("spec", "shape"), SMALL)
@pytest.mark.parametrize("max_order", [0, 2])
@pytest.mark.parametrize("learns", ["nothing", "θ", "signal"])
def test_inference_mode_leaves_nothing_behind(
    spec: BankSpec, shape: tuple[int, ...], max_order: int, learns: str
) -> None:
    """What it made cannot be written to later, nor be part of a graph."""
    transform = Scattering(replace(spec, max_order=max_order), shape)
    transform.requires_grad_(learns == "θ")
    x = noise(2, *shape)
    with torch.inference_mode():
        first = transform(x)
    later = transform(x.requires_grad_(learns == "signal"))
    if later.requires_grad:
        torch.autograd.backward(later.sum())
    np.testing.assert_array_equal(first, later.detach())


@pytest.mark.parametrize("average", ["local", "none"])
@pytest.mark.parametrize(("spec", "shape"), SMALL)
def test_threads_get_the_bits_of_one(
    spec: BankSpec, shape: tuple[int, ...], average: Average
) -> None:
    transform = Scattering(replace(spec, average=average), shape)
    signals = [noise(1 + i % 2, *shape, seed=i) for i in range(8)]

    def scattered(x: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return list(transform(x))

    expected = [scattered(x) for x in signals]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(scattered, signals * 6))
    finally:
        sys.setswitchinterval(before)
    for ours, theirs in zip(found, expected * 6, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
