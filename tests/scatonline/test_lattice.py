"""Orthonormal filters by angles, and the angles of a filter."""

import math

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given
from hypothesis import strategies as st

from scatonline.config import BankSpec
from scatonline.errors import ConfigError
from scatonline.families.lattice import Lattice, fir, peel, synthesise
from scatonline.families.orthonormal import band
from tests.scatonline.differences import assert_gradient
from tests.scatonline.filters import border_error, orthonormality_error, squared_amplitude

# What PyWavelets' own digits hold.
NAMED = dict.fromkeys(("db2", "db3", "db4", "db6", "coif1", "coif2", "coif3"), 1e-12)
NAMED |= {"sym4": 5e-12, "sym8": 5e-12}
ANGLES = st.lists(st.floats(-20, 20), min_size=1, max_size=9)
OMEGA = np.linspace(0, math.pi, 41)


@pytest.mark.parametrize("side", ["rec_lo", "dec_lo"])
@pytest.mark.parametrize("name", NAMED)
def test_angles_of_a_known_filter_give_it_back(name: str, side: str) -> None:
    h = np.array(getattr(pywt.Wavelet(name), side))
    angles = peel(h)
    assert len(angles) == len(h) // 2
    np.testing.assert_allclose(fir(angles[:-1].tolist()), h, rtol=0, atol=NAMED[name])
    assert abs(math.remainder(angles.sum() - math.pi / 4, math.pi)) <= NAMED[name]


def test_angles_of_db2_are_known() -> None:
    np.testing.assert_allclose(peel(fir([math.pi / 3])), [math.pi / 3, -math.pi / 12], atol=1e-15)
    expected = pywt.Wavelet("db2").rec_lo
    np.testing.assert_allclose(fir([math.pi / 3]), expected, rtol=0, atol=1e-15)


@given(angles=ANGLES)
def test_any_angles_give_an_orthonormal_filter_with_a_zero_at_pi(angles: list[float]) -> None:
    h = fir(angles)
    assert len(h) == 2 * len(angles) + 2
    assert orthonormality_error(h) <= 1e-14
    assert border_error(h) <= 2e-14


@given(angles=ANGLES)
def test_peeled_angles_give_the_filter_back(angles: list[float]) -> None:
    """Whatever angles it was made of: they are not unique, the filter is.

    Each layer is told by the filter's ends, and where these are small its digits are few.
    """
    h = fir(angles)
    found = peel(h)
    np.testing.assert_allclose(fir(found[:-1].tolist()), h, rtol=0, atol=1e-8)


@given(angles=ANGLES, data=st.data())
def test_half_a_turn_of_any_angle_leaves_the_amplitude(
    angles: list[float], data: st.DataObject
) -> None:
    which = data.draw(st.integers(0, len(angles) - 1))
    turned = [angle + math.pi * (k == which) for k, angle in enumerate(angles)]
    expected = squared_amplitude(fir(angles), OMEGA)
    np.testing.assert_allclose(squared_amplitude(fir(turned), OMEGA), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("angles", range(2, 11))
def test_start_is_a_daubechies_wavelet(angles: int) -> None:
    filters = Lattice(BankSpec(family="lattice", order=angles))
    assert len(filters.parameters) == angles - 1
    assert all(parameter.free for parameter in filters.parameters)
    expected = pywt.Wavelet(f"db{angles}").rec_lo
    np.testing.assert_allclose(fir(filters.start), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("h", "named"),
    [
        ([], "0 coefficients: expected an even number"),
        ([0.7, 0.7, 0.1], "3 coefficients: expected an even number"),
        ([0.8, 0.8], r"misses orthonormality to its even shifts by 2\.8e-01, expected at most"),
        ([0.5, 0.5, 0.5, 0.5], r"misses orthonormality to its even shifts by 5\.0e-01"),
    ],
)
def test_other_filters_have_no_angles(h: list[float], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        peel(np.array(h))


@pytest.mark.parametrize("order", [1, 11])
def test_too_few_or_too_many_angles_are_refused(order: int) -> None:
    with pytest.raises(ConfigError, match=f"lattice of {order} angles: expected 2 to 10"):
        Lattice(BankSpec(family="lattice", order=order))


@pytest.mark.parametrize("order", [2, 4, 7])
def test_gradients(order: int) -> None:
    """Of the filters themselves and of bands made of them."""
    filters = Lattice(BankSpec(family="lattice", J=2, order=order))
    rng = np.random.default_rng(order)
    # Not at the start itself, whose amplitude is flat at π: there differences see its modulus.
    drawn = rng.uniform(-3, 3, (3, order - 1))
    drawn[0] = np.array(filters.start) + 0.1
    values = torch.from_numpy(drawn)
    taps = torch.from_numpy(rng.standard_normal((3, 2 * order)))
    assert_gradient(lambda angles: (synthesise(angles) * taps).sum(), values)
    omega = torch.from_numpy(OMEGA).expand(3, -1)
    weight = torch.from_numpy(rng.standard_normal(tuple(omega.shape)))
    assert_gradient(lambda angles: (band(filters, angles, [0, 1, 2], omega) * weight).sum(), values)
