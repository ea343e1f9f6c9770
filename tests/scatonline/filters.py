"""What a two-channel filter must be, told by its coefficients alone."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def orthonormality_error(h: Floats) -> float:
    """Largest |⟨h, h shifted by 2k⟩ − δ_k|."""
    own = np.correlate(h, h, "full")[len(h) - 1 :: 2]
    return float(np.abs(own - np.eye(len(own))[0]).max())


def border_error(h: Floats) -> float:
    """Larger of |H(1) − √2| and |H(−1)|."""
    alternating = float((h * (-1.0) ** np.arange(len(h))).sum())
    return max(abs(float(h.sum()) - math.sqrt(2)), abs(alternating))


def squared_amplitude(h: Floats, omega: Floats) -> Floats:
    """|m(ω)|² = |H(ω)|²/2."""
    waves = np.exp(-1j * omega[:, None] * np.arange(len(h)))
    return np.asarray(np.abs(waves @ h) ** 2 / 2)


def high_pass(h: Floats) -> Floats:
    """The other channel: alternating signs, backwards."""
    return np.asarray(h[::-1] * (-1.0) ** np.arange(len(h)))
