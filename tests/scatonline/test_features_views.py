"""Columns averaged over views of an input: what they are, and that all of a model works on them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scatonline.config import BankSpec, FeatureSpec, LearningSpec, ModelSpec, ReadoutSpec
from scatonline.features import Layout
from scatonline.model import Model
from scatonline.nested import CalibrationSet, NestedSpec, Session, fit
from scatonline.scattering import Scattering
from scatonline.state import digest
from scatonline.views import dilated
from tests.scatonline.models import OUTPUTS, copied, decided, specification, stream, unlabelled

DILATIONS = (0.6, 1.0, 1.5)
DIMENSIONS = [1, 2]
TEXTURES = ModelSpec(
    name="textures",
    channels=1,
    shape=(32, 32),
    bank=BankSpec(J=3, L=4, max_order=1),
    features=FeatureSpec(orders=(1,), grid=(1,), compression="log"),
)


def viewed(dimensions: int, dilations: tuple[float, ...] = DILATIONS, **values: Any) -> ModelSpec:
    spec = specification("gaussian", dimensions, **values)
    return replace(spec, features=replace(spec.features, dilations=dilations))


def one_order(dimensions: int, features: FeatureSpec) -> ModelSpec:
    """Of inputs that are long beside what is averaged over."""
    bank = BankSpec(J=2, Q=(1,), L=3, max_order=1)
    return ModelSpec(
        "waves", 1, (256,) if dimensions == 1 else (64, 64), bank=bank, features=features
    )


def with_dilations(spec: ModelSpec, *dilations: float) -> ModelSpec:
    return replace(spec, features=replace(spec.features, dilations=dilations))


def noise(spec: ModelSpec, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, spec.channels, *spec.shape, generator=generator)


def columns(spec: ModelSpec, x: Tensor, scattering: Scattering | None = None) -> Tensor:
    return views(spec, x, scattering, "columns")


def views(
    spec: ModelSpec, x: Tensor, scattering: Scattering | None = None, what: str = "of_views"
) -> Tensor:
    scattering = scattering or Scattering(spec.bank, spec.shape)
    averages = scattering.averages(torch.float32, x.device)
    found: Tensor = getattr(Layout(spec, scattering.cascade), what)(x, scattering.build(), averages)
    return found


def wave(octave: float, size: int = 32) -> Tensor:
    """A grating ``octave`` octaves below the finest one, upright."""
    place = torch.arange(size, dtype=torch.float32)
    row = torch.cos(0.6 * torch.pi * 2.0**-octave * place + 0.3)
    return row.expand(1, 1, size, size).contiguous()


@pytest.mark.parametrize("dimensions", DIMENSIONS)
@pytest.mark.parametrize("extra", [{}, {"raw_grid": 3}, {"contrast": 0.1}, {"orders": (0,)}])
def test_columns_are_the_mean_over_views_and_one_view_is_the_input(
    dimensions: int, extra: dict[str, Any]
) -> None:
    spec = viewed(dimensions)
    spec = replace(spec, features=replace(spec.features, **extra))
    x = noise(spec)
    every = views(spec, x)
    assert len(every) == len(DILATIONS)
    torch.testing.assert_close(columns(spec, x), every.mean(0))
    # More inputs at once are another order of sums, so not to the bit.
    plain = columns(with_dilations(spec, 1.0), x)
    torch.testing.assert_close(every[DILATIONS.index(1.0)], plain, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(columns(spec, x), plain, atol=1e-3)


@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_a_view_is_what_the_dilated_input_has_for_columns(dimensions: int) -> None:
    """Where nothing is cut off: inputs that are the same all over."""
    spec = one_order(dimensions, FeatureSpec(orders=(1,), grid=(1,), dilations=(0.5, 2.0)))
    place = torch.arange(float(spec.shape[-1]))
    x = torch.cos(0.25 * torch.pi * place).expand(1, 1, *spec.shape).contiguous()
    for view, factor in zip(views(spec, x), (0.5, 2.0), strict=True):
        expected = columns(with_dilations(spec, 1.0), dilated(x, factor)).detach()
        torch.testing.assert_close(view, expected, rtol=0, atol=0.1 * float(expected.max()))


def test_an_octave_nearer_moves_a_wave_one_scale_up() -> None:
    spec = with_dilations(TEXTURES, 1.0, 2.0)
    here, nearer = views(spec, wave(0.0))[:, 0].view(2, spec.bank.J, spec.bank.L)
    strongest = [int(view.max(1).values.argmax()) for view in (here, nearer)]
    assert strongest == [0, 1]


def test_the_mean_over_views_changes_less_with_distance_than_one_view() -> None:
    spec = with_dilations(TEXTURES, 0.5, 0.7071, 1.0, 1.4142, 2.0)
    near, far = (columns(spec, wave(octave)) for octave in (0.6, 1.1))
    one_near, one_far = (columns(TEXTURES, wave(octave)) for octave in (0.6, 1.1))
    assert (near - far).norm() < 0.7 * (one_near - one_far).norm()


@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_a_cell_looks_at_its_own_part_of_the_input_in_every_view(dimensions: int) -> None:
    """Silence on one side stays silence there, from however near or far."""
    features = FeatureSpec(orders=(1,), grid=(4,), compression="none", dilations=(0.5, 1.0, 2.0))
    spec = one_order(dimensions, features)
    x = noise(spec, 1)
    x[..., x.shape[-1] // 2 :] = 0
    for view in views(spec, x).detach():
        cells = view.view(-1, *(4,) * dimensions).sum(0)
        loud, silent = cells[..., 0].sum(), cells[..., 3].sum()
        assert silent < 0.05 * loud


@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_gradients_of_every_view_reach_theta(dimensions: int) -> None:
    """The gradient of the mean is the mean of the views' gradients, and what θ does to columns."""
    spec = viewed(dimensions)
    scattering = Scattering(spec.bank, spec.shape)
    theta = scattering.bank(1).theta
    x = noise(spec)
    weight = torch.randn(
        columns(spec, x).shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )

    def loss(found: Tensor) -> Tensor:
        return (found.double() * weight).sum()

    (gradient,) = torch.autograd.grad(loss(columns(spec, x, scattering)), theta)
    each = [
        torch.autograd.grad(loss(view), theta, retain_graph=True)[0]
        for view in views(spec, x, scattering)
    ]
    torch.testing.assert_close(gradient, torch.stack(each).mean(0), rtol=1e-3, atol=1e-4)
    assert all(bool(view.abs().max() > 1e-3) for view in each)
    step = 1e-3 * torch.randn(theta.shape, generator=torch.Generator().manual_seed(2)).double()
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            theta.add_(sign * step)
            values.append(float(loss(columns(spec, x, scattering))))
            theta.sub_(sign * step)
    expected = float((gradient * step).sum())
    assert (values[0] - values[1]) / 2 == pytest.approx(expected, rel=0.05, abs=1e-4)


