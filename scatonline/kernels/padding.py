"""Signals padded by a table of where each row and column comes from, and the way back."""

from collections.abc import Sequence
from typing import no_type_check

import numba

from scatonline.kernels.arrays import Indices, Reals
from scatonline.kernels.compile import Loop


def pad(x: Reals, sources: Sequence[Indices], out: Reals) -> None:
    """``(channels, M, N)`` → padded: where each row and column comes from; from nowhere if −1."""
    _pad_loop(out.size, x, sources[0], sources[1], out)


def unpad(gradient: Reals, sources: Sequence[Indices], out: Reals) -> None:
    """Gradient of :func:`pad` with respect to x."""
    _unpad_loop(out.size, gradient, sources[0], sources[1], out)


@Loop
@no_type_check
def _pad_loop(x, down, across, out):
    """``out[c, i, j] = x[c, down[i], across[j]]``; 0 where an index is negative."""
    channels, rows, columns = out.shape
    for c in numba.prange(channels):
        for i in range(rows):
            target = out[c, i]
            if down[i] < 0:
                target[:] = 0
            else:
                source = x[c, down[i]]
                for j in range(columns):
                    target[j] = source[across[j]] if across[j] >= 0 else 0


@Loop
@no_type_check
def _unpad_loop(gradient, down, across, out):
    """Way back through :func:`pad`."""
    channels, rows, columns = gradient.shape
    for c in numba.prange(channels):
        out[c] = 0
        for i in range(rows):
            if down[i] >= 0:
                for j in range(columns):
                    if across[j] >= 0:
                        out[c, down[i], across[j]] += gradient[c, i, j]
