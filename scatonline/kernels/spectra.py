"""Spectra of real signals, of which half is stored: the whole one, and averages.

Arrays are contiguous, of one complex type and its real partner.
"""

from typing import no_type_check

import numba
import numpy as np

from scatonline.kernels.arrays import Complexes, Reals
from scatonline.kernels.compile import Loop


def whole_spectrum(half: Complexes, out: Complexes) -> None:
    """A real signal's spectrum ``(channels, M, N)`` from its half ``(channels, M, N//2 + 1)``."""
    _whole_spectrum_loop(out.size, half, out)


def averaged(spectra: Complexes, phi: Reals, width: tuple[int, int], out: Complexes) -> None:
    """Half spectra times φ̂, folded onto a coarser grid: ``out[q] = Σ_a φ̂[q + a]·spectra[q + a]``.

    Args:
        spectra: ``(channels, M, N//2 + 1)``.
        phi: ``(M, N//2 + 1)``, even.
        width: N and n.
        out: ``(channels, m, n//2 + 1)``, written.
    """
    _averaged_loop(spectra.size, spectra, phi, width[0], width[1], out)


def averaged_to_input(small: Complexes, phi: Reals, narrow: int, out: Complexes) -> None:
    """The other way: ``out[k] = φ̂[k]·small[k mod the coarser grid]``, shapes as above.

    Args:
        small: ``(channels, m, n//2 + 1)``.
        phi: ``(M, N//2 + 1)``, even.
        narrow: n.
        out: ``(channels, M, N//2 + 1)``, written.
    """
    _averaged_to_input_loop(out.size, small, phi, narrow, out)


@Loop
@no_type_check
def _whole_spectrum_loop(half, out):
    """All frequencies of a real signal from the half of them that is not redundant; complex."""
    channels, rows, stored = half.shape
    # Unsigned, or every index would be looked at for counting from the end.
    columns, kept = np.uint64(out.shape[2]), np.uint64(stored)
    for c in numba.prange(channels):
        source, target = half[c], out[c]
        for i in range(rows):
            row, mirrored = np.uint64(i), np.uint64((rows - i) % rows)
            for k in range(kept):
                target[row, k] = source[row, k]
            for k in range(kept, columns):
                target[row, k] = np.conj(source[mirrored, columns - k])


@Loop
@no_type_check
def _averaged_loop(spectra, phi, wide, narrow, out):
    """Columns beyond a half spectrum are the conjugates of those on the other side."""
    rows, coarse = spectra.shape[1], out.shape[1]
    last = spectra.shape[2] - 1
    for cq in numba.prange(out.shape[0] * coarse):
        c, q = cq // coarse, cq % coarse
        target = out[c, q]
        target[:] = 0
        for row in range(q, rows, coarse):
            mirrored = (rows - row) % rows
            for first in range(0, wide, narrow):
                inside = min(target.size, last + 1 - first)
                here, there = spectra[c, row], spectra[c, mirrored]
                for k in range(inside):
                    target[k] += phi[row, first + k] * here[first + k]
                for k in range(max(inside, 0), target.size):
                    k_mirrored = (wide - first - k) % wide
                    value = phi[mirrored, k_mirrored] * there[k_mirrored]
                    target[k] += np.conj(value)


@Loop
@no_type_check
def _averaged_to_input_loop(small, phi, narrow, out):
    rows, coarse, last = out.shape[1], small.shape[1], small.shape[2] - 1
    for cr in numba.prange(out.shape[0] * rows):
        c, row = cr // rows, cr % rows
        q = row % coarse
        here, there, target = small[c, q], small[c, (coarse - q) % coarse], out[c, row]
        for first in range(0, target.size, narrow):
            end = min(narrow, target.size - first)
            for k in range(min(end, last + 1)):
                target[first + k] = phi[row, first + k] * here[k]
            for k in range(last + 1, end):
                target[first + k] = phi[row, first + k] * np.conj(there[narrow - k])