def opened(spec: ModelSpec, count: int) -> Model:
    model = Model(spec)
    model.open_session("a", OUTPUTS)
    for sample in stream(spec, count):
        model.step(sample)
    return model


@pytest.mark.parametrize("dimensions", DIMENSIONS)
@pytest.mark.parametrize("lags", [0, 2])
def test_learning_moves_and_checkpoints_with_views(dimensions: int, lags: int) -> None:
    """θ learns, a filter goes and one comes, and a restored model goes on to the same bits."""
    spec = viewed(dimensions)
    spec = replace(spec, features=replace(spec.features, lags=lags))
    model = opened(spec, 30)
    start = Model(spec).learner.scattering.bank(1).theta.detach()
    assert not torch.equal(model.learner.scattering.bank(1).theta.detach(), start)
    model.apply(decided(model))
    twin = copied(model)
    later = stream(spec, 16, seed=1)
    for number, sample in enumerate(later):
        assert sample.target is not None
        if number % 3 == 0:
            for one in (model, twin):
                one.step(unlabelled(sample))
            said, again = (one.label("a", sample.id, sample.target) for one in (model, twin))
        else:
            ahead = model.reader().predict("a", sample.input).values
            said, again = (one.step(sample) for one in (model, twin))
            np.testing.assert_array_equal(said.prediction.values, ahead)
        np.testing.assert_array_equal(said.prediction.values, again.prediction.values)
    assert digest(*model.state()) == digest(*twin.state())


def test_a_window_readout_and_structure_checks_see_the_columns_of_views() -> None:
    readout = ReadoutSpec("gaussian", method="window", window=24, noises=(0.5,), refresh=1)
    spec = viewed(1, readout=readout, learning=LearningSpec(warmup=4, every=3))
    model = opened(spec, 60)
    check = model.structure_check()
    assert check is not None
    model.apply(check.run())
    assert np.isfinite(model.reader().predict("a", stream(spec, 1, seed=9)[0].input).values).all()


def test_a_fitted_model_serves_the_classifier_that_learned_from_every_view() -> None:
    features = replace(TEXTURES.features, dilations=(0.7, 1.0, 1.4))
    spec = replace(TEXTURES, features=features, readout=ReadoutSpec(kind="softmax"))
    generator = torch.Generator().manual_seed(4)
    octaves = torch.rand(60, generator=generator)
    classes = torch.arange(60) % 2
    # One texture lies level and the other one upright, at any distance.
    x = torch.cat([wave(octave) for octave in octaves.tolist()])
    x = torch.where(classes.bool().view(-1, 1, 1, 1), x.mT, x)
    x = x + 0.5 * torch.randn(x.shape, generator=generator)
    samples = CalibrationSet(x[:48], torch.eye(2)[classes[:48]], torch.arange(48))
    limits = NestedSpec(steps=2, rounds=1, structure=False)
    fitted = fit(spec, samples, Session("set", ("upright", "level")), limits)
    learner, lda = fitted.model.learner, fitted.classifier
    assert lda is not None
    z = learner.standardiser(columns(spec, x[48:], learner.scattering).detach())
    reader = fitted.model.reader()
    ours = np.stack([reader.predict("set", one.numpy()).values for one in x[48:]])
    np.testing.assert_allclose(ours, lda(z).softmax(1).numpy(), atol=1e-4)
    assert (ours.argmax(1) == classes[48:].numpy()).mean() > 0.9
    each = views(spec, x[:48], learner.scattering).detach()
    score = lda(learner.standardiser(each.flatten(0, 1))).argmax(1)
    assert float((score == classes[:48].repeat(3)).double().mean()) > 0.8


@pytest.mark.parametrize(("shape", "size"), [((64,), {"J": 3, "Q": (2,)}), ((16, 16), {"J": 2})])
def test_global_averages_have_views_too(shape: tuple[int, ...], size: dict[str, Any]) -> None:
    bank = BankSpec(average="global", L=3, **size)
    spec = ModelSpec("m", 2, shape, bank=bank, features=FeatureSpec(dilations=(0.5, 1.0, 1.5)))
    x = noise(spec, 3)
    found = columns(spec, x)
    assert found.shape == (3, Layout(spec, Scattering(bank, shape).cascade).width)
    torch.testing.assert_close(found, views(spec, x).mean(0))
