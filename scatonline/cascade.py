"""The scattering cascade: S = ||x ∗ ψ_λ1| ∗ ψ_λ2| … ∗ φ, in one and two dimensions.

Mallat, "Group invariant scattering", CPAM 2012. A path is a sequence of filters with rising scales,
one from each layer. All orientations of a scale go through together; sub-sampling happens in the
Fourier domain, where product and aliasing are one small matrix product a frequency, so that the
full-plane product never exists; the Gaussian low-pass is separable and applied to the real modulus.

A cascade never changes: when a filter comes or goes a new one is made, so that readers in other
threads keep a consistent one.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from scatonline.config import BankSpec
from scatonline.errors import ConfigError
from scatonline.fourier import (
    crop,
    fold,
    fold_filters,
    low_pass,
    low_pass_matrix,
    pad,
    padded_length,
)

# Samples of padded signal that go through together; more would leave the processor's cache.
_TOGETHER = 2**16


@dataclass(frozen=True)
class FilterName:
    """Who a filter is: ``id`` stays the same for its whole life and is never given again."""

    id: str
    layer: int
    scale: int


@dataclass(frozen=True)
class Path:
    """One output channel: the filters it went through, first layer first; none for order 0."""

    filters: tuple[FilterName, ...]

    @property
    def order(self) -> int:
        """Number of moduli."""
        return len(self.filters)

    @property
    def key(self) -> tuple[str, ...]:
        """Ids of its filters."""
        return tuple(f.id for f in self.filters)


Filters = dict[tuple[int, int, int], Tensor]
"""Folded filters by (layer, scale, level of the input), see :func:`fourier.fold_filters`."""


class _Modulus(torch.autograd.Function):
    """|z| with gradient 0 where z = 0, from real parts only, which vectorise."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        parts = torch.view_as_real(z)
        r = (parts[..., 0].square() + parts[..., 1].square()).sqrt_()
        ctx.save_for_backward(z, r)
        return r

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        z, r = ctx.saved_tensors
        along: Tensor = z * (grad / r.clamp_min(torch.finfo(r.dtype).tiny))
        return along


def modulus(z: Tensor) -> Tensor:
    """|z| of a complex tensor, differentiable everywhere."""
    return _Modulus.apply(z)  # type: ignore[no-any-return, no-untyped-call]


