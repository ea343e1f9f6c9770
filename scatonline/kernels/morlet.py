"""Two-dimensional Morlet spectra on a grid of frequencies, and the way back to their parameters.

A Gaussian under the discrete Fourier transform is a Gaussian of frequency, summed over periods of
2π. It is evaluated on the ellipse where it is above rounding, once for every frequency there,
whatever period that belongs to. Neighbouring values differ by factors that are themselves in
geometric progression, so exponentials are taken only now and then: rows go in bands, each of which
starts from a few of them and then multiplies, from row to row.
"""

import math
from typing import no_type_check

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from scatonline.kernels.arrays import Doubles
from scatonline.kernels.compile import Loop, dealt, inner


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
    _spectra(out.size, _order(values), values, reach, norm, out, kappa)


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
    _to_values(weights.size, _order(values), values, reach, norm, kappa, weights, out)


def _order(values: Doubles) -> NDArray[np.int64]:
    return dealt(len(values), torch.get_num_threads())


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
def _band(xx, xy, yy, reach, top, bottom, x0, x_step, y0, y_step):
    """First and last column of the ellipse in rows ``top`` to ``bottom``."""
    first, last = _span(xx, xy, yy, reach, top * x_step - x0, y0, y_step)
    for i in range(top + 1, bottom + 1):
        begin, end = _span(xx, xy, yy, reach, i * x_step - x0, y0, y_step)
        if begin <= end:
            if first > last:
                first, last = begin, end
            first, last = min(first, begin), max(last, end)
    return first, last


@inner
@no_type_check
def _height(sigma, slant, step):
    """Rows of a band: so few that no value which grows from row to row starts from nothing."""
    return max(1, min(32, int(14 * min(slant, 1.0) / (sigma * step))))


@inner
@no_type_check
def _profile(line, first, last, x, y0, step, xx, xy, yy):
    """Values of one row in columns ``first`` to ``last``, from its peak to both sides."""
    middle = (y0 - 0.5 * xy * x / yy) / step
    peak = int(min(max(round(middle), first), last))
    y = peak * step - y0
    value = math.exp(-(xx * x * x + xy * x * y + yy * y * y))
    bend = math.exp(-2 * yy * step * step)
    rise = math.exp(-(xy * x * step + yy * (2 * y * step + step * step)))
    fall = math.exp(-(-xy * x * step + yy * (-2 * y * step + step * step)))
    line[peak - first] = value
    here, ratio = value, rise
    for k in range(peak + 1 - first, last + 1 - first):
        here *= ratio
        ratio *= bend
        line[k] = here
    here, ratio = value, fall
    for k in range(peak - 1 - first, -1, -1):
        here *= ratio
        ratio *= bend
        line[k] = here


@inner
@no_type_check
def _factors(factors, first, last, x, x_step, y0, y_step, xx, xy):
    """From the row at x to the next: one factor a column, and one for all that bends each time."""
    value = math.exp(-xy * x_step * (first * y_step - y0))
    ratio = math.exp(-xy * x_step * y_step)
    for k in range(last + 1 - first):
        factors[k] = value
        value *= ratio
    return math.exp(-xx * (2 * x * x_step + x_step * x_step))


@inner
@no_type_check
def _add_row(amplitude, line, factors, scale, out, row, first, count):
    """Adds a row, in whatever period its columns are, and moves ``line`` on to the next row."""
    n = out.shape[1]
    done = 0
    while done < count:
        column = (first + done) % n
        piece = min(n - column, count - done)
        # Unsigned, here and below, or every index would be looked at for counting from the end.
        at, to, r = np.uint64(done), np.uint64(column), np.uint64(row)
        for k in range(np.uint64(piece)):
            value = line[at + k]
            out[r, to + k] += amplitude * value
            line[at + k] = value * (scale * factors[at + k])
        done += piece


