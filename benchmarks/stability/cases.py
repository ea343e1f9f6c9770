"""The work that is measured."""

from dataclasses import dataclass

from scatonline.config import (
    BankSpec,
    FeatureSpec,
    LearningSpec,
    ModelSpec,
    ReadoutKind,
    ReadoutSpec,
    StructureSpec,
)

FAMILIES = ("morlet", "daubechies", "coiflet", "lattice", "steerable")
SHIFTS = (1, 2, 4, 8)
GRADIENTS = (0.02, 0.05, 0.1, 0.2)
# Cycles a period that deformations have at most.
CYCLES = 3
SIZE, J, L = 64, 3, 4
LINE_SIZE, LINE_J = 256, 4


@dataclass(frozen=True)
class Effort:
    """How much is done.

    Attributes:
        signals: Signals of each kind.
        ascent: Steps towards a worst perturbation.
        deformations: Random ones for each gradient.
        checkpoints: Learned samples at which constants are taken; the last ends learning.
        seeds: Bootstraps for the stability of the solution.
        samples: Samples of each.
        block: Samples in a row that a bootstrap keeps together.
    """

    signals: int
    ascent: int
    deformations: int
    checkpoints: tuple[int, ...]
    seeds: int
    samples: int
    block: int = 20


FULL = Effort(8, 30, 3, (0, 100, 200, 400, 800), 10, 400)
QUICK = Effort(2, 5, 1, (0, 80, 160), 3, 120)


def plane(family: str, *, oversampling: int = J, padding: bool = False) -> BankSpec:
    """Images of 64×64 pixels; periodic, or padded by reflection as a model has them."""
    return BankSpec(
        family=family,
        J=J,
        L=L,
        padding="reflect" if padding else "none",
        oversampling=oversampling,
    )


def line(family: str, oversampling: int) -> BankSpec:
    """Windows of 256 samples."""
    return BankSpec(family=family, J=LINE_J, Q=(1, 1), padding="none", oversampling=oversampling)


def model(family: str, kind: ReadoutKind, scale: float) -> ModelSpec:
    """What learns."""
    return ModelSpec(
        name=family,
        channels=1,
        shape=(SIZE, SIZE),
        bank=plane(family, oversampling=0, padding=True),
        features=FeatureSpec(),
        readout=ReadoutSpec(kind=kind, ridge=300.0),
        learning=LearningSpec(rate=0.03, tie="scale", warmup=64),
        structure=StructureSpec(enabled=False),
        input_scale=(scale,),
    )
