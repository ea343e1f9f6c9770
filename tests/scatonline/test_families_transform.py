"""Every wavelet family in a bank, a transform and a model: learned, moved and stored."""

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scatonline.config import Average, Bound, LearningSpec
from scatonline.descent import Descent
from scatonline.errors import NumericalError
from scatonline.filterbank import FilterBank
from scatonline.model import Model
from scatonline.scattering import Scattering
from tests.scatonline import models
from tests.scatonline.differences import assert_close, central_differences
from tests.scatonline.every_family import (
    EVERY,
    GRIDS,
    family,
    random_values,
    restructured,
    scattered,
    signals,
    specification,
)

AVERAGES: tuple[Average, ...] = ("none", "local")


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
@pytest.mark.parametrize("bound", ["none", "clamp", "open", "tight"])
def test_gradients_of_a_bank(name: str, dimensions: int, bound: Bound) -> None:
    """Every parameter of every filter, through the coordinates and the frame bound."""
    bank = FilterBank(specification(name, bound), family(name, dimensions), 1)
    generator = torch.Generator().manual_seed(2)
    weights = {j: torch.randn(psi.shape, generator=generator) for j, psi in bank.spectra().items()}

    def loss(theta: Tensor) -> Tensor:
        bank.theta.data = theta.detach()
        spectra = bank.spectra()
        terms = [
            (spectra[j].square() * w).sum() + (spectra[j] * w).sum() for j, w in weights.items()
        ]
        return torch.stack(terms).sum()

    start = bank.theta.detach() + 0.1 * torch.randn(
        bank.theta.shape, generator=generator, dtype=torch.float64
    )
    expected = central_differences(loss, start)
    (gradient,) = torch.autograd.grad(loss(start), bank.theta)
    assert_close(gradient, expected)


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_gradients_of_the_whole_transform(name: str, dimensions: int) -> None:
    transform = Scattering(specification(name, "open"), GRIDS[dimensions])
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(2, *GRIDS[dimensions], generator=generator, dtype=torch.float64)
    weight = torch.randn(transform(x).shape, generator=generator, dtype=torch.float64)
    for layer in (1, 2):
        bank = transform.bank(layer)
        start = bank.theta.detach() + 0.05

        def loss(theta: Tensor, bank: FilterBank = bank) -> Tensor:
            bank.theta.data = theta.detach()
            maps: Tensor = transform(x)
            return (maps * weight).sum()

        expected = central_differences(loss, start)
        (gradient,) = torch.autograd.grad(loss(start), bank.theta)
        assert_close(gradient, expected)
        assert float(gradient.abs().max()) > 0


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
@pytest.mark.parametrize("bound", ["clamp", "open", "tight"])
def test_large_steps_of_any_direction_leave_every_bound_kept(
    name: str, dimensions: int, bound: Bound
) -> None:
    """A ≤ 1, ψ̂(0) = 0 and parameters inside their intervals, from the start and all the way."""
    bank = FilterBank(specification(name, bound), family(name, dimensions), 1)
    limits = LearningSpec(rate=100.0, max_angle_rad=0.5, max_log_step=0.5)
    descent = Descent(limits, bank)
    generator = torch.Generator().manual_seed(4)
    drift = torch.randn(bank.theta.shape, generator=generator, dtype=torch.float64)
    start = bank.values().detach()
    for _ in range(30):
        assert_kept(bank)
        noise = torch.randn(bank.theta.shape, generator=generator, dtype=torch.float64)
        descent.step(bank, drift + 0.5 * noise)
    assert_kept(bank)
    used = torch.tensor(
        [[name.scale >= p.least_scale for p in bank.family.parameters] for name in bank.names]
    )
    assert bool(((bank.values() - start).abs() > 1e-3)[used].all())


