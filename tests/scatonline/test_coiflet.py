"""Orthonormal filters about a learned centre of mass."""

import math

import numpy as np
import pytest
import pywt
import torch
from torch import Tensor

from scatonline.config import BankSpec
from scatonline.errors import ConfigError
from scatonline.families.coiflet import Coiflet, fir, interval, solve
from tests.scatonline.differences import assert_gradient, central_differences
from tests.scatonline.filters import Floats, border_error, orthonormality_error

BRANCHES = pytest.mark.parametrize("order", [2, 3, 4, 6])
# Of the classical coiflet, and as near as every branch reaches on either side.
CENTRES = {2: 2.0, 3: 2.0, 4: 4.0, 6: 6.0}
NEAR = (-0.8, -0.31, 0.0, 0.27, 0.8)


def everywhere(order: int) -> tuple[Floats, Floats]:
    lower, upper = interval(order)
    t = torch.linspace(lower, upper, 301, dtype=torch.float64)
    return t.numpy(), solve(t, order).numpy()


@pytest.mark.parametrize(("order", "name"), [(2, "coif1"), (4, "coif2"), (6, "coif3")])
def test_equal_to_the_classical_ones_about_an_integer(order: int, name: str) -> None:
    expected = pywt.Wavelet(name).rec_lo
    np.testing.assert_allclose(fir(order, float(order)), expected, rtol=0, atol=2e-14)


@BRANCHES
def test_orthonormal_along_the_whole_branch(order: int) -> None:
    for h in everywhere(order)[1]:
        assert len(h) == 2 * (order + order // 2)
        assert orthonormality_error(h) <= 1e-12
        assert border_error(h) <= 1e-12


@BRANCHES
def test_moments_vanish_along_the_whole_branch(order: int) -> None:
    """Those of the wavelet from the 0th, those of the scaling function about t̄ from the 1st.

    Powers are of positions in units of the filter's length, which is what float64 can tell.
    """
    for t, h in zip(*everywhere(order), strict=True):
        taps = np.arange(len(h))
        for moment in range(order):
            alternating = (-1.0) ** taps * (taps / len(h)) ** moment
            assert abs(float((alternating * h).sum())) <= 1e-12
            if moment:
                assert abs(float((((taps - t) / len(h)) ** moment * h).sum())) <= 1e-12


@BRANCHES
def test_branch_has_no_jumps(order: int) -> None:
    """The steepest place is beside a fold, where dh/dt̄ grows like one over a square root."""
    t, h = everywhere(order)
    assert float(np.abs(np.diff(h, axis=0)).max() / (t[1] - t[0])) < 3


@BRANCHES
def test_centre_of_mass_is_where_it_is_asked_for(order: int) -> None:
    for offset in NEAR:
        t = CENTRES[order] + offset
        h = fir(order, t)
        assert float((np.arange(len(h)) * h).sum()) / math.sqrt(2) == pytest.approx(t, abs=1e-12)
        assert orthonormality_error(h) <= 1e-12


@BRANCHES
def test_beside_a_fold_there_is_no_filter(order: int) -> None:
    lower, upper = interval(order)
    for t in (lower, upper):
        assert len(fir(order, t)) == 2 * (order + order // 2)
    for t in (lower - 1e-6, upper + 1e-6, -40.0, math.inf, math.nan):
        with pytest.raises(ConfigError, match=f"expected {lower:.3f} to {upper:.3f} samples"):
            fir(order, t)


@BRANCHES
def test_bounds_are_those_of_the_branch(order: int) -> None:
    filters = Coiflet(BankSpec(family="coiflet", order=order))
    assert filters.bounds() == (interval(order),)
    assert filters.start == (CENTRES[order],)
    lower, upper = interval(order)
    assert lower < CENTRES[order] < upper


@pytest.mark.parametrize("order", [1, 5, 7, 8])
def test_unknown_orders_are_refused(order: int) -> None:
    for attempt in (
        lambda: Coiflet(BankSpec(family="coiflet", order=order)),
        lambda: fir(order, 2.0),
    ):
        with pytest.raises(ConfigError, match=f"order {order}: expected one of 2, 3, 4, 6"):
            attempt()


@BRANCHES
def test_filters_about_several_centres_are_each_alone(order: int) -> None:
    t = torch.tensor([CENTRES[order] + offset for offset in NEAR], dtype=torch.float64)
    together = solve(t, order)
    for row in range(len(t)):
        np.testing.assert_allclose(together[row], solve(t[row : row + 1], order)[0], atol=1e-14)


@BRANCHES
def test_first_and_second_derivatives(order: int) -> None:
    """Newton's steps are in the graph: right in slope, and in curvature too."""
    t = torch.tensor([CENTRES[order] + offset for offset in NEAR], dtype=torch.float64)
    rng = np.random.default_rng(order)
    weight = torch.from_numpy(rng.standard_normal((len(t), 2 * (order + order // 2))))

    def loss(at: Tensor) -> Tensor:
        return (solve(at, order) * weight).sum()

    def slope(at: Tensor, create_graph: bool = False) -> Tensor:
        leaf = at if create_graph else at.detach().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(loss(leaf), leaf, create_graph=create_graph)
        return gradient

    assert_gradient(loss, t)
    variable = t.clone().requires_grad_()
    (curvature,) = torch.autograd.grad(slope(variable, create_graph=True).sum(), variable)
    expected = central_differences(lambda at: slope(at).sum(), t)
    np.testing.assert_allclose(
        curvature, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max())
    )
