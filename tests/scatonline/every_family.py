"""Every wavelet family on a small grid, with values anywhere in its domain."""

import pytest
import torch
from torch import Tensor

from scatonline.config import BankSpec, Bound
from scatonline.families import FAMILIES, Coordinates, Family, Kinds, make_family
from scatonline.scattering import Scattering

GRIDS = {1: (48,), 2: (16, 20)}
EVERY = [pytest.param(name, d, id=f"{name}-{d}-D") for name, d in FAMILIES]


def specification(name: str, bound: Bound = "clamp") -> BankSpec:
    return BankSpec(family=name, J=2, L=3, Q=(2,), bound=bound, padding="periodic")


def family(name: str, dimensions: int) -> Family:
    return make_family(specification(name), GRIDS[dimensions])


def random_values(chosen: Family, seed: int) -> dict[int, Tensor]:
    """Natural values anywhere in the domains of the default filters, by scale."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {}
    for scale, filters in chosen.defaults(1).items():
        limits = torch.tensor([chosen.bounds(v) for v in filters], dtype=torch.float64)
        u = 2 * torch.randn(limits.shape[:2], generator=generator, dtype=torch.float64)
        kinds = Kinds.of(chosen.parameters)
        drawn[scale] = Coordinates(kinds, limits[..., 0], limits[..., 1]).natural(u)
    return drawn


def signals(dimensions: int, count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(count, *GRIDS[dimensions], generator=generator, dtype=torch.float64)


def scattered(transform: Scattering, x: Tensor) -> Tensor:
    with torch.no_grad():
        maps: Tensor = transform(x)
    return maps


def restructured(transform: Scattering) -> Scattering:
    """After a step on θ, with one filter gone and one new."""
    for layer in (1, 2):
        bank = transform.bank(layer)
        with torch.no_grad():
            bank.theta.add_(0.1 * torch.linspace(-1, 1, bank.theta.numel()).view_as(bank.theta))
    bank = transform.bank(1)
    rows = bank.values().tolist()
    transform.drop(1, bank.names[1].id)
    at = [rows[row] for row in bank.rows(0)]
    (values, _), *_ = bank.family.candidates(at, [0.0] * len(at))
    transform.add(1, 0, values)
    return transform
