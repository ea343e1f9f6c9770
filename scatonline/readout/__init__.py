"""Readouts: from standardised columns to predictions, learning from one sample at a time."""

from collections.abc import Sequence

from torch import Tensor

from scatonline.config import ReadoutSpec
from scatonline.readout.factorised import FactorisedReadout, FactorisedView
from scatonline.readout.links import LINKS
from scatonline.readout.recursive import RecursiveReadout, RecursiveView
from scatonline.readout.view import WindowView
from scatonline.readout.window import WindowReadout

Readout = RecursiveReadout | WindowReadout | FactorisedReadout
View = RecursiveView | WindowView | FactorisedView


def fresh(
    spec: ReadoutSpec, cells: Tensor, outputs: Sequence[str], size: float, device: str
) -> Readout:
    """A readout that knows nothing.

    Args:
        spec: What it is to be.
        cells: ``(width,)`` int64, for each column the number of columns of its map.
        outputs: Names of the outputs.
        size: Mean squared norm of standardised columns.
        device: Where it computes.
    """
    if spec.method == "window":
        return WindowReadout(spec, len(cells), outputs, size, device)
    if spec.method == "factorised":
        return FactorisedReadout(spec, cells.to(device), len(outputs), size)
    return RecursiveReadout.fresh(spec, len(cells), len(outputs), device)


__all__ = [
    "LINKS",
    "FactorisedReadout",
    "Readout",
    "RecursiveReadout",
    "View",
    "WindowReadout",
    "fresh",
]
