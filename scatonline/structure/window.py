"""The recent labelled samples of a session, and what a structure check needs to know about them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scatonline.config import ReadoutKind
from scatonline.structure.bags import Bags
from scatonline.structure.car import Loss, Score, deviance, explained, hits, poisson
from scatonline.structure.ridge import Refit

# Neighbours in a stream resemble each other; whole blocks are drawn or held out.
BLOCK = 12
# Variance, and mean count, from which an output counts as one that varies.
_VARIES = 1e-12


class Window:
    """A ring of the newest labelled inputs and targets.

    Attributes:
        inputs: ``(capacity, channels, *shape)`` float32, scaled.
        targets: ``(capacity, outputs)`` float32, NaN where missing.
        numbers: ``(capacity,)`` int64, the order in which they came; labels may come in another.
        written: Samples ever written.
    """

    def __init__(self, capacity: int, shape: tuple[int, ...], outputs: int, device: str) -> None:
        """Starts empty; memory is taken at once and never grows."""
        self.inputs = torch.zeros(capacity, *shape, device=device)
        self.targets = torch.zeros(capacity, outputs, device=device)
        self.numbers = torch.zeros(capacity, dtype=torch.long, device=device)
        self.written = 0

    def __len__(self) -> int:
        """Samples held."""
        return min(self.written, len(self.inputs))

    def append(self, x: Tensor, target: Tensor, number: int) -> None:
        """Takes one sample, the ``number``-th to come; the oldest goes once the ring is full."""
        at = self.written % len(self.inputs)
        if self.inputs.device.type == "cpu":
            # The same memory: PyTorch takes several times as long over an assignment.
            inputs, targets = self.inputs.numpy(), self.targets.numpy()
            inputs[at], targets[at] = x.numpy(), target.numpy()
            self.numbers.numpy()[at] = number
        else:
            self.inputs[at], self.targets[at], self.numbers[at] = x, target, number
        self.written += 1

    def recent(self, ago: int) -> Tensor:
        """Input of the sample written ``ago`` samples before the newest, which must still be held.

        Raises:
            IndexError: it is not.
        """
        if not 0 <= ago < len(self):
            raise IndexError(f"sample {ago} before the newest: the window holds {len(self)}")
        return self.inputs[(self.written - 1 - ago) % len(self.inputs)]

    def ordered(self) -> tuple[Tensor, Tensor]:
        """Copies of inputs and targets, oldest first."""
        return self._in_order(self.inputs), self._in_order(self.targets)

    def arrivals(self) -> Tensor:
        """Copy of their numbers, oldest first."""
        return self._in_order(self.numbers)

    def _in_order(self, ring: Tensor) -> Tensor:
        if self.written <= len(ring):
            return ring[: self.written].clone()
        return torch.roll(ring, -(self.written % len(ring)), 0)


@dataclass(frozen=True)
class Evidence:
    """A window's targets, and which of them each restart is fitted to and scored on.

    Attributes:
        targets: ``(samples, outputs)`` float64, missing ones NaN; outputs that did not vary over
            the window are left out.
        filled: The same with missing targets at their output's mean, for fitting.
        mean: Of every output.
        variance: Of every output.
        varied: ``(outputs of the session,)``, which of them varied.
        bags: Draws of the restarts.
        kind: Of the targets.
    """

    targets: Tensor
    filled: Tensor
    mean: Tensor
    variance: Tensor
    varied: Tensor
    bags: Bags
    kind: ReadoutKind

    @classmethod
    def of(cls, targets: Tensor, kind: ReadoutKind, restarts: int, seed: int) -> "Evidence":
        """From a window's targets.

        Args:
            targets: ``(samples, outputs)``, NaN where missing.
            kind: What they are.
            restarts: Number of block bootstraps.
            seed: Of their draws.
        """
        y = targets.double()
        mean = y.nanmean(0)
        variance = (y - mean).square().nanmean(0)
        varied = variance > _VARIES
        y, mean = y[:, varied], mean[varied]
        filled = torch.where(torch.isnan(y), mean, y)
        bags = Bags.of(len(y), BLOCK, restarts, torch.Generator().manual_seed(seed))
        return cls(y, filled, mean, variance[varied], varied, bags, kind)

    @property
    def silent(self) -> bool:
        """Whether no output varied, or a restart holds out nothing that was observed."""
        seen = ~torch.isnan(self.targets).all(1) if len(self.mean) else self.targets.any(1)
        return not all(bool(seen[self.bags.held(r)].any()) for r in range(len(self.bags)))

    def scores(self) -> tuple[Score, ...]:
        """Explained variance first; then explained deviance of counts or accuracy of classes."""
        y = self.targets

        def variance(prediction: Tensor, rows: Tensor) -> Tensor:
            return explained(prediction, y[rows], self.variance)

        if self.kind == "poisson":
            null = poisson(y, self.mean).nanmean(0)
            return variance, lambda p, rows: deviance(p, y[rows], self.mean, null)
        if self.kind == "softmax":
            return variance, lambda p, rows: hits(p, y[rows])
        return (variance,)

    def loss(self, better: list[Tensor], worse: list[Tensor]) -> Loss:
        """What is lost from one set of restarts' predictions to another."""
        rows = [self.bags.held(r) for r in range(len(self.bags))]
        return Loss.of(better, worse, rows, len(self.targets), self.scores())

    def baseline(self, refits: list[Refit]) -> float:
        """Held-out explained variance, 1 − error/variance, mean over restarts."""
        score, bags = self.scores()[0], self.bags
        scored = [score(f.predictions(), bags.held(r)) for r, f in enumerate(refits)]
        return 1 + sum(float(s.nanmean(1).nanmean()) for s in scored) / len(scored)

    def spread(self, by_output: tuple[float, ...]) -> tuple[float, ...]:
        """Numbers of the outputs that varied, as numbers of all outputs; 0 for the others."""
        found = torch.zeros(len(self.varied), dtype=torch.float64)
        found[self.varied.cpu()] = torch.tensor(by_output, dtype=torch.float64)
        return tuple(found.tolist())
