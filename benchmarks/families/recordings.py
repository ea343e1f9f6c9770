"""Held-out scores of a family on a real recording, its wavelets fixed or learned.

The stream is a recording's training samples, in blocks of neighbours whose order the seed decides,
as often round as the task says; the whole online model predicts and learns from every one of them.
Then a ridge readout is fitted anew to the training samples at the θ that came out, its ridge chosen
by leave-one-out error, and scored on the held-out blocks: what differs between fixed and learned is
θ, and nothing else. Fixed and learned, and all families, have the same samples, steps, columns and
readouts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scatonline.config import (
    BankSpec,
    FeatureSpec,
    LearningSpec,
    ModelSpec,
    ReadoutSpec,
    StructureSpec,
)
from scatonline.features import Standardiser
from scatonline.model import Model
from scatonline.sample import Sample, prepare
from service.recordings import first_labelled, load

# Learned and held-out samples come in blocks of this many neighbours.
_BLOCK = 12
_RIDGES = tuple(10.0 ** np.arange(0, 6, 0.5))
_CHUNK = 16
LEARNING = LearningSpec(rate=0.02, every=4, warmup=150, tie="scale")


@dataclass(frozen=True)
class Task:
    """A recording, what of it is used, and the model.

    Attributes:
        name: For tables.
        file: Under the folder of recordings.
        score: Name of the score.
        rounds: Passes over the training samples.
        most: Samples used, the first ones of the first session.
        held: Share of the blocks that is held out.
        bank: Without its family.
        features: Columns.
        readout: Of the online model.
    """

    name: str
    file: str
    score: str
    rounds: int
    most: int
    held: float
    bank: BankSpec
    features: FeatureSpec
    readout: ReadoutSpec


TASKS = (
    Task(
        "V4 day 1",
        "v4_we_days1to3.npz",
        "mean Pearson r",
        rounds=3,
        most=1200,
        held=0.2,
        bank=BankSpec(J=3, L=4, max_order=2),
        features=FeatureSpec(),
        readout=ReadoutSpec(kind="poisson", ridge=300.0),
    ),
    Task(
        "KTH-TIPS",
        "kth_tips_480.npz",
        "accuracy",
        rounds=2,
        most=528,
        held=0.5,
        bank=BankSpec(J=4, L=8, max_order=2),
        features=FeatureSpec(orders=(1, 2), grid=(1,), compression="log"),
        readout=ReadoutSpec(kind="softmax", ridge=1.0),
    ),
    Task(
        "EMG session 1",
        "flexemg_s1.npz",
        "accuracy",
        rounds=8,
        most=360,
        held=0.6,
        bank=BankSpec(J=4, Q=(1, 1), max_order=1),
        features=FeatureSpec(orders=(1,), grid=(1,), compression="log"),
        readout=ReadoutSpec(kind="softmax", ridge=1.0),
    ),
)


@dataclass(frozen=True)
class Samples:
    """Labelled samples in the order in which they were recorded.

    Attributes:
        inputs: ``(channels, *shape)`` each.
        targets: ``(samples, outputs)``, NaN where missing.
        outputs: Names of outputs.
        scale: Factor on inputs.
        classes: Targets are one-hot.
    """

    inputs: list[NDArray[np.generic]]
    targets: NDArray[np.float32]
    outputs: tuple[str, ...]
    scale: tuple[float, ...]
    classes: bool

    def blocks(self) -> list[NDArray[np.int64]]:
        """Runs of neighbours that are trained on or held out together."""
        if not self.classes:
            return np.array_split(np.arange(len(self.inputs)), len(self.inputs) // _BLOCK)
        # A run of one class is one gesture, of which every window tells the others' label.
        label = self.targets.argmax(1)
        ends = np.flatnonzero(np.diff(label)) + 1
        return np.split(np.arange(len(label)), ends)


@dataclass(frozen=True)
class Outcome:
    """One family, seed and way.

    Attributes:
        task: Name.
        family: Family.
        learned: θ moved.
        seed: Of the split and of the stream's order.
        score: Held out.
        explained: Held-out variance explained, 1 − error/variance over all outputs together.
    """

    task: str
    family: str
    learned: bool
    seed: int
    score: float
    explained: float


def read(task: Task, folder: Path) -> Samples:
    """The first labelled samples of a recording's first session."""
    recording = load(folder / task.file)
    inputs, targets = first_labelled(recording, task.most)
    factor = recording.input_scale
    return Samples(
        inputs,
        targets,
        recording.sessions[0].outputs,
        factor if isinstance(factor, tuple) else (factor,),
        recording.kind == "softmax",
    )


