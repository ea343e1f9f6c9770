"""Bands of cascades of two-channel filters, and the way back to what they are made of.

    Ψ(ω) = ∏_{i ≤ j} A_i(x_i, r_i),    A(x, r) = r^zeros·∏_p (x + c_p)/(1 + c_p)·√(B(x)/2 + floor)

with x_i = cos 2^i ω and r_i = cos 2^{i−1} ω below a filter's own level j; at it x_j = −cos 2^j ω
and r_j = sin 2^{j−1} ω. A level is a few passes over all frequencies, each of which the compiler
makes vectors of; angles are doubled from level to level.
"""

from typing import no_type_check

import numba
import numpy as np

from scatonline.kernels.arrays import Doubles, Indices
from scatonline.kernels.compile import Loop, inner


def bands(
    half: tuple[Doubles, Doubles],
    parts: tuple[Doubles, Doubles],
    own: Indices,
    shape: tuple[int, float],
    factors: Doubles,
    out: Doubles,
) -> None:
    """Ψ of every filter.

    Args:
        half: Sine and cosine of ω/2, ``(filters, frequencies)`` each.
        parts: c of pairs, ``(filters, levels or 1, pairs)``, and coefficients of B, of x⁰ first,
            ``(filters, levels or 1, coefficients)``.
        own: Level j of each filter.
        shape: Zeros, and the floor.
        factors: ``(filters, levels, frequencies)``: A of each level is written, up to j.
        out: ``(filters, frequencies)``, written.
    """
    _bands_loop(factors.size, *half, *parts, own, *shape, factors, out)


def to_parameters(
    half: tuple[Doubles, Doubles],
    parts: tuple[Doubles, Doubles],
    own: Indices,
    shape: tuple[int, float],
    factors: Doubles,
    gradient: Doubles,
    out: tuple[Doubles, Doubles, Doubles],
) -> None:
    """Gradient of :func:`bands` with respect to ω and its parts.

    Args:
        half: As there.
        parts: As there.
        own: As there.
        shape: As there.
        factors: As it wrote them.
        gradient: With respect to its result.
        out: Shaped as ω and the parts, all 0; added to.
    """
    _to_parameters_loop(2 * factors.size, *half, *parts, own, *shape, factors, gradient, *out)


@inner
@no_type_check
def _arguments(sine, cosine, high, x, root):
    for u in range(x.size):
        x[u] = 1 - 2 * sine[u] * sine[u]
        root[u] = cosine[u]
    if high:
        for u in range(x.size):
            x[u] = -x[u]
            root[u] = sine[u]


@inner
@no_type_check
def _doubled(sine, cosine):
    for u in range(sine.size):
        s, c = sine[u], cosine[u]
        sine[u] = 2 * s * c
        cosine[u] = c * c - s * s


@inner
@no_type_check
def _polynomial(coefficients, x, out):
    out[:] = coefficients[-1]
    for k in range(coefficients.size - 2, -1, -1):
        for u in range(x.size):
            out[u] = coefficients[k] + x[u] * out[u]


@inner
@no_type_check
def _slope(coefficients, x, out):
    out[:] = 0
    for k in range(coefficients.size - 1, 0, -1):
        for u in range(x.size):
            out[u] = k * coefficients[k] + x[u] * out[u]


@inner
@no_type_check
def _root_of(b, floor, out):
    for u in range(b.size):
        out[u] = np.sqrt(max(0.5 * b[u] + floor, 0.0))


@inner
@no_type_check
def _multiply_pair(c, x, out):
    share = 1 / (1 + c)
    for u in range(x.size):
        out[u] *= (x[u] + c) * share


@Loop
@no_type_check
def _bands_loop(sine, cosine, pairs, rest, own, zeros, floor, factors, out):
    for f in numba.prange(out.shape[0]):
        s, c = sine[f].copy(), cosine[f].copy()
        x, root, b = np.empty_like(s), np.empty_like(s), np.empty_like(s)
        out[f] = 1
        for i in range(own[f] + 1):
            made = factors[f, i]
            _arguments(s, c, i == own[f], x, root)
            _polynomial(rest[f, min(i, rest.shape[1] - 1)], x, b)
            _root_of(b, floor, made)
            for _ in range(zeros):
                for u in range(x.size):
                    made[u] *= root[u]
            at = min(i, pairs.shape[1] - 1)
            for p in range(pairs.shape[2]):
                _multiply_pair(pairs[f, at, p], x, made)
            for u in range(x.size):
                out[f, u] *= made[u]
            _doubled(s, c)


