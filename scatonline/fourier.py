"""Grids, padding, sub-sampling and low-pass sampling: the Fourier side of scattering.

Signals are laid out ``(channels, *grid)`` with one or two grid axes, so that Fourier transforms run
along neighbouring samples and products of spectra along neighbouring frequencies. A *level* r is a
grid that keeps every 2^r-th sample.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from scatonline.config import Padding
from scatonline.errors import ConfigError, NumericalError, ShapeError

# A standard normal exceeds this with probability 1e-3.
_NORMAL_TAIL_1E3 = 3.0902
# From so many rows on a product of matrices rounds each of them alike, with every library seen.
_ROWS = 16
# Longer signals than this seldom go through together, and more rows of them would cost.
_SHORT = 512
_PAD_MODES = {"reflect": "reflect", "periodic": "circular", "zero": "constant"}


def gaussian_low_pass(n: int, sigma: float) -> Tensor:
    """φ̂ of a periodised Gaussian, ``(n,)`` float64, φ̂(0) = 1.

    Args:
        n: Grid length, samples.
        sigma: Standard deviation in samples.
    """
    omega = 2 * math.pi * torch.fft.fftfreq(n, dtype=torch.float64)
    images = omega + 2 * math.pi * torch.arange(-2, 3, dtype=torch.float64)[:, None]
    phi = torch.exp(-0.5 * (sigma * images) ** 2).sum(0)
    return phi / phi[0]


def padded_length(n: int, J: int, dimensions: int, padding: Padding) -> int:
    """Length of a padded axis: a multiple of 2^J that leaves the filters room beyond the border.

    In 2-D two steps of 2^J are added; in 1-D, where φ is four times as wide, as much as φ reaches
    down to 1e-3, up to a power of two (both as Kymatio 0.3.0).

    Raises:
        ConfigError: reflection would need more samples than the axis has.
    """
    step = 1 << J
    if padding == "none" and n % step:
        raise ConfigError(
            f"padding 'none' takes the signal for one period, whose length must be a multiple of "
            f"2^J = {step}: got {n}. Take a smaller J, another length or another padding."
        )
    if padding in ("none", "periodic") and n % step == 0:
        return n
    if dimensions == 2:
        total = (n // step + 2) * step
    else:
        sigma = step / (2 * math.pi * 0.1)
        total = 1 << math.ceil(math.log2(n + 2 * math.ceil(_NORMAL_TAIL_1E3 * sigma)))
        if padding != "zero":
            # Neither a reflection nor a period has more than this to give.
            total = min(total, 1 << math.floor(math.log2(3 * n - 2)))
        total = max(total, step)
    beyond = total - n - (total - n) // 2
    if padding == "reflect" and beyond >= n:
        raise ConfigError(
            f"J={J} is too large for an axis of {n} samples: reflection needs {beyond} samples "
            f"beyond a border, at most {n - 1} exist. "
            "Take a smaller J, a longer input or another padding."
        )
    return total


def pad(x: Tensor, padded: Sequence[int], padding: Padding) -> Tensor:
    """Pads the last axes of ``x``: the smaller half before, the rest after.

    Args:
        x: ``(batch, *shape)``.
        padded: Length of every padded axis.
        padding: What stands beyond the border.

    Returns:
        ``(batch, *padded)``.
    """
    widths: list[int] = []
    for n, total in zip(reversed(x.shape[1:]), reversed(padded), strict=True):
        before = (total - n) // 2
        widths += [before, total - n - before]
    if not any(widths):
        return x
    return functional.pad(x[:, None], widths, mode=_PAD_MODES[padding])[:, 0]


def crop(spectrum: Tensor, level: int, axes: Sequence[int]) -> Tensor:
    """The filter that acts on level ``level``: its low frequencies, along ``axes``.

    What lies beyond the new Nyquist frequency would fold and is left out (Kymatio's convention).
    """
    for axis in axes:
        n = spectrum.shape[axis]
        keep = n >> level
        low = spectrum.narrow(axis, 0, keep - keep // 2)
        high = spectrum.narrow(axis, n - keep // 2, keep // 2)
        spectrum = torch.cat((low, high), axis)
    return spectrum


def aliases(grids: Tensor, factor: int) -> Tensor:
    """Frequencies that alias under sub-sampling, as a view.

    Args:
        grids: ``(rows, N)`` or ``(rows, M, N)``.
        factor: Sub-sampling along each axis.

    Returns:
        ``(rows, factor, n)`` or ``(rows, factor, factor, m, n)``: the entries at one place of the
        coarse grid fall on one frequency.
    """
    rows, *grid = grids.shape
    if len(grid) == 1:
        return grids.view(rows, factor, grid[0] // factor)
    split = grids.view(rows, factor, grid[0] // factor, factor, grid[1] // factor)
    return split.transpose(2, 3)


def fold(spectrum: Tensor, factor: int) -> Tensor:
    """``(channels, *grid)`` → ``(channels, aliases, frequencies)``, see :func:`aliases`."""
    return aliases(spectrum, factor).reshape(len(spectrum), factor ** (spectrum.dim() - 1), -1)


def fold_filters(spectra: Tensor, factor: int) -> Tensor:
    """:func:`fold` for filters: real ``(filters, *grid)`` → ``(aliases, filters, frequencies)``.

    Divided by the number of aliases, so that the sum over aliases of its product with a folded
    signal is the spectrum of the sub-sampled result.
    """
    folded = fold(spectra, factor)
    return folded.transpose(0, 1).contiguous() / folded.shape[1]


def low_pass_matrix(phi: Tensor, level: int, stride: int, window: slice) -> Tensor:
    """Low-pass, sub-sampling and un-padding of one axis as one small matrix.

    Args:
        phi: φ̂ on the full axis, ``(n,)`` real and even.
        level: Level of the signal it is applied to.
        stride: Samples of that level an output advances.
        window: Outputs that are kept.

    Returns:
        ``(outputs, n >> level)``.
    """
    kernel: Tensor = torch.fft.ifft(crop(phi, level, (0,))).real
    n = kernel.shape[0]
    outputs = stride * torch.arange(window.start, window.stop, device=phi.device)
    lags = (outputs[:, None] - torch.arange(n, device=phi.device)[None, :]) % n
    return kernel[lags]


def low_pass(x: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Applies one :func:`low_pass_matrix` to each of the last axes of ``(channels, *grid)``."""
    if len(matrices) == 2:
        x = torch.bmm(matrices[0].expand(len(x), -1, -1), x)
    last = matrices[-1]
    rows = x.reshape(-1, x.shape[-1])
    multiplied = _at_least(_ROWS, rows) @ last.T
    return multiplied[: len(rows)].view(*x.shape[:-1], len(last))


def _at_least(count: int, rows: Tensor) -> Tensor:
    """Adds rows of zeros to a few short ones.

    Few rows are multiplied by other routines than many, which round otherwise; and what becomes of
    a signal must not depend on whether it comes alone.
    """
    missing = count - len(rows)
    if missing <= 0 or rows.shape[1] > _SHORT:
        return rows
    return functional.pad(rows, (0, 0, 0, missing))


def low_pass_to_input(gradient: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Adjoint of :func:`low_pass`."""
    last = matrices[-1]
    rows = (gradient.reshape(-1, len(last)) @ last).view(*gradient.shape[:-1], last.shape[1])
    if len(matrices) == 1:
        return rows
    return torch.bmm(matrices[0].T.expand(len(rows), -1, -1), rows)


def check_signal(x: Tensor, shape: Sequence[int]) -> None:
    """Refuses what a scattering transform cannot take.

    Whether numbers are finite is looked at on a processor only: elsewhere the host would wait.

    Raises:
        ShapeError: the last axes differ from ``shape`` or the type is not float32 or float64.
        NumericalError: a number is not finite.
    """
    if x.dtype not in (torch.float32, torch.float64):
        advice = "take its modulus or its parts" if x.is_complex() else "convert it first"
        raise ShapeError(f"input has type {x.dtype}, expected float32 or float64: {advice}")
    if tuple(x.shape[-len(shape) :]) != tuple(shape):
        raise ShapeError(
            f"input has shape {tuple(x.shape)}, expected its last axes to be {tuple(shape)}"
        )
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return
    # A finite sum has finite terms; an infinite one may have overflowed, so look again.
    if not math.isfinite(x.detach().sum().item()):
        bad = int((~torch.isfinite(x)).sum())
        if bad:
            raise NumericalError(
                f"input has {bad} entries of {x.numel()} that are NaN or infinite, expected "
                "finite numbers: replace or leave out what was not measured"
            )
