"""Where the frame bound has a slope."""

import pytest
import torch
from torch import Tensor

from scatonline.bound import Fold, Limits, bounded, folded
from scatonline.cascade import Use

GRID = (4, 8)
LIMITS = Limits(torch.ones(GRID, dtype=torch.float64), torch.full(GRID, 1.0, dtype=torch.float64))
ONE = [Fold(slice(0, 1), Use(1, 0, 0, 1), 1.0)]


def slope(height: float, *, swift: bool) -> Tensor:
    """Of the sum of one even filter that is as high as this everywhere, within its limits."""
    psi = torch.full((1, *GRID), height, dtype=torch.float64, requires_grad=True)
    total = (
        folded(psi, LIMITS, ONE, torch.float64)[0].sum() if swift else bounded(psi, LIMITS).sum()
    )
    (found,) = torch.autograd.grad(total, psi)
    return found


@pytest.mark.parametrize("swift", [True, False])
def test_rounding_does_not_decide_whether_the_bound_has_a_slope(swift: bool) -> None:
    """A filter at the limit is free to shrink and to grow; one above it is held."""
    for height in (1 - 1e-14, 1.0, 1 + 1e-14):
        torch.testing.assert_close(slope(height, swift=swift), torch.ones(1, *GRID).double())
    held = slope(1 + 1e-6, swift=swift)
    torch.testing.assert_close(held, torch.zeros_like(held), rtol=0, atol=1e-9)