@inner
@no_type_check
def _without(factors, own, level, weight):
    """Times all factors but that of one level."""
    for i in range(own + 1):
        if i != level:
            for u in range(weight.size):
                weight[u] *= factors[i, u]


@inner
@no_type_check
def _pairs_back(pairs, x, bare, product, rise, to_pairs):
    """The product of all pairs, its slope in x, and the gradient of Σ bare·product."""
    part = np.empty_like(x)
    product[:] = 1
    rise[:] = 0
    for p in range(pairs.size):
        part[:] = 1
        for other in range(pairs.size):
            if other != p:
                _multiply_pair(pairs[other], x, part)
        share = 1 / (1 + pairs[p])
        total = 0.0
        for u in range(x.size):
            rise[u] += part[u] * share
            total += bare[u] * part[u] * (1 - x[u]) * share * share
        to_pairs[p] += total
        _multiply_pair(pairs[p], x, product)


@inner
@no_type_check
def _rest_back(x, weight, to_rest):
    """Gradient of Σ weight·B; ``weight`` is written over."""
    for k in range(to_rest.size):
        total = 0.0
        for u in range(x.size):
            total += weight[u]
            weight[u] *= x[u]
        to_rest[k] += total


@inner
@no_type_check
def _level_back(sine, cosine, level, high, pairs, rest, zeros, floor, weight, out):
    """Adds the gradient of Σ weight·A of one level to that of ω, of pairs and of rest."""
    to_omega, to_pairs, to_rest = out
    x, root, b, slope = (
        np.empty_like(sine),
        np.empty_like(sine),
        np.empty_like(sine),
        np.empty_like(sine),
    )
    even, product, rise, bare = (
        np.empty_like(sine),
        np.empty_like(sine),
        np.empty_like(sine),
        np.empty_like(sine),
    )
    _arguments(sine, cosine, high, x, root)
    _polynomial(rest, x, b)
    _slope(rest, x, slope)
    _root_of(b, floor, even)
    # Up to here without the last factor r, whose power has its own slope.
    for _ in range(zeros - 1):
        for u in range(x.size):
            weight[u] *= root[u]
    for u in range(x.size):
        bare[u] = weight[u] * root[u] * even[u]
    _pairs_back(pairs, x, bare, product, rise, to_pairs)
    turn = 2.0**level if high else -(2.0**level)
    beside = cosine if high else sine
    for u in range(x.size):
        inverse = 0.25 / even[u] if even[u] > 0 else 0.0
        through_rest = weight[u] * root[u] * product[u] * inverse
        along = through_rest * slope[u] + bare[u] * rise[u]
        across = zeros * weight[u] * even[u] * product[u]
        to_omega[u] += turn * (2 * along * sine[u] * cosine[u] + 0.5 * across * beside[u])
        weight[u] = through_rest
    _rest_back(x, weight, to_rest)


@Loop
@no_type_check
def _to_parameters_loop(
    sine, cosine, pairs, rest, own, zeros, floor, factors, gradient, to_omega, to_pairs, to_rest
):
    for f in numba.prange(gradient.shape[0]):
        s, c, weight = sine[f].copy(), cosine[f].copy(), np.empty_like(sine[f])
        for i in range(own[f] + 1):
            weight[:] = gradient[f]
            _without(factors[f], own[f], i, weight)
            p, r = min(i, pairs.shape[1] - 1), min(i, rest.shape[1] - 1)
            out = to_omega[f], to_pairs[f, p], to_rest[f, r]
            high = i == own[f]
            _level_back(s, c, i, high, pairs[f, p], rest[f, r], zeros, floor, weight, out)
            _doubled(s, c)
