"""Where electrodes may be after they moved: permutations of the channels."""

import torch
from torch import Tensor


def placements(kind: str, channels: int) -> Tensor:
    """Permutations that are tried after an alarm, the identity first.

    Args:
        kind: ``fixed``: only the identity; ``ring``: every rotation, for electrodes around a limb
            whose channels are stored in their order around it.
        channels: Number of channels.

    Returns:
        ``(placements, channels)``: the old channel of each present one.
    """
    around = torch.arange(channels)
    turns = around if kind == "ring" else around[:1]
    return (around[None] + turns[:, None]) % channels
