"""Two-dimensional Morlet spectra on a grid of frequencies, and the way back to their parameters.

A Gaussian under the discrete Fourier transform is a Gaussian of frequency, summed over periods of
2π. It is evaluated on the ellipse where it is above rounding, once for every frequency there,
whatever period that belongs to. From one row to the next its values change by factors that differ
along a row and not between rows; so a row is a product, and exponentials are taken only where the
ellipse begins.
"""

import math
from typing import no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

from scatonline.kernels.compile import Loop, inner

Doubles = NDArray[np.float64]


def reach(precision: float) -> float:
    """Standard deviations at which a Gaussian has fallen to ``precision``."""
    return math.sqrt(-2 * math.log(precision))


def spectra(values: Doubles, reach: float, norm: float, out: Doubles, kappa: Doubles) -> None:
    """ψ̂ = norm·(g − κ·k), with g a Gaussian about ξ, k the same about 0, and κ so that ψ̂(0) = 0.

    Args:
        values: ``(filters, 4)``: θ in radians, ξ in radians a sample, σ in samples, slant.
        reach: Standard deviations as far as which Gaussians are evaluated.
        norm: Factor on all.
        out: ``(filters, M, N)``, written.
        kappa: ``(filters,)``, written.
    """
    _spectra(out.size, values, reach, norm, out, kappa)


def to_values(
    values: Doubles,
    reach: float,
    norm: float,
    kappa: Doubles,
    weights: Doubles,
    out: Doubles,
) -> None:
    """Gradient of Σ w·ψ̂ with respect to the parameters.

    Args:
        values: As in :func:`spectra`.
        reach: As there.
        norm: As there.
        kappa: As it wrote it.
        weights: ``(filters, M, N)``: w.
        out: ``(filters, 4)``, written.
    """
    _to_values(weights.size, values, reach, norm, kappa, weights, out)


@inner
@no_type_check
def _quadratic(theta, sigma, slant):
    """Coefficients of x², x·y and y² in −log g, about the centre."""
    c, s, t = math.cos(theta), math.sin(theta), 1 / slant**2
    scale = 0.5 * sigma**2
    return scale * (c * c + s * s * t), 2 * scale * c * s * (1 - t), scale * (s * s + c * c * t)


@inner
@no_type_check
def _rows(xx, xy, yy, reach, centre, step):
    """First and last row of the ellipse."""
    half = reach * math.sqrt(0.5 / (xx - xy * xy / (4 * yy)))
    return math.ceil((centre - half) / step), math.floor((centre + half) / step)


@inner
@no_type_check
def _span(xx, xy, yy, reach, x, centre, step):
    """First and last column of the ellipse in the row at distance x from its centre."""
    left = 0.5 * reach**2 - (xx - xy * xy / (4 * yy)) * x * x
    if left <= 0:
        return 0, -1
    middle, half = centre - 0.5 * xy * x / yy, math.sqrt(left / yy)
    return math.ceil((middle - half) / step), math.floor((middle + half) / step)


@inner
@no_type_check
def _next_row(line, factors, before, now, x, x_step, y0, y_step, offset, xx, xy, yy):
    """Moves ``line`` from one row's values to the next row's, which is at x, in columns ``now``."""
    first, last = now
    both_first, both_last = max(first, before[0]), min(last, before[1])
    if both_first > both_last:
        both_first, both_last = last + 1, last
    else:
        previous = x - x_step
        scale = math.exp(-xx * (x * x - previous * previous) + xy * x_step * y0)
        # Unsigned, here and below, or every index would be looked at for counting from the end.
        for k in range(np.uint64(both_first + offset), np.uint64(both_last + 1 + offset)):
            line[k] *= scale * factors[k]
    for k in range(first, both_first):
        y = k * y_step - y0
        line[k + offset] = math.exp(-(xx * x * x + xy * x * y + yy * y * y))
    for k in range(both_last + 1, last + 1):
        y = k * y_step - y0
        line[k + offset] = math.exp(-(xx * x * x + xy * x * y + yy * y * y))


