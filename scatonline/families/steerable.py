"""Free band-limited filters in polar frequency: the broadest class, constrained convolutions.

    ψ̂(ω) = Σ_b β_b(|ω|)·Σ_{m ≤ M} (a_bm cos m(∠ω − θ) + b_bm sin m(∠ω − θ))

with radial functions β half an octave apart, ``β_b = cos(π(x + x_b))`` for ``|x + x_b| < ½`` in
``x = log₂(|ω|/π)``, whose squares add up to 1 (as the pyramid of Simoncelli & Freeman, ICIP 1995,
has them). Any coefficients give a filter without mean, of limited band and real spectrum; their
norm is held at that of the filters to start from, and the frame bound does the rest.

θ is the frame that the coefficients are told in: turning a filter is adding to θ. Over time there
are no directions, and the sum over b is a :class:`scatonline.families.band.Band`.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scatonline.autograd import constant
from scatonline.config import BankSpec
from scatonline.errors import ConfigError
from scatonline.families.base import DOUBLE, ParameterSpec, require_inside
from scatonline.families.gaps import turned
from scatonline.families.plane import SIDES, Plane

# Radial functions of a filter, and where its octave's middle one stands.
_RADIAL = 3
# Neighbouring scales share the outer ones, half of the energy each.
_SHAPE = (math.sqrt(0.5), 1.0, math.sqrt(0.5))
_MOST_DEFAULT, _MOST = 8, 16
_LIMIT = 1.0


class SteerableBand:
    """Sums of radial functions: the 1-D form."""

    parameters = tuple(ParameterSpec(f"radial{b}", "1", "level") for b in range(_RADIAL))

    def __init__(self, spec: BankSpec) -> None:
        """Takes the number of scales.

        Raises:
            ConfigError: an order is asked for, of which there are none in 1-D.
        """
        if spec.order:
            raise ConfigError(
                f"steerable filters over time have no harmonics: got order {spec.order}, expected 0"
            )
        self.J = spec.J

    @property
    def start(self) -> tuple[float, ...]:
        """A bump of two octaves about its middle."""
        norm = math.hypot(*_SHAPE)
        return tuple(value / norm for value in _SHAPE)

    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Coefficients between −1 and 1; only their ratios count."""
        return ((-_LIMIT, _LIMIT),) * _RADIAL

    def along(self, values: Tensor, scales: Sequence[int], omega: Tensor) -> Tensor:
        """Σ_b c_b β_b, see :class:`scatonline.families.band.Band`."""
        centres = _centres(tuple(scales), omega.device)
        share = values / values.norm(dim=1, keepdim=True).clamp_min(1e-12)
        along: Tensor = (share[..., None] * radial(omega[:, None], centres[..., None])).sum(1)
        return along

    def low_pass(self, omega: Tensor) -> Tensor:
        """1 below the radial functions of the coarsest scale, falling along the last."""
        return radial_low_pass(omega, self.J)


