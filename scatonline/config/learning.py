"""How the wavelets' parameters move."""

from dataclasses import dataclass
from typing import Literal

from scatonline.config.checks import one_of, positive, require

Tie = Literal["filter", "scale", "layer", "earned"]
Optimiser = Literal["sgd", "adam"]


@dataclass(frozen=True)
class LearningSpec:
    """How the wavelets' parameters θ move.

    Attributes:
        enabled: False keeps θ where it starts.
        optimiser: Gradient rule in the unconstrained coordinates.
        rate: Learning rate.
        momentum: Momentum of ``sgd`` (``adam`` uses 0.9 and 0.99).
        every: Learned samples a step; their gradients are averaged.
        warmup: Learned samples before the first step, so that the readout knows something.
        max_angle_rad: Largest change of an angle in one step, radians.
        max_log_step: Largest change of any other parameter in one step: of its logarithm, or of its
            share of an interval where it is no ratio.
        tie: Which filters move together in everything but their directions: none (``filter``),
            those of a ``scale``, or of a whole ``layer``. One shape learned from all of them needs
            fewer samples. ``earned``: those of a scale, but for filters that a structure check has
            freed (docs/learning.md); without checks none ever is.
    """

    enabled: bool = True
    optimiser: Optimiser = "adam"
    rate: float = 0.01
    momentum: float = 0.9
    every: int = 4
    warmup: int = 100
    max_angle_rad: float = 0.02
    max_log_step: float = 0.02
    tie: Tie = "filter"

    def __post_init__(self) -> None:
        one_of("learning.optimiser", self.optimiser, ("sgd", "adam"))
        positive("learning.rate", self.rate)
        require(0 <= self.momentum < 1, "learning.momentum", self.momentum, "in [0, 1)")
        require(self.every >= 1, "learning.every", self.every, "at least 1")
        require(self.warmup >= 0, "learning.warmup", self.warmup, "at least 0")
        positive("learning.max_angle_rad", self.max_angle_rad)
        positive("learning.max_log_step", self.max_log_step)
        one_of("learning.tie", self.tie, ("filter", "scale", "layer", "earned"))
