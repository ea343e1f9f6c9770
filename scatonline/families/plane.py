"""The frequencies of a grid in two dimensions: lengths and directions."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# A frequency on a border (±π along an axis) stands for one on either side of each axis.
SIDES = 4


class Plane:
    """Frequencies of a grid.

    Attributes:
        radii: Lengths in radians a sample, each once, ascending; beyond π they count as π.
        index: For each frequency of the grid, flat, which length it has.
        directions: Cosine and sine of each one's angle, and 1: ``(3, frequencies)``.
        border: Which frequencies are on the border.
        border_directions: Directions of its four sides, one side after the other.
    """

    def __init__(self, grid: tuple[int, ...]) -> None:
        """Measures them."""
        omega = [2 * math.pi * np.fft.fftfreq(n) for n in grid]
        x, y = (axis.ravel() for axis in np.meshgrid(*omega, indexing="ij"))
        lengths = np.minimum(np.hypot(x, y), math.pi)
        # Lengths that differ by rounding only are one.
        self.radii, index = np.unique(np.round(lengths, 12), return_inverse=True)
        self.index = index.ravel()
        self.directions = _direction(x, y)
        edges = [axis == -math.pi for axis in (x, y)]
        self.border = np.flatnonzero(edges[0] | edges[1])
        here = [axis[self.border] for axis in (x, y)]
        other = [np.where(axis == -math.pi, math.pi, axis) for axis in here]
        both = [(a, b) for a in (here[0], other[0]) for b in (here[1], other[1])]
        self.border_directions = np.concatenate([_direction(a, b) for a, b in both], 1)


class Placed:
    """A :class:`Plane` on a device; ``inner_directions`` are 0 on the border."""

    def __init__(self, plane: Plane, device: torch.device) -> None:
        """Copies it."""

        def on(array: NDArray[np.generic]) -> Tensor:
            return torch.from_numpy(array).to(device)

        self.radii, self.index = on(plane.radii), on(plane.index)
        self.directions, self.border = on(plane.directions), on(plane.border)
        self.inner_directions = self.directions.index_fill(1, self.border, 0)
        self.border_directions = on(plane.border_directions)


def _direction(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine and sine of φ, and 1, ``(3, frequencies)``."""
    length = np.hypot(x, y)
    length[length == 0] = 1
    return np.stack((x / length, y / length, np.ones_like(x)))
