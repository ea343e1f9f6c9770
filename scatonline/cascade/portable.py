"""The cascade in PyTorch's own operations: any device, ``torch.compile``, derivatives of any order.

What it does is said in :mod:`scatonline.cascade.paths`; on a processor
:mod:`scatonline.cascade.swift` does the same in fewer passes over memory.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from scatonline.cascade.averages import Averages
from scatonline.cascade.geometry import Geometry
from scatonline.cascade.paths import Plan, Use
from scatonline.fourier import fold


def stages(
    x: Tensor,
    plan: Plan,
    geometry: Geometry,
    psi: Mapping[Use, Tensor],
    averages: Averages | None,
) -> list[Tensor]:
    """Channels of every stage, averaged unless there are no ``averages``.

    Args:
        x: ``(batch, *padded)``.
        plan: Which filters act on what.
        geometry: Sizes.
        psi: Folded filters.
        averages: From :meth:`Geometry.averages`.

    Returns:
        For each stage ``(channels·batch, *size)``.
    """
    batch = x.shape[0]
    results: list[Tensor] = []
    folded: dict[tuple[int, int], Tensor] = {}
    for index, stage in enumerate(plan.stages):
        u = x
        if stage.branches:
            products = []
            for branch in stage.branches:
                source = folded[branch.source, branch.use.factor]
                channels = source[branch.start * batch : branch.stop * batch]
                products.append(_aliased_product(psi[branch.use], channels).flatten(0, 1))
            spectrum = torch.view_as_complex(torch.cat(products))
            spectrum = spectrum.view(-1, *geometry.grid(stage.level))
            u = modulus(torch.fft.ifftn(spectrum, dim=geometry.axes))
        results.append(averages.portable(u, stage.level) if averages else u)
        if stage.onward:
            spectrum = torch.fft.fftn(u[: stage.onward * batch], dim=geometry.axes)
            for factor in stage.factors:
                folded[index, factor] = torch.view_as_real(fold(spectrum, factor))
    return results


def modulus(z: Tensor) -> Tensor:
    """|z| of a complex tensor, with gradient 0 where z = 0."""
    square = torch.view_as_real(z).square().sum(-1)
    zero = square == 0
    return square.masked_fill(zero, 1).sqrt().masked_fill(zero, 0)


def _aliased_product(psi: Tensor, x: Tensor) -> Tensor:
    """``Σ_a ψ[a, l]·x[c, a]``: ``(filters, channels, frequencies, 2)`` real pairs."""
    pairs = psi[:, :, None, :, None]
    total = pairs[0] * x[:, 0]
    for a in range(1, psi.shape[0]):
        total = torch.addcmul(total, pairs[a], x[:, a])
    return total
