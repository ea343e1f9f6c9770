"""Filters over time: a band of frequencies, one-sided.

    ψ̂(ω) = Ψ_j(|ω|/a)·u(ω)

with Ψ_j the band of scale j of any :class:`scatonline.families.band.Band`, a a dilation, and u zero
for ω < 0, but for a roll-off towards the highest frequency that keeps the energy of both signs
together. Frequencies beyond π radians a sample count as π.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from scatonline.config import BankSpec
from scatonline.families.band import Band, spread
from scatonline.families.base import DOUBLE, ParameterSpec, require_inside
from scatonline.families.gaps import log_frequency_gaps

_HALF_OCTAVE = math.sqrt(2.0)
_ROLL_OFF = 0.75 * math.pi


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
