"""Operations of the cascade on a processor, each one pass over memory.

NumPy arrays in and out, which share memory with tensors; contiguous, of one real type or its
complex partner. In *real pairs* a complex number is two neighbouring real ones. Filters and spectra
are *folded* (:func:`fourier.fold`): frequencies that alias under sub-sampling stand in rows.
"""

from collections.abc import Sequence
from typing import Any, no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

from scatonline.kernels.compile import Loop, inner

Reals = NDArray[np.floating[Any]]
Complexes = NDArray[np.complexfloating[Any, Any]]
Blocks = NDArray[np.int64]
"""``(filters, 1 + aliases)``: how many rows of aliases a filter occupies, then which."""
Indices = NDArray[np.int64]


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


def modulus(z: Reals, out: Reals, phase: Reals | None = None) -> None:
    """|z| and, where asked for, z/|z|.

    Args:
        z: ``(rows, 2·n)`` real pairs.
        out: ``(rows, n)``, written.
        phase: Shaped as z; z/|z| is written, 0 where z = 0.
    """
    if phase is None:
        _modulus_loop(z.size, z, out)
    else:
        _modulus_and_phase_loop(z.size, z, np.finfo(z.dtype).tiny, out, phase)


def modulus_to_input(phase: Reals, gradient: Reals, out: Reals) -> None:
    """Gradient of :func:`modulus` with respect to z, from the phase that it wrote."""
    _modulus_to_input_loop(phase.size, phase, gradient, out)


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


def pad(x: Reals, sources: Sequence[Indices], out: Reals) -> None:
    """``(channels, M, N)`` → padded: where each row and column comes from; from nowhere if −1."""
    _pad_loop(out.size, x, sources[0], sources[1], out)


def unpad(gradient: Reals, sources: Sequence[Indices], out: Reals) -> None:
    """Gradient of :func:`pad` with respect to x."""
    _unpad_loop(out.size, gradient, sources[0], sources[1], out)


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


@inner
@no_type_check
def _modulus(z, out):
    for k in range(out.size):
        re, im = z[2 * k], z[2 * k + 1]
        out[k] = np.sqrt(re * re + im * im)


@inner
@no_type_check
def _phase(z, tiny, out):
    for k in range(z.size // 2):
        re, im = z[2 * k], z[2 * k + 1]
        scale = 1 / np.sqrt(re * re + im * im + tiny)
        out[2 * k] = scale * re
        out[2 * k + 1] = scale * im


@Loop
@no_type_check
def _modulus_loop(z, out):
    """``out = |z|``, row by row."""
    for row in numba.prange(len(out)):
        _modulus(z[row], out[row])


@Loop
@no_type_check
def _modulus_and_phase_loop(z, tiny, out, phase):
    """``out = |z|`` and ``phase = z/|z|``, row by row; ``tiny`` is below any |z|² that matters."""
    for row in numba.prange(len(out)):
        _modulus(z[row], out[row])
        _phase(z[row], tiny, phase[row])


@inner
@no_type_check
def _along(phase, gradient, out):
    for k in range(gradient.size):
        out[2 * k] = gradient[k] * phase[2 * k]
        out[2 * k + 1] = gradient[k] * phase[2 * k + 1]


@Loop
@no_type_check
def _modulus_to_input_loop(phase, gradient, out):
    """``out = gradient·phase``, row by row."""
    for row in numba.prange(len(out)):
        _along(phase[row], gradient[row], out[row])


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
