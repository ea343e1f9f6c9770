"""How far the nested optimisation goes, and what it is judged by."""

import math
from dataclasses import dataclass
from typing import Literal

from scatonline.errors import ConfigError

Classifier = Literal["readout", "discriminant"]


@dataclass(frozen=True)
class NestedSpec:
    """Limits of :func:`scatonline.nested.fit`.

    Attributes:
        held: Share of the calibration set on which rounds are judged and descents stopped; nothing
            is fitted to it until the path has ended.
        rounds: Most descents of θ, each followed by one structure move.
        steps: Most gradient steps of a descent; 0 leaves θ where it starts.
        batch: Samples whose left-out error gives the gradient of a step.
        every: Steps between two looks at held-out samples.
        patience: Looks without improvement after which a descent ends.
        rate: Learning rate of θ.
        free: Whether filters that move together may be freed once the structure has settled.
        structure: Whether filters may go and come.
        dilations: Factors by which further copies of every calibration sample are dilated, in
            [1/4, 4]; 1 is the sample itself and always there.
        keep_ridge: The model keeps its specification's ridge; False: it gets the one of least
            left-out error, which suits values and counts.
        classifier: Of classes. ``readout``: what the readout makes of the calibration set on its
            own; ``discriminant``: weights by linear discriminant analysis, the rest as before.
    """

    held: float = 0.25
    rounds: int = 12
    steps: int = 30
    batch: int = 96
    every: int = 5
    patience: int = 2
    rate: float = 0.02
    free: bool = True
    structure: bool = True
    dilations: tuple[float, ...] = (1.0,)
    keep_ridge: bool = True
    classifier: Classifier = "discriminant"

    def __post_init__(self) -> None:
        _require(0.1 <= self.held <= 0.5, "held", self.held, "in [0.1, 0.5]")
        _require(self.rounds >= 1, "rounds", self.rounds, "at least 1")
        _require(self.steps >= 0, "steps", self.steps, "at least 0")
        _require(self.batch >= 8, "batch", self.batch, "at least 8 samples")
        _require(self.every >= 1, "every", self.every, "at least 1")
        _require(self.patience >= 1, "patience", self.patience, "at least 1")
        _require(0 < self.rate < math.inf, "rate", self.rate, "finite and above 0")
        _require(
            all(0.25 <= factor <= 4 for factor in self.dilations),
            "dilations",
            self.dilations,
            "factors in [1/4, 4]",
        )
        _require(
            self.classifier in ("readout", "discriminant"),
            "classifier",
            self.classifier,
            "readout or discriminant",
        )


def _require(holds: bool, what: str, got: object, expected: str) -> None:
    if not holds:
        raise ConfigError(f"nested.{what}: got {got!r}, expected {expected}")
