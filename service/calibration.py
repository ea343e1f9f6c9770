"""Choosing a model's wavelet family from a recording, where its settings leave that open."""

from pathlib import Path

import numpy as np
import structlog
import torch
from numpy.typing import NDArray

from scatonline.choice import choose_family
from scatonline.config import AUTO, ModelSpec
from scatonline.sample import prepare
from service.errors import SettingsError
from service.recordings import Recording, first_labelled, load
from service.storage.checkpoints import Checkpoint

# Enough for a margin of a hundredth to be told from chance, few enough for some seconds.
_MOST_SAMPLES = 600
_log = structlog.get_logger(__name__)


def settled(
    spec: ModelSpec, checkpoint: Checkpoint | None, recording: Path | None, device: str
) -> ModelSpec:
    """The specification with a family: its own, that of its checkpoint, or the one chosen.

    Args:
        spec: As the settings have it.
        checkpoint: What the model continues from; a choice is made once in its life.
        recording: The calibration recording.
        device: Where the model lives.

    Raises:
        SettingsError: the family is to be chosen and there is no recording, or one of another
            shape.
        RecordingError: it cannot be read.
        ConfigError: it has too few labelled samples.
    """
    if spec.bank.family != AUTO:
        return spec
    if checkpoint is not None:
        return _with_family(spec, checkpoint.meta["spec"]["bank"]["family"])
    if recording is None:
        raise SettingsError(
            f"calibration.{spec.name}: got nothing, expected a recording, as bank.family of model "
            f"{spec.name!r} is {AUTO!r}"
        )
    inputs, targets = calibration_set(spec, load(recording))
    prepared = torch.stack([prepare(spec, x, device) for x in inputs])
    choice = choose_family(spec, prepared, torch.from_numpy(targets).to(device))
    _log.info(
        "family_chosen",
        model=spec.name,
        family=choice.spec.bank.family,
        reason=choice.reason,
        explained={c.family: round(c.explained, 4) for c in choice.candidates},
        samples=len(inputs),
    )
    return choice.spec


def calibration_set(
    spec: ModelSpec, recording: Recording
) -> tuple[list[NDArray[np.generic]], NDArray[np.float32]]:
    """The first labelled samples of a recording's first session, in their order.

    Raises:
        SettingsError: the recording's samples are of another shape than the model's.
    """
    have, need = (recording.channels, *recording.shape), (spec.channels, *spec.shape)
    if have != need:
        raise SettingsError(
            f"calibration.{spec.name}: recording {recording.name!r} has samples of shape {have}, "
            f"expected {need}"
        )
    return first_labelled(recording, _MOST_SAMPLES)


def _with_family(spec: ModelSpec, family: str) -> ModelSpec:
    values = spec.to_dict()
    return ModelSpec.from_dict({**values, "bank": {**values["bank"], "family": family}})
