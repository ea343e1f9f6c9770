"""Two opinions on a class, each trusted as far as it was right before.

Exponential weights on past log loss with a fixed share (Herbster & Warmuth 1998): the loss is at
most that of the best opinion of each stretch of time, plus what finding it costs.
"""

import torch
from torch import Tensor

# Weight that is shared anew at each label, and part of each opinion that is no opinion.
_SHARE = 0.02
_DOUBT = 0.01


class Blend:
    """Weights of several opinions.

    Attributes:
        weight: ``(opinions,)`` float64, sum 1.
    """

    def __init__(self, opinions: int, device: str = "cpu") -> None:
        """Trusts all alike."""
        self.weight = torch.full((opinions,), 1 / opinions, dtype=torch.float64, device=device)

    def __call__(self, opinions: Tensor) -> Tensor:
        """Weighted mean of ``(opinions, classes)`` probabilities: ``(classes,)``."""
        return self.weight @ _doubted(opinions)

    def learn(self, opinions: Tensor, chosen: int) -> None:
        """Moves trust to those that had said so.

        Args:
            opinions: ``(opinions, classes)``, as they were when the sample came.
            chosen: Its class.
        """
        weight = self.weight * _doubted(opinions)[:, chosen]
        self.weight = (1 - _SHARE) * weight / weight.sum() + _SHARE / len(weight)


def _doubted(opinions: Tensor) -> Tensor:
    return (1 - _DOUBT) * opinions.double() + _DOUBT / opinions.shape[1]
