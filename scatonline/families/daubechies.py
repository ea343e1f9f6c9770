"""Generalized Daubechies wavelets: orthonormal, of least length, reproducing exponentials.

Source: Vonesch, Blu & Unser, "Generalized Daubechies wavelet families", IEEE TSP 55 (2007). The
filter of level j reproduces e^{±αt} sampled at 2^j. A pair {α, −α} enters through c = cosh(2^j α)
alone: 1 for polynomials (Daubechies' own wavelets), below 1 for a sinusoid of frequency arccos c,
above 1 for real exponentials. c is learned rather than α, whose gradient vanishes at the classical
wavelet.

Where we deviate: zeros at ω = π beside those of the pairs are kept (at least one), so that wavelets
have no mean; and each filter of a bank has its own c, at the level of its own scale.

* ``coupled``: the levels below follow, c_{j−1} = √((1 + c_j)/2): the same α throughout.
* ``free``: every level down to the finest has a c of its own.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.polynomial import polynomial
from numpy.typing import NDArray
from torch import Tensor

from scatonline.autograd import constant
from scatonline.config import BankSpec, Coupling
from scatonline.errors import ConfigError
from scatonline.families.base import ParameterSpec
from scatonline.families.orthonormal import Amplitude

_ORDER = 4
# The equations' condition is 8e6 at 8: filters are orthonormal to 1e-12 up to order 6, at 8 to some
# 1e-11.
_MOST = 8
# Distance that learning keeps from the least c, and the largest c.
_MARGIN, _LARGEST = 0.02, 10.0


class Daubechies:
    """Two-channel filters with ``zeros`` zeros at ω = π and learnable pairs."""

    def __init__(self, spec: BankSpec) -> None:
        """Takes order, exponentials and coupling of ``spec``.

        Raises:
            ConfigError: the order does not leave a zero at ω = π, or is too large.
        """
        order, pairs = spec.order or _ORDER, spec.exponentials
        self.zeros, self.coupling = order - 2 * pairs, spec.coupling
        if self.zeros < 1 or order > _MOST:
            raise ConfigError(
                f"daubechies of order {order} with {pairs} pairs of exponentials: expected an "
                f"order between 2·pairs + 1 = {2 * pairs + 1}, which leaves a "
                f"zero at the highest frequency, and {_MOST}"
            )
        self.pairs = pairs
        self.lowest = least_c(self.zeros, pairs) + _MARGIN
        self.parameters = _columns(pairs, spec.J, self.coupling)

    @property
    def start(self) -> tuple[float, ...]:
        """Daubechies' own wavelet: c = 1."""
        return (1.0,) * len(self.parameters)

    def bounds(self) -> tuple[tuple[float, float], ...]:
        """From where B would touch 0, and a margin, to 10."""
        return ((self.lowest, _LARGEST),) * len(self.parameters)

    def amplitude(self, values: Tensor, scales: Sequence[int], levels: int) -> Amplitude:
        """See :class:`Quadrature`."""
        if self.coupling == "free":
            c = values.view(len(values), -1, self.pairs)[:, :levels]
        else:
            c = _coupled(values, scales, levels)
        return Amplitude(self.zeros, c, complement(c, self.zeros))


def fir(c: Sequence[float], zeros: int) -> NDArray[np.float64]:
    """The low-pass filter itself, of minimal phase: Daubechies' where every c is 1.

    Args:
        c: One for each pair of exponentials, at this level.
        zeros: Zeros at ω = π.

    Returns:
        ``(2·(zeros + 2·len(c)),)`` coefficients with Σh = √2, largest ones first.

    Raises:
        ConfigError: no such filter exists, as B would be negative.
    """
    b = complement(torch.tensor([[list(c)]], dtype=torch.float64), zeros)[0, 0].numpy()
    if _least(b) <= 0:
        raise ConfigError(
            f"c = {list(c)} with {zeros} zeros: expected above {least_c(zeros, len(c)):.4f}, "
            "below which no orthonormal filter exists"
        )
    h = np.ones(1)
    for factor in [(1.0, 1.0)] * zeros + [(1.0, 2 * each, 1.0) for each in c]:
        h = np.convolve(h, np.array(factor) / sum(factor))
    return np.convolve(h, _factor(b))


