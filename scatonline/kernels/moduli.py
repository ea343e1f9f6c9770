"""Moduli of complex numbers in one pass over memory, and the way back.

In *real pairs* a complex number is two neighbouring real ones; arrays are contiguous.
"""

from typing import no_type_check

import numba
import numpy as np

from scatonline.kernels.arrays import Reals
from scatonline.kernels.compile import Loop, inner


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
