"""Labels that persist: a filter over windows that wait for theirs.

A hidden Markov model whose class stays with a probability that is learned from neighbouring labels,
in the order of the samples, and else changes to any other (forward algorithm: Rabiner 1989). How
long an action lasts is not used otherwise.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

# Windows without label that are kept, for the filter to run over again once labels came.
HORIZON = 64


class Persistence:
    """Turns evidence of single windows into probabilities that remember their neighbours.

    Attributes:
        classes: Number of classes.
        enabled: False: classes of neighbouring windows are independent, each as likely.
        stayed: Neighbouring labels that were equal, plus one.
        changed: Those that were not, plus one.
        newest: (number, class) of the newest sample with a label.
    """

    def __init__(self, classes: int, *, enabled: bool = True) -> None:
        """Expects staying and changing alike."""
        self.classes, self.enabled = classes, enabled
        self.stayed = self.changed = 1.0
        self.newest: tuple[int, int] | None = None

    @property
    def stay(self) -> float:
        """Probability that the next sample's class is the present one."""
        return self.stayed / (self.stayed + self.changed) if self.enabled else 1 / self.classes

    def transition(self) -> Tensor:
        """``(classes, classes)``, from a row to a column."""
        other = (1 - self.stay) / max(1, self.classes - 1)
        stays = torch.eye(self.classes, dtype=torch.float64)
        return stays * self.stay + (1 - stays) * other

    def start(self, hypotheses: Tensor) -> Tensor:
        """Logarithms before the first window that waits: ``(H,)`` to ``(H, classes)``."""
        if self.newest is None or not self.enabled:
            first = torch.full((self.classes,), -math.log(self.classes), dtype=torch.float64)
        else:
            first = self.transition()[self.newest[1]].log()
        return hypotheses[:, None] + first.to(hypotheses)

    def onward(self, past: Tensor) -> Tensor:
        """One window later, ``(H, classes)`` logarithms."""
        top = past.max()
        return torch.log((past - top).exp() @ self.transition().to(past) + 1e-300) + top

    def learn(self, number: int, chosen: int) -> None:
        """Notes a label.

        Args:
            number: The sample's place in the order of samples.
            chosen: Its class.
        """
        if self.newest is not None and number == self.newest[0] + 1:
            self.stayed += chosen == self.newest[1]
            self.changed += chosen != self.newest[1]
        if self.newest is None or number > self.newest[0]:
            self.newest = (number, chosen)

    def meta(self) -> dict[str, Any]:
        """State, JSON-safe."""
        newest = None if self.newest is None else list(self.newest)
        return {"stayed": self.stayed, "changed": self.changed, "newest": newest}

    def load(self, meta: Mapping[str, Any]) -> None:
        """Inverse of :meth:`meta`."""
        self.stayed, self.changed = float(meta["stayed"]), float(meta["changed"])
        newest = meta["newest"]
        self.newest = None if newest is None else (int(newest[0]), int(newest[1]))
