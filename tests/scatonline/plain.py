"""Scattering as it is written in a paper: one path after the other, full planes, no batches.

An independent route to the same numbers. Filters come from the banks, everything else is done anew
with NumPy: convolution as a full product, sub-sampling by leaving samples out.
"""

import numpy as np
from numpy.typing import NDArray

from scatonline.scattering import Scattering

Floats = NDArray[np.float64]
PAD_MODES = {"reflect": "reflect", "periodic": "wrap", "zero": "constant"}


def low_frequencies(spectrum: Floats, sizes: tuple[int, ...]) -> Floats:
    """A real spectrum on a coarser grid: its frequencies between ∓Nyquist of that grid."""
    for axis, size in enumerate(sizes):
        integers = np.round(np.fft.fftfreq(size) * size).astype(int)
        spectrum = np.take(spectrum, integers % spectrum.shape[axis], axis)
    return spectrum


def convolved(u: Floats, spectrum: Floats) -> NDArray[np.complex128]:
    """Circular convolution on the grid of u."""
    return np.asarray(np.fft.ifftn(np.fft.fftn(u) * low_frequencies(spectrum, u.shape)))


def decimated(u: Floats, factor: int) -> Floats:
    return np.asarray(u[(slice(None, None, factor),) * u.ndim])


def plain_scattering(transform: Scattering, x: Floats) -> dict[tuple[str, ...], Floats]:
    """Coefficients of one signal `(*shape)` by the filter ids of their path."""
    spec, geometry = transform.spec, transform.geometry
    banks = [transform.bank(m + 1) for m in range(spec.max_order)]
    psi: dict[str, Floats] = {}
    for bank in banks:
        spectra = bank.spectra()
        for scale in bank.scales:
            for row, filtered in zip(bank.rows(scale), spectra[scale], strict=True):
                psi[bank.names[row].id] = filtered.detach().numpy()
    phi = banks[0].family.low_pass(kept_norm=spec.bound == "none").numpy()
    before = [(p - n) // 2 for n, p in zip(geometry.shape, geometry.padded, strict=True)]
    widths = [
        (b, p - n - b) for b, n, p in zip(before, geometry.shape, geometry.padded, strict=True)
    ]
    mode = PAD_MODES[spec.padding]
    padded = np.pad(x, widths, mode=mode)  # type: ignore[call-overload]
    last = max(spec.J - spec.oversampling, 0)
    found: dict[tuple[str, ...], Floats] = {}

    def window(u: Floats) -> Floats:
        """Outputs that stand for the signal; the end is rounded up over time, down over space."""
        stride = 2**last
        for axis, (b, n) in enumerate(zip(before, geometry.shape, strict=True)):
            end = b + n + (stride - 1 if len(before) == 1 else 0)
            u = np.take(u, range(-(-b // stride), end // stride), axis)
        return u

    def walk(u: Floats, level: int, key: tuple[str, ...], coarsest: int) -> None:
        averaged = convolved(u, phi).real
        found[key] = window(decimated(averaged, 2 ** (last - level)))
        if len(key) == spec.max_order:
            return
        for name in banks[len(key)].names:
            if name.scale > coarsest:
                deeper = max(min(name.scale, spec.J) - spec.oversampling, 0)
                z = convolved(u, psi[name.id])
                modulus = np.hypot(z.real, z.imag)
                walk(decimated(modulus, 2 ** (deeper - level)), deeper, (*key, name.id), name.scale)

    walk(padded, 0, (), -1)
    return found
