"""Morlet wavelets: a plane wave under a Gaussian, minus what would leave a mean.

Sources: Bruna & Mallat, "Invariant scattering convolution networks", TPAMI 2013 (2-D); Andén &
Mallat, "Deep scattering spectrum", IEEE TSP 2014 (1-D). Default parameters, normalisation and grid
conventions follow Kymatio 0.3.0, so that an unlearned bank is the one that the field knows.

The mean is removed *after* periodisation, which makes ψ̂(0) = 0 to rounding for every parameter.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scatonline.autograd import Gradients, first_derivative_only
from scatonline.config import BankSpec
from scatonline.families.base import DOUBLE, ParameterSpec
from scatonline.families.gaps import angle_gaps, log_frequency_gaps
from scatonline.fourier import gaussian_low_pass
from scatonline.kernels import morlet as kernels

# Kymatio normalises by 2·3.1415·σ²/s; with π the filters would differ by 3e-5.
_KYMATIO_PI = 3.1415
_NORM = math.pi / _KYMATIO_PI
_IMAGES_1D = 2
# Standard deviations at which a Gaussian has fallen below the rounding of 1.
_REACH = 8.5
# Filters longer than nine grids are no wavelets on them.
_MOST_PERIODS = 4
# From this scale on a filter's spectrum, wherever it may be learned to, ends within a period of the
# grid's: ξ + 8/σ ≤ 2·(3π/4 + 10)/2^j < 2π + π.
_COARSE = 2
_RANGE = 2.0


def _octaves(value: float, below: float, above: float) -> tuple[float, float]:
    """An open interval of one octave either side, cut to (below, above)."""
    return max(min(value, above) / _RANGE, below), min(max(value, below) * _RANGE, above)


class Morlet2D:
    """Oriented Morlet wavelets.

    ``ψ(n) = exp(−nᵀR diag(1, s²) Rᵀn / 2σ²)·(exp(iξ n·u_θ) − κ)``, periodised, with R the rotation
    by θ and u_θ = (cos θ, sin θ); axis 0 is x.
    """

    parameters = (
        ParameterSpec("theta", "rad", "direction"),
        ParameterSpec("xi", "rad/pixel"),
        ParameterSpec("sigma", "pixel"),
        ParameterSpec("slant", "1"),
    )

    def __init__(self, spec: BankSpec, grid: tuple[int, ...]) -> None:
        """Prepares the sample positions of ``grid`` = padded ``(M, N)``."""
        self.spec = spec
        self.grid = grid

    def defaults(self, layer: int) -> dict[int, list[tuple[float, ...]]]:
        """L evenly spread orientations at every scale that layer ``layer`` can reach."""
        L = self.spec.L
        first = math.floor(L - L / 2 - 1)
        turns = [(first - t) * math.pi / L for t in range(L)]
        return {
            j: [(t, 0.75 * math.pi / 2**j, 0.8 * 2**j, 4.0 / L) for t in turns]
            for j in range(layer - 1, self.spec.J)
        }

    def bounds(self, values: Sequence[float]) -> tuple[tuple[float, float], ...]:
        """An octave either side for ξ, σ and slant: a filter stays at its scale."""
        _, xi, sigma, slant = values
        return (
            (1.0, 2.0),
            _octaves(xi, 0.0, math.pi),
            _octaves(sigma, 0.5, min(self.grid) / 6 if min(self.grid) / 6 > sigma else 2 * sigma),
            _octaves(slant, 0.05, 8.0),
        )

    def spectra(self, values: Tensor, scales: Sequence[int], precision: float = DOUBLE) -> Tensor:
        """ψ̂, real, ``(filters, M, N)``."""
        if values.device.type == "cpu" and not torch.compiler.is_compiling():
            reach = kernels.reach(precision)
            made: Tensor = _Spectra.apply(values, self.grid, reach)  # type: ignore[no-untyped-call]
            return made
        # Fine filters are short in space, coarse ones in frequency; the other domain is then
        # periodised by the sampling itself.
        fine = sum(scale < _COARSE for scale in scales)
        parts = []
        if fine:
            parts.append(self._in_space(values[:fine], scales[fine - 1]))
        if fine < len(scales):
            parts.append(self._in_frequency(values[fine:]))
        return torch.cat(parts)

    def low_pass(self, *, kept_norm: bool = False) -> Tensor:
        """A Gaussian of σ = 0.8·2^(J−1) pixels along each axis."""
        rows, columns = (gaussian_low_pass(n, 0.8 * 2 ** (self.spec.J - 1)) for n in self.grid)
        return (_NORM if kept_norm else 1.0) * torch.outer(rows, columns)

    def describe(
        self,
        values: Sequence[Sequence[float]],
        scales: Sequence[int],  # noqa: ARG002 (the interface's)
    ) -> list[Mapping[str, float]]:
        """θ mod π in rad, ξ in rad/pixel, 1/σ in 1/pixel."""
        return [
            {"angle": theta % math.pi, "frequency": xi, "bandwidth": 1 / sigma}
            for theta, xi, sigma, _ in values
        ]

    def candidates(
        self, values: Sequence[Sequence[float]], car: Sequence[float]
    ) -> list[tuple[tuple[float, ...], str]]:
        """Midpoint of the largest gap in angle, then beside the filter of highest CAR."""
        mean = [sum(column) / len(values) for column in zip(*values, strict=True)]
        return [
            ((angle, *mean[1:]), reason)
            for angle, reason in angle_gaps([v[0] for v in values], car)
        ]

    def _in_frequency(self, values: Tensor) -> Tensor:
        """Two Gaussians, about ξ and about 0, over the periods that a coarse filter reaches."""
        theta, xi, sigma, slant = values.unbind(1)
        cos, sin, q = torch.cos(theta), torch.sin(theta), slant.square()
        x, y = (2 * math.pi / n * self._positions(n, 1, values.device) for n in self.grid)
        width = -0.5 * sigma.square()
        level = width * xi.square()
        ellipse = (
            width * (cos**2 + sin**2 / q),
            width * (sin**2 + cos**2 / q),
            width * 2 * cos * sin * (1 - 1 / q),
        )
        pull = -2 * width * xi
        gabor = self._summed(_gaussian(x, y, level, *ellipse, pull * cos, pull * sin))
        low = self._summed(_gaussian(x, y, torch.zeros_like(level), *ellipse))
        kappa = gabor[:, :1, :1] / low[:, :1, :1]
        return _NORM * (gabor - kappa * low)

    def _in_space(self, values: Tensor, scale: int) -> Tensor:
        """As env·(cos + sin − κ): a Hermitian ψ's spectrum is the Hartley transform of that."""
        x, y = (self._positions(n, self._periods(scale), values.device) for n in self.grid)
        theta, xi, sigma, slant = values.unbind(1)
        cos, sin, q = torch.cos(theta), torch.sin(theta), slant.square()
        width = -1 / (2 * sigma.square())
        every = _gaussian(
            x,
            y,
            torch.log(-slant * width / _KYMATIO_PI),
            width * (cos**2 + q * sin**2),
            width * (sin**2 + q * cos**2),
            width * 2 * cos * sin * (1 - q),
        )
        px, py = (xi * cos)[:, None] * x, (xi * sin)[:, None] * y
        wave_x = torch.stack((torch.cos(px), torch.sin(px)), 2)
        wave_y = torch.stack((torch.cos(py) + torch.sin(py), torch.cos(py) - torch.sin(py)), 1)
        envelope, carrier = self._summed(every), self._summed(every * (wave_x @ wave_y))
        kappa = carrier.sum((1, 2), keepdim=True) / envelope.sum((1, 2), keepdim=True)
        spectrum: Tensor = torch.fft.fft2(carrier - kappa * envelope)
        return spectrum.real - spectrum.imag

    def _periods(self, scale: int) -> int:
        """Periods to sum on each side, for the longest that a filter of ``scale`` can learn to be.

        Decided by the scale, so that the cost never depends on data.
        """
        longest = 0.8 * 2.0**scale * _RANGE * max(self.spec.L / 4 * _RANGE, 1.0)
        return max(0, min(math.ceil(_REACH * longest / min(self.grid) - 0.5), _MOST_PERIODS))

    @staticmethod
    def _positions(n: int, periods: int, device: torch.device) -> Tensor:
        """Samples of a grid, 0 first as in an FFT, in all periods: ``((2·periods + 1)·n,)``."""
        first = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64, device=device)
        shifts = n * torch.arange(-periods, periods + 1, dtype=torch.float64, device=device)
        positions: Tensor = (shifts[:, None] + first).flatten()
        return positions

    def _summed(self, extended: Tensor) -> Tensor:
        """Over the periods of :meth:`_positions`: ``(filters, M, N)``."""
        M, N = self.grid
        parts = extended.view(len(extended), -1, M, extended.shape[2] // N, N)
        total: Tensor = parts.sum((1, 3))
        return total


class _Spectra(torch.autograd.Function):
    """:meth:`Morlet2D.spectra` on a processor."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, grid: tuple[int, int], reach: float) -> Tensor:
        made = torch.empty(len(values), *grid, dtype=torch.float64)
        ctx.values, ctx.reach = values.detach().contiguous().numpy().copy(), reach
        ctx.kappa = np.empty(len(values))
        ctx.save_for_backward(values)
        kernels.spectra(ctx.values, reach, _NORM, made.numpy(), ctx.kappa)
        return made

    @staticmethod
    @first_derivative_only
    def backward(ctx: Any, *gradients: Tensor) -> Gradients:
        found = torch.empty(ctx.values.shape, dtype=torch.float64)
        weights = gradients[0].detach().contiguous().numpy()
        kernels.to_values(ctx.values, ctx.reach, _NORM, ctx.kappa, weights, found.numpy())
        return found, None, None


def _gaussian(x: Tensor, y: Tensor, *coefficients: Tensor) -> Tensor:
    """Exp of quadratic forms, ``(filters, len(x), len(y))``.

    Args:
        x: Positions along the first axis.
        y: Positions along the second axis.
        coefficients: ``(filters,)`` each, of 1, x², y², xy and, where given, x and y.
    """
    ones_x, ones_y = torch.ones_like(x), torch.ones_like(y)
    factors = ((ones_x, ones_y), (x * x, ones_y), (ones_x, y * y), (x, y), (x, ones_y), (ones_x, y))
    used = factors[: len(coefficients)]
    # One matrix product, so that going back to the coefficients is one as well.
    basis = torch.stack([torch.outer(a, b).flatten() for a, b in used])
    return torch.exp(torch.stack(coefficients, 1) @ basis).view(-1, len(x), len(y))


class Morlet1D:
    """Morlet wavelets over time, evaluated in Fourier as a periodised Gaussian about ξ.

    ξ and σ are in cycles a sample; filters are normalised to Σ|ψ| = 1.
    """

    parameters = (
        ParameterSpec("xi", "cycle/sample"),
        ParameterSpec("sigma", "cycle/sample"),
    )

    def __init__(self, spec: BankSpec, grid: tuple[int, ...]) -> None:
        """Prepares the frequencies of ``grid`` = padded ``(N,)``."""
        self.spec = spec
        self.grid = grid

    def defaults(self, layer: int) -> dict[int, list[tuple[float, ...]]]:
        """Q voices an octave down to the width of φ, then evenly spaced ones to zero."""
        Q = self.spec.Q[min(layer, len(self.spec.Q)) - 1]
        scales: dict[int, list[tuple[float, ...]]] = {}
        for xi, sigma in _voices(Q, 0.1 / 2**self.spec.J):
            edge = min(xi + 5 * sigma, 0.5)
            j = min(math.floor(-math.log2(edge)) - 1, self.spec.J)
            if j >= layer - 1:
                scales.setdefault(j, []).append((xi, sigma))
        return dict(sorted(scales.items()))

    def bounds(self, values: Sequence[float]) -> tuple[tuple[float, float], ...]:
        """Half an octave either side for ξ, an octave for σ: a filter stays at its scale."""
        xi, sigma = values
        nearest = min(xi, 0.5)
        half = math.sqrt(_RANGE)
        return ((nearest / half, min(nearest * half, 0.5)), _octaves(sigma, 0, 0.5))

    def spectra(
        self,
        values: Tensor,
        scales: Sequence[int],  # noqa: ARG002 (the interface's)
        precision: float = DOUBLE,  # noqa: ARG002 (the interface's)
    ) -> Tensor:
        """ψ̂, real, ``(filters, N)``."""
        xi, sigma = values.unbind(1)
        (n,) = self.grid
        frequency = torch.fft.fftfreq(n, dtype=torch.float64, device=values.device) % 1
        shifts = torch.arange(
            -_IMAGES_1D, _IMAGES_1D + 1, dtype=torch.float64, device=values.device
        )
        positions = frequency + shifts[:, None]
        gabor = self._gaussian(positions - xi[:, None, None], sigma)
        low = self._gaussian(positions, sigma)
        psi = gabor - (gabor[:, :1] / low[:, :1]) * low
        length: Tensor = torch.fft.ifft(psi).abs().sum(1, keepdim=True)
        return psi / length

    def low_pass(self, *, kept_norm: bool = False) -> Tensor:  # noqa: ARG002 (it is 1)
        """A Gaussian of σ = 0.1/2^J cycles a sample in frequency."""
        return gaussian_low_pass(self.grid[0], 2**self.spec.J / (2 * math.pi * 0.1))

    def describe(
        self,
        values: Sequence[Sequence[float]],
        scales: Sequence[int],  # noqa: ARG002 (the interface's)
    ) -> list[Mapping[str, float]]:
        """ξ and σ in cycles a sample."""
        return [{"frequency": xi, "bandwidth": sigma} for xi, sigma in values]

    def candidates(
        self, values: Sequence[Sequence[float]], car: Sequence[float]
    ) -> list[tuple[tuple[float, ...], str]]:
        """Midpoint of the largest gap in log-frequency, then beside the filter of highest CAR."""
        width = sum(v[1] / v[0] for v in values) / len(values)
        return [
            ((xi, xi * width), reason)
            for xi, reason in log_frequency_gaps([v[0] for v in values], car)
        ]

    @staticmethod
    def _gaussian(offsets: Tensor, sigma: Tensor) -> Tensor:
        return torch.exp(-0.5 * (offsets / sigma[:, None, None]).square()).sum(1)


def _voices(Q: int, sigma_min: float) -> list[tuple[float, float]]:
    """(ξ, σ) of a bank with Q voices an octave, as Kymatio 0.3.0 sets them.

    Neighbours cross at 1/√2 of their peak; below the width ``sigma_min`` of the low-pass the
    remaining Q − 1 filters are evenly spaced.
    """
    ratio = 2 ** (1 / Q)
    xi = max(1 / (1 + 2 ** (3 / Q)), 0.35)
    sigma = xi * (1 - 1 / ratio) / (1 + 1 / ratio) / math.sqrt(2 * math.log(math.sqrt(2)))
    if sigma <= sigma_min:
        voices, elbow = [], sigma
    else:
        voices = [(xi, sigma)]
        while voices[-1][1] > sigma_min * ratio:
            voices.append((voices[-1][0] / ratio, voices[-1][1] / ratio))
        elbow = voices[-1][0]
    return voices + [(elbow * (1 - q / Q), sigma_min) for q in range(1, Q)]
