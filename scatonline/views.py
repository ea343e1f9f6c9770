"""Inputs as they would look from nearer and from farther away, all of one size.

What a texture is made of does not depend on how far away the camera was, while every coefficient
does. Averaged over dilations of an input, coefficients change less with distance (Sifre & Mallat
2013).

A *view* is an input dilated by a factor, as tiles of the input's own size: so all views of a batch
go through one cascade, with the same filters. From farther away (below 1) there is one tile, the
whole input with its mirror image around it. From nearer (above 1) tiles overlap, and each answers
for its own part of the input; the parts cover it once. All of this is linear, axis by axis: one
matrix makes tiles of an axis, another one averages the tiles' maps over cells of the input.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


class Views:
    """All views of inputs of one size.

    Attributes:
        dilations: Factors by which what is seen becomes larger; 1 is the input itself.
        tiles: Number of tiles of all views: how many times as much goes through the cascade.
    """

    def __init__(self, shape: Sequence[int], dilations: Sequence[float]) -> None:
        """Cuts the tiles.

        Args:
            shape: ``(N,)`` or ``(M, N)`` of one channel, at least 2 samples an axis.
            dilations: Above 0.
        """
        self.dilations = tuple(dilations)
        self._views = [_axes(shape, factor, whole=True) for factor in dilations]
        self._sizes = [math.prod(axis.count for axis in axes) for axes in self._views]
        self.tiles = sum(self._sizes)

    def __len__(self) -> int:
        """Number of views."""
        return len(self._views)

    def tiled(self, x: Tensor) -> Tensor:
        """Every tile of a batch.

        Args:
            x: ``(batch, channels, *shape)`` float32.

        Returns:
            ``(tiles · batch, channels, *shape)``, view by view and tile by tile.
        """
        views = [_tiled(x, axes) for axes in self._views]
        return views[0] if len(views) == 1 else torch.cat(views)

    def cells(self, maps: Tensor, grid: tuple[int, ...]) -> Tensor:
        """Means of maps over the cells of a grid that is laid over the inputs.

        Args:
            maps: ``(tiles · batch, paths, *size)`` float32, in the order of :meth:`tiled`.
            grid: Cells along each axis.

        Returns:
            ``(views, batch, paths, *grid)``.
        """
        batch = len(maps) // self.tiles
        parts = torch.split(maps, [size * batch for size in self._sizes])
        pairs = zip(parts, self._views, strict=True)
        return torch.stack([_cells(part, axes, grid) for part, axes in pairs])


def average(x: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Means over the cells of a grid.

    Args:
        x: ``(batch, channels, *size)``.
        grid: Cells along each axis.

    Returns:
        ``(batch, channels, *grid)``; ``x`` itself where it has that size.
    """
    if tuple(x.shape[2:]) == grid:
        return x
    if len(grid) == 1:
        return functional.adaptive_avg_pool1d(x, grid[0])
    return functional.adaptive_avg_pool2d(x, (grid[0], grid[1]))


def dilated(x: Tensor, factor: float) -> Tensor:
    """The middle of inputs as if seen from nearer (factor above 1) or farther away.

    From farther away, more is seen than was recorded: its mirror image stands there.

    Args:
        x: ``(samples, channels, *shape)`` float32.
        factor: Larger than 0; features become ``factor`` times as large.

    Returns:
        The same shape, cubic between samples.
    """
    return _tiled(x, _axes(x.shape[2:], factor, whole=False))