@inner
@no_type_check
def _add_gaussian(amplitude, theta, xi, sigma, slant, reach, out):
    """Adds a Gaussian about (ξ cos θ, ξ sin θ), summed over periods."""
    m, n = out.shape
    xx, xy, yy = _quadratic(theta, sigma, slant)
    x_step, y_step = 2 * math.pi / m, 2 * math.pi / n
    x0, y0 = xi * math.cos(theta), xi * math.sin(theta)
    top, bottom = _rows(xx, xy, yy, reach, x0, x_step)
    width = int(2 * reach * math.sqrt(0.5 / (yy - xy * xy / (4 * xx))) / y_step) + 2
    line, factors = np.empty(width), np.zeros(width)
    height = _height(sigma, slant, x_step)
    bend = math.exp(-2 * xx * x_step * x_step)
    for start in range(top, bottom + 1, height):
        end = min(start + height - 1, bottom)
        first, last = _band(xx, xy, yy, reach, start, end, x0, x_step, y0, y_step)
        if first > last:
            continue
        x = start * x_step - x0
        _profile(line, first, last, x, y0, y_step, xx, xy, yy)
        scale = 0.0
        if height > 1:
            scale = _factors(factors, first, last, x, x_step, y0, y_step, xx, xy)
        for i in range(start, end + 1):
            _add_row(amplitude, line, factors, scale, out, i % m, first, last + 1 - first)
            scale *= bend


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
def _spectra(order, values, reach, norm, out, kappa):
    for i in numba.prange(len(order)):
        f = order[i]
        theta, xi, sigma, slant = values[f]
        at_zero = _at_zero(theta, xi, sigma, slant, reach)
        kappa[f] = at_zero / _at_zero(theta, 0.0, sigma, slant, reach)
        out[f] = 0
        _add_gaussian(norm, theta, xi, sigma, slant, reach, out[f])
        _add_gaussian(-norm * kappa[f], theta, 0.0, sigma, slant, reach, out[f])
        out[f, 0, 0] = 0


@inner
@no_type_check
def _row_sums(line, factors, scale, weights, row, first, count):
    """Σ w·g·{1, k, k²} over a row's columns k; moves ``line`` on to the next row."""
    n = weights.shape[1]
    zeroth, linear, square = 0.0, 0.0, 0.0
    done = 0
    while done < count:
        column = (first + done) % n
        piece = min(n - column, count - done)
        at, to, r = np.uint64(done), np.uint64(column), np.uint64(row)
        a, b, c, begin = 0.0, 0.0, 0.0, float(first + done)
        for k in range(np.uint64(piece)):
            value = line[at + k]
            weighted, place = value * weights[r, to + k], float(k)
            a += weighted
            b += weighted * place
            c += weighted * place * place
            line[at + k] = value * (scale * factors[at + k])
        zeroth += a
        linear += b + begin * a
        square += c + 2 * begin * b + begin * begin * a
        done += piece
    return zeroth, linear, square


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
    top, bottom = _rows(xx, xy, yy, reach, x0, x_step)
    width = int(2 * reach * math.sqrt(0.5 / (yy - xy * xy / (4 * xx))) / y_step) + 2
    line, factors = np.empty(width), np.zeros(width)
    height = _height(sigma, slant, x_step)
    bend = math.exp(-2 * xx * x_step * x_step)
    w, wx, wy, wxx, wxy, wyy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for start in range(top, bottom + 1, height):
        end = min(start + height - 1, bottom)
        first, last = _band(xx, xy, yy, reach, start, end, x0, x_step, y0, y_step)
        if first > last:
            continue
        x = start * x_step - x0
        _profile(line, first, last, x, y0, y_step, xx, xy, yy)
        scale = 0.0
        if height > 1:
            scale = _factors(factors, first, last, x, x_step, y0, y_step, xx, xy)
        for i in range(start, end + 1):
            x = i * x_step - x0
            if i % m == 0:
                for k in range(-(-first // n) * n, last + 1, n):
                    _add_turned(line[k - first], x, k * y_step - y0, c, s, out[6:])
            zeroth, linear, square = _row_sums(
                line, factors, scale, weights, i % m, first, last + 1 - first
            )
            scale *= bend
            along = y_step * linear - y0 * zeroth
            w += zeroth
            wx += x * zeroth
            wy += along
            wxx += x * x * zeroth
            wxy += x * along
            wyy += y_step**2 * square - 2 * y0 * y_step * linear + y0 * y0 * zeroth
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
def _to_values(order, values, reach, norm, kappa, weights, out):
    for number in numba.prange(len(order)):
        f = order[number]
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
