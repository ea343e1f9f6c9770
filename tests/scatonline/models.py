"""Small models of every kind and dimension, streams for them, and copies through a checkpoint."""

import json
from functools import cache
from typing import Any

import numpy as np
from torch import Tensor

from scatonline.config import (
    BankSpec,
    FeatureSpec,
    LearningSpec,
    ModelSpec,
    ReadoutKind,
    ReadoutSpec,
    StructureSpec,
)
from scatonline.model import Model
from scatonline.sample import Sample
from scatonline.structure import Move, StructureDecision

KINDS: tuple[ReadoutKind, ...] = ("poisson", "gaussian", "softmax")
OUTPUTS = ("u1", "u2", "u3")


def specification(kind: ReadoutKind, dimensions: int, **values: Any) -> ModelSpec:
    """A model that calibrates, learns θ and could be restructured within a few dozen samples."""
    plane = dimensions == 2
    defaults = {
        "name": f"{kind}-{dimensions}",
        "channels": 1 if plane else 2,
        "shape": (8, 8) if plane else (32,),
        "bank": BankSpec(J=1, L=3, max_order=1) if plane else BankSpec(J=2, Q=(2,)),
        "features": FeatureSpec(
            orders=(0, 1) if plane else (0, 1, 2), grid=(2, 2, 1), calibration=16
        ),
        "readout": ReadoutSpec(kind, ridge=5.0),
        "learning": LearningSpec(warmup=4, every=3),
        "structure": StructureSpec(window=48, check_every=20, min_effective=1, restarts=2),
    }
    return ModelSpec(**{**defaults, **values})


def stream(
    spec: ModelSpec, count: int, seed: int = 0, session: str = "a", outputs: int = len(OUTPUTS)
) -> list[Sample]:
    """Samples whose targets depend on how loud the input is; counts and values have gaps."""
    rng = np.random.default_rng(seed)
    loudness = rng.uniform(0.2, 2.0, count)
    noise = rng.standard_normal((count, spec.channels, *spec.shape))
    inputs = loudness.reshape(-1, *(1 for _ in noise.shape[1:])) * noise
    drive = loudness[:, None] * np.linspace(0.5, 1.0, outputs)
    if spec.readout.kind == "softmax":
        score = np.linspace(-1, 1, outputs) * (loudness[:, None] - 1)
        targets = np.eye(outputs)[(3 * score + rng.gumbel(size=score.shape)).argmax(1)]
    else:
        targets = rng.poisson(4 * drive).astype(float)
        if spec.readout.kind == "gaussian":
            targets = drive + 0.2 * rng.standard_normal(drive.shape)
        targets[rng.random(targets.shape) < 0.1] = np.nan
        targets[np.isnan(targets).all(1), 0] = 1.0
    return [
        Sample(f"{seed}-{i}", session, x.astype(np.float32), y.astype(np.float32))
        for i, (x, y) in enumerate(zip(inputs, targets, strict=True))
    ]


def unlabelled(sample: Sample) -> Sample:
    return Sample(sample.id, sample.session, sample.input)


Stored = tuple[dict[str, Tensor], str]


def taught(spec: ModelSpec, count: int) -> Model:
    """A model after `count` samples of one session."""
    return restored(spec, _lesson(spec, count))


@cache
def _lesson(spec: ModelSpec, count: int) -> Stored:
    model = Model(spec)
    model.open_session("a", OUTPUTS)
    for sample in stream(spec, count):
        model.step(sample)
    return stored(model)


def stored(model: Model) -> Stored:
    """What a checkpoint would hold: bytes and JSON, nothing shared with the model."""
    tensors, meta = model.state()
    copies = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    return copies, json.dumps(meta, allow_nan=False)


def restored(spec: ModelSpec, state: Stored) -> Model:
    return Model.restore(spec, state[0], json.loads(state[1]))


def copied(model: Model) -> Model:
    """The model as a checkpoint would bring it back."""
    return restored(model.spec, stored(model))


def decided(model: Model) -> StructureDecision:
    """A decision that drops the last filter of layer 1 and adds one at its finest scale."""
    scattering = model.learner.scattering
    bank = scattering.bank(1)
    gone = bank.names[-1]
    scale = bank.scales[0]
    rows = [bank.values().detach()[i].tolist() for i in bank.rows(scale)]
    (values, why), *_ = bank.family.candidates(rows, [0.0] * len(rows))
    blocks = model.learner.layout.blocks
    through = [
        block.width
        for block in blocks
        if block.path and block.path.key and block.path.filters[0].id == bank.names[0].id
    ]
    # The dropped filter may be what some paths of the new one's scale went on to: never in layer 1.
    width = sum(through)
    number = bank.made[scale]
    drop = Move("drop", gone.id, 1, gone.scale, "drop, as a test asks", {"car": 0.0})
    add = Move(
        "add",
        f"1/j{scale}/{number}",
        1,
        scale,
        f"add, {why}",
        {"gain": 0.1},
        values=tuple(values),
        mean=(0.5,) * width,
        column_scale=(2.0,) * width,
    )
    return StructureDecision(
        look=model.structure.look,
        session="a",
        samples=48,
        n_eff=16.0,
        baseline_score=0.3,
        cars=(),
        moves=(drop, add),
        reason="as a test asks",
        base_event=model.structure.version,
    )
