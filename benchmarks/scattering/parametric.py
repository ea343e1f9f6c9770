"""The comparison for online steps: how Parametric Scattering Networks learn their filters.

Gauthier et al., CVPR 2022: Morlet filters are made in space from learnable parameters, transformed,
and handed to Kymatio's path-by-path scattering, through which autograd goes. Written anew here from
the paper's description; filters of all paths are made in one batch, which is kinder to it than one
after the other.
"""

import math

import torch
from kymatio.scattering2d.core.scattering2d import scattering2d
from kymatio.torch import Scattering2D
from torch import Tensor, nn


class ParametricScattering(nn.Module):
    """Kymatio's 2-D scattering with learnable orientation, frequency, width and slant a filter.

    One set of filters serves both layers.
    """

    def __init__(self, J: int, shape: tuple[int, int], L: int = 8) -> None:
        """Starts from Kymatio's filters."""
        super().__init__()
        self.J, self.L = J, L
        self.fixed = Scattering2D(J, shape, L=L)
        scales = torch.arange(J).repeat_interleave(L).float()
        turns = torch.arange(L).repeat(J)
        self.theta = nn.Parameter((L // 2 - 1 - turns) * math.pi / L)
        self.xi = nn.Parameter(0.75 * math.pi / 2**scales)
        self.sigma = nn.Parameter(0.8 * 2**scales)
        self.slant = nn.Parameter(torch.full((J * L,), 4.0 / L))
        M, N = self.fixed._M_padded, self.fixed._N_padded
        rows, columns = torch.meshgrid(
            torch.fft.fftfreq(M, 1 / M), torch.fft.fftfreq(N, 1 / N), indexing="ij"
        )
        self.rows: Tensor
        self.columns: Tensor
        self.register_buffer("rows", rows)
        self.register_buffer("columns", columns)

    def filters(self) -> Tensor:
        """ψ̂ of every filter, ``(J·L, M, N)``."""
        theta, xi, sigma, slant = (
            p[:, None, None] for p in (self.theta, self.xi, self.sigma, self.slant)
        )
        along = self.rows * theta.cos() + self.columns * theta.sin()
        across = self.columns * theta.cos() - self.rows * theta.sin()
        envelope = torch.exp(-(along**2 + (slant * across) ** 2) / (2 * sigma**2))
        wave = torch.polar(envelope, xi * along)
        kappa = wave.sum((1, 2), keepdim=True) / envelope.sum((1, 2), keepdim=True)
        norm = slant / (2 * math.pi * sigma**2)
        spectra: Tensor = torch.fft.fft2(norm * (wave - kappa * envelope)).real.contiguous()
        return spectra

    def forward(self, x: Tensor) -> Tensor:
        """Scattering coefficients ``(batch, channels, m, n)``, filters made anew."""
        psi = []
        for number, spectrum in enumerate(self.filters()):
            j = number // self.L
            levels = [
                _periodised(spectrum, level)[..., None]
                for level in range(min(j + 1, max(self.J - 1, 1)))
            ]
            psi.append({"levels": levels, "j": j, "theta": number % self.L})
        result: Tensor = scattering2d(
            x,
            self.fixed.pad,
            self.fixed.unpad,
            self.fixed.backend,
            self.J,
            self.L,
            self.fixed.load_filters()[0],
            psi,
            2,
        )
        return result


def _periodised(spectrum: Tensor, level: int) -> Tensor:
    """A filter on a coarser grid, as Kymatio makes it: the folding band emptied, aliases added."""
    if level == 0:
        return spectrum
    M, N = spectrum.shape
    kept = torch.ones_like(spectrum)
    for axis, n in enumerate((M, N)):
        start, length = int(n * 2.0 ** (-level - 1)), int(n * (1 - 2.0**-level))
        kept.narrow(axis, start, length).zero_()
    k = 2**level
    return (spectrum * kept).view(k, M // k, k, N // k).sum((0, 2))
