"""Teacher recovery: data made by a bank with other parameters, learned from by online steps.

Images (or signals) of white noise; the targets are random mixtures of the teacher's averaged
moduli, with a little noise. The student is the whole online model, predicting before it learns,
with a readout that must find the mixtures at the same time.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from scatonline.config import (
    BankSpec,
    FeatureSpec,
    LearningSpec,
    ModelSpec,
    ReadoutSpec,
    StructureSpec,
)
from scatonline.features import Layout, Standardiser
from scatonline.filterbank import FilterBank
from scatonline.model import Model
from scatonline.sample import Sample
from scatonline.scattering import Scattering

SHAPES: dict[int, tuple[int, ...]] = {1: (128,), 2: (16, 16)}
OUTPUTS = 32
NOISE = 0.02
CHECKPOINTS = (0, 250, 500, 1000, 2000, 4000)
# How far the teacher is from where students start: radians; logarithms; shares of an interval.
TURN, RATIO, SHARE = 0.2, 0.2, 0.1


@dataclass(frozen=True)
class Recovery:
    """One student.

    Attributes:
        family: Its family, and the teacher's.
        dimensions: 1 or 2.
        seed: Of teacher, data and mixtures.
        samples: At which the rest was taken.
        parameters: R.m.s. distance from the teacher's parameters, in shares of that at the start.
        degrees: R.m.s. distance of directions; NaN in 1-D.
        spectra: Mean 1 − |cosine| between the student's filters and the teacher's.
        error: Prequential error over the last stretch, in shares of the targets' variance.
    """

    family: str
    dimensions: int
    seed: int
    samples: tuple[int, ...]
    parameters: tuple[float, ...]
    degrees: tuple[float, ...]
    spectra: tuple[float, ...]
    error: tuple[float, ...]


def specification(family: str, dimensions: int) -> ModelSpec:
    """A student whose columns are the moduli themselves, averaged."""
    return ModelSpec(
        name=family,
        channels=1,
        shape=SHAPES[dimensions],
        bank=BankSpec(family=family, J=2, L=3, Q=(1,), max_order=1, padding="periodic"),
        features=FeatureSpec(
            orders=(0, 1), grid=(0,), compression="none", order_weight=(1.0,), calibration=64
        ),
        readout=ReadoutSpec(kind="gaussian", ridge=1.0, forgetting=0.995),
        learning=LearningSpec(rate=0.01, every=1, warmup=200),
        structure=StructureSpec(enabled=False),
    )


def recover(family: str, dimensions: int, seed: int, last: int = CHECKPOINTS[-1]) -> Recovery:
    """Teaches one student.

    Args:
        family: Its family.
        dimensions: 1 or 2.
        seed: Of everything random.
        last: Samples of the stream.
    """
    spec = specification(family, dimensions)
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(last, 1, *spec.shape, generator=generator)
    teacher = Scattering(spec.bank, spec.shape)
    _moved(teacher.bank(1), generator)
    targets = _targets(spec, teacher, inputs, generator)
    student = Model(spec)
    outputs = tuple(f"mixture{i}" for i in range(OUTPUTS))
    student.open_session("lesson", outputs)
    taken = [count for count in CHECKPOINTS if count <= last]
    rows: list[tuple[float, ...]] = []
    losses: list[float] = []
    for number in range(last + 1):
        if number in taken:
            recent = float(np.mean(losses[-250:])) if losses else math.nan
            rows.append((*_distances(student.learner.banks()[0], teacher.bank(1)), recent))
        if number < last:
            y = targets[number].numpy()
            sample = Sample(str(number), "lesson", inputs[number].numpy(), y)
            predicted = student.step(sample).prediction.values
            losses.append(float(np.square(predicted - y).mean()))
    parameters, degrees, spectra, error = zip(*rows, strict=True)
    shares = tuple(value / parameters[0] for value in parameters)
    return Recovery(family, dimensions, seed, tuple(taken), shares, degrees, spectra, error)


def _moved(bank: FilterBank, generator: torch.Generator) -> None:
    """Moves every parameter of every filter by a random amount in both directions."""
    coordinates = bank.coordinates()
    most = torch.tensor([_most(p.kind) for p in bank.family.parameters], dtype=torch.float64)
    level = torch.tensor([p.kind == "level" for p in bank.family.parameters])
    most = torch.where(level, most * coordinates.span, most)
    draw = torch.rand(bank.theta.shape, generator=generator, dtype=torch.float64)
    sign = torch.randint(0, 2, bank.theta.shape, generator=generator) * 2 - 1
    with torch.no_grad():
        even = coordinates.even(bank.theta) + sign * (0.5 + 0.5 * draw) * most
        bank.theta.copy_(coordinates.from_even(even))


def _most(kind: str) -> float:
    return {"direction": TURN, "angle": TURN, "ratio": RATIO, "level": SHARE}[kind]


def _targets(
    spec: ModelSpec, teacher: Scattering, inputs: Tensor, generator: torch.Generator
) -> Tensor:
    """``(samples, outputs)`` of unit variance."""
    layout = Layout(replace(spec, channels=1), teacher.cascade)
    with torch.no_grad():
        averages = teacher.averages(torch.float32, torch.device("cpu"))
        columns = layout.columns(inputs, teacher.build(), averages)
    z = Standardiser.fit(columns, layout.weight)(columns)
    z = z[:, layout.ranges[0][1] :]
    mixed = z @ torch.randn(z.shape[1], OUTPUTS, generator=generator, dtype=torch.float64)
    mixed = mixed / mixed.std(0)
    noise = torch.randn(mixed.shape, generator=generator, dtype=torch.float64)
    return (mixed + NOISE * noise).float()


def _distances(student: FilterBank, teacher: FilterBank) -> tuple[float, float, float]:
    """R.m.s. of parameters as shares of the teacher's moves; of directions in degrees; spectra."""
    coordinates = student.coordinates()
    with torch.no_grad():
        apart = coordinates.even(student.theta) - coordinates.even(teacher.theta)
        ours, theirs = (bank.made_spectra().flatten(1) for bank in (student, teacher))
    kinds = [p.kind for p in student.family.parameters]
    unit = torch.tensor([_most(kind) for kind in kinds], dtype=torch.float64)
    unit = torch.where(torch.tensor([k == "level" for k in kinds]), unit * coordinates.span, unit)
    free = torch.tensor([p.free for p in student.family.parameters])
    apart = torch.where(free, torch.remainder(apart + math.pi / 2, math.pi) - math.pi / 2, apart)
    turns = apart[:, [k == "direction" for k in kinds]]
    degrees = math.degrees(float(turns.square().mean().sqrt())) if turns.numel() else math.nan
    cosine = (ours * theirs).sum(1) / (ours.norm(dim=1) * theirs.norm(dim=1))
    share = float((apart / unit).square().mean().sqrt())
    return share, degrees, float((1 - cosine.abs()).mean())
