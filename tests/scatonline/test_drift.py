"""What is reported about a filter is what was done to it."""

import math

import numpy as np
import pytest
import torch

from scatonline.config import BankSpec
from scatonline.drift import bank_drift, parameters
from scatonline.families import make_family
from scatonline.filterbank import FilterBank


def make_bank(dimensions: int) -> FilterBank:
    spec = BankSpec(J=2, L=3, Q=(2,))
    return FilterBank(spec, make_family(spec, (32, 32) if dimensions == 2 else (128,)), 1)


def put(bank: FilterBank, row: int, factors: list[float], turn: float = 0.0) -> None:
    """Multiplies the natural values of a filter, and turns it."""
    values = bank.values().detach().clone()
    values[row] *= torch.tensor(factors, dtype=torch.float64)
    values[row, bank.angle] += turn
    with torch.no_grad():
        bank.theta.copy_(bank.coordinates().unconstrained(values))


@pytest.mark.parametrize("dimensions", [1, 2])
def test_filters_that_have_not_moved_have_no_drift(dimensions: int) -> None:
    bank = make_bank(dimensions)
    for drift in bank_drift(bank):
        assert drift.keys() >= {"log2_frequency", "log2_bandwidth", "spectral_distance"}
        assert ("angle_rad" in drift) == (dimensions == 2)
        assert all(abs(value) < 1e-9 for value in drift.values())


@pytest.mark.parametrize("dimensions", [1, 2])
def test_a_closed_layer_has_no_drift(dimensions: int) -> None:
    spec = BankSpec(J=2, L=3, Q=(2,), layers=1)
    family = make_family(spec, (32, 32) if dimensions == 2 else (128,))
    assert bank_drift(FilterBank(spec, family, 2)) == []


def test_drift_in_the_plane() -> None:
    bank = make_bank(2)
    put(bank, 1, [1.0, 2**0.25, 2**0.5, 1.0], turn=-0.3)
    moved, others = bank_drift(bank)[1], [d for i, d in enumerate(bank_drift(bank)) if i != 1]
    assert moved["angle_rad"] == pytest.approx(-0.3)
    assert moved["log2_frequency"] == pytest.approx(0.25)
    assert moved["log2_bandwidth"] == pytest.approx(-0.5)
    assert 0.1 < moved["spectral_distance"] <= 1
    assert all(abs(value) < 1e-9 for drift in others for value in drift.values())


def test_drift_on_the_line() -> None:
    bank = make_bank(1)
    put(bank, 0, [2**-0.3, 2**0.2])
    moved = bank_drift(bank)[0]
    assert moved["log2_frequency"] == pytest.approx(-0.3)
    assert moved["log2_bandwidth"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("turn", "seen"), [(math.pi, 0.0), (3.0, 3.0 - math.pi), (-7.0, 2 * math.pi - 7.0)]
)
def test_directions_repeat_after_half_a_turn(turn: float, seen: float) -> None:
    bank = make_bank(2)
    put(bank, 0, [1.0] * 4, turn=turn)
    assert bank_drift(bank)[0]["angle_rad"] == pytest.approx(seen, abs=1e-9)
    theta = parameters(bank)[0]["theta"]
    assert 0 <= theta.value < math.pi
    assert 0 <= theta.initial < math.pi


def test_half_a_turn_leaves_the_spectrum_mirrored_not_other() -> None:
    """ψ turned by π is its complex conjugate: no new direction, but another spectrum."""
    bank = make_bank(2)
    put(bank, 0, [1.0] * 4, turn=math.pi)
    psi = bank.family.spectra(bank.values().detach()[:1], [0])[0]
    first = bank.family.spectra(bank.initial[:1], [0])[0]
    mirrored = torch.roll(torch.flip(first, (0, 1)), (1, 1), (0, 1))
    np.testing.assert_allclose(psi, mirrored, atol=1e-9)


def test_parameters_have_the_names_and_units_of_the_family() -> None:
    bank = make_bank(2)
    put(bank, 2, [1.0, 1.1, 0.9, 1.2])
    found = parameters(bank)[2]
    assert {name: p.unit for name, p in found.items()} == {
        "theta": "rad",
        "xi": "rad/pixel",
        "sigma": "pixel",
        "slant": "1",
    }
    assert found["xi"].value / found["xi"].initial == pytest.approx(1.1)
    assert found["slant"].value / found["slant"].initial == pytest.approx(1.2)
