"""From one input to the columns that a readout sees.

Scattering maps are averaged to a grid and compressed; the input itself may stand beside them.
Columns come in blocks, one a scattering path (channels × cells each), raw terms last, so that a
structure move adds or removes whole blocks. With lags the same blocks follow for each of the inputs
before, newest first. With dilations every scattering column is a mean over :mod:`views
<scatonline.views>` of the input, compressed before: what a linear readout says of it is then the
mean of what it says of the views.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from scatonline.cascade import Averages, Cascade, Filters, Path
from scatonline.config import FeatureSpec, ModelSpec
from scatonline.views import Views, average

# √ and log are flattened below this, so that a blank input has a finite gradient.
_FLOOR = 1e-8
# A bank of so many has the factors of its specification as they are.
_DIRECTIONS = 8
_T = TypeVar("_T", int, float)


@dataclass(frozen=True)
class Block:
    """Columns of one path; ``path`` is None for the raw terms.

    Attributes:
        path: The path.
        start: First column.
        width: Number of columns.
        lag: Whose columns: 0 the sample's own, n those of the nth before it.
    """

    path: Path | None
    start: int
    width: int
    lag: int = 0

    @property
    def key(self) -> tuple[str, ...]:
        """Filter ids of the path, then the lag; raw terms and order 0 have names of their own."""
        own = ("raw",) if self.path is None else self.path.key or ("mean",)
        return (*own, f"lag {self.lag}") if self.lag else own


class Layout:
    """Which columns exist, for one arrangement of filters.

    Attributes:
        blocks: In column order.
        single: Number of columns of one input.
        width: Number of columns of a sample: its own and its lags'.
        weight: ``(width,)`` float64, the specification's factor on each standardised column.
        views: From which distances an input is looked at.
    """

    def __init__(self, spec: ModelSpec, cascade: Cascade) -> None:
        """Lists the blocks of the orders that ``spec`` uses."""
        self.spec, self.features = spec, spec.features
        self.cascade = cascade
        self.views = Views(spec.shape, self.features.dilations)
        self.ranges = _order_ranges(cascade.paths, spec.bank.max_order)
        self.blocks: list[Block] = []
        weights: list[Tensor] = []
        start = 0
        for order in sorted(self.features.orders):
            width = spec.channels * self._cells(order)
            for path in cascade.paths[slice(*self.ranges[order])]:
                self.blocks.append(Block(path, start, width))
                weights.append(torch.full((width,), order_weight(spec, order)))
                start += width
        if self.features.raw_grid:
            width = spec.channels * self._product(self._grid(self.features.raw_grid, spec.shape))
            self.blocks.append(Block(None, start, width))
            weights.append(torch.full((width,), self.features.raw_weight))
            start += width
        lags = self.features.lags
        self.single, self.width = start, start * (1 + lags)
        own = tuple(self.blocks)
        for lag in range(1, lags + 1):
            self.blocks += [replace(b, start=b.start + lag * start, lag=lag) for b in own]
        self.weight = torch.cat([*weights, torch.zeros(0)]).double().repeat(1 + lags)

    @property
    def together(self) -> int:
        """Inputs that the cascade takes at a time; of more it makes pieces."""
        return max(1, self.cascade.together // (self.spec.channels * len(self.views)))

    @property
    def uses_scattering(self) -> bool:
        """False when the readout sees raw terms only, or nothing."""
        return bool(self.features.orders)

    def columns(self, x: Tensor, filters: Filters, averages: Averages | None) -> Tensor:
        """Columns of a batch, each input's own ones.

        Args:
            x: ``(batch, channels, *shape)`` float32, scaled.
            filters: From the cascade; gradients flow to them.
            averages: Averaging by φ.

        Returns:
            ``(batch, single)`` float32.
        """
        parts = [
            part.mean(0) if len(part) > 1 else part[0] for part in self._parts(x, filters, averages)
        ]
        return torch.cat([*parts, self._raw(x)], 1)

    def of_views(self, x: Tensor, filters: Filters, averages: Averages | None) -> Tensor:
        """What :meth:`columns` is the mean of: columns of every view.

        Args:
            x: As there.
            filters: As there.
            averages: As there.

        Returns:
            ``(views, batch, single)`` float32; raw terms are of the input itself.
        """
        raw = self._raw(x)[None].expand(len(self.views), -1, -1)
        return torch.cat([*self._parts(x, filters, averages), raw], 2)

    @property
    def kinds(self) -> Tensor:
        """What each column is of, ``(4, width)`` int64, as numbers from 0 in order of appearance.

        The scales of its path's filters; its path; its place, channel and cell, among the columns
        of its order; its lag. Raw terms are of a scale, a path and an order of their own.
        """
        sorts: tuple[dict[Hashable, int], ...] = ({}, {}, {})
        kinds = torch.empty(4, self.width, dtype=torch.long)
        for block in self.blocks:
            path = block.path
            scales = None if path is None else tuple(f.scale for f in path.filters)
            order = None if path is None else path.order
            key = None if path is None else path.key
            columns = slice(block.start, block.start + block.width)
            for sort, kind in enumerate((scales, key)):
                kinds[sort, columns] = sorts[sort].setdefault(kind, len(sorts[sort]))
            places = [(order, place) for place in range(block.width)]
            numbers = [sorts[2].setdefault(place, len(sorts[2])) for place in places]
            kinds[2, columns] = torch.tensor(numbers, dtype=torch.long)
            kinds[3, columns] = block.lag
        return kinds

    @property
    def cells(self) -> Tensor:
        """``(width,)`` int64, for each column the number of columns of its block."""
        widths = torch.tensor([block.width for block in self.blocks], dtype=torch.long)
        return widths.repeat_interleave(widths)

    def columns_of(self, filter_id: str) -> list[int]:
        """Columns of every path through a filter, of all lags."""
        return [
            column
            for block in self.blocks
            if block.path is not None and filter_id in block.path.key
            for column in range(block.start, block.start + block.width)
        ]

    def carried_from(self, old: "Layout") -> Tensor:
        """For each column here, its column in ``old``, or −1 where it is new; ``(width,)``."""
        before = {block.key: block for block in old.blocks}
        index = torch.full((self.width,), -1, dtype=torch.long)
        for block in self.blocks:
            if block.key in before:
                span = torch.arange(block.width)
                index[block.start : block.start + block.width] = before[block.key].start + span
        return index

    def _parts(self, x: Tensor, filters: Filters, averages: Averages | None) -> list[Tensor]:
        """``(views, batch, columns)`` of each order that is used."""
        if not self.uses_scattering:
            return []
        flat = self.views.tiled(x).reshape(-1, *self.spec.shape)
        maps = self.cascade.transform(flat, filters, averages)
        maps = self._contrast(maps.view(*maps.shape[:2], *self._size))
        used = [(order, *self.ranges[order]) for order in sorted(self.features.orders)]
        return [
            self._pooled(maps[:, start:end], order) for order, start, end in used if end > start
        ]

    def _raw(self, x: Tensor) -> Tensor:
        """``(batch, columns)`` of the input itself."""
        if not self.features.raw_grid:
            return x.new_zeros(len(x), 0)
        return average(x, self._grid(self.features.raw_grid, self.spec.shape)).flatten(1)

    def _contrast(self, maps: Tensor) -> Tensor:
        """Divides orders ≥ 1 by the mean of order 1 at the same place."""
        start, end = self.ranges.get(1, (0, 0))
        if self.features.contrast == 0 or end == start:
            return maps
        strength = maps[:, start:end].mean(1, keepdim=True).clamp_min(0) + self.features.contrast
        return torch.cat((maps[:, :start], maps[:, start:] / strength), 1)

    def _pooled(self, maps: Tensor, order: int) -> Tensor:
        """``(tiles·batch·channels, paths, *size)`` → ``(views, batch, paths·channels·cells)``."""
        grid = self._grid(_at(self.features.grid, order), self._size)
        cells = self.views.cells(maps, grid).flatten(3)
        cells = cells if order == 0 else compress(cells, self.features)
        cells = cells.view(len(cells), -1, self.spec.channels, *cells.shape[2:])
        return cells.transpose(2, 3).flatten(2)

    @property
    def _size(self) -> tuple[int, ...]:
        """Of a map; a global average has one place."""
        return self.cascade.geometry.output_shape or (1,) * len(self.spec.shape)

    def _cells(self, order: int) -> int:
        return self._product(self._grid(_at(self.features.grid, order), self._size))

    @staticmethod
    def _grid(cells: int, shape: Sequence[int]) -> tuple[int, ...]:
        return tuple(min(cells, n) if cells else n for n in shape)

    @staticmethod
    def _product(sizes: Sequence[int]) -> int:
        total = 1
        for size in sizes:
            total *= size
        return total


def compress(x: Tensor, spec: FeatureSpec) -> Tensor:
    """√, log or nothing, on non-negative coefficients."""
    if spec.compression == "sqrt":
        return x.clamp_min(_FLOOR).sqrt()
    if spec.compression == "log":
        return x.clamp_min(_FLOOR).log()
    return x


@dataclass(frozen=True)
class Standardiser:
    """Mean and scale of every column, frozen after the first samples.

    Attributes:
        mean: ``(width,)`` float64.
        scale: ``(width,)`` float64: weight over standard deviation.
        lags: Inputs before, whose columns follow: a column of theirs has the mean and scale that it
            has as a sample's own, and is 0, its mean, where it is NaN: there was no such input.
    """

    mean: Tensor
    scale: Tensor
    lags: int = 0

    @classmethod
    def fit(cls, columns: Tensor, weight: Tensor, lags: int = 0) -> "Standardiser":
        """From columns of single inputs; a constant column gets scale 0 and is thus ignored.

        Args:
            columns: ``(samples, single)``.
            weight: ``(single,)``.
            lags: Of the columns that will be standardised.
        """
        columns = columns.double()
        mean = columns.mean(0)
        spread = (columns - mean).square().mean(0).sqrt()
        constant = spread <= 1e-6 * mean.abs() + 1e-12
        scale = torch.where(constant, 0.0, weight / spread.clamp_min(1e-300))
        return cls(mean.repeat(1 + lags), scale.repeat(1 + lags), lags)

    @classmethod
    def silent(cls, width: int, device: str, lags: int = 0) -> "Standardiser":
        """Before scales are known: every column is 0."""
        zeros = torch.zeros(width, dtype=torch.float64, device=device)
        return cls(zeros, zeros, lags)

    def __call__(self, columns: Tensor) -> Tensor:
        """Standardised, weighted columns, float64."""
        z = (columns.double() - self.mean) * self.scale
        if not self.lags:
            return z
        single = len(self.mean) // (1 + self.lags)
        # Only what lies before may be missing: an input's own NaN is an error that must be seen.
        own, past = z[..., :single], z[..., single:]
        return torch.cat((own, past.nan_to_num(nan=0.0)), -1)

    def carried(self, index: Tensor, mean: Tensor, scale: Tensor) -> "Standardiser":
        """For another layout: old columns by ``index``, new ones (−1) with ``mean``, ``scale``."""
        old = index.clamp_min(0)
        new = index < 0
        carried_mean, carried_scale = self.mean[old], self.scale[old]
        carried_mean[new], carried_scale[new] = mean, scale
        return Standardiser(carried_mean, carried_scale, self.lags)


def order_weight(spec: ModelSpec, order: int) -> float:
    """Factor on the standardised columns of an order.

    A balanced order is a mean over directions in each of its layers: a squared distance between
    columns then approximates an integral over angles by L points, and does not grow with L.
    """
    factor = _at(spec.features.order_weight, order)
    directions = spec.bank.L if spec.features.balanced else _DIRECTIONS
    return factor * math.sqrt(_DIRECTIONS / directions) ** order


def _order_ranges(paths: Sequence[Path], max_order: int) -> dict[int, tuple[int, int]]:
    """First and last + 1 channel of every order; an order that lost all its paths is empty."""
    ranges: dict[int, tuple[int, int]] = {}
    for order in range(max_order + 1):
        channels = [i for i, path in enumerate(paths) if path.order == order]
        ranges[order] = (channels[0], channels[-1] + 1) if channels else (0, 0)
    return ranges


def _at(values: Sequence[_T], order: int) -> _T:
    return values[min(order, len(values) - 1)]
