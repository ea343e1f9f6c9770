"""What only Morlet wavelets do."""

import math

import numpy as np
import pytest
import torch

from scatonline.config import BankSpec
from scatonline.families import make_family


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.9])
def test_morlet_in_the_plane_peaks_at_its_frequency_and_direction(angle: float) -> None:
    chosen = make_family(BankSpec(J=3, L=4), (64, 64))
    xi = 1.1
    (psi,) = chosen.spectra(torch.tensor([[angle, xi, 5.0, 0.8]], dtype=torch.float64), [2])
    peak = np.unravel_index(int(psi.argmax()), psi.shape)
    omega = 2 * math.pi * np.fft.fftfreq(64)
    found = np.array([omega[peak[0]], omega[peak[1]]])
    step = 2 * math.pi / 64
    np.testing.assert_allclose(found, [xi * math.cos(angle), xi * math.sin(angle)], atol=step)


def test_morlet_on_the_line_peaks_at_its_frequency() -> None:
    chosen = make_family(BankSpec(J=3, Q=(2,)), (256,))
    (psi,) = chosen.spectra(torch.tensor([[0.2, 0.02]], dtype=torch.float64), [0])
    assert abs(int(psi.argmax()) / 256 - 0.2) <= 1 / 256
    assert float(torch.fft.ifft(psi).abs().sum()) == pytest.approx(1)


def test_turning_a_morlet_by_a_right_angle_turns_its_spectrum() -> None:
    chosen = make_family(BankSpec(J=2, L=4), (32, 32))
    values = torch.tensor([[0.3, 1.5, 2.0, 0.7], [0.3 + math.pi / 2, 1.5, 2.0, 0.7]]).double()
    first, second = chosen.spectra(values, [1, 1])
    # ω = (a, b) turned by a right angle is (−b, a).
    turned = torch.roll(torch.flip(first.T, (0,)), 1, 0)
    np.testing.assert_allclose(second, turned, atol=1e-6)
