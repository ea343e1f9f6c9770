"""The V4 recording as streams, and scores of what was predicted for it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scatonline.config import (
    BankSpec,
    FeatureSpec,
    LearningSpec,
    ModelSpec,
    ReadoutSpec,
    StructureSpec,
)
from scatonline.model import Model
from scatonline.sample import Sample

Floats = NDArray[np.float64]

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "v4_we_days1to3.npz"
FIRST = 300

# Chosen on day 1 alone, with fixed filters; days 2 and 3 were looked at, but chose nothing.
SPEC = ModelSpec(
    name="v4",
    channels=1,
    shape=(64, 64),
    bank=BankSpec(J=4, L=8),
    features=FeatureSpec(order_weight=(1.0, 1.0, 0.55), raw_grid=16, raw_weight=1.0, contrast=0.01),
    readout=ReadoutSpec(kind="gaussian", method="window"),
    learning=LearningSpec(tie="scale", every=4, rate=0.005),
    structure=StructureSpec(enabled=False),
    input_scale=(1 / 255,),
)


@dataclass(frozen=True)
class Day:
    """One recording session.

    Attributes:
        name: Of the day.
        frames: ``(frames, 64, 64)`` uint8.
        counts: ``(frames, neurons)`` spike counts, averaged over repeats.
    """

    name: str
    frames: NDArray[np.uint8]
    counts: Floats

    @property
    def units(self) -> list[str]:
        """Names of its neurons, which no other day has."""
        return [f"{self.name}.{unit}" for unit in range(self.counts.shape[1])]

    def head(self, count: int) -> "Day":
        """Its first frames."""
        return replace(self, frames=self.frames[:count], counts=self.counts[:count])


def days() -> list[Day]:
    """The three days, in order.

    Raises:
        FileNotFoundError: the recording is not there.
    """
    with np.load(DATA) as file:
        held = {name: file[name] for name in ("frames", "responses", "session", "n_neurons")}
        names = [str(name) for name in file["session_names"]]
    found = []
    for number, name in enumerate(names):
        rows = held["session"] == number
        counts = held["responses"][rows, : held["n_neurons"][number]].astype(np.float64)
        found.append(Day(name, held["frames"][rows], counts))
    return found


def stream(model: Model, day: Day, frames: NDArray[Any] | None = None) -> Floats:
    """What the model predicted for each frame of a day before it learned from it."""
    model.open_session(day.name, day.units)
    shown = day.frames if frames is None else frames
    predicted = [
        model.step(Sample(str(number), day.name, frame[None], counts)).prediction.values
        for number, (frame, counts) in enumerate(zip(shown, day.counts, strict=True))
    ]
    return np.asarray(predicted, dtype=np.float64)


def correlation(predicted: Floats, counts: Floats) -> float:
    """Pearson r, mean over neurons; one that never changed counts 0."""
    p, y = predicted - predicted.mean(0), counts - counts.mean(0)
    spread = np.sqrt((p * p).sum(0) * (y * y).sum(0))
    product = (p * y).sum(0)
    return float(np.where(spread > 1e-12, product / np.maximum(spread, 1e-12), 0.0).mean())


def scores(predicted: Floats, counts: Floats) -> dict[str, float]:
    """R over the first frames, over all, and over the last."""
    spans = {"first": slice(0, FIRST), "all": slice(None), "last": slice(-FIRST, None)}
    return {name: correlation(predicted[s], counts[s]) for name, s in spans.items()}
