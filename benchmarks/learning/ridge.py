"""The baseline to be beaten: fixed scattering, Gabor amplitudes and pixels, recursive ridge.

Exact recursive ridge regression, every prediction made before its frame is learned from: with
K + λI = LLᵀ over the frames in order, the innovations are diag(L)·L⁻¹Y, so that a whole stream is
one factorisation. How strongly order 2, Gabor amplitudes and pixels are held to zero, and λ, are
settings; all of them run side by side, and the one with the smallest error so far is followed, over
all days together.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from benchmarks.learning.neurons import SPEC, Day, Floats
from scatonline.scattering import Scattering

RIDGES = tuple(np.geomspace(0.03, 100.0, 12))
# Weights on the Gram matrices of order 2, Gabor amplitudes and pixels, beside 1 for order 1.
SETTINGS = tuple(product((0.04, 0.16), (0.0, 0.3, 1.0), (0.0, 0.3, 1.0)))
_SCALED = 64
_CHUNK = 100


class Ridge:
    """Follows the best of all settings through days in order."""

    def __init__(self, days: list[Day]) -> None:
        """Computes the columns; scales are those of the first frames of the first day."""
        frames = np.concatenate([day.frames for day in days]).astype(np.float32) / np.float32(255)
        self.days = days
        self.columns = [_scaled(columns) for columns in _columns(frames)]

    def run(self) -> Iterator[Floats]:
        """Predictions of each day."""
        past = np.zeros(len(SETTINGS) * len(RIDGES))
        start = 0
        for day in self.days:
            rows = slice(start, start + len(day.frames))
            start = rows.stop
            grams = [c[rows] @ c[rows].T for c in self.columns]
            everyone = np.concatenate([_stream(grams, w, day.counts) for w in SETTINGS])
            error = ((everyone - day.counts) ** 2 / (day.counts.var(0) + 1e-9)).mean(2)
            # What each had lost before each frame.
            lost = past[:, None] + np.cumsum(error, 1) - error
            best = lost.argmin(0)
            past = past + error.sum(1)
            yield everyone[best, np.arange(len(best))]


def _stream(grams: list[Floats], weights: tuple[float, ...], counts: Floats) -> Floats:
    """Every λ's predictions of a day: ``(ridges, frames, neurons)``."""
    mean, first, second, gabor, pixels = grams
    gram = mean + first + weights[0] * second + weights[1] * gabor + weights[2] * pixels
    gram = gram / np.diag(gram)[:_SCALED].mean() + 1.0
    predicted = []
    for ridge in RIDGES:
        root = np.linalg.cholesky(gram + ridge * np.eye(len(gram)))
        innovation = solve_triangular(root, counts, lower=True) * np.diag(root)[:, None]
        predicted.append(counts - innovation)
    return np.asarray(predicted)


def _columns(frames: NDArray[np.float32]) -> list[Floats]:
    """Order 0, 1 and 2, Gabor amplitudes and pixels of every frame."""
    x = torch.from_numpy(frames)
    scattering = Scattering(SPEC.bank, SPEC.shape)
    with torch.no_grad():
        maps = torch.cat([scattering(part) for part in torch.split(x, _CHUNK)]).numpy()
    order = np.asarray(scattering.meta()["order"])
    root = np.sqrt(np.maximum(maps, 1e-8))
    gabor = np.log(np.maximum(_gabor(x).numpy(), 1e-4))
    pixels = _pooled(frames[:, None], 16)
    return [
        part.reshape(len(frames), -1).astype(np.float64)
        for part in (
            maps[:, order == 0],
            root[:, order == 1],
            _pooled(root[:, order == 2], 2),
            _pooled(gabor, 4),
            pixels,
        )
    ]


def _gabor(x: torch.Tensor) -> torch.Tensor:
    """Amplitudes of 24 Gabor filters, 4 frequencies of 6 orientations, on 8×8 cells."""
    omega = 2 * torch.pi * torch.fft.fftfreq(x.shape[-1])
    rows, columns = torch.meshgrid(omega, omega, indexing="ij")
    spectrum = torch.fft.fft2(x - x.mean((1, 2), keepdim=True))
    found = []
    for frequency in (2.2, 1.3, 0.8, 0.45):
        for step in range(6):
            angle = torch.tensor(torch.pi * step / 6)
            away = (rows - frequency * angle.cos()) ** 2 + (columns - frequency * angle.sin()) ** 2
            band = torch.exp(-away / (2 * (0.4 * frequency) ** 2))
            amplitude = torch.fft.ifft2(spectrum * band).abs()
            found.append(torch.nn.functional.adaptive_avg_pool2d(amplitude, (8, 8)))
    return torch.stack(found, 1)


def _pooled(maps: NDArray[np.floating], cells: int) -> NDArray[np.floating]:
    """Means over ``cells × cells`` cells of ``(frames, channels, M, N)``."""
    count, channels, height, width = maps.shape
    split = (count, channels, cells, height // cells, cells, width // cells)
    return np.asarray(maps.reshape(split).mean((3, 5)))


def _scaled(columns: Floats) -> Floats:
    first = columns[:_SCALED]
    mean, spread = first.mean(0), first.std(0)
    constant = spread <= 1e-6 * np.abs(mean) + 1e-12
    return np.asarray((columns - mean) / np.where(constant, np.inf, spread))
