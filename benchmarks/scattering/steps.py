"""One online step: filters from θ, forward, back to θ, optimiser."""

from collections.abc import Callable

import torch
from torch import nn


def online_step(transform: nn.Module, x: torch.Tensor) -> Callable[[], object]:
    """A step of SGD with momentum on a linear loss of the coefficients.

    Args:
        transform: Learnable.
        x: One signal, with a batch axis.
    """
    optimiser = torch.optim.SGD(transform.parameters(), lr=1e-4, momentum=0.9)
    with torch.no_grad():
        weight = torch.randn_like(transform(x))

    def call() -> None:
        optimiser.zero_grad()
        (transform(x) * weight).sum().backward()
        optimiser.step()

    return call
