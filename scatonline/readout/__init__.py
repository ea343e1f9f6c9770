"""From columns to predictions: kinds of targets and the recursive readout."""

from scatonline.readout.links import LINKS, Link
from scatonline.readout.recursive import RecursiveReadout, predict

__all__ = ["LINKS", "Link", "RecursiveReadout", "predict"]
