"""What a command line asks for: the model, the calibration set from the recording, the limits."""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scatonline.config import ModelSpec
from scatonline.nested import CalibrationSet, NestedSpec, Session
from scatonline.sample import prepare
from service.calibration import settled
from service.demo.presets import preset
from service.errors import SettingsError
from service.recordings import Recording, first_labelled
from service.settings import load as load_settings

# Neighbours in a stream resemble each other: as many as structure checks keep together.
_BLOCK = 12
_FILTERS = 12
_VOICES = 4


@dataclass(frozen=True)
class Problem:
    """Everything that a fit needs."""

    spec: ModelSpec
    samples: CalibrationSet
    session: Session
    limits: NestedSpec


def problem(recording: Recording, parsed: argparse.Namespace) -> Problem:
    """From a recording and the options.

    Raises:
        SettingsError: options contradict each other, or the recording is of another shape than the
            model.
        ConfigError: a value is out of range, or there are too few labelled samples.
    """
    spec = _specification(recording, parsed)
    have, need = (recording.channels, *recording.shape), (spec.channels, *spec.shape)
    if have != need:
        raise SettingsError(
            f"recording {recording.name!r} has samples of shape {have}, model {spec.name!r} "
            f"expects {need}"
        )
    if recording.kind != spec.readout.kind and "softmax" in (recording.kind, spec.readout.kind):
        raise SettingsError(
            f"recording {recording.name!r} calls for the readout {recording.kind!r}, model "
            f"{spec.name!r} has {spec.readout.kind!r}"
        )
    inputs, targets = first_labelled(recording, parsed.most)
    if not inputs:
        raise SettingsError(f"recording {recording.name!r} has no labelled sample")
    samples = CalibrationSet(
        torch.stack([prepare(spec, x, "cpu") for x in inputs]),
        torch.from_numpy(targets),
        _groups(recording, targets),
    )
    first = recording.sessions[0]
    return Problem(spec, samples, Session(first.id, first.outputs), _limits(spec, parsed))


def _specification(recording: Recording, parsed: argparse.Namespace) -> ModelSpec:
    if parsed.config is None:
        spec = _changed(_over_parameterised(recording), parsed)
        return settled(replace(spec, name=parsed.name or "fitted"), None, parsed.data, "cpu")
    given = [name for name in _FLAGS if getattr(parsed, name) is not None]
    if given:
        raise SettingsError(
            f"--{given[0].replace('_', '-')} and --config: expected one of them, as the model is "
            "served with the settings' own specification"
        )
    return settled(_configured(parsed.config, parsed.name), None, parsed.data, "cpu")


_FLAGS = ("family", "J", "L", "Q", "grid", "compression", "seed", "epsilon", "min_effective")


def _configured(path: Path, name: str) -> ModelSpec:
    models = {model.name: model for model in load_settings(path).models}
    if name and name not in models:
        raise SettingsError(f"--name {name}: {path} has the models {', '.join(models)}")
    return models[name] if name else next(iter(models.values()))


def _over_parameterised(recording: Recording) -> ModelSpec:
    """The demo's model for this kind of recording, with more filters than it is likely to need."""
    spec = preset(recording, short=False).models[0]
    bank = replace(spec.bank, L=_FILTERS, Q=(_VOICES, *spec.bank.Q[1:]))
    most = max(spec.structure.max_filters, _FILTERS)
    return replace(spec, bank=bank, structure=replace(spec.structure, max_filters=most))


def _changed(spec: ModelSpec, parsed: argparse.Namespace) -> ModelSpec:
    """With what the options set."""
    bank, features, structure = spec.bank, spec.features, spec.structure
    for name in ("family", "J", "L"):
        if getattr(parsed, name) is not None:
            bank = replace(bank, **{name: getattr(parsed, name)})
    if parsed.Q is not None:
        bank = replace(bank, Q=(parsed.Q, *bank.Q[1:]))
    if parsed.grid is not None:
        features = replace(features, grid=(parsed.grid,))
    if parsed.compression is not None:
        features = replace(features, compression=parsed.compression)
    for name in ("epsilon", "min_effective"):
        if getattr(parsed, name) is not None:
            structure = replace(structure, **{name: getattr(parsed, name)})
    structure = replace(structure, max_filters=max(structure.max_filters, bank.L))
    seed = spec.seed if parsed.seed is None else parsed.seed
    return replace(spec, bank=bank, features=features, structure=structure, seed=seed)


def _limits(spec: ModelSpec, parsed: argparse.Namespace) -> NestedSpec:
    return NestedSpec(
        held=parsed.held,
        rounds=parsed.rounds,
        steps=parsed.steps,
        structure=not parsed.fixed_structure,
        dilations=tuple(parsed.dilations),
        # A model of the settings is served with their ridge.
        keep_ridge=parsed.config is not None or spec.readout.kind == "softmax",
        classifier=parsed.classifier,
    )


def _groups(recording: Recording, targets: NDArray[np.float32]) -> Tensor:
    """Which samples belong together: nothing in images, an action in windows, else neighbours."""
    count = len(targets)
    if recording.layout == "images":
        return torch.arange(count)
    if recording.kind == "softmax":
        label = targets.argmax(1)
        return torch.from_numpy(np.cumsum(np.diff(label, prepend=label[:1]) != 0))
    return torch.arange(count) // _BLOCK
