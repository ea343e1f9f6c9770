"""Readouts: from standardised columns to predictions, learning from one sample at a time."""

from collections.abc import Sequence

from scatonline.config import ReadoutSpec
from scatonline.readout.links import LINKS
from scatonline.readout.recursive import RecursiveReadout, RecursiveView
from scatonline.readout.view import WindowView
from scatonline.readout.window import WindowReadout

Readout = RecursiveReadout | WindowReadout
View = RecursiveView | WindowView


def fresh(
    spec: ReadoutSpec, width: int, outputs: Sequence[str], size: float, device: str
) -> Readout:
    """A readout that knows nothing.

    Args:
        spec: What it is to be.
        width: Number of columns.
        outputs: Names of the outputs.
        size: Mean squared norm of standardised columns.
        device: Where it computes.
    """
    if spec.method == "window":
        return WindowReadout(spec, width, outputs, size, device)
    return RecursiveReadout.fresh(spec, width, len(outputs), device)


__all__ = ["LINKS", "Readout", "RecursiveReadout", "View", "WindowReadout", "fresh"]
