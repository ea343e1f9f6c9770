"""Generalized coiflets: orthonormal wavelets whose scaling function has moments about a learned t̄.

Source: Wei, Bovik & Evans, "Generalized coiflets: a new family of orthonormal wavelets", Asilomar
1997. Of order L: moments 0 … L−1 of the wavelet vanish, and those 1 … L−1 of the scaling function
about the real number t̄ (in samples). Coiflets are the case of an integer t̄.

The equations are solved for ``2M = 2(L + ⌊L/2⌋)`` coefficients: M of orthonormality, L zeros at
z = −1 and ⌊L/2⌋ odd moments; the even ones follow. That agrees with coif1, coif2, coif3 for
L = 2, 4, 6; the paper's own lengths for odd L, and which solution it takes, are not known to us.
Several solutions exist at most t̄: one branch is followed, through the classical coiflet, as far as
the next fold, where its Jacobian becomes singular.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scatonline.autograd import constant
from scatonline.config import BankSpec
from scatonline.errors import ConfigError
from scatonline.families.base import ParameterSpec
from scatonline.families.orthonormal import Amplitude, complement

Doubles = NDArray[np.float64]

_ORDER = 4
# Share of a branch left out at either end, beside its folds.
_MARGIN = 0.02
_STEP = 0.02
# From a cubic between points of the branch, two steps reach rounding.
_NEWTON_STEPS = 2


@dataclass(frozen=True)
class _Start:
    """A point of a branch, to five digits, and where the branch folds."""

    t: float
    folds: tuple[float, float]
    h: tuple[float, ...]


# coif1, coif2 and coif3 (Daubechies, "Ten lectures on wavelets", table 8.1), Newton's method does
# the rest; order 3 is the shorter-tailed of the two solutions found by 400 random starts.
_STARTS = {
    2: _Start(
        t=2.0, folds=(0.569, 4.431), h=(-0.07273, 0.3379, 0.85257, 0.38486, -0.07273, -0.01566)
    ),
    3: _Start(
        t=2.0,
        folds=(0.686, 3.094),
        h=(-0.02741, 0.2623, 0.78935, 0.53893, -0.08224, -0.09698, 0.02741, 0.00287),
    ),
    4: _Start(
        t=4.0,
        folds=(3.0286, 5.391),
        h=(
            *(0.01639, -0.04146, -0.06737, 0.38611, 0.81272, 0.41701),
            *(-0.07649, -0.05943, 0.02368, 0.00561, -0.00182, -0.00072),
        ),
    ),
    6: _Start(
        t=6.0,
        folds=(4.126, 7.314),
        h=(
            *(-0.00379, 0.00778, 0.02345, -0.06577, -0.06112, 0.40518),
            *(0.79378, 0.42848, -0.0718, -0.0823, 0.03456, 0.01588),
            *(-0.00901, -0.00257, 0.00112, 0.00047, -7e-05, -3e-05),
        ),
    ),
}


class Coiflet:
    """Two-channel filters with a learnable centre of mass t̄, the same at all levels."""

    parameters = (ParameterSpec("t", "sample", "level"),)

    def __init__(self, spec: BankSpec) -> None:
        """Takes the order of ``spec``.

        Raises:
            ConfigError: no branch of that order is known.
        """
        self.order = spec.order or _ORDER
        _require_order(self.order)

    @property
    def start(self) -> tuple[float, ...]:
        """The classical coiflet's t̄."""
        return (_STARTS[self.order].t,)

    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Between the folds of the branch, with a margin."""
        return (interval(self.order),)

    def amplitude(self, values: Tensor, scales: Sequence[int], levels: int) -> Amplitude:  # noqa: ARG002
        """See :class:`Quadrature`."""
        rest = complement(solve(values[:, 0], self.order), self.order)
        return Amplitude(self.order, rest.new_zeros(len(rest), 1, 0), rest[:, None])


def interval(order: int) -> tuple[float, float]:
    """t̄ that are served: the branch without a margin beside its folds."""
    lower, upper = _STARTS[order].folds
    margin = _MARGIN * (upper - lower)
    return lower + margin, upper - margin


def fir(order: int, t: float) -> Doubles:
    """The low-pass filter of an order about t̄, ``(2M,)`` with Σh = √2.

    Raises:
        ConfigError: no branch of that order is known, or t̄ is beyond it or beside a fold.
    """
    _require_order(order)
    lower, upper = interval(order)
    if not lower <= t <= upper:
        raise ConfigError(
            f"coiflet of order {order} about t = {t:g}: expected {lower:.3f} to {upper:.3f} "
            "samples, beyond which this branch of solutions folds back"
        )
    return solve(torch.tensor([t], dtype=torch.float64), order)[0].numpy()


def solve(t: Tensor, order: int) -> Tensor:
    """Low-pass filters about ``t`` (filters,): ``(filters, 2M)``, differentiable.

    Newton's method from the branch. Its steps are part of the graph: a step that starts at a
    solution to within e is right in value and slope to within e².
    """
    equations = _equations(order, t.device)
    h = equations.nearby(t)
    for _ in range(_NEWTON_STEPS):
        residual, jacobian = equations.at(h, t)
        step, _ = torch.linalg.solve_ex(jacobian, residual)
        h = h - step
    return h


class _Equations:
    """The square system, and points of its branch."""

    def __init__(self, order: int, device: torch.device) -> None:
        self.M = order + order // 2
        self.odd = list(range(1, order, 2))
        size = 2 * self.M
        taps = np.arange(size)
        # The zeros' rows span polynomials times (−1)^k; an orthonormal basis is well conditioned.
        powers = np.vander((taps - taps.mean()) / self.M, order, increasing=True)
        zeros = np.linalg.qr(powers)[0].T * (-1.0) ** taps
        self.zeros = torch.from_numpy(zeros)
        self.taps = torch.from_numpy(taps.astype(np.float64))
        self.delta = torch.eye(self.M, dtype=torch.float64)[0]
        lags = 2 * np.arange(self.M)[:, None]
        ahead, behind = taps + lags, taps - lags
        self.ahead = torch.from_numpy(np.where(ahead < size, ahead, size))
        self.behind = torch.from_numpy(np.where(behind >= 0, behind, size))
        self._points = [torch.from_numpy(array) for array in _branch(order, self, _STARTS[order])]
        self._to(device)

    def _to(self, device: torch.device) -> None:
        for name in ("zeros", "taps", "delta", "ahead", "behind"):
            setattr(self, name, getattr(self, name).to(device))
        self._points = [points.to(device) for points in self._points]

    def at(self, h: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Residuals ``(filters, 2M)`` and their Jacobian ``(filters, 2M, 2M)``."""
        padded = torch.nn.functional.pad(h, (0, 1))
        later, earlier = padded[:, self.ahead], padded[:, self.behind]
        own = (later * h[:, None]).sum(2) - self.delta
        offset = (self.taps - t[:, None]) / self.M
        moments = torch.stack([offset**power for power in self.odd], 1)
        rows = torch.cat((self.zeros.expand(len(h), -1, -1), moments), 1)
        residual = torch.cat((own, (rows @ h[..., None])[..., 0]), 1)
        return residual, torch.cat((later + earlier, rows), 1)

    def slope(self, h: Tensor, t: Tensor) -> Tensor:
        """Of the residuals along t̄, ``(filters, 2M)``."""
        offset = (self.taps - t[:, None]) / self.M
        moments = [-(power / self.M) * (offset ** (power - 1) * h).sum(1) for power in self.odd]
        zeros = h.new_zeros(len(h), 2 * self.M - len(moments))
        return torch.cat((zeros, torch.stack(moments, 1)), 1)

    def nearby(self, t: Tensor) -> Tensor:
        """Cubic between the branch's points."""
        first, h, slope = self._points
        place = (t - first) / _STEP
        index = place.detach().long().clamp(0, len(h) - 2)
        f = (place - index)[:, None]
        a, b = h[index], h[index + 1]
        da, db = _STEP * slope[index], _STEP * slope[index + 1]
        return a + f * (da + f * (3 * (b - a) - 2 * da - db + f * (2 * (a - b) + da + db)))


