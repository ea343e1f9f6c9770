"""What goes through the transforms: frames, textures, muscles, noise."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.stability import cases
from scatonline.sample import Sample
from service.recordings import Recording, load

MOVIE, TEXTURES, MUSCLES = "v4_we_days1to3.npz", "kth_tips_480.npz", "flexemg_s1.npz"


@dataclass(frozen=True)
class Signals:
    """Signals in double precision, without mean and of norm 1.

    Attributes:
        frames: Images that neurons were shown.
        textures: Middles of photographs of materials.
        white: White noise, as large as an image.
        muscles: Windows of muscle potentials.
    """

    frames: Tensor
    textures: Tensor
    white: Tensor
    muscles: Tensor

    def images(self) -> dict[str, Tensor]:
        """By name."""
        return {"V4": self.frames, "KTH": self.textures, "white": self.white}


class Folder:
    """Recordings outside the repository."""

    def __init__(self, path: Path) -> None:
        """Opens the folder.

        Raises:
            FileNotFoundError: a recording is missing.
        """
        for name in (MOVIE, TEXTURES, MUSCLES):
            if not (path / name).is_file():
                raise FileNotFoundError(f"no {name} in {path}: name its folder with --data")
        self.movie = load(path / MOVIE)
        self._textures, self._muscles = load(path / TEXTURES), load(path / MUSCLES)

    def signals(self, count: int) -> Signals:
        """``count`` of each kind, evenly picked."""
        rng = np.random.default_rng(0)
        middle = slice(32, 32 + cases.SIZE)
        return Signals(
            frames=_prepared(_picked(self.movie, count)),
            textures=_prepared(_picked(self._textures, count)[:, middle, middle]),
            white=_prepared(rng.standard_normal((count, cases.SIZE, cases.SIZE))),
            muscles=_prepared(_picked(self._muscles, count)),
        )

    def first_day(self) -> list[Sample]:
        """Samples of the movie's first session."""
        first, samples = self.movie.sessions[0].id, []
        for row in self.movie:
            if row.session != first:
                break
            samples.append(Sample(row.sample_id, row.session, row.input, row.target))
        return samples


def _picked(recording: Recording, count: int) -> np.ndarray:
    """The first channel of every so-manieth sample."""
    rows = islice(recording, 0, None, len(recording) // count)
    return np.stack([row.input[0] for row, _ in zip(rows, range(count), strict=False)])


def _prepared(signals: np.ndarray) -> Tensor:
    x = torch.from_numpy(signals.astype(np.float64))
    axes = tuple(range(1, x.dim()))
    x = x - x.mean(axes, keepdim=True)
    return x / x.square().sum(axes, keepdim=True).sqrt()
