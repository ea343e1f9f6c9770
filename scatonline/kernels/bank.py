"""A bank's frame bound and folding on a processor, and their way back.

Filters are real ``(filters, M, N)`` float64 on the grid of frequencies; over time M is 1.
"""

from typing import no_type_check

import numba
import numpy as np

from scatonline.kernels.arrays import Doubles, Reals
from scatonline.kernels.compile import Loop, inner

# Keeps a division finite where no filter has energy.
_NOTHING = 1e-100
# A bound has a slope where squared gains are below this share of the ceiling's: filters of an
# orthonormal family stand exactly at it, and rounding must not decide about their gradient.
BINDS = 1 - 1e-9


def bound(psi: Doubles, room: Doubles, ceiling: Doubles, energy: Doubles, gain: Doubles) -> None:
    """The gain that keeps a bank's energy within its room.

    Args:
        psi: Filters as made.
        room: ``(M, N)``: the largest energy E = ½Σ(|ψ̂(ω)|² + |ψ̂(−ω)|²) allowed.
        ceiling: ``(M, N)``: the largest gain allowed.
        energy: ``(M, N)``, written: E.
        gain: ``(M, N)``, written: min(ceiling, √(room/E)).
    """
    _bound(psi.size, psi, room, ceiling, energy, gain)


def fold(psi: Doubles, gain: Doubles, level: int, factor: int, scale: float, out: Reals) -> None:
    """Filters for one use: gain applied, cropped to ``level``, folded, cast.

    Args:
        psi: Filters of one scale, as made.
        gain: ``(M, N)``.
        level: log₂ of the sub-sampling of what they act on; what lies beyond its Nyquist frequency
            is left out.
        factor: Sub-sampling of the result, along each axis.
        scale: Factor on all values.
        out: ``(aliases, filters, frequencies)``, written.
    """
    down = 1 if psi.shape[1] == 1 else factor
    _fold(out.size, psi, gain, level, down, factor, scale, out)


def unfold(gradient: Reals, level: int, factor: int, scale: float, add: bool, out: Doubles) -> None:
    """Gradient of :func:`fold` with respect to gain·ψ̂, from that of its result.

    Args:
        gradient: ``(aliases, filters, frequencies)``.
        level: As there.
        factor: As there.
        scale: As there.
        add: Whether to add to what stands in ``out``, or to write over it, as far as the level's
            frequencies reach.
        out: Shaped as ψ̂.
    """
    down = 1 if out.shape[1] == 1 else factor
    _unfold(gradient.size, gradient, level, down, factor, scale, add, out)


def to_filters(
    psi: Doubles, energy: Doubles, gain: Doubles, ceiling: Doubles, gradient: Doubles
) -> None:
    """Turns the gradient with respect to gain·ψ̂, in place, into that with respect to ψ̂.

    Where the bound binds, gain = √(room/E), so dgain/dE = −gain/2E.
    """
    _to_filters(psi.size, psi, energy, gain, ceiling, gradient)


@inner
@no_type_check
def _add_square(out, x):
    for k in range(out.size):
        out[k] += x[k] * x[k]


@inner
@no_type_check
def _squares(psi, i, out):
    out[:] = 0
    for f in range(len(psi)):
        _add_square(out, psi[f, i])


@inner
@no_type_check
def _gain_row(here, there, room, ceiling, energy, gain):
    columns = here.size
    for k in range(columns):
        e = 0.5 * (here[k] + there[columns - k if k else 0])
        energy[k] = e
        gain[k] = min(ceiling[k], np.sqrt(room[k] / max(e, _NOTHING)))


