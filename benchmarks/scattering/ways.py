"""Ways to do a case's work: ours, Kymatio's, and the bare FFTs."""

from collections.abc import Callable

import torch
from kymatio.torch import Scattering1D as KymatioScattering1D
from kymatio.torch import Scattering2D as KymatioScattering2D
from torch import nn

from benchmarks.scattering.cases import Case
from benchmarks.scattering.timing import measure
from scatonline import Scattering, Scattering1D, Scattering2D

Call = Callable[[], object]


def ours(case: Case, family: str = "morlet") -> Scattering:
    """Our transform with its default bound."""
    if len(case.shape) == 2:
        return Scattering2D(case.J, case.shape, family=family)
    return Scattering1D(case.J, case.shape, case.Q, family=family)


def kymatio(case: Case) -> nn.Module:
    """Kymatio's transform."""
    made: nn.Module = (
        KymatioScattering2D(case.J, case.shape)
        if len(case.shape) == 2
        else KymatioScattering1D(case.J, case.shape[0], Q=case.Q)
    )
    return made


def signals(case: Case, device: torch.device) -> torch.Tensor:
    """White noise, the same for every way."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(case.batch, *case.shape, generator=generator).to(device)


def forward(transform: nn.Module, x: torch.Tensor) -> Call:
    """A pass without gradients."""

    def call() -> object:
        with torch.no_grad():
            return transform(x)

    return call


def bare_ffts(case: Case, device: torch.device) -> Call:
    """The FFTs of a forward pass and nothing else, each in the cheapest form that serves.

    One inverse complex transform for all maps of a grid, one real transform for those that go on.
    Large batches go through in the pieces that are fastest, which is tried out beforehand.
    """
    transform = ours(case)
    pieces = [n for n in (1, 2, 4, 8, 16, 32, 64) if n <= case.batch]
    calls = [_in_pieces(transform, case.batch, piece, device) for piece in pieces]
    return min(calls, key=lambda call: measure({"": call}, device, 0.3)[""].median)


def _in_pieces(transform: Scattering, batch: int, piece: int, device: torch.device) -> Call:
    geometry, stages = transform.geometry, transform.cascade.plan.stages
    sizes = [(stage, geometry.grid(stage.level)) for stage in stages]
    spectra = [
        torch.randn(stage.channels * piece, *grid, dtype=torch.complex64, device=device)
        for stage, grid in sizes
        if stage.branches
    ]
    maps = [
        torch.randn(stage.onward * piece, *grid, device=device)
        for stage, grid in sizes
        if stage.onward
    ]

    def call() -> None:
        for _ in range(0, batch, piece):
            for spectrum in spectra:
                torch.fft.ifftn(spectrum, dim=geometry.axes)
            for u in maps:
                torch.fft.rfftn(u, dim=geometry.axes)

    return call
