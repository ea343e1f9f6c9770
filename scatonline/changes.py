"""Has the loss gone up for good? Detectors that a model listens to, as a part of its state.

Two of River's detectors hear the standardised loss of every labelled sample: Page–Hinkley (Page
1954) is quick to find a step, ADWIN (Bifet & Gavaldà 2007) finds slow ones. River's detectors
cannot be written down but for pickling, so what is kept is the losses that they have heard, a
bounded number; a restored watch hears them again and stands where the first one stood.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from river.drift import ADWIN, PageHinkley

# Losses before anything is said, after which the mean and spread of a loss are known roughly.
_FIRST = 60
# Losses kept, and those heard again once there are so many.
_MOST, _AGAIN = 4096, 1024
# Page–Hinkley looks for steps of half a standard deviation, and alarms once the excess over half of
# one adds up to this: a false alarm comes once in some thousands of samples, and a step of three
# standard deviations is found after six.
_STEP, _ALARM = 0.25, 15.0
_DELTA = 0.0005
_CLIP = 4.0
# Losses are heard as logarithms, which one hard sample among many does not upset.
_LEAST = 1e-9


@dataclass(frozen=True)
class Alarm:
    """The loss went up for good, and the model acted upon it.

    Attributes:
        event: Event number.
        session: Session learned from.
        detector: What found it.
    """

    event: int
    session: str
    detector: str


class ChangeWatch:
    """Listens to the losses of one session after another.

    Attributes:
        losses: Losses that the detectors have heard since they were new.
        found: Changes so far.
    """

    def __init__(self, losses: Sequence[float] = (), found: int = 0) -> None:
        """Stands where a watch that has heard ``losses`` stands."""
        self.found = found
        self.forget()
        for loss in losses:
            self._hear(loss)

    def forget(self) -> None:
        """Starts anew, as after a change or with another session's losses."""
        self.losses: list[float] = []
        self._sum = self._squares = 0.0
        self._detectors: tuple[PageHinkley, ADWIN] | None = None

    def update(self, loss: float) -> str | None:
        """Hears one loss; the name of the detector that found a change just now, if one did.

        A loss that went *down* is no change to act upon; nor is one that is not finite.
        """
        if not math.isfinite(loss):
            return None
        name = self._hear(loss)
        if name is not None:
            self.found += 1
            self.forget()
        elif len(self.losses) >= _MOST:
            kept = self.losses[-_AGAIN:]
            self.forget()
            for earlier in kept:
                self._hear(earlier)
        return name

    def _hear(self, loss: float) -> str | None:
        value = math.log(max(loss, _LEAST))
        self.losses.append(loss)
        self._sum, self._squares = self._sum + value, self._squares + value * value
        count = len(self.losses)
        if count <= _FIRST:
            return None
        mean = self._sum / count
        spread = math.sqrt(max(self._squares / count - mean * mean, 1e-12))
        heard = min(max((value - mean) / spread, -_CLIP), _CLIP)
        page, adwin = self._detectors = self._detectors or _new_detectors()
        page.update(heard)  # type: ignore[no-untyped-call]
        adwin.update(heard)  # type: ignore[no-untyped-call]
        if page.drift_detected:
            return "Page–Hinkley"
        # After a cut ADWIN holds the newer part only.
        if adwin.drift_detected and adwin.estimation > _STEP:
            return "ADWIN"
        return None


def prepare() -> None:
    """Imports the detectors, which takes more than a second; else the first that are made do."""
    _new_detectors()


def _new_detectors() -> "tuple[PageHinkley, ADWIN]":
    # Imported here: most models act upon no change.
    from river.drift import ADWIN, PageHinkley

    page = PageHinkley(min_instances=_FIRST, delta=_STEP, threshold=_ALARM, mode="up")
    return page, ADWIN(delta=_DELTA)  # type: ignore[no-untyped-call]
