"""How strong each channel of a window is: what electrodes that move change first."""

import torch
from torch import Tensor

# Channels weaker than 60 dB below the mean of all count as silent, whatever is left in them.
_SILENCE = 1e-6


def strengths(x: Tensor) -> Tensor:
    """Logarithm of each channel's root mean square.

    A gain becomes a constant added to its channel, so that a change of gain and a change of place
    are both simple, and what a strength varies by between windows does not depend on its unit.

    Args:
        x: ``(channels, *shape)``, one window.

    Returns:
        ``(channels,)`` float64, natural logarithm; a channel is never more than 60 dB below the
        mean power of all.
    """
    centred = x.double().flatten(1)
    centred = centred - centred.mean(1, keepdim=True)
    power = centred.square().mean(1)
    floor = _SILENCE * power.mean() + torch.finfo(torch.float32).tiny
    return 0.5 * torch.log(power + floor)
