"""Learnable scattering transforms that adapt while an experiment runs.

>>> import torch
>>> from scatonline import Scattering2D
>>> transform = Scattering2D(J=2, shape=(32, 32), L=4)
>>> transform(torch.randn(3, 32, 32)).shape
torch.Size([3, 25, 8, 8])
"""

from scatonline.choice import Candidate, Choice, choose_family
from scatonline.config import (
    BankSpec,
    FeatureSpec,
    LearningSpec,
    ModelSpec,
    ReadoutSpec,
    StructureSpec,
)
from scatonline.drift import ChangeDetector, FilterReport, Parameter
from scatonline.errors import (
    ConfigError,
    DuplicateName,
    NumericalError,
    ScatOnlineError,
    ShapeError,
    StateVersionError,
    UnknownName,
)
from scatonline.model import Model
from scatonline.reader import Reader
from scatonline.sample import Outcome, Prediction, Sample
from scatonline.scattering import Scattering, Scattering1D, Scattering2D
from scatonline.scores import ScoreReport, score
from scatonline.structure import GroupCar, Move, StructureCheck, StructureDecision

__all__ = [
    "BankSpec",
    "Candidate",
    "ChangeDetector",
    "Choice",
    "ConfigError",
    "DuplicateName",
    "FeatureSpec",
    "FilterReport",
    "GroupCar",
    "LearningSpec",
    "Model",
    "ModelSpec",
    "Move",
    "NumericalError",
    "Outcome",
    "Parameter",
    "Prediction",
    "Reader",
    "ReadoutSpec",
    "Sample",
    "ScatOnlineError",
    "Scattering",
    "Scattering1D",
    "Scattering2D",
    "ScoreReport",
    "ShapeError",
    "StateVersionError",
    "StructureCheck",
    "StructureDecision",
    "StructureSpec",
    "UnknownName",
    "choose_family",
    "score",
]
