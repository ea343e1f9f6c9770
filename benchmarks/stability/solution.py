"""How far learned filters agree when they are learned from other samples."""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from scatonline.model import Model

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Learned:
    """The first layer after one run.

    Attributes:
        angle: Of each filter, modulo π, radians.
        log2_frequency: Likewise.
        even: Parameters as equal steps count the same, ``(filters, parameters)``.
        spectra: ``(filters, frequencies)``, norm 1.
    """

    angle: Floats
    log2_frequency: Floats
    even: Floats
    spectra: Floats

    @classmethod
    def of(cls, model: Model) -> "Learned":
        """A model's."""
        bank = model.learner.scattering.bank(1)
        scales = [name.scale for name in bank.names]
        with torch.no_grad():
            rows = bank.family.describe(bank.values().tolist(), scales)
            even = bank.coordinates().even(bank.theta)
            spectra: Tensor = bank.made_spectra().flatten(1)
        spectra = spectra / spectra.norm(dim=1, keepdim=True)
        return cls(
            np.array([row["angle"] for row in rows]),
            np.log2([row["frequency"] for row in rows]),
            even.numpy().copy(),
            spectra.numpy().copy(),
        )


@dataclass(frozen=True)
class Agreement:
    """Of runs that differ by the samples that they have seen.

    Attributes:
        angle_spread_deg: Circular standard deviation between runs, mean over filters.
        angle_moved_deg: Root mean square of the angles' way from the start.
        frequency_spread: Standard deviation of log₂ of frequency between runs, mean over filters.
        frequency_moved: Root mean square of its way from the start, octaves.
        matched_distance: 1 − |cosine| of matched filters' spectra, mean over filters and pairs.
        start_distance: 1 − |cosine| of a filter's spectrum and the one it started with, mean.
        own: Share of filters that are matched with the one of the same identity.
        cosine_theta: Mean cosine between the ways of two runs in θ.
        cosine_spectra: Likewise of the changes of all spectra.
        cosine_least: The least of the latter.
    """

    angle_spread_deg: float
    angle_moved_deg: float
    frequency_spread: float
    frequency_moved: float
    matched_distance: float
    start_distance: float
    own: float
    cosine_theta: float
    cosine_spectra: float
    cosine_least: float


def agreement(start: Learned, runs: list[Learned]) -> Agreement:
    """Compares every two runs, and each with the start."""
    angles = np.stack([run.angle for run in runs])
    frequencies = np.stack([run.log2_frequency for run in runs])
    pairs = [matched(a.spectra, b.spectra) for a, b in combinations(runs, 2)]
    cosines = _pairwise([run.spectra - start.spectra for run in runs])
    return Agreement(
        angle_spread_deg=float(np.degrees(circular_std(angles)).mean()),
        angle_moved_deg=float(np.degrees(_rms(turned(angles, start.angle)))),
        frequency_spread=float(frequencies.std(0, ddof=1).mean()),
        frequency_moved=float(_rms(frequencies - start.log2_frequency)),
        matched_distance=float(np.mean([distance for distance, _ in pairs])),
        start_distance=float(
            np.mean([1 - abs((run.spectra * start.spectra).sum(1)) for run in runs])
        ),
        own=float(np.mean([own for _, own in pairs])),
        cosine_theta=float(_pairwise([run.even - start.even for run in runs]).mean()),
        cosine_spectra=float(cosines.mean()),
        cosine_least=float(cosines.min()),
    )


def circular_std(angles: Floats) -> Floats:
    """Over the first axis, of angles modulo π, radians."""
    length = abs(np.exp(2j * angles).mean(0))
    spread: Floats = 0.5 * np.sqrt(-2 * np.log(np.clip(length, 1e-300, 1)))
    return spread


def turned(angles: Floats, start: Floats) -> Floats:
    """The way from ``start``, modulo π, between −π/2 and π/2."""
    way: Floats = 0.5 * np.angle(np.exp(2j * (angles - start)))
    return way


def matched(first: Floats, second: Floats) -> tuple[float, float]:
    """Mean 1 − |cosine| of filters matched one to one, and the share matched with themselves."""
    cosine = abs(first @ second.T)
    rows, columns = linear_sum_assignment(-cosine)
    return float((1 - cosine[rows, columns]).mean()), float((rows == columns).mean())


def _pairwise(ways: list[Floats]) -> Floats:
    flat = [way.ravel() / max(math.sqrt((way**2).sum()), 1e-300) for way in ways]
    return np.array([float(a @ b) for a, b in combinations(flat, 2)])


def _rms(values: Floats) -> float:
    return math.sqrt(float(np.square(values).mean()))
