"""Structure search: the CAR index, and which filters to drop or add because of it."""

from scatonline.structure.decision import GroupCar, Move, RecentDrop, StructureDecision
from scatonline.structure.memory import StructureState
from scatonline.structure.search import StructureCheck
from scatonline.structure.window import Window

__all__ = [
    "GroupCar",
    "Move",
    "RecentDrop",
    "StructureCheck",
    "StructureDecision",
    "StructureState",
    "Window",
]
