"""Filters of least length that are orthonormal and reproduce exponentials."""

import math

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from scatonline.config import BankSpec, Coupling
from scatonline.errors import ConfigError
from scatonline.families.daubechies import Daubechies, complement, fir, least_c
from scatonline.families.orthonormal import band
from tests.scatonline.differences import assert_gradient
from tests.scatonline.filters import border_error, high_pass, orthonormality_error

SPLITS = [(n - 2 * pairs, pairs) for n in range(2, 9) for pairs in range(n // 2 + 1)]
# With pairs and at least one zero, as a bank has them.
SERVED = [(zeros, pairs) for zeros, pairs in SPLITS if zeros and pairs]
OMEGA = torch.linspace(0, math.pi, 65, dtype=torch.float64)


def tolerance(zeros: int, pairs: int) -> float:
    """The equations' condition grows from 450 at order 4 to 8e6 at order 8."""
    return 1e-12 if zeros + 2 * pairs <= 6 else 4e-11


def random_c(rng: np.random.Generator, zeros: int, pairs: int) -> tuple[float, ...]:
    """Between the bound and 10, half of them below 1."""
    lowest = math.log(least_c(zeros, pairs) + 0.02)
    highest = np.where(rng.random(pairs) < 0.5, 0.0, math.log(10))
    return tuple(np.exp(rng.uniform(lowest, highest)).tolist())


@pytest.mark.parametrize(("zeros", "pairs"), SPLITS)
def test_equal_to_daubechies_own_where_every_c_is_1(zeros: int, pairs: int) -> None:
    expected = pywt.Wavelet(f"db{zeros + 2 * pairs}").rec_lo
    np.testing.assert_allclose(fir((1.0,) * pairs, zeros), expected, rtol=0, atol=1e-10)


def test_haar_is_the_filter_of_one_zero() -> None:
    np.testing.assert_allclose(fir((), 1), pywt.Wavelet("db1").rec_lo, rtol=0, atol=1e-15)


@pytest.mark.parametrize(("zeros", "pairs"), SERVED)
def test_orthonormal_wherever_c_is_above_its_bound(zeros: int, pairs: int) -> None:
    rng = np.random.default_rng(zeros + 10 * pairs)
    for _ in range(20):
        h = fir(random_c(rng, zeros, pairs), zeros)
        assert len(h) == 2 * (zeros + 2 * pairs)
        assert orthonormality_error(h) <= tolerance(zeros, pairs)
        assert border_error(h) <= 2 * tolerance(zeros, pairs)


@pytest.mark.parametrize(("zeros", "pairs"), SERVED)
def test_complement_makes_both_channels_add_up_to_1(zeros: int, pairs: int) -> None:
    rng = np.random.default_rng(zeros + 10 * pairs)
    x = np.cos(np.linspace(0, math.pi, 33))
    for _ in range(20):
        c = random_c(rng, zeros, pairs)
        (b,) = complement(torch.tensor([c], dtype=torch.float64), zeros).numpy()
        total = np.zeros_like(x)
        for each in (x, -x):
            known = ((1 + each) / 2) ** zeros
            for factor in c:
                known = known * ((each + factor) / (1 + factor)) ** 2
            total += known * np.polynomial.polynomial.polyval(each, b) / 2
        np.testing.assert_allclose(total, 1, rtol=0, atol=tolerance(zeros, pairs))


@pytest.mark.parametrize("c", [(0.6,), (1.0,), (1.7,), (9.0,), (0.7, 1.0), (0.8, 3.0)])
@pytest.mark.parametrize("zeros", [1, 2])
def test_exponentials_are_zeros_of_the_filter(c: tuple[float, ...], zeros: int) -> None:
    """H(−e^{±α}) = 0 with cosh α = c, relative to what its terms are; and H(−1) = 0."""
    h = fir(c, zeros)
    alpha = np.arccosh(np.array(c, complex))
    for z in (-np.exp(alpha), -np.exp(-alpha), np.array([-1.0])):
        terms = h * z[:, None] ** -np.arange(len(h))
        size = np.abs(terms).sum(1)
        assert bool((np.abs(terms.sum(1)) <= 1e-12 * size).all())


@pytest.mark.parametrize("frequency", [0.02, 0.1, 0.13])
@pytest.mark.parametrize("order", [3, 4, 5])
def test_coupled_cascade_annihilates_a_sinusoid_at_every_level(
    order: int, frequency: float
) -> None:
    """Five levels and one ω₀; so do the bands of frequencies that are made of them."""
    levels = 4
    filters = Daubechies(BankSpec(family="daubechies", J=levels, order=order))
    top = math.cos(frequency * 2 ** (levels - 1))
    values = torch.tensor([[top]], dtype=torch.float64)
    c = filters.amplitude(values, [levels - 1], levels).pairs[0, :, 0]
    expected = [math.cos(frequency * 2**level) for level in range(levels)]
    np.testing.assert_allclose(c, expected, rtol=1e-13)
    np.testing.assert_allclose(c[:-1], np.sqrt((1 + c[1:].numpy()) / 2), rtol=1e-14)
    signal = np.cos(frequency * np.arange(600) + 0.3)
    for own in c.tolist():
        h = fir((own,), filters.zeros)
        details, signal = (np.convolve(signal, f[::-1], "valid")[::2] for f in (high_pass(h), h))
        assert float(np.abs(details).max()) <= 1e-12
        assert float(np.abs(signal).max()) > 0.5
    here = torch.full((levels, 1), frequency, dtype=torch.float64)
    psi = band(filters, c[:, None], list(range(levels)), here)
    assert float(psi.abs().max()) <= 1e-12


def test_filter_of_a_fine_scale_does_not_see_coarser_levels() -> None:
    """Its own c is that of its own level, and the levels below follow."""
    filters = Daubechies(BankSpec(family="daubechies", J=3))
    values = torch.tensor([[0.7], [0.7]], dtype=torch.float64)
    pairs = filters.amplitude(values, [0, 2], 3).pairs[..., 0]
    below = math.sqrt(0.85)
    expected = [[0.7, 1, 1], [math.sqrt((1 + below) / 2), below, 0.7]]
    np.testing.assert_allclose(pairs, expected, rtol=1e-14)


def test_free_levels_have_a_c_of_their_own() -> None:
    filters = Daubechies(
        BankSpec(family="daubechies", J=2, order=5, exponentials=2, coupling="free")
    )
    names = [parameter.name for parameter in filters.parameters]
    assert names == ["c1_j0", "c2_j0", "c1_j1", "c2_j1", "c1_j2", "c2_j2"]
    assert [parameter.least_scale for parameter in filters.parameters] == [0, 0, 1, 1, 2, 2]
    values = torch.arange(1.0, 7, dtype=torch.float64)[None]
    pairs = filters.amplitude(values, [1], 2).pairs
    assert pairs.tolist() == [[[1, 2], [3, 4]]]


@pytest.mark.parametrize(
    ("zeros", "pairs", "known"),
    [
        (0, 1, 0.5),
        (1, 1, 0.309),
        (2, 1, 0.247),
        (3, 1, 0.2119),
        (4, 1, 0.1886),
        (0, 2, 0.5936),
        (1, 2, 0.4554),
        (2, 2, 0.3905),
        (1, 3, 0.5207),
        (0, 4, 0.6447),
    ],
)
def test_below_the_least_c_there_is_no_filter(zeros: int, pairs: int, known: float) -> None:
    least = least_c(zeros, pairs)
    assert least == pytest.approx(known, abs=5.1e-5)
    if (zeros, pairs) in {(0, 1), (1, 1)}:
        assert least == pytest.approx(math.cos(math.pi / 3 if zeros == 0 else 2 * math.pi / 5))
    with pytest.raises(ConfigError, match=f"expected above {least:.4f}, below which no orthon"):
        fir((least - 1e-3,) * pairs, zeros)
    assert orthonormality_error(fir((least + 0.02,) * pairs, zeros)) <= tolerance(zeros, pairs)


@given(data=st.data())
def test_bank_stays_clear_of_the_least_c(data: st.DataObject) -> None:
    """For unequal pairs as well, anywhere between its bounds."""
    zeros, pairs = data.draw(st.sampled_from(SERVED))
    spec = BankSpec(family="daubechies", order=zeros + 2 * pairs, exponentials=pairs)
    limits = Daubechies(spec).bounds()
    assert {lower for lower, _ in limits} == {least_c(zeros, pairs) + 0.02}
    c = tuple(data.draw(st.floats(lower, upper)) for lower, upper in limits)
    assert orthonormality_error(fir(c, zeros)) <= tolerance(zeros, pairs)


@pytest.mark.parametrize(
    ("order", "exponentials", "named"),
    [
        (1, 1, r"order 1 with 1 pairs.*between 2·pairs \+ 1 = 3"),
        (2, 1, r"order 2 with 1 pairs.*between 2·pairs \+ 1 = 3"),
        (0, 2, r"order 4 with 2 pairs.*between 2·pairs \+ 1 = 5"),
        (9, 1, r"order 9 with 1 pairs.*and 8"),
    ],
)
def test_impossible_orders_are_refused(order: int, exponentials: int, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Daubechies(BankSpec(family="daubechies", order=order, exponentials=exponentials))


@pytest.mark.parametrize("coupling", ["coupled", "free"])
@pytest.mark.parametrize(("order", "exponentials"), [(3, 1), (4, 1), (5, 2), (8, 3)])
def test_gradients_of_bands(order: int, exponentials: int, coupling: Coupling) -> None:
    """Below, at and above c = 1."""
    spec = BankSpec(
        family="daubechies", J=2, order=order, exponentials=exponentials, coupling=coupling
    )
    filters = Daubechies(spec)
    rng = np.random.default_rng(order)
    rows = [random_c(rng, filters.zeros, len(filters.parameters)) for _ in range(2)]
    values = torch.tensor([filters.start, *rows], dtype=torch.float64)
    values = values.clamp_min(filters.lowest)
    scales = [0, 1, 2]
    weight = torch.from_numpy(rng.standard_normal((3, len(OMEGA))))

    def loss(c: Tensor) -> Tensor:
        return (band(filters, c, scales, OMEGA.expand(3, -1)) * weight).sum()

    assert_gradient(loss, values)
    variable = values.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(variable), variable)
    unused = torch.tensor(
        [[scale < parameter.least_scale for parameter in filters.parameters] for scale in scales]
    )
    assert bool((gradient[unused] == 0).all())
    assert bool((gradient[~unused] != 0).all())
