"""The four models that the demo serves beside each other, for each kind of recording.

"learned" is what the project is about. The other three see the same stream and say what its parts
are worth: "fixed" has the same features and readout but neither moves its wavelets nor changes its
structure, "linear" reads the raw window, "mean" knows only what it has seen on average.
"""

from dataclasses import dataclass, replace

from scatonline.config import (
    BankSpec,
    FeatureSpec,
    LearningSpec,
    ModelSpec,
    ReadoutSpec,
    StructureSpec,
)
from service.recordings import Recording

LEARNED = "learned"
LIMIT_S = 140.0
SHORT_LIMIT_S = 30.0
LEARNING = LearningSpec(rate=0.01, every=8)


@dataclass(frozen=True)
class Preset:
    """What the demo runs on a recording.

    Attributes:
        models: "learned" and the baselines, in this order.
        samples: Length of the stream.
        limit_s: Seconds after which the stream is ended, so that a demo stays short on a slow or
            busy machine.
    """

    models: tuple[ModelSpec, ...]
    samples: int
    limit_s: float


@dataclass(frozen=True)
class _Choice:
    """What differs between the kinds of recordings.

    Attributes:
        linear_grid: Cells along each axis that the linear baseline sees.
        linear_ridge: Its ridge, tried by itself on the recordings that the presets were made with,
            so that it is no straw man.
    """

    bank: BankSpec
    features: FeatureSpec
    readout: ReadoutSpec
    structure: StructureSpec
    linear_grid: int
    linear_ridge: float
    samples: int
    short_samples: int


def preset(recording: Recording, *, short: bool) -> Preset:
    """Models and length of stream for a recording.

    Args:
        recording: What will be streamed.
        short: A few hundred samples, with checks early enough to be seen.
    """
    choice = _choice(recording)
    structure = choice.structure
    if short:
        structure = replace(structure, window=128, check_every=100, min_effective=50.0)
    learned = ModelSpec(
        name=LEARNED,
        channels=recording.channels,
        shape=recording.shape,
        bank=choice.bank,
        features=choice.features,
        readout=choice.readout,
        learning=LEARNING,
        structure=structure,
        input_scale=_scale(recording),
    )
    fixed = replace(
        learned,
        name="fixed",
        learning=replace(LEARNING, enabled=False),
        structure=replace(structure, enabled=False),
    )
    no_waves = replace(choice.features, orders=(), raw_weight=1.0)
    linear = replace(
        fixed,
        name="linear",
        features=replace(no_waves, raw_grid=choice.linear_grid),
        readout=replace(choice.readout, ridge=choice.linear_ridge),
    )
    mean = replace(fixed, name="mean", features=replace(no_waves, raw_grid=0))
    return Preset(
        (learned, fixed, linear, mean),
        choice.short_samples if short else choice.samples,
        SHORT_LIMIT_S if short else LIMIT_S,
    )


def _scale(recording: Recording) -> tuple[float, ...]:
    scale = recording.input_scale
    return scale if isinstance(scale, tuple) else (scale,)


def _choice(recording: Recording) -> _Choice:
    match recording.layout:
        case "trace":
            return _trace(recording)
        case "movie":
            return _movie(recording)
        case "windows":
            return _windows(recording)
        case "images":
            return _images(recording)


def _trace(recording: Recording) -> _Choice:
    """Short windows at their full rate: a receptor answers to the last few milliseconds.

    Beside the window itself, the moduli of a few bands say how strong a fluctuation was, which no
    linear readout can.
    """
    (length,) = recording.shape
    return _Choice(
        bank=BankSpec(J=max(1, length.bit_length() - 4), Q=(1,), max_order=1),
        features=FeatureSpec(
            orders=(0, 1), grid=(0,), order_weight=(1.0,), raw_grid=min(length, 64)
        ),
        readout=ReadoutSpec(kind=recording.kind, ridge=300.0),
        # A filter that says little under one stimulus may be needed under the next.
        structure=StructureSpec(min_filters=1, epsilon=0.005),
        linear_grid=min(length, 64),
        linear_ridge=300.0,
        samples=5000,
        short_samples=400,
    )


def _movie(recording: Recording) -> _Choice:
    return _Choice(
        bank=BankSpec(J=_octaves(recording, 3), L=4, max_order=2),
        features=FeatureSpec(),
        readout=ReadoutSpec(kind=recording.kind, ridge=300.0),
        structure=StructureSpec(check_every=400),
        linear_grid=16,
        linear_ridge=1000.0,
        samples=2400,
        short_samples=150,
    )


def _windows(recording: Recording) -> _Choice:
    """Band power in logarithms, which the classes of a muscle or field potential differ in."""
    return _Choice(
        bank=BankSpec(J=_octaves(recording, 4), Q=(1, 1), max_order=1),
        features=FeatureSpec(orders=(1,), grid=(1,), compression="log"),
        readout=ReadoutSpec(kind=recording.kind, ridge=1.0, forgetting=0.99),
        structure=StructureSpec(),
        linear_grid=16,
        linear_ridge=1.0,
        samples=1800,
        short_samples=270,
    )


def _images(recording: Recording) -> _Choice:
    """Small images keep their layout; large ones are taken as textures and averaged."""
    texture = min(recording.shape) >= 64
    return _Choice(
        bank=BankSpec(J=_octaves(recording, 4 if texture else 3), L=4, max_order=2),
        features=(
            FeatureSpec(orders=(1, 2), grid=(1,), compression="log") if texture else FeatureSpec()
        ),
        readout=ReadoutSpec(kind=recording.kind, ridge=1.0),
        structure=StructureSpec(),
        linear_grid=16,
        linear_ridge=30.0,
        samples=500 if texture else 1500,
        short_samples=100 if texture else 200,
    )


def _octaves(recording: Recording, most: int) -> int:
    """J: as coarse as asked for, and as the shortest axis allows."""
    return max(1, min(most, min(recording.shape).bit_length() - 2))