def complement(c: Tensor, zeros: int) -> Tensor:
    """B(X), with which |m|² + |m(· + π)|² = 1.

    Solves ``D(X)·B(X) + D(−X)·B(−X) = 2`` for the polynomial of least degree, where
    ``D = ((1 + X)/2)^zeros ∏ ((X + c)/(1 + c))²`` (maths: Bézout).

    Args:
        c: ``(..., pairs)``.
        zeros: Zeros at ω = π.

    Returns:
        ``(..., zeros + 2·pairs)``: coefficients of X⁰, X¹, ….
    """
    known = c.new_ones(*c.shape[:-1], 1)
    for _ in range(zeros):
        known = _times(known, 0.5, 0.5)
    for p in range(c.shape[-1]):
        each = c[..., p, None]
        for _ in range(2):
            known = _times(known, each / (1 + each), 1 / (1 + each))
    count = known.shape[-1] - 1
    # Coefficient 2i of D·B is δ_i: twice the even part of the product is 2.
    place, inside, one = _even_part(count, c.device)
    system = known[..., place] * inside
    solved: Tensor = torch.linalg.solve_ex(system, one.expand(*c.shape[:-1], -1)).result
    return solved


@lru_cache
def least_c(zeros: int, pairs: int) -> float:
    """The c of equal pairs at which B touches 0; above it every choice tried has a filter.

    For unequal pairs this is a conjecture (300 of 300 random choices).
    """
    low, high = 0.0, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        c = torch.full((1, 1, pairs), middle, dtype=torch.float64)
        if _least(complement(c, zeros)[0, 0].numpy()) > 0:
            high = middle
        else:
            low = middle
    return high


def _columns(pairs: int, J: int, coupling: Coupling) -> tuple[ParameterSpec, ...]:
    names = [f"c{p + 1}" if pairs > 1 else "c" for p in range(pairs)]
    if coupling == "coupled":
        return tuple(ParameterSpec(name, "1") for name in names)
    return tuple(
        ParameterSpec(f"{name}_j{level}", "1", least_scale=level)
        for level in range(J + 1)
        for name in names
    )


def _coupled(c: Tensor, scales: Sequence[int], levels: int) -> Tensor:
    """``(filters, levels, pairs)`` from c at the filters' own scales; 1 above those, unused."""
    chain = [c]
    for _ in range(levels - 1):
        chain.append(((1 + chain[-1]) / 2).sqrt())
    by_depth = torch.stack([*chain, torch.ones_like(c)], 1)
    index = _depth(tuple(scales), levels, c.device)
    return torch.gather(by_depth, 1, index.expand(-1, -1, c.shape[1]))


@constant
def _depth(scales: tuple[int, ...], levels: int, device: torch.device) -> Tensor:
    """Levels below a filter's own, ``(filters, levels, 1)``; ``levels`` beyond it."""
    depth = [[j - i if i <= j else levels for i in range(levels)] for j in scales]
    return torch.tensor(depth, device=device)[..., None]


@constant
def _even_part(count: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Which coefficient of D meets which of B in the even ones of D·B, whether any, and δ."""
    row, column = np.indices((count, count))
    place = 2 * row - column
    inside = torch.from_numpy((place >= 0) & (place <= count))
    one = torch.eye(count, dtype=torch.float64)[0]
    return torch.from_numpy(place.clip(0, count)).to(device), inside.to(device), one.to(device)


def _times(polynomials: Tensor, constant: Tensor | float, slope: Tensor | float) -> Tensor:
    """Products with ``constant + slope·X``."""
    zero = torch.zeros_like(polynomials[..., :1])
    flat = torch.cat((constant * polynomials, zero), -1)
    return flat + torch.cat((zero, slope * polynomials), -1)


def _least(b: NDArray[np.float64]) -> float:
    """Minimum of a polynomial over [−1, 1]."""
    turns = polynomial.polyroots(polynomial.polyder(b)) if len(b) > 2 else np.zeros(0)
    real = turns.real[(abs(turns.imag) < 1e-9) & (abs(turns.real) < 1)]
    return float(polynomial.polyval(np.concatenate(([-1.0, 1.0], real)), b).min())


def _factor(b: NDArray[np.float64]) -> NDArray[np.float64]:
    """A filter q of minimal phase with |q|² = B, by the roots of B and three polishing steps."""
    if len(b) == 1:  # Haar's
        return np.sqrt(b)
    roots = polynomial.polyroots(b).astype(complex)
    z = roots - np.sqrt(roots * roots - 1)
    z = np.where(abs(z) < 1, z, 1 / z)
    q: NDArray[np.float64] = np.poly(z).real.astype(np.float64)
    q *= np.sqrt(polynomial.polyval(1.0, b)) / q.sum()
    target = np.polynomial.chebyshev.poly2cheb(b)
    target[1:] /= 2
    n = len(q)
    for _ in range(3):
        padded = np.concatenate((np.zeros(n), q, np.zeros(n)))
        jacobian = np.array(
            [padded[n + k : 2 * n + k] + padded[n - k : 2 * n - k] for k in range(n)]
        )
        own = np.correlate(q, q, "full")[n - 1 :]
        q -= np.linalg.solve(jacobian, own - target)
    return q
