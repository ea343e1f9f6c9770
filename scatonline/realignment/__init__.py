"""Decoding multichannel windows while electrodes move, with help of windows without label."""

from scatonline.realignment.blend import Blend
from scatonline.realignment.classes import MovingClasses
from scatonline.realignment.persistence import Persistence
from scatonline.realignment.placements import placements
from scatonline.realignment.realignment import Decoded, Realignment
from scatonline.realignment.strengths import strengths

__all__ = [
    "Blend",
    "Decoded",
    "MovingClasses",
    "Persistence",
    "Realignment",
    "placements",
    "strengths",
]
