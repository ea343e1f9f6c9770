"""Filters of the plane: a band of frequencies times a window of directions.

    ψ̂(ω) = Ψ_j(|ω|/a)·w(∠ω),    w(φ) = n·exp((2/Δ²)·(cos(φ − θ) − 1))

with Ψ_j the band of scale j of any :class:`scatonline.families.band.Band`, θ the direction, Δ the
angular width and a a dilation that moves the band without changing its shape. Frequencies beyond π
radians a sample count as π.

A frequency on the border of the grid (±π along an axis) stands for two directions at once; there
the window's energy is the mean over them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from scatonline.autograd import Gradients, first_derivative_only
from scatonline.config import BankSpec
from scatonline.families.band import Band, spread
from scatonline.families.base import DOUBLE, ParameterSpec, require_inside
from scatonline.families.gaps import turned
from scatonline.families.plane import SIDES, Placed, Plane
from scatonline.kernels import polar as kernels

_OCTAVE = 2.0
_HALF_OCTAVE = math.sqrt(2.0)


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
        self._by_device: dict[torch.device, Placed] = {}

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

    def _placed(self, device: torch.device) -> Placed:
        if device not in self._by_device:
            # What is made in inference mode could be part of no graph later.
            with torch.inference_mode(False):
                self._by_device[device] = Placed(self._plane, device)
        return self._by_device[device]


def _windowed(along: Tensor, linear: Tensor, placed: Placed, log_norm: Tensor) -> Tensor:
    """Bands times windows ``exp(linear @ directions)``: ``(filters, frequencies)``."""
    if along.device.type == "cpu" and not torch.compiler.is_compiling():
        made: Tensor = _Windowed.apply(along, linear, placed, log_norm)  # type: ignore[no-untyped-call]
        return made
    log_window, _ = _log_windows(linear, placed, log_norm)
    return along.index_select(1, placed.index) * log_window.exp()


def _log_windows(linear: Tensor, placed: Placed, log_norm: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of windows, and on the border the logarithms of twice the energy of each side."""
    border = _combined(linear, placed.border_directions, log_norm)
    sides = 2 * border.view(len(linear), SIDES, -1)
    mean = 0.5 * (torch.logsumexp(sides, 1) - math.log(SIDES))
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
        ctx: Any, along: Tensor, linear: Tensor, placed: Placed, log_norm: Tensor
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


def _log_norm(L: int, width: float) -> Tensor:
    """Logarithm of the factor that makes the energy of L even windows 1 at most."""
    phi = torch.arange(720, dtype=torch.float64) * (math.pi / 360)
    centres = torch.arange(2 * L, dtype=torch.float64) * (math.pi / L)
    window = (4 / width**2 * (torch.cos(phi[:, None] - centres) - 1)).exp()
    return -0.5 * (0.5 * window.sum(1)).max().log()
