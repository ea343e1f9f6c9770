"""Following classes while electrodes move."""

import math
from dataclasses import dataclass
from typing import Literal

from scatonline.config.checks import one_of, require

Placement = Literal["fixed", "ring"]


@dataclass(frozen=True)
class RealignmentSpec:
    """How windows of many channels are decoded while electrodes move.

    Attributes:
        enabled: False leaves predictions to the readout alone. True needs classes and at least two
            channels.
        placement: How electrodes may move: ``fixed``: gains change, channels stay;
            ``ring``: they may also turn around a limb, see
            :func:`scatonline.realignment.placements`.
        persistence: Whether neighbouring windows are expected to be of one class.
        memory: Labelled samples for which the spread of windows is remembered, and which must pass
            between two alarms.
        alarm: Squared deviation from the nearest class, in units of what is expected and as the
            mean over channels, above which something moved.
    """

    enabled: bool = False
    placement: Placement = "fixed"
    persistence: bool = True
    memory: float = 100.0
    alarm: float = 10.0

    def __post_init__(self) -> None:
        one_of("realignment.placement", self.placement, ("fixed", "ring"))
        require(2 <= self.memory < math.inf, "realignment.memory", self.memory, "at least 2")
        require(self.alarm > 1, "realignment.alarm", self.alarm, "above 1, what is expected")