def assert_kept(bank: FilterBank) -> None:
    try:
        energy = bank.littlewood_paley()
        spectra = torch.cat(list(bank.spectra().values())).detach().flatten(1)
    except NumericalError:
        # A tight bank that no longer reaches every frequency says so.
        assert bank.bound == "tight"
        return
    assert float(energy.max()) <= 1 + 1e-10
    assert float(spectra[:, 0].abs().max()) <= 1e-12
    values = bank.values()
    rounding = 1e-12 * values.abs()
    assert bool(((values >= bank.lower - rounding) | bank.angle).all())
    assert bool(((values <= bank.upper + rounding) | bank.angle).all())


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_third_order_reaches_every_bank(name: str, dimensions: int) -> None:
    spec = replace(specification(name), J=3, max_order=3, padding="reflect")
    transform = Scattering(spec, GRIDS[dimensions])
    x = signals(dimensions)
    maps = transform(x)
    assert {len(key) for key in transform.meta()["key"]} == {0, 1, 2, 3}
    thetas = [transform.bank(layer).theta for layer in (1, 2, 3)]
    for gradient in torch.autograd.grad(maps.square().sum(), thetas):
        assert bool(torch.isfinite(gradient).all())
        assert bool((gradient != 0).any(1).all())


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
@pytest.mark.parametrize("moved", [False, True])
def test_saved_state_gives_the_same_bits(name: str, dimensions: int, moved: bool) -> None:
    spec, grid = specification(name, "open"), GRIDS[dimensions]
    transform = Scattering(spec, grid)
    x = signals(dimensions)
    before = transform.meta()["key"]
    if moved:
        restructured(transform)
        assert transform.meta()["key"] != before
    file = io.BytesIO()
    torch.save(transform.state_dict(), file)
    file.seek(0)
    fresh = Scattering(spec, grid)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert fresh.meta() == transform.meta()
    assert torch.equal(scattered(fresh, x), scattered(transform, x))
    gradients = [
        torch.autograd.grad(t(x).square().sum(), [t.bank(1).theta, t.bank(2).theta])
        for t in (fresh, transform)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_filters_that_stay_keep_their_channels_when_others_come_and_go(
    name: str, dimensions: int
) -> None:
    """In bound "open" before θ has moved: moduli to the bit, averages to a rounding."""
    x = signals(dimensions)
    for average in AVERAGES:
        spec = replace(specification(name, "open"), average=average)
        transform = Scattering(spec, GRIDS[dimensions])
        before = channels(transform, x)
        gone = transform.bank(1).names[0].id
        transform.drop(1, gone)
        after = channels(transform, x)
        assert list(after) == [key for key in before if gone not in key]
        for key, maps in after.items():
            np.testing.assert_allclose(
                maps, before[key], rtol=0, atol=1e-14 if average == "local" else 0
            )
        bank = transform.bank(1)
        added = transform.add(1, bank.names[0].scale, bank.values()[0].tolist())
        found = channels(transform, x)
        assert [key for key in found if added not in key] == list(after)
        assert all(bool(torch.isfinite(maps).all()) for maps in found.values())


def channels(transform: Scattering, x: Tensor) -> dict[tuple[str, ...], Tensor]:
    with torch.no_grad():
        maps = transform(x)
    listed = maps.unbind(1) if isinstance(maps, Tensor) else maps
    return dict(zip(transform.meta()["key"], listed, strict=True))


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_model_learns_and_goes_on_from_a_checkpoint_with_the_same_bits(
    name: str, dimensions: int
) -> None:
    small = models.specification("gaussian", dimensions)
    bank = replace(small.bank, family=name, J=2, max_order=2)
    features = replace(small.features, orders=(0, 1, 2))
    spec = replace(small, bank=bank, features=features, shape=(8, 8) if dimensions == 2 else (32,))
    model = Model(spec)
    banks = [model.learner.scattering.bank(layer) for layer in (1, 2)]
    start = [bank.theta.detach().clone() for bank in banks]
    model.open_session("a", models.OUTPUTS)
    samples = models.stream(spec, 72)
    for sample in samples[:60]:
        model.step(sample)
    for before, now in zip(start, banks, strict=True):
        assert not torch.equal(before, now.theta)
    assert all(largest <= 1 + 1e-10 for _, largest in model.bounds().values())
    other = models.copied(model)
    for sample in samples[60:]:
        ours, theirs = model.step(sample), other.step(sample)
        assert np.array_equal(ours.prediction.values, theirs.prediction.values)
        assert ours.loss == theirs.loss
    assert model.state_hash() == other.state_hash()


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
@pytest.mark.parametrize(
    "convert",
    [
        lambda module: module.to(torch.float64),
        lambda module: module.double(),
        lambda module: module.half(),
    ],
)
def test_theta_stays_in_double_precision(
    name: str, dimensions: int, convert: Callable[[nn.Module], nn.Module]
) -> None:
    transform, x = Scattering(specification(name), GRIDS[dimensions]), signals(dimensions)
    before = scattered(transform, x)
    convert(transform)
    assert {p.dtype for p in transform.parameters()} == {torch.float64}
    assert torch.equal(scattered(transform, x), before)


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_single_precision_follows_double(name: str, dimensions: int) -> None:
    transform, x = Scattering(specification(name), GRIDS[dimensions]), signals(dimensions)
    restructured(transform)
    double, single = scattered(transform, x), scattered(transform, x.float())
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, double, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_new_filter_has_the_bits_that_it_has_after_a_restart(name: str, dimensions: int) -> None:
    """Alone it is evaluated when it comes, and with all others when a state is loaded."""
    spec, x = specification(name, "open"), signals(dimensions)
    transform, fresh = (Scattering(spec, GRIDS[dimensions]) for _ in range(2))
    bank = transform.bank(1)
    drawn = random_values(bank.family, 6)
    with torch.no_grad():
        bank.theta.add_(0.1 * torch.linspace(-1, 1, bank.theta.numel()).view_as(bank.theta))
    scattered(transform, x)
    for scale, rows in drawn.items():
        for values in rows.tolist():
            transform.add(1, scale, values)
            scattered(transform, x)
    fresh.load_state_dict(transform.state_dict())
    assert torch.equal(scattered(fresh, x), scattered(transform, x))
