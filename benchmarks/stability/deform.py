"""Smooth random deformations of periodic signals, exactly interpolated."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Largest values are sought on a grid that many times finer than the signal's.
_SOUGHT = 4


@dataclass(frozen=True)
class Warp:
    """x ↦ x(u − τ(u)) at the samples u of a grid.

    Attributes:
        tau: ``(dimensions, *grid)``, in samples of the signal's grid.
        gradient: sup‖∇τ‖, operator norm.
        displacement: sup|τ|.
        size: Samples of the signal along each axis.
    """

    tau: Tensor
    gradient: float
    displacement: float
    size: tuple[int, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Of the trigonometric interpolants of ``(batch, *size)``: ``(batch, *grid)``."""
        grid = self.tau.shape[1:]
        waves = []
        for axis, (n, points) in enumerate(zip(self.size, grid, strict=True)):
            u = torch.arange(points, dtype=torch.float64) * (n / points)
            u = u.view([-1 if i == axis else 1 for i in range(len(grid))]).expand(grid)
            position = (u - self.tau[axis]).reshape(-1, 1)
            number = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
            turn = 2 * math.pi / n * position * number
            wave = torch.complex(turn.cos(), turn.sin())
            if n % 2 == 0:
                # The highest frequency stands for both signs.
                wave[:, n // 2] = turn[:, n // 2].cos()
            waves.append(wave)
        axes = tuple(range(1, x.dim()))
        coefficients = torch.fft.fftn(x, dim=axes, norm="forward")
        rows = []
        for c in coefficients:
            values = waves[0] @ c[:, None] if c.dim() == 1 else (waves[0] @ c * waves[1]).sum(1)
            rows.append(values.reshape(grid))
        warped = torch.stack(rows)
        return warped if x.is_complex() else warped.real


def random_warp(
    size: tuple[int, ...], gradient: float, cycles: int, seed: int, finer: int = 1
) -> Warp:
    """A deformation of frequencies up to ``cycles`` a period along each axis, and no shift.

    Args:
        size: Of the signal.
        gradient: sup‖∇τ‖ that it is scaled to.
        cycles: Highest frequency.
        seed: Of its coefficients.
        finer: Samples of its grid for each one of the signal; 1, 2 or 4.
    """
    d, grid = len(size), tuple(_SOUGHT * n for n in size)
    axes = tuple(range(1, d + 1))
    generator = torch.Generator().manual_seed(seed)
    few = (2 * cycles + 1) ** d
    drawn = torch.randn(2, d, few, generator=generator, dtype=torch.float64)
    # Without mean: a shift is no deformation.
    drawn[..., few // 2] = 0
    number = torch.arange(-cycles, cycles + 1)
    places = number % grid[0]
    for n in grid[1:]:
        places = places[..., None] * n + number % n
    spectrum = torch.zeros(d, math.prod(grid), dtype=torch.complex128)
    spectrum[:, places.flatten()] = torch.complex(drawn[0], drawn[1])
    spectrum = spectrum.view(d, *grid)
    slopes = []
    for axis, n in enumerate(grid):
        omega = 2 * math.pi * _SOUGHT * torch.fft.fftfreq(n, dtype=torch.float64)
        omega = omega.view([-1 if i == axis else 1 for i in range(d)])
        slopes.append(torch.fft.ifftn(1j * omega * spectrum, dim=axes, norm="forward").real)
    jacobian = torch.stack(slopes).flatten(2).permute(2, 0, 1)
    factor = gradient / float(torch.linalg.matrix_norm(jacobian, ord=2).max())
    tau = factor * torch.fft.ifftn(spectrum, dim=axes, norm="forward").real
    displacement = float(torch.linalg.vector_norm(tau, dim=0).max())
    kept = (slice(None), *(slice(None, None, _SOUGHT // finer) for _ in size))
    return Warp(tau[kept].contiguous(), gradient, displacement, size)
