"""What a readout that remembers says, as it was at one sample, for other threads to ask."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scatonline.config import ReadoutKind
from scatonline.readout.heritage import Answer, Heritage
from scatonline.readout.remembered import Remembered

_LEAST_RATE = 0.02
_LEAST_CHANCE = 1e-3


@dataclass(frozen=True)
class WindowView:
    """A :class:`WindowReadout` as it was at one sample, for other threads.

    Attributes:
        kind: Meaning of the targets.
        memory: Remembered inputs.
        alpha: ``(count, outputs)`` weights of the chosen expert, times what time has left of them.
        inherited: ``(inherited features, outputs)`` weights.
        level: ``(outputs,)`` constants.
        heritage: Earlier readouts.
        mean: ``(outputs,)`` mean target so far.
        peak: ``(outputs,)`` largest target so far.
    """

    kind: ReadoutKind
    memory: Remembered
    alpha: Tensor
    inherited: Tensor
    level: Tensor
    heritage: Heritage
    mean: Tensor
    peak: Tensor

    def predict(self, z: Tensor) -> Tensor:
        """Predictions for standardised columns ``(..., width)``: ``(..., outputs)``."""
        if z.ndim > 1:
            return torch.stack([self.predict(one) for one in z])
        point = self.memory.bounded(z)
        value = self.value(self.memory.similar(point), self.heritage.answer(point))
        return within(self.kind, value, self.mean, self.peak)

    def value(self, similar: Tensor, answer: Answer) -> Tensor:
        """What is expected of an input, before it is brought to where targets can be.

        Args:
            similar: ``(count,)``, its similarities to what is remembered.
            answer: What ancestors say of it.
        """
        own = similar @ self.alpha + self.level
        return own + answer.start + answer.features @ self.inherited


def within(kind: ReadoutKind, value: Tensor, mean: Tensor, peak: Tensor) -> Tensor:
    """What a regression says, brought to where targets can be."""
    if kind == "poisson":
        return value.clamp_min(_LEAST_RATE * mean.clamp_min(_LEAST_RATE)).minimum(
            peak.clamp_min(1.0)
        )
    if kind == "softmax":
        chance = value.clamp(_LEAST_CHANCE, 1.0)
        return chance / chance.sum(-1, keepdim=True)
    return value
