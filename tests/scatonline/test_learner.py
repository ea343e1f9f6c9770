"""What one labelled sample does to θ: the gradient of its loss, averaged, one step at a time."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from scatonline.config import LearningSpec, ReadoutKind, StructureSpec
from scatonline.model import Model
from scatonline.readout import RecursiveReadout
from scatonline.sample import Sample
from tests.scatonline.differences import central_differences
from tests.scatonline.models import KINDS, OUTPUTS, specification, stream, taught
from tests.scatonline.planted import GRATINGS, SIZE

EVERY = [pytest.param(kind, d, id=f"{kind}-{d}-D") for kind in KINDS for d in (1, 2)]
RATE = 1e-6


def likelihood(model: Model, sample: Sample) -> Tensor:
    """Mean −log p over the observed outputs, at the present θ, weights held; double precision."""
    learner, readout = model.learner, model._sessions["a"].readout
    assert isinstance(readout, RecursiveReadout)
    filters = learner.scattering.build(torch.float64)
    low_pass = learner.scattering.averages(torch.float64, torch.device("cpu"))
    x = torch.from_numpy(np.asarray(sample.input, np.float64))
    z = learner.standardiser(learner.layout.columns(x[None], filters, low_pass)[0])
    mean = readout.link.mean(readout.weights[0] + z @ readout.weights[1:])
    target = torch.from_numpy(np.asarray(sample.target, np.float64))
    seen = ~torch.isnan(target)
    halves = 1.0 if readout.spec.kind == "softmax" else 0.5
    loss = halves * readout.link.loss(mean[seen], target[seen])
    if readout.link.anchored:
        loss = loss / ((readout.counts.total + 1) / (readout.counts.seen + 1))[seen]
    return loss.mean()


@pytest.mark.parametrize(("kind", "dimensions"), EVERY)
def test_step_on_theta_follows_the_gradient_of_the_loss(kind: ReadoutKind, dimensions: int) -> None:
    """Against differences of the loss itself: columns, scales, frame bound and readout included."""
    learning = LearningSpec(optimiser="sgd", momentum=0, rate=RATE, every=1, warmup=24)
    model = taught(specification(kind, dimensions, learning=learning), 24)
    (sample,) = stream(model.spec, 1, seed=1)
    expected = []
    for bank in model.learner.banks():
        start = bank.theta.detach().clone()

        def loss(theta: Tensor, parameter: Tensor = bank.theta) -> Tensor:
            parameter.data = theta
            return likelihood(model, sample)

        expected.append(central_differences(loss, start, step=1e-6))
        bank.theta.data = start
    before = [bank.theta.detach().clone() for bank in model.learner.banks()]
    model.step(sample)
    for bank, start, gradient in zip(model.learner.banks(), before, expected, strict=True):
        found = (start - bank.theta.detach()) / RATE
        largest = float(gradient.abs().max())
        assert largest > 1e-4
        np.testing.assert_allclose(found, gradient, atol=1e-3 * largest)


def thetas(model: Model) -> Tensor:
    return torch.cat([bank.theta.detach().flatten() for bank in model.learner.banks()])


def test_theta_steps_after_every_few_samples_by_their_mean_gradient() -> None:
    """Three samples and one step = the mean of the three steps from the same θ."""
    together = LearningSpec(optimiser="sgd", momentum=0, rate=RATE, every=3, warmup=24)
    single = LearningSpec(optimiser="sgd", momentum=0, rate=RATE, every=1, warmup=24)
    model = taught(specification("gaussian", 2, learning=together), 24)
    samples = stream(model.spec, 3, seed=1)
    start, moved = thetas(model), []
    for i, sample in enumerate(samples):
        one = taught(specification("gaussian", 2, learning=single), 24)
        for earlier in samples[:i]:
            session = one._sessions["a"]
            x = torch.from_numpy(np.asarray(earlier.input, np.float32))
            columns = one.learner.columns(x, session).detach()
            target = torch.from_numpy(np.asarray(earlier.target, np.float64))
            session.readout.observe(one.learner.standardiser(columns), target)
        one.step(sample)
        moved.append(thetas(one) - start)
    for i, sample in enumerate(samples):
        assert torch.equal(thetas(model), start), i
        model.step(sample)
    step = thetas(model) - start
    expected = torch.stack(moved).mean(0)
    np.testing.assert_allclose(step, expected, atol=1e-4 * float(expected.abs().max()))


def test_scales_are_estimated_at_doubling_counts_and_then_frozen() -> None:
    spec = specification("gaussian", 2)
    model = Model(spec)
    model.open_session("a", OUTPUTS)
    changes, last = [], model.learner.standardiser
    for i, sample in enumerate(stream(spec, 40), 1):
        model.step(sample)
        if model.learner.standardiser is not last:
            changes.append(i)
            last = model.learner.standardiser
    assert changes == [8, 16]
    assert model.learner.calibrated


def test_learning_helps_where_no_filter_fits() -> None:
    """One filter, between a grating whose strength is the target and another one across it."""
    late = {}
    learning = LearningSpec(warmup=20, every=2, rate=0.05, max_angle_rad=0.05, max_log_step=0.05)
    for enabled in (False, True):
        spec = specification(
            "gaussian",
            2,
            bank=replace(GRATINGS.bank, L=1),
            features=GRATINGS.features,
            learning=replace(learning, enabled=enabled),
            structure=StructureSpec(enabled=False, window=32),
        )
        model = Model(spec)
        model.open_session("a", ["strength"])
        rng = np.random.default_rng(2)
        theta = float(model.learner.scattering.bank(1).values().detach()[0, 0])
        directions = theta + 0.4 + np.array([0.0, math.pi / 2])
        y, x = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
        across = np.cos(directions)[:, None, None] * x + np.sin(directions)[:, None, None] * y
        losses = []
        for i in range(110):
            amplitude, phase = rng.uniform(0.1, 1.0, 2), rng.uniform(0, 2 * math.pi, 2)
            waves = np.cos(2.36 * across + phase[:, None, None])
            image = (amplitude[:, None, None] * waves).sum(0)[None].astype(np.float32)
            target = np.array([4 * amplitude[0]], np.float32)
            losses.append(model.step(Sample(str(i), "a", image, target)).loss or 0.0)
        late[enabled] = float(np.mean(losses[-60:]))
    assert late[True] < 0.85 * late[False]
