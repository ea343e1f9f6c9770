"""The contract that every wavelet family keeps."""

import ast
import gc
import math
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import scatonline
from scatonline.families import FAMILIES, Coordinates, Kinds
from scatonline.scattering import Scattering
from tests.scatonline.differences import assert_gradient
from tests.scatonline.every_family import EVERY, GRIDS, family, random_values, specification


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
@pytest.mark.parametrize("seed", range(4))
def test_wavelets_are_real_spectra_without_mean(name: str, dimensions: int, seed: int) -> None:
    chosen = family(name, dimensions)
    for scale, values in random_values(chosen, seed).items():
        spectra = chosen.spectra(values, [scale] * len(values))
        assert spectra.dtype == torch.float64
        assert spectra.shape == (len(values), *GRIDS[dimensions])
        flat = spectra.flatten(1)
        assert bool((flat[:, 0].abs() <= 1e-12 * flat.abs().max(1).values).all())


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_low_pass_keeps_the_mean_and_never_amplifies(name: str, dimensions: int) -> None:
    phi = family(name, dimensions).low_pass()
    assert phi.shape == GRIDS[dimensions]
    assert phi.flatten()[0] == 1
    assert float(phi.abs().max()) == 1
    axes = tuple(range(dimensions))
    mirrored = torch.roll(torch.flip(phi, axes), (1,) * dimensions, axes)
    np.testing.assert_allclose(phi, mirrored, atol=1e-15)


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_first_filters_lie_inside_their_bounds(name: str, dimensions: int) -> None:
    chosen = family(name, dimensions)
    scales = [set(chosen.defaults(layer)) for layer in (1, 2)]
    assert scales[1] == {j for j in scales[0] if j >= 1}
    for filters in chosen.defaults(1).values():
        for values in filters:
            limits = chosen.bounds(values)
            for spec, value, (lower, upper) in zip(chosen.parameters, values, limits, strict=True):
                assert lower < upper
                assert spec.free or lower < value < upper


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_natural_and_unconstrained_values_are_one_another(name: str, dimensions: int) -> None:
    chosen = family(name, dimensions)
    kinds = Kinds.of(chosen.parameters)
    for values in random_values(chosen, 0).values():
        limits = torch.tensor([chosen.bounds(v) for v in values.tolist()], dtype=torch.float64)
        coordinates = Coordinates(kinds, limits[..., 0], limits[..., 1])
        there = coordinates.unconstrained(values)
        np.testing.assert_allclose(coordinates.natural(there), values, rtol=1e-9)


@given(
    u=st.floats(-1e3, 1e3),
    lower=st.floats(1e-3, 1e2),
    octaves=st.floats(0.01, 4),
    kind=st.sampled_from(["ratio", "level"]),
)
def test_no_coordinate_leaves_its_interval(
    u: float, lower: float, octaves: float, kind: str
) -> None:
    def row(x: float) -> Tensor:
        return torch.tensor([[x]], dtype=torch.float64)

    upper = lower * 2**octaves
    kinds = Kinds(torch.tensor([False]), torch.tensor([kind == "ratio"]))
    coordinates = Coordinates(kinds, row(lower), row(upper))
    natural = float(coordinates.natural(row(u)))
    assert lower * (1 - 1e-12) <= natural <= upper * (1 + 1e-12)
    assert math.isfinite(float(coordinates.unconstrained(row(natural))))


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_descriptions_can_be_compared(name: str, dimensions: int) -> None:
    chosen = family(name, dimensions)
    expected = {"frequency", "bandwidth"} | ({"angle"} if dimensions == 2 else set())
    for scale, filters in chosen.defaults(1).items():
        for found in chosen.describe(filters, [scale] * len(filters)):
            assert set(found) == expected
            assert all(found[key] > 0 for key in ("frequency", "bandwidth"))


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_candidates_are_new_filters_of_the_family(name: str, dimensions: int) -> None:
    """Each stands apart from its neighbours, inside its own domain, and says why."""
    chosen = family(name, dimensions)
    for scale, filters in chosen.defaults(1).items():
        found = chosen.candidates(filters, [0.0] * len(filters))
        assert found
        for values, reason in found:
            assert reason
            assert all(values != old for old in filters)
            limits = chosen.bounds(values)
            for spec, value, (lower, upper) in zip(chosen.parameters, values, limits, strict=True):
                assert spec.free or lower < value < upper
            psi = chosen.spectra(torch.tensor([values], dtype=torch.float64), [scale])
            assert bool(torch.isfinite(psi).all())


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_gradients_of_spectra(name: str, dimensions: int) -> None:
    chosen = family(name, dimensions)
    for scale, values in random_values(chosen, 1).items():
        weight = torch.randn(
            len(values), *GRIDS[dimensions], generator=torch.Generator().manual_seed(0)
        ).double()

        def loss(v: Tensor, scale: int = scale, weight: Tensor = weight) -> Tensor:
            return (chosen.spectra(v, [scale] * len(v)) * weight).sum()

        assert_gradient(loss, values)


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_parameters_have_names_and_units(name: str, dimensions: int) -> None:
    """Every column one; the plane has one direction, the line none."""
    chosen = family(name, dimensions)
    names = [parameter.name for parameter in chosen.parameters]
    assert len(set(names)) == len(names) > 0
    assert all(names)
    assert all(parameter.unit for parameter in chosen.parameters)
    directions = [p.name for p in chosen.parameters if p.kind == "direction"]
    assert directions == (["theta"] if dimensions == 2 else [])
    assert all(p.unit == "rad" for p in chosen.parameters if p.free)
    for filters in chosen.defaults(1).values():
        assert all(len(values) == len(names) for values in filters)
    transform = Scattering(specification(name), GRIDS[dimensions])
    assert {"order", "key", "n", "j", *names} == set(transform.meta())


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_a_filter_alone_has_the_bits_that_it_has_among_others(name: str, dimensions: int) -> None:
    """Of its own scale or of any."""
    chosen = family(name, dimensions)
    drawn = random_values(chosen, 3)
    scales = [scale for scale, values in drawn.items() for _ in values]
    every = torch.cat(list(drawn.values()))
    together = chosen.spectra(every, scales)
    for row, scale in enumerate(scales):
        alone = chosen.spectra(every[row : row + 1], [scale])
        assert torch.equal(alone[0], together[row])


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_spectra_are_let_go_when_nobody_holds_them(name: str, dimensions: int, used: bool) -> None:
    """At once: a step's worth of planes must not wait for a collection of garbage."""
    chosen = family(name, dimensions)
    values = torch.tensor(chosen.defaults(1)[0], dtype=torch.float64).requires_grad_()
    gc.collect()
    gc.disable()
    try:
        psi = chosen.spectra(values, [0] * len(values))
        held = weakref.ref(psi if psi._base is None else psi._base)
        if used:
            torch.autograd.backward(psi.sum())
        del psi
        assert held() is None
    finally:
        gc.enable()


def test_nothing_outside_families_knows_one_from_another() -> None:
    """Names of families stand in their registry, and as the default of a specification."""
    package = Path(scatonline.__file__).parent
    names = {name for name, _ in FAMILIES}
    named = [
        f"{path.relative_to(package)}: {node.value}"
        for folder in (package, package.parent / "service")
        for path in sorted(folder.rglob("*.py"))
        if path.parent.name not in ("families", "_generated")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in names
    ]
    assert named == ["config/bank.py: morlet", "scattering.py: morlet", "scattering.py: morlet"]
