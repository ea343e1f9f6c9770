"""Block bootstraps of a window: what each restart is fitted to, and what it leaves to be scored.

Whole blocks of neighbours are drawn with replacement, as neighbours in a stream resemble each
other. A restart never sees the blocks that it did not draw, some 37 % of all: they are its held-out
samples, so that over the restarts nearly the whole window is held out once or more.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Bags:
    """Draws of several restarts.

    Attributes:
        counts: ``(restarts, samples)`` float64, how often each sample was drawn.
    """

    counts: Tensor

    @classmethod
    def of(cls, samples: int, block: int, restarts: int, generator: torch.Generator) -> "Bags":
        """Draws as many blocks as there are; few samples make short blocks.

        Args:
            samples: At least 2.
            block: Neighbours that come together.
            restarts: Number of draws.
            generator: Source of chance.
        """
        block = min(block, max(samples // 4, 1))
        blocks = torch.arange(samples) // block
        count = int(blocks[-1]) + 1
        drawn = [_some_left_out(count, generator) for _ in range(restarts)]
        return cls(torch.stack([row[blocks] for row in drawn]).double())

    def __len__(self) -> int:
        """Number of restarts."""
        return len(self.counts)

    def drawn(self, restart: int) -> Tensor:
        """Samples that a restart is fitted to, each once."""
        return torch.nonzero(self.counts[restart])[:, 0]

    def held(self, restart: int) -> Tensor:
        """Samples that a restart never saw."""
        return torch.nonzero(self.counts[restart] == 0)[:, 0]


def _some_left_out(blocks: int, generator: torch.Generator) -> Tensor:
    """How often each block is drawn; one at least is not."""
    while True:
        drawn = torch.randint(blocks, (blocks,), generator=generator)
        counts = torch.bincount(drawn, minlength=blocks)
        if int(counts.min()) == 0:
            return counts