@Loop
@no_type_check
def _bound(psi, room, ceiling, energy, gain):
    _, rows, columns = psi.shape
    for i in numba.prange(rows // 2 + 1):
        # A row and its mirror image need each other's squares, so they go together.
        mirrored = (rows - i) % rows
        here, there = np.empty(columns), np.empty(columns)
        _squares(psi, i, here)
        _squares(psi, mirrored, there)
        _gain_row(here, there, room[i], ceiling[i], energy[i], gain[i])
        if mirrored != i:
            j = mirrored
            _gain_row(there, here, room[j], ceiling[j], energy[j], gain[j])


@inner
@no_type_check
def _place(coarse, keep, n):
    """Where the frequency at ``coarse`` of ``keep`` low ones stands among n."""
    return coarse if coarse < keep - keep // 2 else n - keep + coarse


@inner
@no_type_check
def _scaled(scale, x, y, row, start, out, at, count):
    # Unsigned, or every index would be looked at for counting from the end.
    row, start, at = np.uint64(row), np.uint64(start), np.uint64(at)
    for k in range(np.uint64(count)):
        out[at + k] = scale * x[row, start + k] * y[row, start + k]


@inner
@no_type_check
def _add_scaled(scale, x, at, out, row, start, count):
    row, start, at = np.uint64(row), np.uint64(start), np.uint64(at)
    for k in range(np.uint64(count)):
        out[row, start + k] += scale * x[at + k]


@inner
@no_type_check
def _write_scaled(scale, x, at, out, row, start, count):
    row, start, at = np.uint64(row), np.uint64(start), np.uint64(at)
    for k in range(np.uint64(count)):
        out[row, start + k] = scale * x[at + k]


@Loop
@no_type_check
def _fold(psi, gain, level, down, across, scale, out):
    filters, rows, columns = psi.shape
    tall = rows >> level if rows > 1 else 1
    wide = columns >> level
    m, n = tall // down, wide // across
    low = wide - wide // 2
    for f in numba.prange(filters):
        for i in range(tall):
            row, at = _place(i, tall, rows), (i % m) * n
            for b in range(across):
                target, first = out[(i // m) * across + b, f], b * n
                count = min(max(low - first, 0), n)
                _scaled(scale, psi[f], gain, row, first, target, at, count)
                start = columns - wide + first + count
                _scaled(scale, psi[f], gain, row, start, target, at + count, n - count)


@Loop
@no_type_check
def _unfold(gradient, level, down, across, scale, add, out):
    filters, rows, columns = out.shape
    tall = rows >> level if rows > 1 else 1
    wide = columns >> level
    m, n = tall // down, wide // across
    low = wide - wide // 2
    for f in numba.prange(filters):
        for i in range(tall):
            row, at = _place(i, tall, rows), (i % m) * n
            for b in range(across):
                source, first = gradient[(i // m) * across + b, f], b * n
                count = min(max(low - first, 0), n)
                start = columns - wide + first + count
                if add:
                    _add_scaled(scale, source, at, out[f], row, first, count)
                    _add_scaled(scale, source, at + count, out[f], row, start, n - count)
                else:
                    _write_scaled(scale, source, at, out[f], row, first, count)
                    _write_scaled(scale, source, at + count, out[f], row, start, n - count)


@inner
@no_type_check
def _add_product(out, x, y):
    for k in range(out.size):
        out[k] += x[k] * y[k]


@inner
@no_type_check
def _through_gain(psi, gradient, i, energy, gain, ceiling, out):
    out[:] = 0
    for f in range(len(psi)):
        _add_product(out, gradient[f, i], psi[f, i])
    for k in range(out.size):
        binds = gain[i, k] * gain[i, k] < BINDS * ceiling[i, k] * ceiling[i, k]
        out[k] *= -0.5 * gain[i, k] / max(energy[i, k], _NOTHING) if binds else 0.0


@inner
@no_type_check
def _combine(here, there, gain, psi, gradient, i):
    columns = here.size
    both = np.empty(columns)
    for k in range(columns):
        both[k] = here[k] + there[columns - k if k else 0]
    for f in range(len(psi)):
        _scale_and_add(gradient[f, i], gain[i], psi[f, i], both)


@inner
@no_type_check
def _scale_and_add(gradient, gain, psi, both):
    for k in range(gradient.size):
        gradient[k] = gain[k] * gradient[k] + psi[k] * both[k]


@Loop
@no_type_check
def _to_filters(psi, energy, gain, ceiling, gradient):
    _, rows, columns = psi.shape
    for i in numba.prange(rows // 2 + 1):
        mirrored = (rows - i) % rows
        here, there = np.empty(columns), np.empty(columns)
        _through_gain(psi, gradient, i, energy, gain, ceiling, here)
        _through_gain(psi, gradient, mirrored, energy, gain, ceiling, there)
        _combine(here, there, gain, psi, gradient, i)
        if mirrored != i:
            _combine(there, here, gain, psi, gradient, mirrored)
