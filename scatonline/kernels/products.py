"""Filters times folded channels, summed over aliases, and the ways back.

NumPy arrays in and out, which share memory with tensors; contiguous, of one real type. In *real
pairs* a complex number is two neighbouring real ones. Filters and spectra are *folded*
(:func:`fourier.fold`): frequencies that alias under sub-sampling stand in rows.
"""

from typing import no_type_check

import numba
import numpy as np

from scatonline.kernels.arrays import Indices, Reals
from scatonline.kernels.compile import Loop, inner

Blocks = Indices
"""``(filters, 1 + aliases)``: how many rows of aliases a filter occupies, then which."""


def product(psi: Reals, blocks: Blocks, x: Reals, start: int, out: Reals) -> None:
    """Filters times folded channels, summed over aliases: ``out[l, c] = Σ_a ψ[a, l]·x[c, a]``.

    Args:
        psi: ``(aliases, filters, frequencies)``.
        blocks: From :func:`occupied`.
        x: ``(all channels, aliases, 2·frequencies)`` real pairs.
        start: First channel of x that is meant.
        out: ``(filters, channels, 2·frequencies)`` real pairs, written.
    """
    _product_loop(out.size, psi, blocks, x, start, out)


def product_to_filters(blocks: Blocks, x: Reals, start: int, gradient: Reals, out: Reals) -> None:
    """Gradient of :func:`product` with respect to ψ, from that of its result; 0 off the blocks."""
    _product_to_filters_loop(gradient.size, blocks, x, start, gradient, out)


def product_to_input(psi: Reals, blocks: Blocks, gradient: Reals, out: Reals) -> None:
    """Gradient of :func:`product` with respect to x, from that of its result."""
    _product_to_input_loop(gradient.size, psi, blocks, gradient, out)


def occupied(psi: Reals) -> Blocks:
    """Which rows of aliases every filter occupies, to the precision of its type.

    A row is left out when it holds less than a rounding error of the filter's norm. A bank's
    coarse filters live in a small part of the plane, so most rows of their products are nothing.
    """
    blocks = np.empty((psi.shape[1], 1 + psi.shape[0]), np.int64)
    share = psi.dtype.type(np.finfo(psi.dtype).eps / 8)
    _occupied_loop(psi.size, psi, share, blocks)
    return blocks


@inner
@no_type_check
def _assign(out, p, x):
    for k in range(p.size):
        out[2 * k] = p[k] * x[2 * k]
        out[2 * k + 1] = p[k] * x[2 * k + 1]


@inner
@no_type_check
def _add(out, p, x):
    for k in range(p.size):
        out[2 * k] += p[k] * x[2 * k]
        out[2 * k + 1] += p[k] * x[2 * k + 1]


@inner
@no_type_check
def _assign_four(out, p, q, r, s, x, y, z, w):
    for k in range(p.size):
        i = 2 * k
        out[i] = p[k] * x[i] + q[k] * y[i] + r[k] * z[i] + s[k] * w[i]
        i += 1
        out[i] = p[k] * x[i] + q[k] * y[i] + r[k] * z[i] + s[k] * w[i]


@inner
@no_type_check
def _add_four(out, p, q, r, s, x, y, z, w):
    for k in range(p.size):
        i = 2 * k
        out[i] += p[k] * x[i] + q[k] * y[i] + r[k] * z[i] + s[k] * w[i]
        i += 1
        out[i] += p[k] * x[i] + q[k] * y[i] + r[k] * z[i] + s[k] * w[i]


@Loop
@no_type_check
def _product_loop(psi, blocks, x, start, out):
    """``out[l, c] = Σ_a ψ[a, l]·x[start + c, a]`` over the blocks of l, four at a time."""
    filters, channels = psi.shape[1], out.shape[1]
    for lc in numba.prange(filters * channels):
        row, c = lc // channels, start + lc % channels
        target, count = out[row, lc % channels], blocks[row, 0]
        at = blocks[row]
        done = 0
        if count == 0:
            target[:] = 0
        elif count < 4:
            _assign(target, psi[at[1], row], x[c, at[1]])
            done = 1
        else:
            a, b, d, e = at[1], at[2], at[3], at[4]
            _assign_four(
                target,
                psi[a, row],
                psi[b, row],
                psi[d, row],
                psi[e, row],
                x[c, a],
                x[c, b],
                x[c, d],
                x[c, e],
            )
            done = 4
        while done + 4 <= count:
            a, b, d, e = at[done + 1], at[done + 2], at[done + 3], at[done + 4]
            _add_four(
                target,
                psi[a, row],
                psi[b, row],
                psi[d, row],
                psi[e, row],
                x[c, a],
                x[c, b],
                x[c, d],
                x[c, e],
            )
            done += 4
        for i in range(done, count):
            _add(target, psi[at[i + 1], row], x[c, at[i + 1]])


@inner
@no_type_check
def _add_real(out, x, y):
    for k in range(out.size):
        out[k] += x[2 * k] * y[2 * k] + x[2 * k + 1] * y[2 * k + 1]


@Loop
@no_type_check
def _product_to_filters_loop(blocks, x, start, gradient, out):
    """``out[a, l] = Σ_c Re(conj(x[start + c, a])·gradient[l, c])`` for a in blocks of l, else 0."""
    aliases, channels = x.shape[1], gradient.shape[1]
    for la in numba.prange(out.shape[1] * aliases):
        row, a = la // aliases, la % aliases
        target = out[a, row]
        target[:] = 0
        for i in range(blocks[row, 0]):
            if blocks[row, i + 1] == a:
                for c in range(channels):
                    _add_real(target, x[start + c, a], gradient[row, c])


@Loop
@no_type_check
def _product_to_input_loop(psi, blocks, gradient, out):
    """``out[c, a] = Σ_l ψ[a, l]·gradient[l, c]`` over the l whose blocks hold a."""
    filters = psi.shape[1]
    for c in numba.prange(out.shape[0]):
        out[c] = 0
        for row in range(filters):
            for i in range(blocks[row, 0]):
                a = blocks[row, i + 1]
                _add(out[c, a], psi[a, row], gradient[row, c])


@inner
@no_type_check
def _energy(values):
    total = values[0] * values[0]
    for k in range(1, values.size):
        total += values[k] * values[k]
    return total


@Loop
@no_type_check
def _occupied_loop(psi, share, blocks):
    """``blocks[l]`` = how many and which blocks of ψ[·, l] hold more than ``share`` of its norm."""
    aliases, filters, _ = psi.shape
    for row in numba.prange(filters):
        energy = np.zeros(aliases, psi.dtype)
        for a in range(aliases):
            energy[a] = _energy(psi[a, row])
        least = share * share * energy.sum()
        count = 0
        for a in range(aliases):
            if energy[a] > least:
                count += 1
                blocks[row, count] = a
        blocks[row, 0] = count
