"""Learnable scattering transforms that adapt while an experiment runs.

>>> import torch
>>> from scatonline import Scattering2D
>>> transform = Scattering2D(J=2, shape=(32, 32), L=4)
>>> transform(torch.randn(3, 32, 32)).shape
torch.Size([3, 25, 8, 8])
"""

from scatonline.changes import Alarm, ChangeWatch
from scatonline.choice import Candidate, Choice, choose_family
from scatonline.config import (
    AdaptationSpec,
    BankSpec,
    FeatureSpec,
    LearningSpec,
    ModelSpec,
    ReadoutSpec,
    StructureSpec,
)
from scatonline.drift import FilterReport, Parameter
from scatonline.errors import (
    ConfigError,
    DuplicateName,
    NumericalError,
    ScatOnlineError,
    ShapeError,
    StateVersionError,
    UnknownName,
)
from scatonline.guard import Retreat
from scatonline.model import Model
from scatonline.reader import Reader
from scatonline.sample import Outcome, Prediction, Sample
from scatonline.scattering import Scattering, Scattering1D, Scattering2D
from scatonline.scores import ScoreReport, score
from scatonline.structure import GroupCar, Move, StructureCheck, StructureDecision

__all__ = [
    "AdaptationSpec",
    "Alarm",
    "BankSpec",
    "Candidate",
    "ChangeWatch",
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
    "Retreat",
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
