"""Implicit steps: they solve the equation they are named for, and never overshoot."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy.special import wrightomega
from torch import Tensor

from scatonline.readout import LINKS
from scatonline.readout.links import omega

LIMIT = 8.0


def row(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def settled(kind: str, eta: Tensor, target: Tensor, q: float) -> Tensor:
    return LINKS[kind].settled(eta, target, torch.full_like(eta, q))


REACH = st.one_of(st.floats(0, 10), st.floats(-9, 9).map(lambda e: 10.0**e))


@settings(max_examples=300)
@given(eta=st.floats(-1e4, 1e4), y=st.floats(-1e4, 1e4), q=REACH)
def test_gaussian_step_solves_its_equation(eta: float, y: float, q: float) -> None:
    """The new mean lies between the old one and the target, at m = η + q·(y − m)."""
    m = float(settled("gaussian", row(eta), row(y), q))
    assert min(eta, y) - 1e-9 <= m <= max(eta, y) + 1e-9
    assert m * (1 + q) == pytest.approx(eta + q * y, rel=1e-9, abs=1e-9)


@settings(max_examples=300)
@given(eta=st.floats(-LIMIT, LIMIT), y=st.integers(0, 2000), q=REACH)
def test_poisson_step_solves_its_equation(eta: float, y: int, q: float) -> None:
    """The new rate lies between the old one and the count, at log m = η + q·(y − m)."""
    rate = math.exp(eta)
    m = float(settled("poisson", row(eta), row(float(y)), q))
    slack = 1e-6 * max(rate, y, 1.0)
    lowest = math.exp(-LIMIT)
    assert min(rate, max(y, lowest)) - slack <= m <= max(rate, y) + slack

    def excess(u: float) -> float:
        return u + q * math.exp(u) - eta - q * y

    low, high = min(eta, math.log(y) if y else -1e5) - 1, max(eta, math.log(max(y, 1))) + 1
    root = optimize.brentq(excess, low, high, xtol=1e-13)
    expected = math.exp(min(max(root, -LIMIT), LIMIT))
    assert m == pytest.approx(expected, rel=1e-6)


@settings(max_examples=300)
@given(goal=st.floats(-700, 1e9))
def test_a_step_is_the_same_on_every_device(goal: float) -> None:
    assert float(omega(row(goal))) == pytest.approx(float(wrightomega(goal)), rel=1e-12)


@settings(max_examples=50)
@given(eta=st.floats(-1e6, 1e6), y=st.integers(0, 10**6), q=REACH)
def test_poisson_step_is_finite_from_anywhere(eta: float, y: int, q: float) -> None:
    m = float(settled("poisson", row(eta), row(float(y)), q))
    assert math.exp(-LIMIT) * (1 - 1e-12) <= m <= math.exp(LIMIT) * (1 + 1e-12)


@settings(max_examples=200)
@given(
    eta=st.lists(st.floats(-20, 20), min_size=2, max_size=6),
    which=st.integers(0, 5),
    q=REACH,
)
def test_softmax_step_gains_and_does_not_overshoot(eta: list[float], which: int, q: float) -> None:
    """The chosen class becomes more likely; its log-likelihood after the step is no lower."""
    scores = row(*eta)
    choice = torch.zeros_like(scores)
    choice[which % len(eta)] = 1
    before = torch.softmax(scores, -1)
    m = settled("softmax", scores, choice, q)
    assert float(m.sum()) == pytest.approx(1, abs=1e-9)
    after = torch.softmax(scores + q * (choice - m), -1)
    k = which % len(eta)
    assert float(after[k]) >= float(before[k]) * (1 - 1e-9)
    assert float(before[k]) - 1e-9 <= float(m[k]) <= 1 + 1e-9


@pytest.mark.parametrize("q", [0.01, 0.5, 2.0])
def test_softmax_step_solves_its_equation(q: float) -> None:
    """At the lengths that occur once a readout knows something: m = softmax(η + q·(y − m))."""
    scores, choice = row(1.0, -0.5, 0.3), row(0.0, 1.0, 0.0)
    m = settled("softmax", scores, choice, q)
    np.testing.assert_allclose(m, torch.softmax(scores + q * (choice - m), -1), atol=1e-3)


@pytest.mark.parametrize("kind", sorted(LINKS))
def test_step_of_no_length_changes_nothing(kind: str) -> None:
    eta, target = row(0.3, -1.0), row(0.0, 1.0)
    link = LINKS[kind]
    np.testing.assert_allclose(settled(kind, eta, target, 0.0), link.mean(eta), rtol=1e-9)


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_missing_target_has_no_residual_and_no_loss(kind: str) -> None:
    link, eta, target = LINKS[kind], row(0.3, -1.0), row(math.nan, 1.0)
    m = settled(kind, eta, target, 0.5)
    residual = link.residual(m, target)
    assert residual[0] == 0
    assert residual[1] != 0
    loss = link.loss(link.mean(eta), target)
    assert torch.isnan(loss).tolist() == [True, False]


@pytest.mark.parametrize("kind", sorted(LINKS))
def test_gradient_of_every_likelihood_is_mean_minus_target(kind: str) -> None:
    link = LINKS[kind]
    eta = row(0.4, -0.2, 1.3).requires_grad_()
    target = row(0.0, 1.0, 0.0)
    mean = link.mean(eta)
    halves = 1.0 if kind == "softmax" else 0.5
    (gradient,) = torch.autograd.grad(halves * link.loss(mean, target).sum(), eta)
    np.testing.assert_allclose(gradient, (mean - target).detach(), atol=1e-9)


@pytest.mark.parametrize("kind", sorted(LINKS))
def test_curvature_is_the_slope_of_the_mean(kind: str) -> None:
    link = LINKS[kind]
    eta = row(0.4, -0.2, 1.3).requires_grad_()
    mean = link.mean(eta)
    slopes = [torch.autograd.grad(mean[i], eta, retain_graph=True)[0][i] for i in range(3)]
    np.testing.assert_allclose(link.curvature(mean.detach()), torch.stack(slopes), atol=1e-9)


def test_losses_are_those_of_the_books() -> None:
    """Squared error; Poisson deviance, 0 for a rate that is the count; log loss."""
    y, p = row(3.0, 0.0, 2.0), row(2.0, 0.5, 2.0)
    np.testing.assert_allclose(LINKS["gaussian"].loss(p, y), [1.0, 0.25, 0.0])
    expected = [2 * (3 * math.log(1.5) - 1), 1.0, 0.0]
    np.testing.assert_allclose(LINKS["poisson"].loss(p, y), expected, atol=1e-12)
    chosen, odds = row(0.0, 1.0), row(0.75, 0.25)
    np.testing.assert_allclose(LINKS["softmax"].loss(odds, chosen), [0.0, math.log(4)], atol=1e-12)
