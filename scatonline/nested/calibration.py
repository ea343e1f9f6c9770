"""A calibration set: labelled samples, which of them belong together, and which are held out."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scatonline.config import ModelSpec
from scatonline.errors import ConfigError

_FEWEST = 24


@dataclass(frozen=True)
class CalibrationSet:
    """Labelled samples in the order in which they were recorded.

    Attributes:
        inputs: ``(samples, channels, *shape)`` float32, scaled as the model scales them.
        targets: ``(samples, outputs)`` float32, NaN where missing; classes one-hot.
        groups: ``(samples,)`` integers: samples of one group are never on both sides of a split,
            as neighbours in a stream resemble each other.
    """

    inputs: Tensor
    targets: Tensor
    groups: Tensor

    def __post_init__(self) -> None:
        counts = {len(self.inputs), len(self.targets), len(self.groups)}
        if len(counts) > 1:
            raise ConfigError(
                f"calibration set has {len(self.inputs)} inputs, {len(self.targets)} targets and "
                f"{len(self.groups)} groups, expected one of each for every sample"
            )

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.inputs)

    @property
    def independent(self) -> bool:
        """Whether no sample belongs to another, so that their order means nothing."""
        return len(torch.unique(self.groups)) == len(self)

    def take(self, rows: Tensor) -> "CalibrationSet":
        """Some of the samples."""
        return CalibrationSet(self.inputs[rows], self.targets[rows], self.groups[rows])

    def split(self, held: float, spec: ModelSpec) -> tuple[Tensor, Tensor]:
        """Rows to fit to and rows to judge by, whole groups each; as many of every class.

        Args:
            held: Share of the groups that is held out.
            spec: Whose readout's kind and seed count.

        Raises:
            ConfigError: there are too few samples, or too few groups for two sides.
        """
        if len(self) < _FEWEST:
            raise ConfigError(
                f"calibration set has {len(self)} samples, expected {_FEWEST} or more"
            )
        names, first = _first_of(self.groups)
        generator = torch.Generator().manual_seed(spec.seed)
        shuffled = torch.randperm(len(names), generator=generator)
        if spec.readout.kind == "softmax":
            label = self.targets[first].argmax(1)[shuffled]
            shuffled = shuffled[torch.argsort(label, stable=True)]
        # Every 1/held-th of a list sorted by class: of each class its share, give or take one.
        turn = torch.floor((torch.arange(len(names)) + 0.5) * held)
        chosen = torch.diff(turn, prepend=torch.zeros(1)) > 0
        out = torch.isin(self.groups, names[shuffled[chosen]])
        fitted, judged = torch.nonzero(~out)[:, 0], torch.nonzero(out)[:, 0]
        if self.independent:
            # Refits on bootstraps draw neighbours together: a set sorted by class would leave whole
            # classes out.
            fitted = fitted[torch.randperm(len(fitted), generator=generator)]
        if len(fitted) < _FEWEST // 2 or not len(judged):
            raise ConfigError(
                f"calibration set has {len(names)} groups of samples that belong together, too "
                f"few to hold out {held:.0%}: expected more or shorter ones"
            )
        return fitted, judged


def _first_of(groups: Tensor) -> tuple[Tensor, Tensor]:
    """Each group's number and first sample."""
    names, inverse = torch.unique(groups, return_inverse=True)
    first = torch.full((len(names),), len(groups)).scatter_reduce(
        0, inverse, torch.arange(len(groups)), "amin"
    )
    return names, first
