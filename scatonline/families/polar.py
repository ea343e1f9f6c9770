"""Filters that are a band of frequencies times a window of directions.

    ψ̂(ω) = |Ψ_j|(|ω|/a)·w(∠ω),    w(φ) = n·exp((2/Δ²)·(cos(φ − θ) − 1))

with Ψ_j the band of scale j of any :class:`Band`, θ the direction, Δ the angular width and a a
dilation that moves the band without changing its shape. Frequencies beyond π radians a sample count
as π. Over time there are no directions: the band is kept for ω > 0, with a roll-off towards the
highest frequency that keeps the energy of both signs together.

A frequency on the border of the grid (±π along an axis) stands for two directions at once; there
the window's energy is the mean over them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scatonline.autograd import Gradients, first_derivative_only
from scatonline.config import BankSpec
from scatonline.errors import ConfigError
from scatonline.families.base import DOUBLE, ParameterSpec
from scatonline.families.gaps import log_frequency_gaps, turned
from scatonline.kernels import polar as kernels

_OCTAVE = 2.0
_HALF_OCTAVE = math.sqrt(2.0)
_ROLL_OFF = 0.75 * math.pi
# A frequency on a border stands for one on either side of each axis.
_SIDES = 4
# Frequencies at which a band's centre and width are taken.
_SAMPLED = 512


@runtime_checkable
class Band(Protocol):
    """Parametric bands of frequencies, one octave a scale."""

    @property
    def parameters(self) -> Sequence[ParameterSpec]:
        """Their columns."""
        ...

    @property
    def start(self) -> tuple[float, ...]:
        """Values to start from."""
        ...

    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Open interval of every parameter; unused for angles."""
        ...

    def along(self, values: Tensor, scales: Sequence[int], omega: Tensor) -> Tensor:
        """Ψ_j of filters at frequencies, 0 at ω = 0, differentiable.

        Args:
            values: ``(filters, parameters)``.
            scales: Scale j of each.
            omega: ``(filters, frequencies)``, 0 to π radians a sample.

        Returns:
            ``(filters, frequencies)``.
        """
        ...

    def low_pass(self, omega: Tensor) -> Tensor:
        """φ̂ at ascending ``(frequencies,)`` from 0, where it is 1."""
        ...


class Polar:
    """A band in all directions of the plane."""

    def __init__(self, band: Band, spec: BankSpec, grid: tuple[int, ...]) -> None:
        """Prepares the frequencies of ``grid`` = padded ``(M, N)``."""
        self.band, self.spec, self.grid = band, spec, grid
        self.width = math.pi / spec.L
        self.parameters = (
            ParameterSpec("theta", "rad", "direction"),
            ParameterSpec("delta", "rad"),
            ParameterSpec("dilation", "1"),
            *band.parameters,
        )
        self._plane = Plane(grid)
        self._log_norm = _log_norm(spec.L, self.width)
        self._by_device: dict[torch.device, _Placed] = {}

    def defaults(self, layer: int) -> dict[int, list[tuple[float, ...]]]:
        """L evenly spread orientations at every scale that layer ``layer`` can reach."""
        rows = [
            (turn * math.pi / self.spec.L, self.width, 1.0, *self.band.start)
            for turn in range(self.spec.L)
        ]
        return {j: list(rows) for j in range(layer - 1, self.spec.J)}

    def bounds(self, values: Sequence[float]) -> tuple[tuple[float, float], ...]:
        """An octave about the width that filters start with, half of one about the dilation 1."""
        limits = (
            (-math.inf, math.inf),
            (self.width / _OCTAVE, self.width * _OCTAVE),
            (1 / _HALF_OCTAVE, _HALF_OCTAVE),
            *self.band.bounds(),
        )
        require_inside(self.parameters, values, limits)
        return limits

    def spectra(
        self,
        values: Tensor,
        scales: Sequence[int],
        precision: float = DOUBLE,  # noqa: ARG002 (the interface's)
    ) -> Tensor:
        """ψ̂, real, ``(filters, M, N)``."""
        placed = self._placed(values.device)
        theta, delta, dilation = values[:, 0], values[:, 1], values[:, 2]
        omega = (placed.radii / dilation[:, None]).clamp_max(math.pi)
        along = self.band.along(values[:, 3:], scales, omega)
        sharpness = 2 / delta.square()
        linear = torch.stack((sharpness * theta.cos(), sharpness * theta.sin(), -sharpness), 1)
        psi = _windowed(along, linear, placed, self._log_norm)
        return psi.view(-1, *self.grid)

    def low_pass(self, *, kept_norm: bool = False) -> Tensor:  # noqa: ARG002 (it is 1)
        """The band's low-pass of |ω|."""
        placed = self._placed(torch.device("cpu"))
        return self.band.low_pass(placed.radii)[placed.index].view(self.grid)

    def describe(
        self, values: Sequence[Sequence[float]], scales: Sequence[int]
    ) -> list[Mapping[str, float]]:
        """θ mod π in rad; centre of energy and r.m.s. width in rad/pixel along it."""
        rows = torch.tensor(values, dtype=torch.float64).view(-1, len(self.parameters))
        centre, width = spread(self.band, rows[:, 3:], rows[:, 2], scales)
        return [
            {"angle": theta % math.pi, "frequency": c, "bandwidth": w}
            for theta, c, w in zip(rows[:, 0].tolist(), centre, width, strict=True)
        ]

    def candidates(
        self, values: Sequence[Sequence[float]], car: Sequence[float]
    ) -> list[tuple[tuple[float, ...], str]]:
        """Midpoint of the largest gap in angle, then beside the filter of highest CAR."""
        return turned(values, car)

    def _placed(self, device: torch.device) -> "_Placed":
        if device not in self._by_device:
            # What is made in inference mode could be part of no graph later.
            with torch.inference_mode(False):
                self._by_device[device] = _Placed(self._plane, device)
        return self._by_device[device]


