"""Structure search: the CAR index, and which filters to drop or add because of it."""

from scatonline.structure.car import Difference, quantile
from scatonline.structure.decision import GroupCar, Move, RecentDrop, StructureDecision
from scatonline.structure.memory import StructureState
from scatonline.structure.ridge import fit
from scatonline.structure.search import StructureCheck
from scatonline.structure.window import Evidence, Window

__all__ = [
    "Difference",
    "Evidence",
    "GroupCar",
    "Move",
    "RecentDrop",
    "StructureCheck",
    "StructureDecision",
    "StructureState",
    "Window",
    "fit",
    "quantile",
]