@inner
@no_type_check
def _prepared(xx, xy, yy, reach, y0, y_step, x_step):
    """A line as wide as the ellipse, factors from row to row, and where column 0 is in both."""
    half = reach * math.sqrt(0.5 / (yy - xy * xy / (4 * xx)))
    first, last = math.floor((y0 - half) / y_step) - 1, math.ceil((y0 + half) / y_step) + 1
    line, factors = np.zeros(last - first + 1), np.empty(last - first + 1)
    for k in range(first, last + 1):
        factors[k - first] = math.exp(-xy * x_step * k * y_step)
    return line, factors, -first


@inner
@no_type_check
def _add_segment(amplitude, line, at, out, row, column, count):
    at, row, column = np.uint64(at), np.uint64(row), np.uint64(column)
    for k in range(np.uint64(count)):
        out[row, column + k] += amplitude * line[at + k]


@inner
@no_type_check
def _add_gaussian(amplitude, theta, xi, sigma, slant, reach, out):
    """Adds a Gaussian about (ξ cos θ, ξ sin θ), summed over periods."""
    m, n = out.shape
    xx, xy, yy = _quadratic(theta, sigma, slant)
    x_step, y_step = 2 * math.pi / m, 2 * math.pi / n
    x0, y0 = xi * math.cos(theta), xi * math.sin(theta)
    line, factors, offset = _prepared(xx, xy, yy, reach, y0, y_step, x_step)
    top, bottom = _rows(xx, xy, yy, reach, x0, x_step)
    before = 0, -1
    for i in range(top, bottom + 1):
        x = i * x_step - x0
        now = _span(xx, xy, yy, reach, x, y0, y_step)
        _next_row(line, factors, before, now, x, x_step, y0, y_step, offset, xx, xy, yy)
        first, last = now
        while first <= last:
            column = first % n
            count = min(n - column, last - first + 1)
            _add_segment(amplitude, line, first + offset, out, i % m, column, count)
            first += count
        before = now


@inner
@no_type_check
def _at_zero(theta, xi, sigma, slant, reach):
    """A Gaussian's value at frequency 0, summed over periods."""
    xx, xy, yy = _quadratic(theta, sigma, slant)
    x0, y0 = xi * math.cos(theta), xi * math.sin(theta)
    top, bottom = _rows(xx, xy, yy, reach, x0, 2 * math.pi)
    total = 0.0
    for i in range(top, bottom + 1):
        x = i * 2 * math.pi - x0
        first, last = _span(xx, xy, yy, reach, x, y0, 2 * math.pi)
        for k in range(first, last + 1):
            y = k * 2 * math.pi - y0
            total += math.exp(-(xx * x * x + xy * x * y + yy * y * y))
    return total


@Loop
@no_type_check
def _spectra(values, reach, norm, out, kappa):
    for f in numba.prange(len(values)):
        theta, xi, sigma, slant = values[f]
        at_zero = _at_zero(theta, xi, sigma, slant, reach)
        kappa[f] = at_zero / _at_zero(theta, 0.0, sigma, slant, reach)
        out[f] = 0
        _add_gaussian(norm, theta, xi, sigma, slant, reach, out[f])
        _add_gaussian(-norm * kappa[f], theta, 0.0, sigma, slant, reach, out[f])
        out[f, 0, 0] = 0


@inner
@no_type_check
def _sums(line, at, weights, row, column, count, first):
    """Σ w·g·{1, k, k²} over a segment whose first column is ``first``, in any period."""
    zeroth, linear, square = 0.0, 0.0, 0.0
    at, row, column = np.uint64(at), np.uint64(row), np.uint64(column)
    for k in range(np.uint64(count)):
        value, place = line[at + k] * weights[row, column + k], float(k)
        zeroth += value
        linear += value * place
        square += value * place * place
    return (
        zeroth,
        linear + first * zeroth,
        square + 2 * first * linear + first * first * zeroth,
    )


