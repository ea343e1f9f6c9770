"""The recursive readout: ridge regression where it should be, and one contract for every kind."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from scatonline.config import ReadoutKind, ReadoutSpec
from scatonline.readout import LINKS, RecursiveReadout

KINDS: tuple[ReadoutKind, ...] = ("gaussian", "poisson", "softmax")
MISSING: tuple[ReadoutKind, ...] = ("gaussian", "poisson")


def fresh(
    kind: ReadoutKind, width: int, outputs: int, ridge: float = 2.0, forgetting: float = 1.0
) -> RecursiveReadout:
    return RecursiveReadout.fresh(ReadoutSpec(kind, ridge, forgetting), width, outputs, "cpu")


def stream(
    kind: ReadoutKind, samples: int, width: int = 4, outputs: int = 3, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Columns and targets of a fixed linear predictor."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((samples, width))
    eta = z @ rng.normal(0, 0.5, (width, outputs)) + rng.normal(0, 0.3, outputs)
    y: NDArray[np.float64]
    if kind == "gaussian":
        y = eta + 0.3 * rng.standard_normal(eta.shape)
    elif kind == "poisson":
        y = rng.poisson(np.exp(eta)).astype(np.float64)
    else:
        y = np.eye(outputs)[(2 * eta + rng.gumbel(size=eta.shape)).argmax(1)]
    return torch.from_numpy(z), torch.from_numpy(y)


def taught(kind: ReadoutKind, samples: int = 40, **values: float) -> RecursiveReadout:
    z, y = stream(kind, samples)
    readout = fresh(kind, z.shape[1], y.shape[1], **values)
    for zi, yi in zip(z, y, strict=True):
        readout.observe(zi, yi)
    return readout


def ridge_fit(z: Tensor, y: Tensor, prior: Tensor) -> Tensor:
    """All samples at once, the intercept first."""
    ones = torch.cat((z.new_ones(len(z), 1), z), 1)
    solution: Tensor = torch.linalg.solve(ones.T @ ones + torch.diag(prior), ones.T @ y)
    return solution


def prior_of(readout: RecursiveReadout) -> Tensor:
    return 1 / readout.precision.diagonal()


def test_gaussian_readout_is_ridge_regression() -> None:
    """After every sample, of all samples so far; P is the inverse of their second moments."""
    z, y = stream("gaussian", 30)
    readout = fresh("gaussian", 4, 3)
    prior = prior_of(readout)
    assert prior[1:].tolist() == [2.0] * 4
    for i, (zi, yi) in enumerate(zip(z, y, strict=True)):
        readout.observe(zi, yi)
        expected = ridge_fit(z[: i + 1], y[: i + 1], prior)
        np.testing.assert_allclose(readout.weights, expected, atol=1e-8)
    ones = torch.cat((z.new_ones(30, 1), z), 1)
    inverse = torch.linalg.inv(ones.T @ ones + torch.diag(prior))
    np.testing.assert_allclose(readout.precision, inverse, atol=1e-9)


@pytest.mark.parametrize("kept", [[0, 2, 3], [3, 1], [2, 0, 1, 3], []])
def test_columns_taken_out_were_never_there(kept: list[int]) -> None:
    """Removal is the exact refit without them, in any order of those that stay."""
    z, y = stream("gaussian", 30)
    readout = taught("gaussian", 30)
    prior = prior_of(fresh("gaussian", len(kept), 3))
    smaller = readout.restructured(torch.tensor(kept, dtype=torch.long))
    np.testing.assert_allclose(smaller.weights, ridge_fit(z[:, kept], y, prior), atol=1e-8)
    smaller.observe(z[0, kept], y[0])
    again = ridge_fit(torch.cat((z, z[:1]))[:, kept], torch.cat((y, y[:1])), prior)
    np.testing.assert_allclose(smaller.weights, again, atol=1e-8)


def test_columns_put_in_start_from_the_prior() -> None:
    """As if they had been zero so far; what was known stays known."""
    z, y = stream("gaussian", 30)
    readout = taught("gaussian", 30)
    wider = readout.restructured(torch.tensor([0, -1, 1, 2, 3, -1]))
    np.testing.assert_array_equal(wider.weights[[0, 1, 3, 4, 5]], readout.weights)
    assert not wider.weights[[2, 6]].any()
    assert wider.precision[2, 2] == 1 / 2.0
    assert not wider.precision[2, [0, 1, 3, 4, 5, 6]].any()
    more, targets = stream("gaussian", 10, width=6, seed=1)
    past = torch.zeros(30, 6, dtype=torch.float64)
    past[:, [0, 2, 3, 4]] = z
    for zi, yi in zip(more, targets, strict=True):
        wider.observe(zi, yi)
    expected = ridge_fit(
        torch.cat((past, more)), torch.cat((y, targets)), prior_of(fresh("gaussian", 6, 3))
    )
    np.testing.assert_allclose(wider.weights, expected, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_restructuring_leaves_the_old_readout_alone(kind: ReadoutKind) -> None:
    readout = taught(kind)
    before = copy.deepcopy(readout)
    smaller = readout.restructured(torch.tensor([1, -1]))
    smaller.observe(torch.ones(2, dtype=torch.float64), torch.eye(3, dtype=torch.float64)[0])
    kept = before.tensors()
    assert all(torch.equal(table, kept[name]) for name, table in readout.tensors().items())


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_do_not_change_while_weights_are_held(kind: ReadoutKind) -> None:
    """A reader may keep weights: a step makes new ones."""
    readout = taught(kind)
    weights, peak = readout.weights, readout.counts.peak
    kept = weights.clone(), peak.clone()
    z, y = stream(kind, 5, seed=3)
    for zi, yi in zip(z, y, strict=True):
        readout.observe(zi, yi)
    assert torch.equal(weights, kept[0])
    assert torch.equal(peak, kept[1])
    assert not torch.equal(readout.weights, weights)


@pytest.mark.parametrize("kind", MISSING)
def test_missing_target_leaves_its_output_alone(kind: ReadoutKind) -> None:
    readout = taught(kind)
    before = copy.deepcopy(readout)
    z, y = stream(kind, 1, seed=5)
    target = y[0].clone()
    target[1] = math.nan
    readout.observe(z[0], target)
    assert torch.equal(readout.weights[:, 1], before.weights[:, 1])
    assert not torch.equal(readout.weights[:, 0], before.weights[:, 0])
    assert readout.counts.total[1] == before.counts.total[1]
    assert readout.counts.seen[1] == before.counts.seen[1]
    assert readout.counts.peak[1] == before.counts.peak[1]
    assert bool(torch.isfinite(readout.precision).all())


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_that_of_the_mean_likelihood(kind: ReadoutKind) -> None:
    """Of −log p per observed output; a Poisson output's counts in units of their own mean."""
    readout = taught(kind)
    z, y = stream(kind, 1, seed=7)
    target = y[0].clone()
    if kind != "softmax":
        target[2] = math.nan
    seen = ~torch.isnan(target)
    variable = z[0].clone().requires_grad_()
    link = readout.link
    mean = link.mean(readout.weights[0] + variable @ readout.weights[1:])
    scale = (
        (readout.counts.total + 1) / (readout.counts.seen + 1)
        if kind == "poisson"
        else torch.ones(3)
    )
    halves = 1.0 if kind == "softmax" else 0.5
    per_output = halves * link.loss(mean[seen], target[seen]) / scale[seen]
    (expected,) = torch.autograd.grad(per_output.mean(), variable)
    np.testing.assert_allclose(readout.gradient(z[0], target), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "forgetting"), [*((kind, 1.0) for kind in KINDS), ("gaussian", 0.995)]
)
def test_loss_falls_on_a_stationary_stream(kind: ReadoutKind, forgetting: float) -> None:
    """Each sample predicted before it is learned; at the end close to what can be known."""
    z, y = stream(kind, 400)
    readout = fresh(kind, 4, 3, forgetting=forgetting)
    losses = []
    for zi, yi in zip(z, y, strict=True):
        losses.append(float(readout.link.loss(readout.predict(zi), yi).mean()))
        readout.observe(zi, yi)
    early, late = np.mean(losses[:30]), np.mean(losses[-200:])
    best = fit_of_whole(kind, z, y)
    assert late < early
    assert late < 1.1 * best + 0.01


