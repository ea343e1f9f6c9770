"""A table of remembered columns that one thread writes while others read older versions of it."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

# Rows that share memory: what is copied when one of them is written.
_CHUNK = 64


@dataclass(frozen=True)
class Rows:
    """``(rows, width)`` float32 in pieces that are never changed, only replaced.

    Attributes:
        pieces: Blocks of neighbouring rows.
        weight: ``(width,)`` float64 positive, how much each column counts in products.
        norms: ``(rows,)`` float64, squared norm of each.
    """

    pieces: tuple[Tensor, ...]
    weight: Tensor
    norms: Tensor

    @classmethod
    def blank(cls, count: int, width: int, device: str) -> "Rows":
        """Zeros."""
        sizes = [min(_CHUNK, count - first) for first in range(0, count, _CHUNK)]
        zeros = tuple(torch.zeros(size, width, device=device) for size in sizes)
        alike = torch.ones(width, dtype=torch.float64, device=device)
        return cls(zeros, alike, torch.zeros(count, dtype=torch.float64, device=device))

    @classmethod
    def of(cls, table: Tensor, weight: Tensor) -> "Rows":
        """From one tensor."""
        norms = (table.double().square() * weight).sum(1)
        return cls(tuple(torch.split(table, _CHUNK)), weight, norms)

    def weighed(self, weight: Tensor) -> "Rows":
        """The same columns, counting otherwise."""
        return Rows.of(self.table(), weight)

    def carried(self, index: Tensor) -> "Rows":
        """In other columns, by the old one of each new one; one never seen (−1) is 0, its mean."""
        table = self.table()
        padded = torch.cat((table, table.new_zeros(len(table), 1)), 1)
        weight = torch.cat((self.weight, self.weight.new_ones(1)))
        return Rows.of(padded[:, index], weight[index])

    def table(self) -> Tensor:
        """All rows in one tensor."""
        return torch.cat(self.pieces)

    def row(self, slot: int) -> Tensor:
        """One row, ``(width,)``."""
        return self.pieces[slot // _CHUNK][slot % _CHUNK]

    def products(self, z: Tensor, count: int) -> Tensor:
        """⟨row, z⟩ of the first ``count`` rows with ``z`` ``(width,)``: ``(count,)`` float64."""
        used = self.pieces[: max(1, -(-count // _CHUNK))]
        point = (z * self.weight).float()
        return torch.cat([piece @ point for piece in used])[:count].double()

    def combined(self, weights: Tensor) -> Tensor:
        """Σ weights·row over the first rows, ``(width,)`` float64."""
        parts = torch.split(weights.float(), _CHUNK)
        used = zip(self.pieces, parts, strict=False)
        return torch.stack([part @ piece[: len(part)] for piece, part in used]).double().sum(0)

    def written(self, slot: int, z: Tensor) -> "Rows":
        """With ``z`` in one row."""
        number, place = divmod(slot, _CHUNK)
        piece = self.pieces[number].clone()
        piece[place] = z.float()
        norms = self.norms.clone()
        norms[slot] = (piece[place].double().square() * self.weight).sum()
        pieces = (*self.pieces[:number], piece, *self.pieces[number + 1 :])
        return replace(self, pieces=pieces, norms=norms)
