"""Nested optimisation on a calibration set: θ inside, structure around it, a model at the end.

    samples = CalibrationSet(inputs, targets, groups)
    fitted = fit(spec, samples, Session("day 1", names), NestedSpec())
    fitted.model.step(...)

The path starts from more filters than are needed (:mod:`scatonline.nested.outer`), every round's θ
descends on the error of a closed-form ridge readout (:mod:`scatonline.nested.descent`), and what
comes out is a :class:`scatonline.Model` in the middle of its life
(:mod:`scatonline.nested.assembly`).
"""

from dataclasses import dataclass, replace

from scatonline.config import ModelSpec
from scatonline.errors import ConfigError
from scatonline.model import Model
from scatonline.nested.assembly import Session, assembled
from scatonline.nested.calibration import CalibrationSet
from scatonline.nested.discriminant import Discriminant, discriminant, viewed
from scatonline.nested.limits import NestedSpec
from scatonline.nested.outer import Progress, search
from scatonline.nested.path import Path, Round

__all__ = [
    "CalibrationSet",
    "Discriminant",
    "Fitted",
    "NestedSpec",
    "Path",
    "Progress",
    "Round",
    "Session",
    "discriminant",
    "fit",
    "viewed",
]


@dataclass(frozen=True)
class Fitted:
    """What a calibration set gave.

    Attributes:
        model: The model, its session open and learned.
        path: How it came about.
        classifier: What gave the readout its weights; None where it learned them itself.
    """

    model: Model
    path: Path
    classifier: Discriminant | None


def fit(
    spec: ModelSpec,
    samples: CalibrationSet,
    session: Session,
    limits: NestedSpec,
    progress: Progress = lambda *_: None,
) -> Fitted:
    """Fits a model to a calibration set.

    Args:
        spec: The model, with more filters than it is thought to need.
        samples: The set; inputs scaled as the model scales them.
        session: Under which the model keeps the set.
        limits: How far to go.
        progress: Told of every gradient step and of every finished round.

    Raises:
        ConfigError: the set does not fit the specification, or is too small.
    """
    _require(spec, samples, session, limits)
    found = search(spec, samples, limits, progress)
    if not limits.keep_ridge:
        spec = replace(spec, readout=replace(spec.readout, ridge=found.ridge))
    model, classifier = assembled(spec, samples, session, limits, found)
    return Fitted(model, found.path, classifier)


def _require(
    spec: ModelSpec, samples: CalibrationSet, session: Session, limits: NestedSpec
) -> None:
    have, need = tuple(samples.inputs.shape[1:]), (spec.channels, *spec.shape)
    if have != need:
        raise ConfigError(f"calibration inputs have shape {have}, the model expects {need}")
    if samples.targets.shape[1] != len(session.outputs):
        raise ConfigError(
            f"calibration targets have {samples.targets.shape[1]} outputs, session "
            f"{session.name!r} names {len(session.outputs)}"
        )
    if not any(spec.features.orders):
        raise ConfigError(
            f"features.orders is {spec.features.orders}: without an order of at least 1 there are "
            "no filters to fit"
        )
    if spec.features.lags:
        raise ConfigError(
            f"features.lags is {spec.features.lags}: a calibration set has no order in time, so "
            "expected 0; stream the recording to a model with lags instead"
        )
    if limits.classifier == "discriminant" and spec.readout.kind == "softmax":
        method = getattr(spec.readout, "method", "recursive")
        if method != "recursive":
            raise ConfigError(
                f"readout.method is {method!r}, which has no weights that a discriminant could "
                "give: take nested.classifier 'readout', or method 'recursive'"
            )
    spread = samples.targets.double()
    if not bool(((spread - spread.nanmean(0)).square().nanmean(0) > 0).any()):
        raise ConfigError("calibration targets never vary, expected some that do")
