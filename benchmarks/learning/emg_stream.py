"""Windows whose labels come when an action has ended, and what is scored on them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from service.recordings import load

# Windows of one round of four gestures: the stretch over which being back is judged.
ROUND = 36
LEVEL = 0.9


@dataclass(frozen=True)
class Stream:
    """Windows in their order.

    Attributes:
        windows: ``(T, channels, N)`` float32.
        labels: ``(T,)``, from 0.
        session: ``(T,)``, never shown to a decoder.
        ends: ``(T,)``, true where the labels of all windows so far become known.
        classes: Number of classes.
    """

    windows: NDArray[np.float32]
    labels: NDArray[np.int64]
    session: NDArray[np.int64]
    ends: NDArray[np.bool_]
    classes: int

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, rows: NDArray[np.int64]) -> "Stream":
        """Some windows, in the order of ``rows``."""
        cut = {name: getattr(self, name)[rows] for name in ("windows", "labels", "session", "ends")}
        return replace(self, **cut)

    def reordered(self, seed: int) -> "Stream":
        """Rounds in another order within every session, gestures in another within every round.

        A round is a trial of the recording: as many blocks as there are classes, one of each.
        """
        draw = np.random.default_rng(seed)
        starts = np.concatenate(([0], np.flatnonzero(self.ends)[:-1] + 1))
        blocks = np.split(np.arange(len(self)), starts[1:])
        rounds = np.arange(len(blocks)).reshape(-1, self.classes)
        session = self.session[starts[rounds[:, 0]]]
        order = np.lexsort((draw.permutation(len(rounds)), session))
        shuffled = draw.permuted(rounds[order], axis=1).ravel()
        return self.part(np.concatenate([blocks[b] for b in shuffled]))


class Decoder(Protocol):
    """Predicts windows as they come, and learns from their labels later."""

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities, or any scores, by class."""

    def learn(self, chosen: int) -> None:
        """The class of the oldest window that has had no label."""


def read(file: Path) -> Stream:
    """A recording of windows, as the service streams it."""
    recording = load(file)
    scale = np.asarray(recording.input_scale, np.float32).reshape(-1, 1)
    windows, session, ends = [], [], []
    labels: dict[str, int] = {}
    for number, sample in enumerate(recording):
        windows.append(sample.input * scale)
        session.append(sample.session)
        known = {late.sample_id: late.target for late in sample.labels}
        if sample.target is not None:
            known[sample.sample_id] = sample.target
        labels |= {key: int(np.argmax(target)) for key, target in known.items()}
        ends.append(len(labels) == number + 1)
    names = list(dict.fromkeys(session))
    return Stream(
        np.stack(windows).astype(np.float32),
        np.array(list(labels.values())),
        np.array([names.index(name) for name in session]),
        np.array(ends),
        len(recording.sessions[0].outputs),
    )


def decode(decoder: Decoder, stream: Stream) -> NDArray[np.bool_]:
    """Which windows were right when they came."""
    right = np.zeros(len(stream), bool)
    waiting: list[int] = []
    for i, x in enumerate(stream.windows):
        right[i] = int(np.argmax(decoder.predict(x))) == stream.labels[i]
        waiting.append(int(stream.labels[i]))
        if stream.ends[i]:
            for chosen in waiting:
                decoder.learn(chosen)
            waiting = []
    return right


def back(right: NDArray[np.bool_]) -> int | None:
    """Windows until the newest 36 are right at 90 % for the first time; None: never.

    36 is one round of four gestures of nine windows; all of them come after the move, so the least
    possible is 36, and 42 if one gesture is all wrong.
    """
    counts = np.convolve(right, np.ones(ROUND), "valid")
    good = np.flatnonzero(counts >= LEVEL * ROUND - 1e-9)
    return int(good[0]) + ROUND if len(good) else None


def judged(right: NDArray[np.bool_], stream: Stream, moved: int | None) -> dict[str, Any]:
    """Accuracy, errors by session, and how soon it was back after the move into ``moved``."""
    sessions = range(int(stream.session.max()) + 1)
    out: dict[str, Any] = {
        "accuracy": float(right.mean()),
        "errors": [int((~right[stream.session == s]).sum()) for s in sessions],
    }
    if moved is not None:
        start = int(np.flatnonzero(stream.session >= moved)[0])
        out["back"] = back(right[start:])
        out["errors_after_move"] = int((~right[start : start + ROUND]).sum())
    return out


def tensor(x: NDArray[np.float32]) -> torch.Tensor:
    """As double precision."""
    return torch.from_numpy(x).double()
