"""Sizes of a transform: padding, sub-sampling, and the windows that stand for the signal itself."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scatonline.cascade.averages import Averages, LowPass, Separable, Spectral
from scatonline.config import BankSpec, Padding
from scatonline.errors import ConfigError
from scatonline.fourier import low_pass_matrix, pad, padded_length


class Geometry:
    """Everything about a transform that does not depend on its filters.

    Attributes:
        shape: Size of a signal.
        padded: Size of the padded signal, the grid on which filters are made.
        sources: For every axis, which sample each padded one is; −1 for none.
        axes: Grid axes of a ``(channels, *grid)`` tensor.
        output_shape: Size of a channel of the averaged result; ``()`` for the global average.
    """

    def __init__(self, spec: BankSpec, shape: Sequence[int]) -> None:
        """Chooses padding and windows.

        Args:
            spec: The transform.
            shape: ``(N,)`` or ``(M, N)``.

        Raises:
            ConfigError: J is too large for ``shape``.
        """
        self.spec, self.shape = spec, tuple(shape)
        dimensions = len(self.shape)
        if dimensions not in (1, 2):
            raise ConfigError(f"shape {self.shape} has {dimensions} axes, expected 1 or 2")
        if min(self.shape) < 2**spec.J:
            raise ConfigError(
                f"J={spec.J} averages over {2**spec.J} samples, the shortest axis of {self.shape} "
                f"has {min(self.shape)}: take a smaller J or a longer input"
            )
        self.padded = tuple(padded_length(n, spec.J, dimensions, spec.padding) for n in self.shape)
        self.axes = tuple(range(1, 1 + dimensions))
        self.sources = [
            _sources(n, p, spec.padding) for n, p in zip(self.shape, self.padded, strict=True)
        ]
        self.output_shape: tuple[int, ...] = ()
        if spec.average != "global":
            last = self.level(spec.J)
            self.output_shape = tuple(window.stop - window.start for window in self.windows(last))

    def level(self, scale: int) -> int:
        """log₂ of the sub-sampling after a filter of ``scale``."""
        return max(min(scale, self.spec.J) - self.spec.oversampling, 0)

    def grid(self, level: int) -> tuple[int, ...]:
        """Size of a padded channel of ``level``."""
        return tuple(n >> level for n in self.padded)

    def windows(self, level: int) -> list[slice]:
        """Samples of every axis of a channel of ``level`` that stand for the signal itself."""
        stride = 2**level
        windows = []
        for n, padded in zip(self.shape, self.padded, strict=True):
            before = (padded - n) // 2
            # Kymatio rounds the end up over time and down over space; so do we.
            end = before + n + (stride - 1 if len(self.shape) == 1 else 0)
            windows.append(slice(-(-before // stride), end // stride))
        return windows

    def averages(self, phi: LowPass, dtype: torch.dtype) -> Averages | None:
        """Local averages by φ, or the mean over the window; None where there is no average.

        Args:
            phi: φ̂.
            dtype: Working precision.
        """
        if self.spec.average == "none":
            return None
        last = self.level(self.spec.J)
        if self.spec.average == "global":
            means = [
                [self._mean(level, axis) for axis in range(len(self.shape))]
                for level in range(last + 1)
            ]
            return Separable([[m.to(phi.whole.device, dtype) for m in level] for level in means])
        if phi.axes is None:
            damping = [self.damping(level) for level in range(last + 1)]
            return Spectral(phi.whole, damping, self.windows(last), dtype)
        return Separable(
            [
                [self._local(p, level, last, axis).to(dtype) for axis, p in enumerate(phi.axes)]
                for level in range(last + 1)
            ]
        )

    def damping(self, level: int) -> float:
        """Factor on filters that act on ``level``, by the convention for their aliases."""
        return 2.0 ** (-level * len(self.shape)) if self.spec.aliases == "mean" else 1.0

    def _local(self, phi: Tensor, level: int, last: int, axis: int) -> Tensor:
        window = self.windows(last)[axis]
        matrix = low_pass_matrix(phi, level, 2 ** (last - level), window)
        scaled: Tensor = matrix * self.damping(level) ** (1 / len(self.shape))
        return scaled

    def _mean(self, level: int, axis: int) -> Tensor:
        window = self.windows(level)[axis]
        mean = torch.zeros(1, self.grid(level)[axis], dtype=torch.float64)
        mean[:, window] = 1 / (window.stop - window.start)
        return mean


def _sources(n: int, padded: int, padding: Padding) -> NDArray[np.int64]:
    # From 1, so that what is padded with zeros can be told from the first sample.
    numbers = torch.arange(1, n + 1, dtype=torch.float64)[None]
    sources: NDArray[np.int64] = pad(numbers, (padded,), padding)[0].long().numpy() - 1
    return sources
