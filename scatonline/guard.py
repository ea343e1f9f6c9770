"""Learning must do no harm: a model that never moves a filter runs beside the one that does.

Both see the same samples. If over a window the learned one's losses are higher with confidence, its
filters and readouts go back to the fixed one's, and it learns on from there, more slowly.
"""

import itertools
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from scatonline.config import ModelSpec

# Newest samples compared, the fewest that allow a verdict, and how often one is asked for.
_WINDOW, _LEAST, _EVERY = 300, 100, 25
# Standard errors by which the learned one must be worse.
_SURE = 3.0


@dataclass(frozen=True)
class Retreat:
    """Learned filters were given up for the first ones.

    Attributes:
        event: Event number.
        worse: Mean loss of the learned model over the fixed one's, over the window.
        se: Its standard error.
    """

    event: int
    worse: float
    se: float


class Comparison:
    """Paired losses of two models on the newest samples.

    Attributes:
        differences: Loss of the learned model less that of the fixed one, oldest first.
        heard: Samples compared so far.
    """

    def __init__(self, differences: Iterable[float] = (), heard: int = 0) -> None:
        """Takes up where another comparison stood."""
        self.differences = deque(differences, maxlen=_WINDOW)
        self.heard = heard

    def add(self, learned: float, fixed: float) -> None:
        """Takes one sample's losses; pairs that are not finite are left out."""
        self.heard += 1
        if math.isfinite(learned) and math.isfinite(fixed):
            self.differences.append(learned - fixed)

    def verdict(self) -> tuple[float, float] | None:
        """(mean, standard error) of the differences if the learned model is worse for sure."""
        count = len(self.differences)
        if count < _LEAST or self.heard % _EVERY:
            return None
        mean = sum(self.differences) / count
        centred = [d - mean for d in self.differences]
        power = sum(c * c for c in centred)
        if power == 0:
            return None
        # Neighbours err alike: fewer samples than there are stand behind the mean.
        lag = sum(a * b for a, b in itertools.pairwise(centred)) / power
        rho = min(max(lag, 0.0), 0.99)
        se = math.sqrt(power / (count - 1) / (count * (1 - rho) / (1 + rho)))
        return (mean, se) if mean > _SURE * se else None


def fixed(spec: ModelSpec) -> ModelSpec:
    """The specification of the model that runs beside: filters as they start, one noise."""
    noises = spec.readout.noises
    return replace(
        spec,
        learning=replace(spec.learning, enabled=False),
        # It is never asked for a structure check, and needs to keep no samples for one.
        structure=replace(spec.structure, enabled=False, window=32),
        readout=replace(
            spec.readout,
            noises=(noises[len(noises) // 2],),
            memories=spec.readout.memories[:1],
        ),
        adaptation=replace(spec.adaptation, shadow=False),
        # It is told which samples to give up, and of labels when they are learned.
        pending_age_s=0.0,
        label_hold=0,
    )