class _Axis:
    """Tiles of one axis.

    Attributes:
        count: Their number.
    """

    def __init__(self, n: int, factor: float, whole: bool) -> None:
        self._n, self._near = n, factor > 1
        self.count = math.ceil(factor) if whole else 1
        # Samples that a tile has of the axis, or the axis has in its tile.
        self._size = max(2, round(n / factor if self._near else n * factor))
        if whole and self._near:
            self._size = max(self._size, math.ceil(n / self.count))
        self._kept: dict[tuple[torch.device, int, int], Tensor] = {}

    def tiled(self, x: Tensor, place: int) -> Tensor:
        """Tiles along the axis that stands at ``place``, one batch of them after the other."""
        if (x.device, 0, 0) not in self._kept:
            self._keep(self._tiles(), x.device, 0, 0)
        joined = _along(x, self._kept[x.device, 0, 0], place)
        return torch.cat(joined.chunk(self.count, place))

    def cells(self, maps: Tensor, place: int, cells: int) -> Tensor:
        """Batches of tiles' maps → one batch with ``cells`` along the axis at ``place``."""
        size = maps.shape[place]
        if (maps.device, size, cells) not in self._kept:
            self._keep(self._means(size, cells), maps.device, size, cells)
        joined = torch.cat(maps.chunk(self.count), place)
        return _along(joined, self._kept[maps.device, size, cells], place)

    def _keep(self, matrix: Tensor, device: torch.device, size: int, cells: int) -> None:
        # On the device, as a copy a sample would make the host wait; and not in inference mode, as
        # what is made there could be part of no graph later.
        with torch.inference_mode(False):
            self._kept[device, size, cells] = matrix.to(device, torch.float32)

    def _starts(self) -> list[int]:
        """Of every tile in the axis, or of the axis in its tile."""
        if not self._near:
            return [(self._n - self._size) // 2]
        last, share = self._n - self._size, self._n / self.count
        middles = [(tile + 0.5) * share for tile in range(self.count)]
        return [min(max(int(middle - self._size / 2), 0), last) for middle in middles]

    def _tiles(self) -> Tensor:
        """The axis → its tiles one after the other, ``(count · n, n)``."""
        n, size, starts = self._n, self._size, self._starts()
        whole = torch.eye(n, dtype=torch.float64)
        if self._near:
            return torch.cat([_resized(whole[start : start + size], n) for start in starts])
        place = (torch.arange(n) - starts[0]) % (2 * (size - 1))
        return _resized(whole, size)[torch.where(place < size, place, 2 * (size - 1) - place)]

    def _means(self, size: int, cells: int) -> Tensor:
        """Maps of all tiles, one after the other, → cells of the axis: ``(cells, count · size)``.

        A cell's mean is over those samples of maps, or shares of them, that lie in the cell and in
        their tile's own part of the axis.
        """
        n, start = self._n, torch.tensor(self._starts(), dtype=torch.float64)[:, None]
        start, length = (
            (start, self._size) if self._near else (-start * n / self._size, n * n / self._size)
        )
        edges = start + length * torch.arange(size + 1) / size
        own = torch.arange(self.count)[:, None] * (n / self.count)
        cell = torch.arange(cells)[:, None, None] * (n / cells)
        first = torch.maximum(torch.maximum(edges[:, :-1], own), cell)
        last = torch.minimum(torch.minimum(edges[:, 1:], own + n / self.count), cell + n / cells)
        inside = (last - first).clamp_min(0).flatten(1)
        return inside / inside.sum(1, keepdim=True)


def _axes(shape: Sequence[int], factor: float, whole: bool) -> list[_Axis]:
    """Axes whose tiles hold the whole input, or its middle; none for the input itself."""
    return [] if factor == 1 else [_Axis(n, factor, whole) for n in shape]


def _resized(rows: Tensor, size: int) -> Tensor:
    """A matrix whose ``size`` rows are interpolated between the given ones."""
    image = rows[None, None]
    shape = (size, rows.shape[1])
    return functional.interpolate(
        image, size=shape, mode="bicubic", align_corners=False, antialias=True
    )[0, 0]


def _tiled(x: Tensor, axes: Sequence[_Axis]) -> Tensor:
    for place in reversed(range(len(axes))):
        x = axes[place].tiled(x, 2 + place)
    return x


def _cells(maps: Tensor, axes: Sequence[_Axis], grid: tuple[int, ...]) -> Tensor:
    if not axes:
        return average(maps, grid)
    for place, (axis, cells) in enumerate(zip(axes, grid, strict=True), 2):
        maps = axis.cells(maps, place, cells)
    return maps


def _along(x: Tensor, matrix: Tensor, place: int) -> Tensor:
    """A matrix times one axis of a tensor."""
    return (x.movedim(place, -1) @ matrix.T).movedim(-1, place)
