"""Bands of |ω| times windows of directions, and the way back to both.

A plane has many frequencies of the same length, so bands are evaluated once for each length; here
they are dealt out to the plane and gathered again.
"""

from typing import no_type_check

import numba

from scatonline.kernels.arrays import Doubles, Indices
from scatonline.kernels.compile import Loop


def dealt_out(along: Doubles, index: Indices, window: Doubles, out: Doubles) -> None:
    """``out[f, p] = along[f, index[p]]·window[f, p]``.

    Args:
        along: ``(filters, lengths)``.
        index: ``(frequencies,)``: which length each has.
        window: ``(filters, frequencies)``.
        out: Shaped as ``window``, written.
    """
    _dealt_out_loop(out.size, along, index, window, out)


def gathered(
    gradient: Doubles,
    psi: Doubles,
    index: Indices,
    window: Doubles,
    directions: Doubles,
    to_along: Doubles,
    to_linear: Doubles,
) -> None:
    """Gradients of :func:`dealt_out` with respect to bands and to what windows are made of.

    Args:
        gradient: ``(filters, frequencies)`` with respect to the result ``psi``.
        psi: The result.
        index: As there.
        window: As there: exponentials of ``linear @ directions``.
        directions: ``(3, frequencies)``; 0 where a window was made otherwise.
        to_along: ``(filters, lengths)``, written.
        to_linear: ``(filters, 3)``, written.
    """
    _gathered_loop(gradient.size, gradient, psi, index, window, directions, to_along, to_linear)


@Loop
@no_type_check
def _dealt_out_loop(along, index, window, out):
    for f in numba.prange(out.shape[0]):
        row, made, target = along[f], window[f], out[f]
        for p in range(index.size):
            target[p] = row[index[p]] * made[p]


@Loop
@no_type_check
def _gathered_loop(gradient, psi, index, window, directions, to_along, to_linear):
    for f in numba.prange(gradient.shape[0]):
        weights, made, bent, target = gradient[f], psi[f], window[f], to_along[f]
        target[:] = 0
        x = y = z = 0.0
        for p in range(index.size):
            target[index[p]] += weights[p] * bent[p]
            share = weights[p] * made[p]
            x += share * directions[0, p]
            y += share * directions[1, p]
            z += share * directions[2, p]
        to_linear[f, 0], to_linear[f, 1], to_linear[f, 2] = x, y, z