def fit_of_whole(kind: ReadoutKind, z: Tensor, y: Tensor) -> float:
    """Loss over the last half of the best linear predictor of all samples, by gradient descent."""
    weights = torch.zeros(5, 3, dtype=torch.float64, requires_grad=True)
    ones = torch.cat((z.new_ones(len(z), 1), z), 1)
    optimiser = torch.optim.LBFGS([weights], max_iter=100)
    link = LINKS[kind]

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = link.loss(link.mean(ones @ weights), y).mean()
        torch.autograd.backward(loss)
        return loss.detach()

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return float(link.loss(link.mean(ones @ weights), y)[-200:].mean())


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(
    seed=st.integers(0, 1000),
    size=st.floats(-3, 4).map(lambda e: 10.0**e),
    ridge=st.floats(-4, 3).map(lambda e: 10.0**e),
)
def test_no_sample_is_predicted_worse_right_after_it_was_learned(
    kind: ReadoutKind, seed: int, size: float, ridge: float
) -> None:
    """However large its columns are and however little is known: steps cannot overshoot."""
    z, y = stream(kind, 4, seed=seed)
    readout = fresh(kind, 4, 3, ridge=ridge)
    link = readout.link
    for zi, yi in zip(size * z, y, strict=True):
        before = link.loss(link.mean(readout.weights[0] + zi @ readout.weights[1:]), yi)
        readout.observe(zi, yi)
        after = link.loss(link.mean(readout.weights[0] + zi @ readout.weights[1:]), yi)
        assert bool(torch.isfinite(readout.weights).all())
        if kind == "softmax":
            before, after = before.sum(), after.sum()
        assert bool((after <= before + 1e-6 * (1 + before.abs())).all())


