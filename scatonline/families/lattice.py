"""Paraunitary lattices: any orthonormal two-channel filter, by angles.

Source: Vaidyanathan & Hoang, "Lattice structures for optimal design and robust implementation of
two-channel perfect-reconstruction QMF banks", IEEE TASSP 36 (1988):

    E(z) = R(θ_{M−1})·D(z)·…·D(z)·R(θ_0),   R(θ) = [[cos, sin], [−sin, cos]],   D = diag(1, z⁻¹)

whose first row holds the even and odd coefficients of the low-pass. Any angles give an orthonormal
filter; Σθ = π/4 gives it a zero at ω = π, so the last angle follows from the M − 1 learned ones.

Angles are not unique, and most give irregular filters: learning starts from a Daubechies wavelet,
whose angles are peeled off layer by layer.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scatonline.config import BankSpec
from scatonline.errors import ConfigError
from scatonline.families import daubechies
from scatonline.families.base import ParameterSpec
from scatonline.families.orthonormal import Amplitude, complement

Doubles = NDArray[np.float64]

_ORDER = 4
_MOST = 10
# Energy that gives the root of the amplitude a slope where learning may make it vanish.
_FLOOR = 1e-12


class Lattice:
    """Two-channel filters of M angles, the same at all levels."""

    def __init__(self, spec: BankSpec) -> None:
        """Takes the number of angles from ``spec.order``.

        Raises:
            ConfigError: too few or too many.
        """
        angles = spec.order or _ORDER
        if not 2 <= angles <= _MOST:
            raise ConfigError(f"lattice of {angles} angles: expected 2 to {_MOST}")
        self._start = tuple(peel(daubechies.fir((), angles))[:-1].tolist())
        self.parameters = tuple(
            ParameterSpec(f"angle{k}", "rad", "angle") for k in range(angles - 1)
        )

    @property
    def start(self) -> tuple[float, ...]:
        """The angles of a Daubechies wavelet of the same length."""
        return self._start

    def bounds(self) -> tuple[tuple[float, float], ...]:
        """None: every angle gives a filter."""
        return ((-math.inf, math.inf),) * len(self.parameters)

    def amplitude(self, values: Tensor, scales: Sequence[int], levels: int) -> Amplitude:  # noqa: ARG002
        """See :class:`Quadrature`."""
        rest = complement(synthesise(values), 1)
        return Amplitude(1, rest.new_zeros(len(rest), 1, 0), rest[:, None], _FLOOR)


def synthesise(angles: Tensor) -> Tensor:
    """Low-pass filters of ``(filters, M − 1)`` angles: ``(filters, 2M)``, differentiable."""
    last = math.pi / 4 - angles.sum(1, keepdim=True)
    every = torch.cat((angles, last), 1)
    cosine, sine = every.cos(), every.sin()
    M = every.shape[1]
    # The first row of the product, from the left: two polynomials in z⁻¹.
    even, odd = cosine[:, -1:], sine[:, -1:]
    for k in range(M - 2, -1, -1):
        c, s = cosine[:, k, None], sine[:, k, None]
        even = torch.nn.functional.pad(even, (0, 1))
        odd = torch.nn.functional.pad(odd, (1, 0))
        even, odd = even * c - odd * s, even * s + odd * c
    return torch.stack((even, odd), 2).flatten(1)


def fir(angles: Sequence[float]) -> Doubles:
    """The low-pass filter of M − 1 angles in radians, ``(2M,)`` with Σh = √2."""
    return synthesise(torch.tensor([list(angles)], dtype=torch.float64))[0].numpy()


def peel(h: Doubles) -> Doubles:
    """The M angles of an orthonormal low-pass of 2M coefficients, θ_0 first.

    Raises:
        ConfigError: ``h`` has an odd length, or is not orthonormal to its even shifts.
    """
    taps = np.asarray(h, np.float64)
    if len(taps) % 2 or len(taps) == 0:
        raise ConfigError(f"filter of {len(taps)} coefficients: expected an even number of them")
    own = np.correlate(taps, taps, "full")[len(taps) - 1 :: 2]
    error = abs(own - np.eye(len(own))[0]).max()
    if error > 1e-6:
        raise ConfigError(
            f"filter misses orthonormality to its even shifts by {error:.1e}, expected at most 1e-6"
        )
    even, odd = taps[0::2], taps[1::2]
    angles = []
    while len(even) > 1:
        # Taking a rotation off the right leaves no last even and no first odd coefficient: two
        # conditions that agree, of which the one with larger numbers is better determined.
        if math.hypot(even[0], odd[0]) >= math.hypot(even[-1], odd[-1]):
            angle = math.atan2(odd[0], even[0])
        else:
            angle = math.atan2(-even[-1], odd[-1])
        c, s = math.cos(angle), math.sin(angle)
        even, odd = (even * c + odd * s)[:-1], (odd * c - even * s)[1:]
        angles.append(angle)
    angles.append(math.atan2(odd[0], even[0]))
    return np.array(angles)
