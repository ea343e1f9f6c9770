"""Averaging maps by φ and keeping every 2^J-th sample, in the two ways that this can be done fast.

A separable φ̂ is a small matrix along each axis. Any other goes through the spectrum of the map,
where its product with φ̂ and the aliases of sub-sampling are one sum; spectra that deeper filters
need anyway are used twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from scatonline.cascade.arrays import planes
from scatonline.fourier import crop, fold, low_pass, low_pass_to_input
from scatonline.kernels.spectra import averaged, averaged_to_input

_ROUNDING = 1e-14


@runtime_checkable
class Averages(Protocol):
    """Averaging of maps ``(rows, *grid)`` of every level to ``(rows, *output_shape)``."""

    @property
    def by_spectra(self) -> bool:
        """Whether :meth:`swift` takes spectra rather than maps."""
        ...

    def portable(self, maps: Tensor, level: int) -> Tensor:
        """In PyTorch's operations, on any device."""
        ...

    def swift(self, maps: Tensor, spectra: Tensor | None, level: int) -> Tensor:
        """On a processor, without a graph; ``spectra`` are the maps' real Fourier transforms."""
        ...

    def to_maps(self, gradient: Tensor, level: int) -> Tensor:
        """Adjoint of :meth:`swift`, as a tensor that nothing else uses."""
        ...


@dataclass(frozen=True)
class LowPass:
    """φ̂.

    Attributes:
        whole: ``(*grid)``, real and even.
        axes: φ̂ along each axis, if the whole is their product to rounding.
    """

    whole: Tensor
    axes: tuple[Tensor, ...] | None

    @classmethod
    def of(cls, whole: Tensor) -> "LowPass":
        """Looks whether it is a product."""
        if whole.dim() == 1:
            return cls(whole, (whole,))
        rows, columns = whole[:, 0], whole[0] / whole[0, 0]
        apart = float((torch.outer(rows, columns) - whole).abs().max())
        return cls(whole, (rows, columns) if apart <= _ROUNDING else None)

    def to(self, device: torch.device) -> "LowPass":
        """On another device."""
        axes = None if self.axes is None else tuple(axis.to(device) for axis in self.axes)
        return LowPass(self.whole.to(device), axes)


class Separable:
    """One matrix an axis."""

    by_spectra = False

    def __init__(self, matrices: Sequence[Sequence[Tensor]]) -> None:
        """Holds them by level and axis, ``(outputs, samples)`` each."""
        self._matrices = matrices

    def portable(self, maps: Tensor, level: int) -> Tensor:
        """See :class:`Averages`."""
        return low_pass(maps, self._matrices[level])

    def swift(self, maps: Tensor, spectra: Tensor | None, level: int) -> Tensor:  # noqa: ARG002
        """See :class:`Averages`."""
        return low_pass(maps, self._matrices[level])

    def to_maps(self, gradient: Tensor, level: int) -> Tensor:
        """See :class:`Averages`."""
        return low_pass_to_input(gradient, self._matrices[level])


class Spectral:
    """φ̂ on the grid of every level."""

    by_spectra = True

    def __init__(
        self, phi: Tensor, damping: Sequence[float], window: Sequence[slice], dtype: torch.dtype
    ) -> None:
        """Crops φ̂ to every level.

        Args:
            phi: ``(*grid)`` real and even.
            damping: Factor on the result, by level; one more level than may be sub-sampled.
            window: Outputs that are kept, by axis.
            dtype: Working precision.
        """
        last = len(damping) - 1
        self._axes = tuple(range(1, 1 + phi.dim()))
        self._window = (slice(None), *window)
        self._sizes = [tuple(n >> level for n in phi.shape) for level in range(last + 1)]
        # Everything still to be dropped at a level, and the mean over its aliases.
        self._factors = [2 ** (last - level) for level in range(last + 1)]
        axes = tuple(range(phi.dim()))
        self._phi = [
            (damping[level] / factor ** phi.dim() * crop(phi, level, axes)).to(dtype)
            for level, factor in enumerate(self._factors)
        ]
        self._half = [p[..., : p.shape[-1] // 2 + 1].contiguous() for p in self._phi]

    def portable(self, maps: Tensor, level: int) -> Tensor:
        """See :class:`Averages`."""
        spectrum = self._phi[level] * torch.fft.fftn(maps, dim=self._axes)
        folded = fold(spectrum, self._factors[level]).sum(1).view(-1, *self._sizes[-1])
        outputs: Tensor = torch.fft.ifftn(folded, dim=self._axes).real[self._window]
        return outputs

    def swift(self, maps: Tensor, spectra: Tensor | None, level: int) -> Tensor:  # noqa: ARG002
        """See :class:`Averages`."""
        assert spectra is not None
        size = self._sizes[-1]
        folded = spectra.new_empty(len(spectra), *size[:-1], size[-1] // 2 + 1)
        width = self._sizes[level][-1], size[-1]
        averaged(planes(spectra), planes(self._half[level][None])[0], width, planes(folded))
        outputs: Tensor = torch.fft.irfftn(folded, s=size, dim=self._axes)[self._window]
        return outputs

    def to_maps(self, gradient: Tensor, level: int) -> Tensor:
        """See :class:`Averages`."""
        size, full = self._sizes[-1], self._sizes[level]
        outputs = gradient.new_zeros(len(gradient), *size)
        outputs[self._window] = gradient
        small = torch.fft.rfftn(outputs, dim=self._axes)
        # The inverse transform's own mean was over the small grid, here it is over the full one.
        spectra = small.new_empty(len(small), *full[:-1], full[-1] // 2 + 1)
        phi = planes(self._half[level][None])[0]
        averaged_to_input(planes(small), phi, size[-1], planes(spectra))
        share = self._factors[level] ** len(size)
        maps: Tensor = torch.fft.irfftn(spectra, s=full, dim=self._axes).mul_(share)
        return maps