class _AliasedProduct(torch.autograd.Function):
    """Sum over aliases of every filter times every channel, in frequency.

    ``out[l, c] = Σ_a ψ[a, l]·x[a, c]``. Each term is one pass along neighbouring frequencies; a
    matrix product a frequency would be too small for any library to be quick at, and autograd's own
    backward would write out every term of both sums.
    """

    @staticmethod
    def forward(ctx: Any, psi: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(psi, x)
        out = psi[0][:, None] * x[0][None]
        for a in range(1, psi.shape[0]):
            out.addcmul_(psi[a][:, None], x[a][None])
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        psi, x = ctx.saved_tensors
        to_psi = to_x = None
        if ctx.needs_input_grad[0]:
            to_psi = x[:, :1] * grad[:, 0]
            for c in range(1, x.shape[1]):
                to_psi.addcmul_(x[:, c : c + 1], grad[:, c])
        if ctx.needs_input_grad[1]:
            to_x = psi[:, :1] * grad[0]
            for row in range(1, psi.shape[1]):
                to_x.addcmul_(psi[:, row : row + 1], grad[row])
        return to_psi, to_x


def aliased_product(psi: Tensor, x: Tensor) -> Tensor:
    """Filters times folded channels, summed over aliases.

    Args:
        psi: ``(aliases, filters, n)``, see :func:`fourier.fold_filters`.
        x: ``(aliases, channels, n)``, see :func:`fourier.fold`.

    Returns:
        ``(filters, channels, n)``.
    """
    return _AliasedProduct.apply(psi, x)  # type: ignore[no-any-return, no-untyped-call]


class Geometry:
    """Everything about a transform that does not depend on its filters.

    Attributes:
        shape: Size of a signal.
        padded: Size of the padded signal, the grid on which filters are made.
        output_shape: Size of a channel of the result.
    """

    def __init__(self, spec: BankSpec, shape: Sequence[int]) -> None:
        """Chooses padding and output window.

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
        self.axes = tuple(range(dimensions))
        self._windows = [self._window(n, p) for n, p in zip(self.shape, self.padded, strict=True)]
        self.output_shape = tuple(count for _, count in self._windows)

    def level(self, scale: int) -> int:
        """log₂ of the sub-sampling after a filter of ``scale``."""
        return max(min(scale, self.spec.J) - self.spec.oversampling, 0)

    def low_pass(self, phi: Sequence[Tensor], dtype: torch.dtype) -> list[list[Tensor]]:
        """Averaging matrices by level and axis, from φ̂ along each axis."""
        last = self.level(self.spec.J)
        return [
            [
                low_pass_matrix(p, level, 2 ** (last - level), first, count).to(dtype)
                for p, (first, count) in zip(phi, self._windows, strict=True)
            ]
            for level in range(last + 1)
        ]

    def _window(self, n: int, padded: int) -> tuple[int, int]:
        """First output and number of outputs that stand for the signal itself."""
        stride = 2 ** self.level(self.spec.J)
        before = (padded - n) // 2
        first = -(-before // stride)
        # Kymatio rounds the end up over time and down over space; so do we.
        end = before + n + (stride - 1 if len(self.shape) == 1 else 0)
        return first, end // stride - first


class Cascade:
    """One arrangement of filters and the transform that it computes.

    Attributes:
        paths: The output channels: order 0, order 1 by filter, order 2 by first and then second
            filter, ….
    """

    def __init__(self, geometry: Geometry, layers: Sequence[Sequence[FilterName]]) -> None:
        """Lists the channels, from the same walk that computes them.

        Args:
            geometry: Sizes.
            layers: Filters of each layer in bank order.
        """
        self.geometry, self.layers = geometry, [list(names) for names in layers]
        emitted: list[tuple[tuple[int, ...], Path]] = []
        uses: set[tuple[int, int, int]] = set()
        for scales in self._walk():
            if scales:
                uses.add((len(scales), scales[-1], self._level(scales[:-1])))
            rows = [
                [i for i, name in enumerate(self.layers[m]) if name.scale == j]
                for m, j in enumerate(scales)
            ]
            # The newest filter varies slowest, as the product lays the channels out.
            for newest_first in product(*reversed(rows)):
                index = tuple(reversed(newest_first))
                emitted.append((index, Path(tuple(self.layers[m][i] for m, i in enumerate(index)))))
        order = sorted(range(len(emitted)), key=lambda i: (len(emitted[i][0]), emitted[i][0]))
        self.paths = tuple(emitted[i][1] for i in order)
        self._order = {torch.device("cpu"): torch.tensor(order)}
        self._uses = sorted(uses)

    def filters(self, spectra: Sequence[dict[int, Tensor]], dtype: torch.dtype) -> Filters:
        """ψ̂ by layer and scale → the folded filters that :meth:`transform` takes."""
        axes = self._grid_axes
        built: Filters = {}
        for layer, scale, level in self._uses:
            factor = 2 ** (self.geometry.level(scale) - level)
            cropped = crop(spectra[layer - 1][scale], level, axes)
            built[layer, scale, level] = fold_filters(cropped, factor, len(axes)).to(dtype)
        return built

    def transform(self, x: Tensor, filters: Filters, low_pass: list[list[Tensor]]) -> Tensor:
        """Scattering coefficients of a batch.

        Args:
            x: ``(batch, *shape)``, of the filters' dtype.
            filters: From :meth:`filters`.
            low_pass: From :meth:`Geometry.low_pass`.

        Returns:
            ``(batch, channels, *output_shape)``.
        """
        together = max(1, _TOGETHER // math.prod(self.geometry.padded))
        pieces = [self._piece(piece, filters, low_pass) for piece in torch.split(x, together)]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _piece(self, x: Tensor, filters: Filters, matrices: list[list[Tensor]]) -> Tensor:
        geometry = self.geometry
        maps: list[Tensor] = []
        waiting: list[tuple[tuple[int, ...], Tensor]] = [
            ((), pad(x, geometry.padded, geometry.spec.padding))
        ]
        while waiting:
            scales, u = waiting.pop()
            averaged = low_pass(u, matrices[self._level(scales)])
            maps.append(averaged.view(-1, x.shape[0], *geometry.output_shape))
            deeper = self._deeper(scales)
            if deeper:
                spectrum = torch.fft.fftn(u, dim=self._grid_axes)
                waiting += [
                    ((*scales, j), self._layer(spectrum, scales, j, filters)) for j in deeper
                ]
        return torch.cat(maps).index_select(0, self._order_on(x.device)).transpose(0, 1)

    def _layer(self, spectrum: Tensor, scales: tuple[int, ...], j: int, filters: Filters) -> Tensor:
        """|u ∗ ψ| for all filters of scale j at once: ``(filters·channels, *grid)``."""
        level = self._level(scales)
        factor = 2 ** (self.geometry.level(j) - level)
        folded = fold(spectrum, factor, len(self.geometry.axes))
        product = aliased_product(filters[len(scales) + 1, j, level], folded)
        grid = [n // factor for n in spectrum.shape[1:]]
        z = torch.view_as_complex(product.view(-1, *grid, 2))
        return modulus(torch.fft.ifftn(z, dim=self._grid_axes))

    @property
    def _grid_axes(self) -> tuple[int, ...]:
        return tuple(axis + 1 for axis in self.geometry.axes)

    def _order_on(self, device: torch.device) -> Tensor:
        # Kept on each device: a copy a sample would make the host wait.
        if device not in self._order:
            self._order[device] = self._order[torch.device("cpu")].to(device)
        return self._order[device]

    def _level(self, scales: tuple[int, ...]) -> int:
        return self.geometry.level(scales[-1]) if scales else 0

    def _deeper(self, scales: tuple[int, ...]) -> list[int]:
        """Scales of the next layer that a path may go on to: coarser ones only."""
        if len(scales) == len(self.layers):
            return []
        coarsest = scales[-1] if scales else -1
        return sorted({name.scale for name in self.layers[len(scales)] if name.scale > coarsest})

    def _walk(self) -> Iterator[tuple[int, ...]]:
        """Scale sequences in the order in which :meth:`transform` emits them."""
        waiting: list[tuple[int, ...]] = [()]
        while waiting:
            scales = waiting.pop()
            yield scales
            waiting += [(*scales, j) for j in self._deeper(scales)]