@inner
@no_type_check
def _moments(theta, xi, sigma, slant, reach, weights, out):
    """Σ w·g times 1, a, b, a², b² and a·b, with distances a and b along and across the wave.

    Behind them the same for w = 1 at frequency 0 and nowhere else.
    """
    out[:] = 0
    m, n = weights.shape
    xx, xy, yy = _quadratic(theta, sigma, slant)
    x_step, y_step = 2 * math.pi / m, 2 * math.pi / n
    c, s = math.cos(theta), math.sin(theta)
    x0, y0 = xi * c, xi * s
    line, factors, offset = _prepared(xx, xy, yy, reach, y0, y_step, x_step)
    top, bottom = _rows(xx, xy, yy, reach, x0, x_step)
    before = 0, -1
    w, wx, wy, wxx, wxy, wyy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(top, bottom + 1):
        x = i * x_step - x0
        now = _span(xx, xy, yy, reach, x, y0, y_step)
        _next_row(line, factors, before, now, x, x_step, y0, y_step, offset, xx, xy, yy)
        first, last = now
        while first <= last:
            column = first % n
            count = min(n - column, last - first + 1)
            zeroth, linear, square = _sums(
                line, first + offset, weights, i % m, column, count, float(first)
            )
            along = y_step * linear - y0 * zeroth
            w += zeroth
            wx += x * zeroth
            wy += along
            wxx += x * x * zeroth
            wxy += x * along
            wyy += y_step**2 * square - 2 * y0 * y_step * linear + y0 * y0 * zeroth
            if i % m == 0 and column == 0:
                _add_turned(line[first + offset], x, first * y_step - y0, c, s, out[6:])
            first += count
        before = now
    out[0] = w
    out[1] = c * wx + s * wy
    out[2] = c * wy - s * wx
    out[3] = c * c * wxx + 2 * c * s * wxy + s * s * wyy
    out[4] = s * s * wxx - 2 * c * s * wxy + c * c * wyy
    out[5] = (c * c - s * s) * wxy + c * s * (wyy - wxx)


@inner
@no_type_check
def _add_turned(value, x, y, c, s, out):
    a, b = c * x + s * y, c * y - s * x
    out[0] += value
    out[1] += value * a
    out[2] += value * b
    out[3] += value * a * a
    out[4] += value * b * b
    out[5] += value * a * b


@inner
@no_type_check
def _chain(moments, xi, sigma, slant, out):
    """Adds Σ w·∂g, from moments of w about the centre of a Gaussian at ξ."""
    _, a, b, aa, bb, ab = moments
    square, steepness = sigma * sigma, 1 / (slant * slant)
    out[0] += -square * (ab * (1 - steepness) - xi * b * steepness)
    out[1] += square * a if xi > 0 else 0.0
    out[2] += -sigma * (aa + bb * steepness)
    out[3] += square * bb * steepness / slant


@Loop
@no_type_check
def _to_values(values, reach, norm, kappa, weights, out):
    for f in numba.prange(len(values)):
        theta, xi, sigma, slant = values[f]
        wave, low = np.zeros(12), np.zeros(12)
        _moments(theta, xi, sigma, slant, reach, weights[f], wave)
        _moments(theta, 0.0, sigma, slant, reach, weights[f], low)
        # κ = g(0)/k(0) moves with the parameters: as if w at frequency 0 were less by this much.
        excess = low[0] / low[6]
        for i in range(6):
            wave[i] = norm * (wave[i] - excess * wave[i + 6])
            low[i] = -norm * kappa[f] * (low[i] - excess * low[i + 6])
        out[f] = 0
        _chain(wave[:6], xi, sigma, slant, out[f])
        _chain(low[:6], 0.0, sigma, slant, out[f])
