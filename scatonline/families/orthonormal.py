"""Bands of orthonormal wavelets: what a cascade of two-channel filters lets through.

With m the low-pass of a level (|m(ω)|² + |m(ω + π)|² = 1, m(0) = 1) and g(ω) = m(ω + π),

    Φ_J(ω) = ∏_{i<J} m_i(2^i ω),    Ψ_j(ω) = g_j(2^j ω)·∏_{i<j} m_i(2^i ω),

so that |Φ_J|² + Σ_j |Ψ_j|² = 1 telescopes exactly, whatever the filters of the levels are (Mallat,
"A wavelet tour of signal processing", ch. 7; undecimated).

Only amplitudes are used. Written in X = cos ω they need no factorisation and have no kinks:

    m(ω) = cos(ω/2)^zeros · ∏_p (X + c_p)/(1 + c_p) · √(B(X)/2)

with a sign where the filter has zeros between, which keeps wavelets short in space.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.polynomial import chebyshev, polynomial
from numpy.typing import NDArray
from torch import Tensor

from scatonline.autograd import Gradients, constant, first_derivative_only
from scatonline.families.base import ParameterSpec
from scatonline.kernels import orthonormal as kernels


@dataclass(frozen=True)
class Amplitude:
    """Amplitudes m of two-channel filters, one for every filter and level.

    Attributes:
        zeros: Zeros at ω = π, at least 1.
        pairs: ``(filters, levels, pairs)``: c of zeros of X + c.
        rest: ``(filters, levels, degree + 1)``: coefficients of B(X), of X⁰ first.
        floor: Added to B/2, where B may vanish, so that its root has a slope.
    """

    zeros: int
    pairs: Tensor
    rest: Tensor
    floor: float = 0.0

    def at(self, x: Tensor, root: Tensor) -> Tensor:
        """m, given X and cos(ω/2): ``(filters, levels, frequencies)`` each."""
        rest = self.rest[..., -1:]
        for k in range(self.rest.shape[-1] - 2, -1, -1):
            rest = self.rest[..., k, None] + x * rest
        amplitude = (0.5 * rest + self.floor).clamp_min(0).sqrt() * root**self.zeros
        for p in range(self.pairs.shape[-1]):
            c = self.pairs[..., p, None]
            amplitude = amplitude * ((x + c) / (1 + c))
        return amplitude


@runtime_checkable
class Quadrature(Protocol):
    """Orthonormal two-channel filters with parameters."""

    @property
    def parameters(self) -> Sequence[ParameterSpec]:
        """The parameters' columns."""
        ...

    @property
    def start(self) -> tuple[float, ...]:
        """Values to start from: a classical wavelet's."""
        ...

    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Open interval of every parameter."""
        ...

    def amplitude(self, values: Tensor, scales: Sequence[int], levels: int) -> Amplitude:
        """Amplitudes at levels 0, 1, … below ``levels``.

        Args:
            values: ``(filters, parameters)``.
            scales: Scale of each filter.
            levels: How many.
        """
        ...


def complement(h: Tensor, zeros: int) -> Tensor:
    """B(X) of orthonormal filters with Σh = √2: ``|m|² = ((1 + X)/2)^zeros·B/2``.

    Args:
        h: ``(filters, 2M)``.
        zeros: Zeros at ω = π that are taken out, at most those that all of them have.

    Returns:
        ``(filters, 2M − zeros)``: coefficients of X⁰, X¹, ….
    """
    size = h.shape[1]
    # Even lags of an orthonormal filter's own correlation are those of a single one.
    lags = torch.stack([(h[:, : size - k] * h[:, k:]).sum(1) for k in range(1, size, 2)], 1)
    constant, by_lag = _deflated(size, zeros, h.device)
    # Not as a matrix product, whose last bits would depend on how many filters there are.
    return constant + (lags[..., None] * by_lag).sum(1)


@constant
def _deflated(size: int, zeros: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """B as a linear function of odd lags: its constant part, and one row a lag."""
    rows = []
    for k in (0, *range(1, size, 2)):
        weight = 1.0 if k == 0 else 2.0
        power = np.zeros(size)
        power[: k + 1] = weight * chebyshev.cheb2poly(np.eye(size)[k])[: k + 1]
        quotient = power
        for _ in range(zeros):
            # The remainders of all rows cancel in a filter that has the zero.
            quotient = polynomial.polydiv(quotient, np.array([0.5, 0.5]))[0]
        rows.append(np.pad(quotient, (0, size - zeros - len(quotient))))
    table = torch.from_numpy(np.stack(rows)).to(device)
    return table[0], table[1:]


def band(filters: Quadrature, values: Tensor, scales: Sequence[int], omega: Tensor) -> Tensor:
    """Ψ_j of filters at frequencies.

    Args:
        filters: The two-channel filters.
        values: ``(filters, parameters)``.
        scales: Scale j of each.
        omega: ``(filters, frequencies)``, radians a sample.

    Returns:
        ``(filters, frequencies)``.
    """
    amplitude = filters.amplitude(values, scales, max(scales) + 1)
    if omega.device.type == "cpu" and not torch.compiler.is_compiling():
        shape = amplitude.zeros, amplitude.floor
        made: Tensor = _Band.apply(  # type: ignore[no-untyped-call]
            omega, amplitude.pairs, amplitude.rest, np.array(scales), shape
        )
        return made
    octave, high, unused = _levels(tuple(scales), omega.device)
    half = omega[:, None, :] * octave
    sine, cosine = torch.sin(half), torch.cos(half)
    x = 1 - 2 * sine * sine
    # The high-pass is the low-pass half a turn on.
    factors = amplitude.at(torch.where(high, -x, x), torch.where(high, sine, cosine))
    return torch.where(unused, 1.0, factors).prod(1)


class _Band(torch.autograd.Function):
    """:func:`band` on a processor, in one pass a level."""

    @staticmethod
    def forward(
        ctx: Any,
        omega: Tensor,
        pairs: Tensor,
        rest: Tensor,
        own: NDArray[np.int64],
        shape: tuple[int, float],
    ) -> Tensor:
        half = 0.5 * omega.detach()
        ctx.half = half.sin().numpy(), half.cos().numpy()
        ctx.parts = tuple(part.detach().contiguous().numpy() for part in (pairs, rest))
        ctx.own, ctx.shape = own, shape
        ctx.factors = np.empty((len(own), int(own.max()) + 1, omega.shape[1]))
        ctx.save_for_backward(omega, pairs, rest)
        made = torch.empty_like(half)
        kernels.bands(ctx.half, ctx.parts, own, shape, ctx.factors, made.numpy())
        return made

    @staticmethod
    @first_derivative_only
    def backward(ctx: Any, *gradients: Tensor) -> Gradients:
        found = [torch.zeros(saved.shape, dtype=torch.float64) for saved in ctx.saved_tensors]
        weights = gradients[0].detach().contiguous().numpy()
        to_omega, to_pairs, to_rest = (each.numpy() for each in found)
        out = to_omega, to_pairs, to_rest
        kernels.to_parameters(ctx.half, ctx.parts, ctx.own, ctx.shape, ctx.factors, weights, out)
        return (*found, None, None)


@constant
def _levels(scales: tuple[int, ...], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Half of 2^i; where a level is a filter's own; where it is beyond that: ``(…, levels, 1)``.

    Kept, as copying them to a device at every step would make the host wait.
    """
    own = torch.tensor(scales)[:, None, None]
    level = torch.arange(max(scales) + 1)[None, :, None]
    octave = 0.5 * 2.0 ** level.double()
    return octave.to(device), (level == own).to(device), (level > own).to(device)


