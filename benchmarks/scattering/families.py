"""What other wavelet families cost: a forward pass, an online step, and their filters alone."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from benchmarks.scattering import ways
from benchmarks.scattering.cases import Case
from benchmarks.scattering.steps import online_step
from benchmarks.scattering.timing import Times, measure
from scatonline import Scattering
from scatonline.families import FAMILIES


@dataclass(frozen=True)
class FamilyRow:
    """One family on one case; all times were taken in turns.

    Attributes:
        case: The case.
        family: Its family.
        kymatio: A forward pass of Kymatio.
        morlet: Of our Morlet bank.
        ours: Of this family's.
        step: An online step of this family.
        build: All filters of the first layer from θ.
        build_back: The same, and the gradient back to θ.
    """

    case: Case
    family: str
    kymatio: Times
    morlet: Times
    ours: Times
    step: Times
    build: Times
    build_back: Times

    @property
    def ratio(self) -> float:
        """How many times faster than Kymatio."""
        return self.kymatio.median / self.ours.median

    @property
    def of_morlet(self) -> float:
        """This ratio as a share of that of the Morlet bank."""
        return self.morlet.median / self.ours.median

    def to_dict(self) -> dict[str, Any]:
        """For a JSON file; times in seconds."""
        return {**asdict(self), "kymatio/ours": self.ratio, "morlet/ours": self.of_morlet}


def rows(case: Case, device: torch.device, seconds: float) -> list[FamilyRow]:
    """Every family on a case, Kymatio and the Morlet bank beside it."""
    x = ways.signals(case, device)
    kymatio = ways.forward(ways.kymatio(case).to(device), x)
    morlet = ways.forward(ways.ours(case).to(device), x)
    found = []
    for family, dimensions in FAMILIES:
        if dimensions != len(case.shape):
            continue
        transform = ways.ours(case, family).to(device)
        calls: dict[str, Callable[[], object]] = {
            "kymatio": kymatio,
            "morlet": morlet,
            "ours": ways.forward(transform, x),
            "step": online_step(ways.ours(case, family).to(device), x),
            "build": _build(transform),
            "build_back": _build_back(transform),
        }
        found.append(FamilyRow(case, family, **measure(calls, device, seconds)))
    return found


def _build(transform: Scattering) -> Callable[[], object]:
    """Evaluates every filter anew, as after a step of θ."""
    bank = transform.bank(1)
    scales = [name.scale for name in bank.names]

    def call() -> object:
        with torch.no_grad():
            return bank.family.spectra(bank.values(), scales, torch.finfo(torch.float32).eps)

    return call


def _build_back(transform: Scattering) -> Callable[[], object]:
    bank = transform.bank(1)
    theta: nn.Parameter = bank.theta
    with torch.no_grad():
        weight = torch.randn_like(bank.made_spectra())

    def call() -> object:
        made = bank.made_spectra(torch.float32)
        return torch.autograd.grad(made, theta, weight)

    return call
