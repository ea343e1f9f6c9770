"""Answers to what a recording does not say of itself, side by side: the best so far predicts.

How much of a target is noise, and how fast a function may change, is not asked of the user: every
pair of the two is an *expert* with weights of its own.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scatonline.config import ReadoutSpec

# Samples over which the errors that choose an expert are counted.
_JUDGED = 500
_UNDECIDED = 1e-6
# What a function after a change has in common with the one before: the correlation of the two.
_IN_COMMON = 0.8


@dataclass(frozen=True)
class Experts:
    """Noises and memories, and how well each pair has predicted.

    Attributes:
        noise: ``(experts,)`` float64, share of a similarity of 1.
        fading: ``(experts,)`` float64, 1/τ in 1/samples; 0 for a memory without end.
        errors: ``(experts,)`` float64, discounted squared errors, in variances.
    """

    noise: Tensor
    fading: Tensor
    errors: Tensor

    @classmethod
    def of(cls, spec: ReadoutSpec, device: str) -> "Experts":
        """Every noise with every memory; nothing is known of how good they are."""
        pairs = [(n, m) for m in spec.memories for n in spec.noises]
        noise, memories = (
            torch.tensor(column, dtype=torch.float64, device=device)
            for column in zip(*pairs, strict=True)
        )
        # 0 stands for a memory without end.
        fading = torch.where(memories > 0, 1 / memories.clamp_min(1), 0.0)
        errors = torch.full_like(noise, _UNDECIDED)
        # Before there are errors, the one in the middle.
        errors[len(noise) // 2] = 0
        return cls(noise, fading, errors)

    def chosen(self) -> Tensor:
        """The one with the smallest error so far, as an index."""
        return self.errors.argmin()

    def judged(self, errors: Tensor) -> "Experts":
        """With the errors ``(experts,)`` of one sample more."""
        return replace(self, errors=(1 - 1 / _JUDGED) * self.errors + errors)

    def following(self, only: "Experts") -> "Experts":
        """After a readout with one expert: that one leads, the others are to show to be better."""
        same = (self.noise == only.noise[0]) & (self.fading == only.fading[0])
        return replace(self, errors=torch.where(same, 1.0, 1.01) * only.errors[0])

    def left(self, times: Tensor, epochs: Tensor) -> Tensor:
        """What time and changes leave of a similarity, by expert: ``(experts, *times.shape)``.

        Args:
            times: Samples between the two inputs.
            epochs: Changes of the function between them.
        """
        fading = self.fading.reshape(-1, *(1 for _ in times.shape))
        return torch.exp(-times.abs() * fading) * _IN_COMMON ** epochs.abs()