class Steerable:
    """The 2-D form."""

    def __init__(self, spec: BankSpec, grid: tuple[int, ...]) -> None:
        """Prepares the basis on ``grid`` = padded ``(M, N)``.

        Raises:
            ConfigError: more harmonics than are served.
        """
        self.spec, self.grid = spec, grid
        self.harmonics = spec.order or min(max(spec.L, 2), _MOST_DEFAULT)
        if self.harmonics > _MOST:
            raise ConfigError(
                f"steerable filters with {self.harmonics} harmonics: expected 1 to {_MOST}"
            )
        names = [f"r{b}_{wave}{m}" for b in range(_RADIAL) for wave, m in self._waves()]
        self.parameters = (
            ParameterSpec("theta", "rad", "direction"),
            *(ParameterSpec(name, "1", "level") for name in names),
        )
        self._plane = Plane(grid)
        self._start, self._norm = self._started()
        self._rings: dict[torch.device, dict[int, _Ring]] = {}

    def defaults(self, layer: int) -> dict[int, list[tuple[float, ...]]]:
        """L evenly spread orientations at every scale that layer ``layer`` can reach."""
        L = self.spec.L
        rows = [(turn * math.pi / L, *self._start) for turn in range(L)]
        return {j: list(rows) for j in range(layer - 1, self.spec.J)}

    def bounds(self, values: Sequence[float]) -> tuple[tuple[float, float], ...]:
        """Coefficients between −1 and 1; only their ratios count."""
        limits = ((-math.inf, math.inf), *(((-_LIMIT, _LIMIT),) * (len(self.parameters) - 1)))
        require_inside(self.parameters, values, limits)
        return limits

    def spectra(
        self,
        values: Tensor,
        scales: Sequence[int],
        precision: float = DOUBLE,  # noqa: ARG002 (the interface's)
    ) -> Tensor:
        """ψ̂, real, ``(filters, M, N)``."""
        coefficients = self._turned(values)
        rings = self._rings_on(values.device)
        parts = []
        for scale in sorted(set(scales)):
            rows = [row for row, own in enumerate(scales) if own == scale]
            ring = rings[scale]
            # One product a filter: its bits must not depend on how many others there are.
            every = ring.waves.expand(len(rows), -1, -1)
            waves = torch.bmm(coefficients[rows[0] : rows[-1] + 1], every)
            inside = (waves * ring.radial).sum(1)
            blank = inside.new_zeros(len(rows), math.prod(self.grid))
            parts.append(blank.index_copy(1, ring.places, inside))
        return torch.cat(parts).view(-1, *self.grid)

    def low_pass(self, *, kept_norm: bool = False) -> Tensor:  # noqa: ARG002 (it is 1)
        """1 below the radial functions of the coarsest scale, falling along the last."""
        radii = torch.from_numpy(self._plane.radii)
        return radial_low_pass(radii, self.spec.J)[torch.from_numpy(self._plane.index)].view(
            self.grid
        )

    def describe(
        self, values: Sequence[Sequence[float]], scales: Sequence[int]
    ) -> list[Mapping[str, float]]:
        """Axis of the energy in rad; its centre and r.m.s. width in rad/pixel, over |ω|."""
        rows = torch.tensor(values, dtype=torch.float64).view(-1, len(self.parameters))
        described: list[Mapping[str, float]] = []
        if not len(rows):
            return described
        omega = torch.arange(1, 257, dtype=torch.float64) * (math.pi / 256)
        phi = torch.arange(64, dtype=torch.float64) * (2 * math.pi / 64)
        waves = self._turned(rows) @ self._waves_at(phi.cos(), phi.sin())
        for wave, scale in zip(waves, scales, strict=True):
            (knots,) = _centres((scale,), omega.device)
            energy = (wave.T @ radial(omega, knots[:, None])).square()
            energy = energy / energy.sum()
            along, around = energy.sum(0), energy.sum(1)
            centre = float((along * omega).sum())
            axis = 0.5 * math.atan2(
                float((around * (2 * phi).sin()).sum()), float((around * (2 * phi).cos()).sum())
            )
            width = float((along * (omega - centre).square()).sum().sqrt())
            described.append({"angle": axis % math.pi, "frequency": centre, "bandwidth": width})
        return described

    def candidates(
        self, values: Sequence[Sequence[float]], car: Sequence[float]
    ) -> list[tuple[tuple[float, ...], str]]:
        """Midpoint of the largest gap in angle, then beside the filter of highest CAR."""
        return turned(values, car)

    def _waves(self) -> list[tuple[str, int]]:
        """Angular functions, in the order of the coefficients."""
        every = range(1, self.harmonics + 1)
        return [("cos", 0), *(("cos", m) for m in every), *(("sin", m) for m in every)]

    def _waves_at(self, cosine: Tensor, sine: Tensor) -> Tensor:
        """Angular functions of a direction: ``(2·harmonics + 1, directions)``."""
        power = torch.complex(torch.ones_like(cosine), torch.zeros_like(cosine))
        step = torch.complex(cosine, sine)
        powers = [power]
        for _ in range(self.harmonics):
            powers.append(powers[-1] * step)
        stacked = torch.stack(powers)
        return torch.cat((stacked.real, stacked.imag[1:]))

    def _turned(self, values: Tensor) -> Tensor:
        """Coefficients told in the frame of the grid, ``(filters, radial, waves)``."""
        M = self.harmonics
        own = values[:, 1:]
        own = own * (self._norm / own.norm(dim=1, keepdim=True).clamp_min(1e-12))
        own = own.view(len(values), _RADIAL, 2 * M + 1)
        turn = values[:, :1] * torch.arange(1, M + 1, device=values.device)
        c, s = turn.cos()[:, None], turn.sin()[:, None]
        mean, even, odd = own[..., :1], own[..., 1 : M + 1], own[..., M + 1 :]
        return torch.cat((mean, even * c - odd * s, even * s + odd * c), 2)

    def _started(self) -> tuple[tuple[float, ...], float]:
        """Coefficients of a one-sided bump, and their norm where the bank's energy is 1 at most.

        The bump is ((1 + cos φ)/2)^M, the smoothest of M harmonics.
        """
        M = self.harmonics
        bump = [math.comb(2 * M, M + m) / 4**M * (1 if m == 0 else 2) for m in range(M + 1)]
        angular = np.array([*bump, *([0.0] * M)])
        shape = np.outer(_SHAPE, angular).ravel()
        phi = np.arange(720) * (math.pi / 360)
        windows = (
            1 + np.cos(phi[:, None] - np.arange(2 * self.spec.L) * math.pi / self.spec.L)
        ) / 2
        around = 0.5 * (windows ** (2 * M)).sum(1).max()
        # Neighbouring scales overlap by half an octave: cos² + sin² and their cross terms.
        x = np.linspace(0, 1, 101)
        scales = [
            np.sum([w * _bump(x + k - 0.5 * b) for b, w in enumerate(_SHAPE)], 0)
            for k in range(-2, 4)
        ]
        along = np.square(scales).sum(0).max()
        norm = float(np.linalg.norm(shape))
        return tuple((shape / norm).tolist()), norm / math.sqrt(float(around * along))

    def _rings_on(self, device: torch.device) -> "dict[int, _Ring]":
        if device not in self._rings:
            # What is made in inference mode could be part of no graph later.
            with torch.inference_mode(False):
                made = {j: _Ring(self, self._plane, j, device) for j in range(self.spec.J + 1)}
            self._rings[device] = made
        return self._rings[device]


