"""The recent labelled samples of a session, and what a structure check needs to know about them."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scatonline.structure.car import Refit, Score, Split, explained, restarts

# Neighbours in a stream resemble each other; whole blocks are trained on or held out.
_BLOCK = 12


class Window:
    """A ring of the newest labelled inputs and targets.

    Attributes:
        inputs: ``(capacity, channels, *shape)`` float32, scaled.
        targets: ``(capacity, outputs)`` float32, NaN where missing.
        written: Samples ever written.
    """

    def __init__(self, capacity: int, shape: tuple[int, ...], outputs: int, device: str) -> None:
        """Starts empty; memory is taken at once and never grows."""
        self.inputs = torch.zeros(capacity, *shape, device=device)
        self.targets = torch.zeros(capacity, outputs, device=device)
        self.written = 0

    def __len__(self) -> int:
        """Samples held."""
        return min(self.written, len(self.inputs))

    def append(self, x: Tensor, target: Tensor) -> None:
        """Takes one sample; the oldest goes once the ring is full."""
        at = self.written % len(self.inputs)
        self.inputs[at], self.targets[at] = x, target
        self.written += 1

    def ordered(self) -> tuple[Tensor, Tensor]:
        """Copies of inputs and targets, oldest first."""
        if self.written <= len(self.inputs):
            return self.inputs[: self.written].clone(), self.targets[: self.written].clone()
        first = self.written % len(self.inputs)
        return torch.roll(self.inputs, -first, 0), torch.roll(self.targets, -first, 0)


@dataclass(frozen=True)
class Evidence:
    """A window split for refits and scores.

    Attributes:
        targets: ``(samples, outputs)`` float64, missing ones NaN.
        filled: The same with missing targets at their output's mean, for fitting.
        variance: Of every output over the window; outputs that did not vary are left out.
        split: Training blocks and held-out rows; rows without any observed output are left out.
        classes: Targets are one-hot classes.
    """

    targets: Tensor
    filled: Tensor
    variance: Tensor
    split: Split
    classes: bool

    @classmethod
    def of(cls, targets: Tensor, classes: bool) -> "Evidence":
        """From a window's targets."""
        y = targets.double()
        mean = y.nanmean(0)
        variance = (y - mean).square().nanmean(0)
        varied = variance > 1e-12
        y, mean = y[:, varied], mean[varied]
        filled = torch.where(torch.isnan(y), mean, y)
        split = Split.of(len(y), _BLOCK)
        observed = ~torch.isnan(y[split.held]).all(1)
        split = replace(split, held=split.held[observed])
        return cls(y, filled, variance[varied], split, classes)

    def refits(self, x: Tensor, ridge: float, count: int, seed: int) -> list[Refit]:
        """Refits of ``(samples, columns)`` on block bootstraps of the training rows."""
        generator = torch.Generator().manual_seed(seed)
        return restarts(x, self.filled, self.split, ridge, count, generator)

    def scores(self) -> list[Score]:
        """Scores of held-out predictions: explained variance, and accuracy for classes."""
        held = self.targets[self.split.held]
        scores: list[Score] = [lambda p: explained(p, held, self.variance)]
        if self.classes:
            scores.append(lambda p: (p.argmax(1) == held.argmax(1)).to(p.dtype))
        return scores

    def baseline(self, refits: list[Refit], x: Tensor) -> float:
        """Held-out explained variance, 1 − error/variance, mean over restarts."""
        held = x[self.split.held]
        score = self.scores()[0]
        return 1 + sum(float(score(r.predict(held)).mean()) for r in refits) / len(refits)
