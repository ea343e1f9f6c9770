"""Which columns stand for the places of one map, and rows of columns taken apart accordingly."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Parts:
    """Rows of columns, taken apart.

    Attributes:
        linear: ``(..., linear)``, columns with a weight each.
        maps: ``(..., maps, cells)`` for each grid.
    """

    linear: Tensor
    maps: tuple[Tensor, ...]


@dataclass(frozen=True)
class Places:
    """Columns by what they stand for.

    Attributes:
        linear: ``(linear,)`` int64, columns with a weight each.
        maps: ``(maps, cells)`` int64 for each grid, the columns of its maps.
    """

    linear: Tensor
    maps: tuple[Tensor, ...]

    @classmethod
    def of(cls, cells: Tensor, rank: int) -> "Places":
        """Sorts columns.

        Args:
            cells: ``(width,)`` int64, columns of the map that it belongs to. They stand together,
                in an order that is the same for all maps of so many.
            rank: Products of a mask and channel weights. A grid of no more cells or maps than
                that is left among the linear columns, where the same functions are found at once.
        """
        columns = torch.arange(len(cells), device=cells.device)
        tables = [columns[cells == n].view(-1, n) for n in sorted(set(cells.tolist()))]
        linear = [table.flatten() for table in tables if min(table.shape) <= rank]
        maps = tuple(table for table in tables if min(table.shape) > rank)
        return cls(torch.cat([columns[:0], *linear]), maps)

    def apart(self, rows: Tensor) -> Parts:
        """Takes ``(..., width)`` apart; a copy."""
        return Parts(rows[..., self.linear], tuple(rows[..., table] for table in self.maps))

    def together(self, parts: Parts) -> Tensor:
        """Inverse of :meth:`apart`."""
        width = len(self.linear) + sum(table.numel() for table in self.maps)
        rows = parts.linear.new_zeros(*parts.linear.shape[:-1], width)
        rows[..., self.linear] = parts.linear
        for table, part in zip(self.maps, parts.maps, strict=True):
            rows[..., table] = part
        return rows