@constant
def _equations(order: int, device: torch.device) -> _Equations:
    return _Equations(order, device)


def _branch(order: int, equations: _Equations, start: _Start) -> tuple[Doubles, Doubles, Doubles]:
    """First t̄ of the branch, its points' h and dh/dt̄, by continuation from the start."""
    lower, upper = interval(order)
    below = int((start.t - lower) / _STEP) + 1
    above = int((upper - start.t) / _STEP) + 1
    backwards = _followed(equations, start, [start.t - _STEP * k for k in range(below + 1)])
    forwards = _followed(equations, start, [start.t + _STEP * k for k in range(above + 1)])
    points = [*reversed(backwards[1:]), *forwards]
    h = np.stack([point for point, _ in points])
    return np.array(start.t - _STEP * below), h, np.stack([slope for _, slope in points])


def _followed(
    equations: _Equations, start: _Start, path: Sequence[float]
) -> list[tuple[Doubles, Doubles]]:
    """Solutions and slopes along t̄, each from the one before by its slope."""
    found: list[tuple[Doubles, Doubles]] = []
    h = torch.tensor([start.h], dtype=torch.float64)
    before = path[0]
    for t in path:
        about = torch.tensor([t], dtype=torch.float64)
        if found:
            h = h + torch.from_numpy(found[-1][1]) * (t - before)
        for _ in range(8):
            residual, jacobian = equations.at(h, about)
            h = h - torch.linalg.solve(jacobian, residual)
        _, jacobian = equations.at(h, about)
        slope = -torch.linalg.solve(jacobian, equations.slope(h, about))
        found.append((h[0].numpy(), slope[0].numpy()))
        before = t
    return found


def _require_order(order: int) -> None:
    if order not in _STARTS:
        known = ", ".join(str(n) for n in _STARTS)
        raise ConfigError(f"coiflet of order {order}: expected one of {known}")
