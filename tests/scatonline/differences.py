"""Derivatives by central differences, against which gradients are held."""

from collections.abc import Callable

import numpy as np
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


def assert_gradient(loss: Callable[[Tensor], Tensor], at: Tensor) -> None:
    variable = at.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(variable), variable)
    assert_close(gradient, central_differences(loss, at))


def assert_close(gradient: Tensor, expected: Tensor) -> None:
    """To the precision of central differences, relative to the largest entry."""
    largest = float(expected.abs().max())
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6 * largest)
