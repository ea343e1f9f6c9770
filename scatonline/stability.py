"""Bounds on how far a transform can move, from its filters alone.

What each bound says and why it holds is told in docs/stability.md, claim by claim. Norms are those
of the padded signal, ``‖x‖² = Σ|x|²``; a map that keeps every s-th sample along d axes counts s^d
times, so that sub-sampling by itself changes no norm.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from scatonline.errors import ConfigError
from scatonline.families import make_family
from scatonline.fourier import crop, fold
from scatonline.scattering import Scattering

# Kernels are integrated on a grid that many times finer than the signal's.
_FINER = 4


def lipschitz(transform: Scattering) -> float:
    """Largest ‖Sx − Sy‖/‖x − y‖ over padded signals, at most; sub-sampling included.

    Raises:
        ConfigError: the transform has no local averages.
    """
    return math.sqrt(_growth(transform, low_pass(transform)))


def translation(transform: Scattering, shift: Sequence[int]) -> float:
    """Largest ‖S T_c x − S x‖/‖x − mean x‖ for a circular shift of the padded signal, at most.

    Args:
        transform: Not sub-sampled: its oversampling is J.
        shift: c, samples along each axis.

    Raises:
        ConfigError: the transform sub-samples, or has no local averages.
    """
    _require_whole(transform)
    phi = low_pass(transform)
    turn = phi.new_zeros(phi.shape)
    for axis, (n, c) in enumerate(zip(phi.shape, shift, strict=True)):
        turn = turn + _along(_omega(n) * c, axis, phi.dim())
    return math.sqrt(_growth(transform, 2 * (turn / 2).sin().abs() * phi.abs()))


def low_pass(transform: Scattering) -> Tensor:
    """φ̂ on the padded grid."""
    spec = transform.spec
    family = make_family(spec, transform.geometry.padded)
    return family.low_pass(kept_norm=spec.bound == "none")


def repeats(transform: Scattering) -> int:
    """How often padding repeats a sample, at most: ‖padded x‖² ≤ repeats·‖x‖²."""
    most = 1
    for source in transform.geometry.sources:
        most *= int(np.bincount(source[source >= 0]).max())
    return most


@dataclass(frozen=True)
class Kernels:
    """Integrals over filters as periodic functions h of continuous position, see :func:`continued`.

    Attributes:
        mass: ∫|h|.
        slope: ∫|∇h|, 1/sample.
        moment: ∫|u||∇h(u)|, |u| the distance from 0 around the period.
    """

    mass: Tensor
    slope: Tensor
    moment: Tensor

    @classmethod
    def of(cls, spectra: Tensor, finer: int = _FINER) -> "Kernels":
        """Of ``(filters, *grid)``, integrated as sums on a grid ``finer`` times as fine."""
        mass, slope, moment = [], [], []
        sizes = [finer * n for n in spectra.shape[1:]]
        distance = torch.zeros(sizes, dtype=torch.float64)
        for axis, n in enumerate(sizes):
            offset = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64) / finer
            distance = distance + _along(offset.square(), axis, len(sizes))
        distance = distance.sqrt()
        # One filter at a time: fine grids are large.
        for spectrum in spectra:
            fine = continued(spectrum, finer)
            gradient = torch.zeros(sizes, dtype=torch.float64)
            for axis, n in enumerate(sizes):
                omega = _along(finer * _omega(n), axis, len(sizes))
                slopes: Tensor = torch.fft.ifftn(1j * omega * fine)
                gradient = gradient + slopes.abs().square()
            gradient = gradient.sqrt()
            # A sum over fine samples times their volume, and ifftn's mean, leave the plain sum.
            mass.append(torch.fft.ifftn(fine).abs().sum())
            slope.append(gradient.sum())
            moment.append((distance * gradient).sum())
        return cls(torch.stack(mass), torch.stack(slope), torch.stack(moment))


@dataclass(frozen=True)
class Deformation:
    """How far x(u − τ(u)) can move the coefficients of a periodic function x.

    Attributes:
        phi: Of φ.
        layers: Of every layer's ψ.
        dimensions: Of the signal.
    """

    phi: Kernels
    layers: tuple[Kernels, ...]
    dimensions: int

    @classmethod
    def of(cls, transform: Scattering) -> "Deformation":
        """Integrates over the present filters.

        Raises:
            ConfigError: the transform sub-samples, has no local averages or no frame bound.
        """
        _require_whole(transform)
        _require_local(transform)
        if transform.spec.bound == "none":
            raise ConfigError("deformations are bounded within a frame bound: got bound 'none'")
        phi = low_pass(transform)
        layers = [Kernels.of(torch.cat(list(psi.values()))) for psi in _spectra(transform)]
        return cls(Kernels.of(phi[None]), tuple(layers), phi.dim())

    def commutators(self, kernels: Kernels, gradient: float) -> Tensor:
        """‖h ∗ (L x) − L(h ∗ x)‖/‖x‖ at most, for each filter h, with L x = x(u − τ(u)).

        Args:
            kernels: Of the filters.
            gradient: ε = sup‖∇τ‖ (operator norm), below 1.

        Raises:
            ConfigError: ε is not in [0, 1).
        """
        _require_gradient(gradient)
        d, less = self.dimensions, 1 - gradient
        volume = (1 + gradient) ** d - 1
        outside = math.pow(less, -1.5 * d)
        return outside * (volume * kernels.mass + gradient / less * kernels.moment)

    def averages(self, gradient: float, displacement: float) -> float:
        """‖φ ∗ (L x − x)‖/‖x‖ at most.

        Args:
            gradient: ε, as above.
            displacement: sup|τ|, samples.
        """
        _require_gradient(gradient)
        d, less, more = self.dimensions, 1 - gradient, 1 + gradient
        mass, slope = float(self.phi.mass[0]), displacement * float(self.phi.slope[0])
        rows = (more**d - 1) * mass + (more / less) ** d * slope
        columns = (less**-d - 1) * mass + slope
        return math.sqrt(rows * columns)

    def bound(self, gradient: float, displacement: float) -> float:
        """‖S L x − S x‖/‖x − mean x‖ at most, all orders together."""
        through = sum(
            float(self.commutators(layer, gradient).square().sum().sqrt()) for layer in self.layers
        )
        return math.sqrt(len(self.layers) + 1) * self.averages(gradient, displacement) + through


def continued(spectrum: Tensor, finer: int) -> Tensor:
    """A filter's spectrum ``(*grid)`` on a grid ``finer`` times as fine.

    Beyond the highest frequency of the signal's grid, π, it goes on as it was just inside and falls
    to zero at 2π. An end at π would leave kernels that decay slowly; which way it goes on does not
    matter to a signal of that grid.
    """
    for axis, n in enumerate(spectrum.shape):
        number = torch.fft.fftfreq(finer * n, 1 / (finer * n), dtype=torch.float64).round().long()
        inside = (n - 1) // 2
        beyond = ((number.abs() - inside).clamp_min(0) / (n / 2)).clamp_max(1).double()
        taper = (0.5 * math.pi * beyond).cos().square()
        nearest = number.clamp(-inside, inside) % n
        spectrum = spectrum.index_select(axis, nearest) * _along(taper, axis, spectrum.dim())
    return spectrum


def _growth(transform: Scattering, phi: Tensor) -> float:
    """Largest Σ‖φ ∗ U‖²/‖x‖² over all paths, differences of two signals' U standing for U.

    From the deepest layer up: what a path's energy can grow to on its way to the outputs is a
    weight on the filter that it goes through next.
    """
    _require_local(transform)
    geometry, orders = transform.geometry, transform.spec.max_order
    axes = range(1, 1 + phi.dim())
    layers, last = _spectra(transform), geometry.level(transform.spec.J)

    @cache
    def grown(order: int, scale: int) -> float:
        level = geometry.level(scale) if order else 0

        def acting(filters: Tensor, weight: float = 1.0) -> Tensor:
            factor = geometry.damping(level) * math.sqrt(weight)
            return factor * crop(filters, level, axes)

        parts = [(last - level, acting(phi[None]))]
        if order < orders:
            for own, psi in layers[order].items():
                if own > scale:
                    weighted = acting(psi, grown(order + 1, own))
                    parts.append((geometry.level(own) - level, weighted))
        return _frame_bound(parts)

    return grown(0, -1)


def _frame_bound(parts: Sequence[tuple[int, Tensor]]) -> float:
    """Largest energy of real signals through filters, each sub-sampled by 2^octaves.

    Frequencies that alias mix: the energy is a quadratic form on each set of them.
    """
    most = 2 ** max(octaves for octaves, _ in parts)
    total: Tensor | None = None
    for octaves, filters in parts:
        axes = tuple(range(1, filters.dim()))
        mirrored = torch.roll(torch.flip(filters, axes), (1,) * len(axes), axes)
        # A real signal's energy through a filter is that through the mirrored one.
        aliases = fold(torch.cat((filters, mirrored)), most)
        gram = 0.5 * torch.einsum("fac,fbc->cab", aliases, aliases)
        shift = torch.cartesian_prod(*(torch.arange(most) for _ in axes)).view(-1, len(axes))
        apart = (shift[:, None] - shift[None]) % (most >> octaves)
        gram = gram * (apart == 0).all(-1)
        total = gram if total is None else total + gram
    assert total is not None
    return float(torch.linalg.eigvalsh(total).max())


def _spectra(transform: Scattering) -> list[dict[int, Tensor]]:
    with torch.no_grad():
        return [transform.bank(m + 1).spectra() for m in range(transform.spec.max_order)]


def _omega(n: int) -> Tensor:
    """Radians a sample of an FFT grid."""
    omega: Tensor = 2 * math.pi * torch.fft.fftfreq(n, dtype=torch.float64)
    return omega


def _along(values: Tensor, axis: int, dimensions: int) -> Tensor:
    return values.view([-1 if i == axis else 1 for i in range(dimensions)])


def _require_local(transform: Scattering) -> None:
    if transform.spec.average != "local":
        raise ConfigError(
            f"bounds are of local averages: got average {transform.spec.average!r}, take 'local'"
        )


def _require_whole(transform: Scattering) -> None:
    if transform.geometry.level(transform.spec.J):
        raise ConfigError(
            f"this bound is of a transform that keeps every sample: got oversampling "
            f"{transform.spec.oversampling}, take J = {transform.spec.J}"
        )


def _require_gradient(gradient: float) -> None:
    if not 0 <= gradient < 1:
        raise ConfigError(f"gradient of a deformation: got {gradient:g}, expected 0 to below 1")