def specification(task: Task, samples: Samples, family: str, *, learned: bool) -> ModelSpec:
    """The model of a family."""
    return ModelSpec(
        name=family,
        channels=samples.inputs[0].shape[0],
        shape=tuple(samples.inputs[0].shape[1:]),
        bank=replace(task.bank, family=family),
        features=task.features,
        readout=task.readout,
        learning=replace(LEARNING, enabled=learned),
        structure=StructureSpec(enabled=False),
        input_scale=samples.scale,
    )


def split(task: Task, samples: Samples, seed: int) -> tuple[list[int], list[int]]:
    """Training samples, in the order of the stream, and held-out ones."""
    blocks = samples.blocks()
    order = np.random.default_rng(seed).permutation(len(blocks))
    held = order[: round(task.held * len(blocks))]
    rows = [np.concatenate([blocks[b] for b in part]) for part in (order[len(held) :], held)]
    return rows[0].tolist(), rows[1].tolist()


def run(task: Task, samples: Samples, family: str, seed: int, *, learned: bool) -> Outcome:
    """Streams the training samples, and scores the θ that came out on the others."""
    train, held = split(task, samples, seed)
    model = Model(specification(task, samples, family, learned=learned))
    if learned:
        model.open_session("stream", samples.outputs)
        for turn in range(task.rounds):
            for row in train:
                x, y = samples.inputs[row], samples.targets[row]
                model.step(Sample(f"{turn}/{row}", "stream", x, y))
    score, explained = held_out(model, samples, train, held)
    return Outcome(task.name, family, learned, seed, score, explained)


def held_out(
    model: Model, samples: Samples, train: Sequence[int], held: Sequence[int]
) -> tuple[float, float]:
    """Score, and explained variance, of the best ridge readout at the model's θ."""
    fitted, scored = (_columns(model, samples, rows) for rows in (train, held))
    standardise = Standardiser.fit(fitted, model.learner.layout.weight)
    x, new = standardise(fitted), standardise(scored)
    y = torch.from_numpy(samples.targets).double()
    prediction = ridge_by_leave_one_out(x, y[list(train)])(new).numpy()
    target = samples.targets[list(held)]
    known = ~np.isnan(target)
    spread = (target - np.nanmean(target, 0))[known]
    explained = 1 - float(np.square((prediction - target)[known]).sum() / np.square(spread).sum())
    if samples.classes:
        return float((prediction.argmax(1) == target.argmax(1)).mean()), explained
    pairs = zip(prediction.T, target.T, strict=True)
    return float(np.nanmean([_pearson(p, t) for p, t in pairs])), explained


def ridge_by_leave_one_out(x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
    """Ridge regression with, for every output, the ridge of least leave-one-out error.

    Missing targets are taken at their output's mean.
    """
    mean_x, mean_y = x.mean(0), y.nanmean(0)
    filled = torch.where(torch.isnan(y), mean_y, y) - mean_y
    u, s, vt = torch.linalg.svd(x - mean_x, full_matrices=False)
    projected = u.T @ filled
    best = torch.full((y.shape[1],), torch.inf, dtype=torch.float64)
    weights = torch.zeros(x.shape[1], y.shape[1], dtype=torch.float64)
    for ridge in _RIDGES:
        shrink = s.square() / (s.square() + ridge)
        leverage = (u.square() * shrink).sum(1, keepdim=True) + 1 / len(x)
        errors = (filled - u @ (shrink[:, None] * projected)) / (1 - leverage)
        loss = errors.square().mean(0)
        better = loss < best
        best = torch.where(better, loss, best)
        fit = vt.T @ ((shrink / s.clamp_min(1e-12))[:, None] * projected)
        weights = torch.where(better, fit, weights)
    return lambda new: (new - mean_x) @ weights + mean_y


def calibration(task: Task, samples: Samples, seed: int) -> tuple[Tensor, Tensor]:
    """Training samples in the order in which they were recorded, as the chooser takes them."""
    train, _ = split(task, samples, seed)
    rows = sorted(train)
    spec = specification(task, samples, BankSpec().family, learned=False)
    inputs = torch.stack([prepare(spec, samples.inputs[row], "cpu") for row in rows])
    return inputs, torch.from_numpy(samples.targets[rows])


def _columns(model: Model, samples: Samples, rows: Sequence[int]) -> Tensor:
    learner = model.learner
    parts = []
    with torch.no_grad():
        for first in range(0, len(rows), _CHUNK):
            some = rows[first : first + _CHUNK]
            x = torch.stack([prepare(model.spec, samples.inputs[row], "cpu") for row in some])
            parts.append(learner.layout.columns(x, learner.filters, learner.averages))
    return torch.cat(parts)


def _pearson(prediction: NDArray[np.float64], target: NDArray[np.float32]) -> float:
    known = ~np.isnan(target)
    if known.sum() < 3 or np.ptp(target[known]) == 0 or np.ptp(prediction[known]) == 0:
        return float("nan")
    return float(np.corrcoef(prediction[known], target[known])[0, 1])
