"""Derivatives by central differences, against which gradients are held."""

from collections.abc import Callable

import torch
from torch import Tensor


def central_differences(loss: Callable[[Tensor], Tensor], at: Tensor, step: float = 1e-5) -> Tensor:
    """Gradient of a scalar function at a float64 tensor, one entry at a time."""
    gradient = torch.zeros_like(at)
    with torch.no_grad():
        for i in range(at.numel()):
            shift = torch.zeros_like(at).view(-1)
            shift[i] = step
            shift = shift.view_as(at)
            gradient.view(-1)[i] = (loss(at + shift) - loss(at - shift)) / (2 * step)
    return gradient