class _Ring:
    """The frequencies that filters of a scale reach.

    Attributes:
        places: Which of the grid's, flat.
        radial: β of each: ``(radial, frequencies)``.
        waves: ``(waves, frequencies)``; on the grid's border the mean over its two directions.
    """

    def __init__(self, family: Steerable, plane: Plane, scale: int, device: torch.device) -> None:
        (knots,) = _centres((scale,), torch.device("cpu"))
        radii, index = torch.from_numpy(plane.radii), torch.from_numpy(plane.index)
        along = radial(radii, knots[:, None])[:, index]
        reached = (along != 0).any(0)
        waves = family._waves_at(*torch.from_numpy(plane.directions[:2]))
        border = torch.from_numpy(plane.border)
        both = family._waves_at(*torch.from_numpy(plane.border_directions[:2]))
        waves[:, border] = both.view(len(waves), SIDES, -1).mean(1)
        self.places = torch.nonzero(reached)[:, 0].to(device)
        self.radial = along[:, reached].to(device)
        self.waves = waves[:, reached].contiguous().to(device)


@constant
def _centres(scales: tuple[int, ...], device: torch.device) -> Tensor:
    """Where the radial functions of filters stand, in octaves from π: ``(filters, radial)``."""
    knots = [[-j - 0.5 * b for b in range(_RADIAL)] for j in scales]
    return torch.tensor(knots, dtype=torch.float64, device=device)


def radial(omega: Tensor, centres: Tensor) -> Tensor:
    """β about ``centres`` in octaves from π: half an octave wide either side."""
    x = torch.log2(omega.clamp_min(1e-12) / math.pi) - centres
    return torch.where(x.abs() < 0.5, torch.cos(math.pi * x), torch.zeros_like(x))


def radial_low_pass(omega: Tensor, J: int) -> Tensor:
    """φ̂ that takes half the energy of the last β of scale J − 1, and all of those below."""
    x = torch.log2(omega.clamp_min(1e-12) / math.pi) + J
    below = torch.cos(math.pi * (x + 0.5).clamp(0, 0.5)).square()
    half = torch.where(x.abs() < 0.5, torch.cos(math.pi * x), torch.zeros_like(x)).square()
    return (below + 0.5 * half).sqrt()


def _bump(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(abs(x) < 0.5, np.cos(np.pi * x), 0.0)
