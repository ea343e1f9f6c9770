"""Tensors as the arrays that compiled loops take, sharing memory."""

from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from scatonline.kernels.arrays import Reals


def planes(maps: Tensor) -> NDArray[Any]:
    """``(channels, *grid)`` as ``(channels, rows, columns)``; over time there is one row."""
    array: NDArray[Any] = maps.numpy()
    return array if array.ndim == 3 else array[:, None]


def real_pairs(spectrum: Tensor, rows: int) -> Reals:
    """Complex numbers as ``(rows, 2·n)`` real pairs."""
    array: NDArray[Any] = spectrum.numpy()
    return array.view(array.real.dtype).reshape(rows, -1)