def low_pass(filters: Quadrature, J: int, omega: Tensor) -> Tensor:
    """Φ_J of the filters to start from, at ``(frequencies,)``, the first of which is 0."""
    values = torch.tensor([filters.start], dtype=torch.float64, device=omega.device)
    half = omega * (0.5 * 2.0 ** torch.arange(J, device=omega.device))[:, None]
    x = 1 - 2 * torch.sin(half).square()
    # As if it belonged to the coarsest wavelet.
    amplitude = filters.amplitude(values, [J - 1], J)
    phi: Tensor = amplitude.at(x[None], torch.cos(half)[None])[0].prod(0)
    # 1 at ω = 0 and no more anywhere, free of rounding.
    return (phi / phi[0]).clamp(-1, 1)


class OrthonormalBand:
    """Octave bands of a cascade of two-channel filters."""

    def __init__(self, filters: Quadrature, J: int) -> None:
        """Holds the filters and the number of scales."""
        self.filters, self.J = filters, J
        self.parameters, self.start = filters.parameters, filters.start

    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Those of the filters."""
        return self.filters.bounds()

    def along(self, values: Tensor, scales: Sequence[int], omega: Tensor) -> Tensor:
        """Ψ_j, see :class:`scatonline.families.band.Band`."""
        return band(self.filters, values, scales, omega)

    def low_pass(self, omega: Tensor) -> Tensor:
        """Φ_J."""
        return low_pass(self.filters, self.J, omega)
