"""The transform of periodic functions of continuous position, of which ours takes samples.

Filters go on beyond the highest frequency of the signal's grid as `scatonline.stability.continued`
says, and moduli are taken on a grid so fine that hardly any of them is beyond it.
"""

import torch
from torch import Tensor

from scatonline.scattering import Scattering
from scatonline.stability import continued, low_pass


def scattered(transform: Scattering, fine: Tensor, finer: int) -> Tensor:
    """Coefficients on the fine grid, every path: ``(batch, paths, *fine grid)``.

    Args:
        transform: Gives filters and paths.
        fine: ``(batch, *fine grid)`` samples of the functions.
        finer: Samples there for each one of the transform's grid, along each axis.
    """
    axes = tuple(range(1 - fine.dim(), 0))
    psi: dict[str, Tensor] = {}
    with torch.no_grad():
        for m in range(transform.spec.max_order):
            bank = transform.bank(m + 1)
            for name, spectrum in zip(
                bank.names, torch.cat([*bank.spectra().values()]), strict=True
            ):
                psi[name.id] = continued(spectrum, finer)
    phi = continued(low_pass(transform), finer)
    known: dict[tuple[str, ...], Tensor] = {(): fine}
    maps = []
    for path in transform.paths:
        key = path.key
        if key:
            spectrum = torch.fft.fftn(known[key[:-1]], dim=axes)
            known[key] = torch.fft.ifftn(spectrum * psi[key[-1]], dim=axes).abs()
        maps.append(torch.fft.ifftn(torch.fft.fftn(known[key], dim=axes) * phi, dim=axes).real)
    return torch.stack(maps, 1)
