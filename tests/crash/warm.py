"""Imported once by the process that servers are forked from: does what takes seconds at a start.

Packages are imported, and compiled loops are read from their cache. A server that is forked from
there is ready in a fraction of a second, and is a process like any other from then on.
"""

import dataclasses

import torch

import service.app
import service.cli
from scatonline.config import ModelSpec
from scatonline.model import Model
from scatonline.sample import Sample
from service.settings import Settings
from tests.crash.course import target, window
from tests.crash.models import MODELS, outputs

__all__ = ["service"]


def _live(spec: ModelSpec) -> None:
    spec = dataclasses.replace(spec, features=dataclasses.replace(spec.features, calibration=4))
    model = Model(spec)
    model.open_session("warm", outputs(spec.name))
    for index in range(12):
        model.step(Sample(f"s{index}", "warm", window(spec.name, index)))
        model.label("warm", f"s{index}", target(spec.name, index))
    model.state_hash()


# As the servers have it. A second thread here would not survive the fork.
torch.set_num_threads(1)
for each in Settings(models=tuple(MODELS.values())).models:
    _live(each)
