"""What a model does about changes, and what keeps learning from doing harm."""

import math
from dataclasses import dataclass

from scatonline.config.checks import require


@dataclass(frozen=True)
class AdaptationSpec:
    """What a model does when its loss goes up, and what keeps learning from doing harm.

    Attributes:
        detect: Whether a change of the loss is acted upon: what the readout remembers counts for
            less, θ moves faster for a while, and a structure check is due soon. On streams whose
            samples differ in difficulty for long stretches this may cost more than it gains.
        boost: Factor on the rate of θ after a change.
        boosted: Learned samples for which it holds.
        shadow: Whether a model that never moves a filter runs beside; if the learned one is worse
            with confidence, its filters and readouts go back to that one's. It costs about as much
            again as learning without moving θ.
    """

    detect: bool = False
    boost: float = 3.0
    boosted: int = 200
    shadow: bool = False

    def __post_init__(self) -> None:
        require(1 <= self.boost < math.inf, "adaptation.boost", self.boost, "finite, at least 1")
        require(self.boosted >= 0, "adaptation.boosted", self.boosted, "at least 0")