class Line:
    """A band over time."""

    def __init__(self, band: Band, spec: BankSpec, grid: tuple[int, ...]) -> None:
        """Prepares the frequencies of ``grid`` = padded ``(N,)``."""
        self.band, self.spec, self.grid = band, spec, grid
        self.parameters = (ParameterSpec("dilation", "1"), *band.parameters)
        (n,) = grid
        number = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
        self._index = number.abs().long()
        self._radii = 2 * math.pi / n * torch.arange(n // 2 + 1, dtype=torch.float64)
        self._side = one_sided(2 * math.pi / n * number)
        self._by_device: dict[torch.device, tuple[Tensor, Tensor, Tensor]] = {}

    def defaults(self, layer: int) -> dict[int, list[tuple[float, ...]]]:
        """Q voices an octave, each a dilation of the first, at the scales of layer ``layer``."""
        Q = self.spec.Q[min(layer, len(self.spec.Q)) - 1]
        rows = [(2 ** (-q / Q), *self.band.start) for q in range(Q)]
        return {j: list(rows) for j in range(layer - 1, self.spec.J)}

    def bounds(self, values: Sequence[float]) -> tuple[tuple[float, float], ...]:
        """Half an octave either side of a dilation: a filter stays at its scale."""
        limits = (
            (values[0] / _HALF_OCTAVE, values[0] * _HALF_OCTAVE),
            *self.band.bounds(),
        )
        require_inside(self.parameters, values, limits)
        return limits

    def spectra(
        self,
        values: Tensor,
        scales: Sequence[int],
        precision: float = DOUBLE,  # noqa: ARG002 (the interface's)
    ) -> Tensor:
        """ψ̂, real, ``(filters, N)``."""
        radii, index, side = self._placed(values.device)
        omega = (radii / values[:, :1]).clamp_max(math.pi)
        along = self.band.along(values[:, 1:], scales, omega)
        return along.index_select(1, index) * side

    def low_pass(self, *, kept_norm: bool = False) -> Tensor:  # noqa: ARG002 (it is 1)
        """The band's low-pass of |ω|."""
        return self.band.low_pass(self._radii)[self._index]

    def describe(
        self, values: Sequence[Sequence[float]], scales: Sequence[int]
    ) -> list[Mapping[str, float]]:
        """Centre of energy and r.m.s. width in cycles a sample."""
        rows = torch.tensor(values, dtype=torch.float64).view(-1, len(self.parameters))
        centre, width = spread(self.band, rows[:, 1:], rows[:, 0], scales)
        turn = 2 * math.pi
        return [
            {"frequency": c / turn, "bandwidth": w / turn}
            for c, w in zip(centre, width, strict=True)
        ]

    def candidates(
        self, values: Sequence[Sequence[float]], car: Sequence[float]
    ) -> list[tuple[tuple[float, ...], str]]:
        """Midpoint of the largest gap in log-frequency, then beside the filter of highest CAR."""

        def nearest(dilation: float) -> Sequence[float]:
            return min(values, key=lambda v: abs(math.log(v[0] / dilation)))

        return [
            ((dilation, *nearest(dilation)[1:]), reason)
            for dilation, reason in log_frequency_gaps([v[0] for v in values], car)
        ]

    def _placed(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Lengths, which of them each frequency has, and the side that is kept."""
        if device not in self._by_device:
            with torch.inference_mode(False):
                radii, index, side = (t.to(device) for t in (self._radii, self._index, self._side))
            self._by_device[device] = radii, index, side
        return self._by_device[device]


def one_sided(omega: Tensor) -> Tensor:
    """Factor u(ω) with u²(ω) + u²(−ω) = 2: √2 above 0, shared near π, 0 below and at 0."""
    near = ((omega.abs() - _ROLL_OFF) / (math.pi - _ROLL_OFF)).clamp(0, 1) * (math.pi / 4)
    positive = math.sqrt(2) * torch.where(omega > 0, near.cos(), near.sin())
    return torch.where(omega == 0, torch.zeros_like(omega), positive)


def require_inside(
    parameters: Sequence[ParameterSpec],
    values: Sequence[float],
    limits: Sequence[tuple[float, float]],
) -> None:
    """Refuses values outside the domain of a family.

    Raises:
        ConfigError: names the parameter, its value and the bound.
    """
    for parameter, value, (lower, upper) in zip(parameters, values, limits, strict=True):
        if not parameter.free and not lower < value < upper:
            raise ConfigError(
                f"filter has {parameter.name} = {value:g}, expected a value between its bounds "
                f"{lower:g} and {upper:g}{'' if parameter.unit == '1' else ' ' + parameter.unit}"
            )


def spread(
    band: Band, values: Tensor, dilation: Tensor, scales: Sequence[int]
) -> tuple[list[float], list[float]]:
    """Centre and r.m.s. width of the energy of bands, radians a sample."""
    if not len(values):
        return [], []
    omega = torch.arange(1, _SAMPLED + 1, dtype=torch.float64) * (math.pi / _SAMPLED)
    with torch.no_grad():
        along = band.along(values, scales, (omega / dilation[:, None]).clamp_max(math.pi))
        energy = along.square() / along.square().sum(1, keepdim=True)
        centre = (energy * omega).sum(1)
        width = (energy * (omega - centre[:, None]).square()).sum(1).sqrt()
    return centre.tolist(), width.tolist()


def _windowed(along: Tensor, linear: Tensor, placed: "_Placed", log_norm: Tensor) -> Tensor:
    """Bands times windows ``exp(linear @ directions)``: ``(filters, frequencies)``."""
    if along.device.type == "cpu" and not torch.compiler.is_compiling():
        made: Tensor = _Windowed.apply(along, linear, placed, log_norm)  # type: ignore[no-untyped-call]
        return made
    log_window, _ = _log_windows(linear, placed, log_norm)
    return along.index_select(1, placed.index) * log_window.exp()


def _log_windows(linear: Tensor, placed: "_Placed", log_norm: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of windows, and on the border the logarithms of twice the energy of each side."""
    border = _combined(linear, placed.border_directions, log_norm)
    sides = 2 * border.view(len(linear), _SIDES, -1)
    mean = 0.5 * (torch.logsumexp(sides, 1) - math.log(_SIDES))
    inside = _combined(linear, placed.directions, log_norm)
    return inside.index_copy(1, placed.border, mean), sides


def _combined(linear: Tensor, directions: Tensor, constant: Tensor) -> Tensor:
    """``linear @ directions`` and a constant.

    Not as a matrix product, whose last bits would depend on how many filters there are.
    """
    x, y, one = (column[:, None] for column in linear.unbind(1))
    return torch.addcmul(x * directions[0], y, directions[1]) + (one + constant)


class _Windowed(torch.autograd.Function):
    """:func:`_windowed` on a processor."""

    @staticmethod
    def forward(
        ctx: Any, along: Tensor, linear: Tensor, placed: "_Placed", log_norm: Tensor
    ) -> Tensor:
        window, sides = _log_windows(linear, placed, log_norm)
        window.exp_()
        psi = torch.empty_like(window)
        kernels.dealt_out(
            along.contiguous().numpy(), placed.index.numpy(), window.numpy(), psi.numpy()
        )
        ctx.placed, ctx.window, ctx.sides = placed, window, sides
        # The result too: kept on the node itself, neither would ever let the other go.
        ctx.save_for_backward(along, linear, psi)
        return psi

    @staticmethod
    @first_derivative_only
    def backward(ctx: Any, *gradients: Tensor) -> Gradients:
        bands, combined, psi = (saved.detach() for saved in ctx.saved_tensors)
        placed, gradient = ctx.placed, gradients[0].detach().contiguous()
        along, linear = torch.empty_like(bands), torch.empty_like(combined)
        kernels.gathered(
            gradient.numpy(),
            psi.numpy(),
            placed.index.numpy(),
            ctx.window.numpy(),
            placed.inner_directions.numpy(),
            along.numpy(),
            linear.numpy(),
        )
        # On the border a window's slope is the mean over its sides, by their energy.
        share = (gradient * psi)[:, placed.border][:, None] * torch.softmax(ctx.sides, 1)
        linear += share.flatten(1) @ placed.border_directions.T
        return along, linear, None, None


class Plane:
    """Frequencies of a grid: lengths, each once, and directions."""

    def __init__(self, grid: tuple[int, ...]) -> None:
        omega = [2 * math.pi * np.fft.fftfreq(n) for n in grid]
        x, y = (axis.ravel() for axis in np.meshgrid(*omega, indexing="ij"))
        lengths = np.minimum(np.hypot(x, y), math.pi)
        # Lengths that differ by rounding only are one.
        self.radii, index = np.unique(np.round(lengths, 12), return_inverse=True)
        self.index = index.ravel()
        self.directions = _direction(x, y)
        edges = [axis == -math.pi for axis in (x, y)]
        self.border = np.flatnonzero(edges[0] | edges[1])
        here = [axis[self.border] for axis in (x, y)]
        other = [np.where(axis == -math.pi, math.pi, axis) for axis in here]
        both = [(a, b) for a in (here[0], other[0]) for b in (here[1], other[1])]
        self.border_directions = np.concatenate([_direction(a, b) for a, b in both], 1)


class _Placed:
    """A :class:`Plane` on a device."""

    def __init__(self, plane: Plane, device: torch.device) -> None:
        def on(array: NDArray[np.generic]) -> Tensor:
            return torch.from_numpy(array).to(device)

        self.radii, self.index = on(plane.radii), on(plane.index)
        self.directions, self.border = on(plane.directions), on(plane.border)
        self.inner_directions = self.directions.index_fill(1, self.border, 0)
        self.border_directions = on(plane.border_directions)


def _direction(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine and sine of φ, and 1, ``(3, frequencies)``."""
    length = np.hypot(x, y)
    length[length == 0] = 1
    return np.stack((x / length, y / length, np.ones_like(x)))


def _log_norm(L: int, width: float) -> Tensor:
    """Logarithm of the factor that makes the energy of L even windows 1 at most."""
    phi = torch.arange(720, dtype=torch.float64) * (math.pi / 360)
    centres = torch.arange(2 * L, dtype=torch.float64) * (math.pi / L)
    window = (4 / width**2 * (torch.cos(phi[:, None] - centres) - 1)).exp()
    return -0.5 * (0.5 * window.sum(1)).max().log()
