"""Specifications: everything that defines a model before it has seen a sample.

Frozen, validated when made, and JSON-safe through :meth:`ModelSpec.to_dict`.
"""

from scatonline.config.adaptation import AdaptationSpec
from scatonline.config.bank import AUTO, Aliases, Average, BankSpec, Bound, Coupling, Padding
from scatonline.config.features import Compression, FeatureSpec
from scatonline.config.learning import LearningSpec, Optimiser, Tie
from scatonline.config.model import ModelSpec
from scatonline.config.readout import Kernel, Method, ReadoutKind, ReadoutSpec
from scatonline.config.realignment import Placement, RealignmentSpec
from scatonline.config.structure import StructureSpec

__all__ = [
    "AUTO",
    "AdaptationSpec",
    "Aliases",
    "Average",
    "BankSpec",
    "Bound",
    "Compression",
    "Coupling",
    "FeatureSpec",
    "Kernel",
    "LearningSpec",
    "Method",
    "ModelSpec",
    "Optimiser",
    "Padding",
    "Placement",
    "ReadoutKind",
    "ReadoutSpec",
    "RealignmentSpec",
    "StructureSpec",
    "Tie",
]
