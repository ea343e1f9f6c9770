"""Which filters of a scale take steps of their own, and what they have to show for it.

Filters of a scale move together in everything but their directions: a shape that is learned from
all of them needs fewer samples. One is freed where a structure check finds two things sure: that it
matters, by its CAR, and that the past speaks for it. The past is scored as everything is here,
before and after. Running means of gradients say where a filter would go by itself and where its
scale goes; what the *next* gradient says that the loss falls by in the direction of the difference
is the filter's *lead*.

A scale on its way pulls its filters to and fro: what one needs is told once all have arrived.
So nobody leaves while the scale, or one that left it, still makes *progress*, which is what the
next gradient says of the direction that is really taken; and what was scored until then does not
count. And one leaves at a time, as those that stay differ from what is left otherwise than from
what was.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from scatonline.filterbank import FilterBank
from scatonline.structure import Difference, GroupCar

# What a step leaves of the running means: some hundred steps are remembered.
_KEEP = 0.99
# Steps whose scores are averaged, as neighbours resemble each other; and how many means count.
_BLOCK, _BLOCKS = 8, 32
# The fewest that allow a verdict.
_LEAST = 12
# Standard errors by which progress is above none while a scale is on its way; at rest, when steps
# follow noise, it is below.
_ON_ITS_WAY = 1.0
_TINY = 1e-150
_SCORES = ("leads", "progress")
_TABLES = ("freed", "count", "mean", "square", *_SCORES)


class Freedom:
    """Who is free in one bank; one row a filter, so that filters may come and go.

    Attributes:
        freed: ``(filters, 1)`` bool, takes steps of its own.
        count: ``(filters, 1)`` gradients remembered.
        mean: Running mean of gradients, ``(filters, parameters)``, directions left out.
        square: Of their squares.
        leads: ``(filters, steps)``, newest last, NaN where there was none.
        progress: Likewise, of the direction that a filter took, with its scale or by itself.
    """

    def __init__(self, bank: FilterBank) -> None:
        """All are tied."""
        theta = bank.theta.detach()
        self.freed = torch.zeros(len(bank), 1, dtype=torch.bool, device=theta.device)
        self.count = theta.new_zeros(len(bank), 1)
        self.mean, self.square = torch.zeros_like(theta), torch.zeros_like(theta)
        self.leads = theta.new_full((len(bank), _BLOCK * _BLOCKS), torch.nan)
        self.progress = self.leads.clone()

    def note(self, bank: FilterBank, gradient: Tensor) -> None:
        """Scores by a new gradient what was remembered, then remembers it.

        Args:
            bank: The filters.
            gradient: ``(filters, parameters)``, finite.
        """
        own = torch.where(shaping(bank), gradient, 0.0)
        scores = self._scored(bank, own)
        for name, score in zip(_SCORES, scores, strict=True):
            setattr(self, name, torch.cat((getattr(self, name)[:, 1:], score), 1))
        self.count = self.count + 1
        self.mean = _KEEP * self.mean + (1 - _KEEP) * own
        self.square = _KEEP * self.square + (1 - _KEEP) * own.square()

    def review(
        self, bank: FilterBank, cars: Mapping[str, GroupCar], z: float, harmless: float
    ) -> list[int]:
        """Ties and frees by what is known; at most one filter of a scale leaves.

        Args:
            bank: The filters.
            cars: CAR of each in a structure check, by id.
            z: Standard errors that make sure, at the level that this look may spend.
            harmless: A filter whose CAR is at most this for sure is tied again.

        Returns:
            Rows of the filters that were tied or freed.
        """
        changed: list[int] = []
        for rows in map(bank.rows, bank.scales):
            known = {row: cars[bank.names[row].id] for row in rows if bank.names[row].id in cars}
            turned = [r for r, car in known.items() if self.freed[r] and car.upper <= harmless]
            sure = [r for r, car in known.items() if 2 * car.car > car.upper]
            travelling = any(_over_blocks(self.progress[r], _ON_ITS_WAY) > 0 for r in rows)
            if not turned and not travelling:
                turned = self._leaving(rows, sure, z)
            if turned:
                self.freed[turned] = ~self.freed[turned]
            if turned or travelling:
                # It was told of others than those that are together now, or on the way.
                self.leads[rows] = self.progress[rows] = torch.nan
            changed += turned
        return changed

    def insert(self, row: int) -> None:
        """Makes room for a filter that starts at ``row``, tied."""
        for name, table in self.tensors().items():
            blank = table.new_full((1, table.shape[1]), torch.nan if name in _SCORES else 0)
            setattr(self, name, torch.cat((table[:row], blank, table[row:])))

    def remove(self, row: int) -> None:
        """Forgets the filter that was at ``row``."""
        for name, table in self.tensors().items():
            setattr(self, name, torch.cat((table[:row], table[row + 1 :])))

    def tensors(self) -> dict[str, Tensor]:
        """State that a checkpoint keeps."""
        return {name: getattr(self, name) for name in _TABLES}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Inverse of :meth:`tensors`."""
        for name in _TABLES:
            setattr(self, name, tensors[name])

    def _scored(self, bank: FilterBank, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Leads and progress, ``(filters, 1)`` each.

        Parameters are counted in units of what their gradients vary by within a scale, so that what
        is noise in one does not drown what is known of another.
        """
        share = 1 - _KEEP**self.count
        old = share > 0
        share = torch.where(old, share, 1.0)
        mean, tied = _of_scales(bank, old), _of_scales(bank, old & ~self.freed)
        unit = mean(self.square / share).sqrt() + _TINY
        way, gradient = self.mean / share / unit, gradient / unit
        together = tied(way)
        lead = (_directions(way - together) * gradient).sum(1, keepdim=True)
        taken = torch.where(self.freed, way, together)
        answer = torch.where(self.freed, gradient, tied(gradient))
        progress = (_directions(taken) * answer).sum(1, keepdim=True)
        return torch.where(old, lead, torch.nan), torch.where(old, progress, torch.nan)

    def _leaving(self, rows: list[int], sure: list[int], z: float) -> list[int]:
        """The filter that leaves its scale, if one does.

        Args:
            rows: Of the scale.
            sure: Those that matter.
            z: Standard errors that make sure.
        """
        tied = [row for row in rows if not self.freed[row]]
        bounds = {row: _over_blocks(self.leads[row], z) for row in tied if row in sure}
        ahead = [row for row, bound in bounds.items() if bound > 0]
        # Who is alone in a scale goes its own way as it is.
        return [max(ahead, key=lambda row: bounds[row])] if ahead and len(tied) > 1 else []


def shaping(bank: FilterBank) -> Tensor:
    """Which parameters filters share, ``(parameters,)`` bool: all but directions."""
    shared = [p.kind != "direction" for p in bank.family.parameters]
    return torch.tensor(shared, device=bank.theta.device)


def _of_scales(bank: FilterBank, counted: Tensor) -> Callable[[Tensor], Tensor]:
    """What replaces every filter's row by the mean over those of its scale that are counted.

    0 where none is. Sums are in one order on every device, so that a restored model takes the same.
    """
    scale = torch.tensor([name.scale for name in bank.names], device=counted.device)
    alike = (scale[:, None] == scale) & counted[:, 0]
    share = (alike / alike.sum(1, keepdim=True).clamp_min(1)).to(bank.theta.dtype)
    return lambda rows: (share[..., None] * rows).sum(1)


def _directions(rows: Tensor) -> Tensor:
    """Of length 1, but for rows of zeros."""
    return torch.nn.functional.normalize(rows, dim=1, eps=_TINY)


def _over_blocks(scores: Tensor, z: float) -> float:
    """Lower bound on the mean of scores, −∞ while there are too few."""
    blocks = scores.reshape(-1, _BLOCK).mean(1)
    blocks = blocks[~torch.isnan(blocks)]
    return Difference.of(blocks[None]).bound(-z) if len(blocks) >= _LEAST else -math.inf