@pytest.mark.parametrize(
    ("kind", "samples"), [("gaussian", 2000), ("poisson", 300), ("softmax", 300)]
)
def test_forgetting_does_not_wind_up(kind: ReadoutKind, samples: int) -> None:
    """Excited in one direction only, P stays near its prior in all the others.

    What rounding leaves asymmetric would grow by 1/γ a sample, to 10^44 times after 2 000.
    """
    readout = fresh(kind, 5, 2, ridge=10.0, forgetting=0.95)
    z = torch.tensor([1.0, 0, 0, 0, 0], dtype=torch.float64)
    target = torch.tensor([1.0, 0.0], dtype=torch.float64)
    for _ in range(samples):
        readout.observe(z, target)
    spread = torch.linalg.eigvalsh(readout.precision[2:, 2:])
    assert float(spread.max()) < 1.3 / 10.0
    assert float(spread.min()) > 0.7 / 10.0
    assert float(torch.linalg.eigvalsh(readout.precision).min()) > 0
    np.testing.assert_allclose(readout.precision, readout.precision.T, atol=1e-9)


def test_wide_readouts_do_not_wind_up_either() -> None:
    """Many more columns than samples remembered: each is still reminded of its prior in time."""
    readout = fresh("gaussian", 80, 1, ridge=10.0, forgetting=0.9)
    z = torch.zeros(80, dtype=torch.float64)
    z[0] = 1
    for _ in range(200):
        readout.observe(z, torch.ones(1, dtype=torch.float64))
    spread = torch.linalg.eigvalsh(readout.precision[2:, 2:])
    assert 0.6 / 10 < float(spread.min()) <= float(spread.max()) < 1.6 / 10


@pytest.mark.parametrize("kind", KINDS)
def test_forgetting_follows_a_change(kind: ReadoutKind) -> None:
    (z, y), (later, changed) = stream(kind, 200), stream(kind, 100, seed=1)
    losses = {}
    for forgetting in (1.0, 0.98):
        readout = fresh(kind, 4, 3, forgetting=forgetting)
        for zi, yi in zip(z, y, strict=True):
            readout.observe(zi, yi)
        total = 0.0
        for zi, yi in zip(later, changed, strict=True):
            total += float(readout.link.loss(readout.predict(zi), yi).mean())
            readout.observe(zi, yi)
        losses[forgetting] = total
    assert losses[0.98] < losses[1.0]


def test_rate_never_exceeds_the_largest_count_seen() -> None:
    readout = taught("poisson", 200)
    far = 1e3 * torch.ones(4, dtype=torch.float64)
    assert bool((readout.predict(far) <= readout.counts.peak.clamp_min(1)).all())
    assert bool((readout.predict(-far) <= readout.counts.peak.clamp_min(1)).all())
    assert bool((fresh("poisson", 4, 3).predict(far) <= 1).all())


@pytest.mark.parametrize("kind", KINDS)
def test_intercept_alone_learns_the_mean(kind: ReadoutKind) -> None:
    """A readout without columns: what a stream is on average."""
    _, y = stream(kind, 400)
    readout = fresh(kind, 0, 3)
    nothing = torch.zeros(0, dtype=torch.float64)
    for yi in y:
        readout.observe(nothing, yi)
    np.testing.assert_allclose(readout.predict(nothing), y.mean(0), rtol=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_columns_are_predicted_alike(kind: ReadoutKind) -> None:
    readout = taught(kind)
    z, _ = stream(kind, 6, seed=2)
    together = readout.predict(z)
    for zi, row in zip(z, together, strict=True):
        np.testing.assert_allclose(readout.predict(zi), row, rtol=1e-12)
    if kind == "softmax":
        np.testing.assert_allclose(together.sum(1), 1.0)
