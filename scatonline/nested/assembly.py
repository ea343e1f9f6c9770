"""From banks and a calibration set to a whole model, as if it had lived through the set.

The model is made from its specification, takes the path's moves as one event and the path's θ, and
is then sent the calibration set through its own transitions, with θ and structure held still: so
its readout, window, scores and curvature are those of a model that has learned these samples, and
go on from there. Scales of columns are the path's, of all samples rather than of the first ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from scatonline.config import ModelSpec
from scatonline.features import Layout, Standardiser
from scatonline.filterbank import FilterBank
from scatonline.model import Model
from scatonline.nested.calibration import CalibrationSet
from scatonline.nested.discriminant import Discriminant, viewed
from scatonline.nested.judge import views_of
from scatonline.nested.limits import NestedSpec
from scatonline.nested.outer import Found, with_copies
from scatonline.sample import Sample
from scatonline.structure import Move, StructureDecision

# What a readout of columns calls its weights, intercepts first.
_WEIGHTS = "weights"


@dataclass(frozen=True)
class Session:
    """The session that the calibration set becomes.

    Attributes:
        name: Its name.
        outputs: Names of units or classes, in target order.
    """

    name: str
    outputs: tuple[str, ...]


def assembled(
    spec: ModelSpec, samples: CalibrationSet, session: Session, limits: NestedSpec, found: Found
) -> tuple[Model, Discriminant | None]:
    """The model, and the classifier that gave its weights where one did.

    Args:
        spec: The model's specification, which it keeps.
        samples: The whole calibration set, inputs scaled.
        session: What it is called.
        limits: Whose dilations and classifier count.
        found: Where the path ended.
    """
    model = Model(_still(spec), str(samples.inputs.device))
    _take_banks(model, found)
    every = with_copies(samples, limits.dilations)
    layout = model.learner.layout
    views = views_of(found.scattering, layout, every.inputs)
    model.learner.standardiser = Standardiser.fit(views.mean(0), layout.weight.to(views.device))
    model.learner.calibrated = True
    model.open_session(session.name, session.outputs)
    for sample in _stream(spec, every, session):
        model.step(sample)
    lda = None
    if spec.readout.kind == "softmax" and limits.classifier == "discriminant":
        z, classes = model.learner.standardiser(views), every.targets.argmax(1)
        lda = viewed(z, classes, len(session.outputs), every.groups, spec.seed)
    return _awake(model, spec, lda), lda


def _still(spec: ModelSpec) -> ModelSpec:
    """The specification with θ and structure held where they are."""
    return replace(
        spec,
        learning=replace(spec.learning, enabled=False),
        structure=replace(spec.structure, enabled=False),
    )


def _awake(model: Model, spec: ModelSpec, lda: Discriminant | None) -> Model:
    """The same state under the specification that it will be served with."""
    tensors, meta = model.state()
    if lda is not None:
        own = [n for n in tensors if n.startswith("session.0.") and n.endswith(_WEIGHTS)]
        tensors |= {name: lda.weights.to(model.device) for name in own}
    return Model.restore(spec, tensors, {**meta, "spec": spec.to_dict()}, model.device)


def _take_banks(model: Model, found: Found) -> None:
    """Moves as one event, then θ by filter."""
    moves = found.path.moves
    if moves:
        model.apply(_decision(model, moves, found))
    for layer in range(1, model.spec.bank.max_order + 1):
        _copy(found.scattering.bank(layer), model.learner.scattering.bank(layer))
    model.learner.rebuild()


def _copy(source: FilterBank, target: FilterBank) -> None:
    """θ, bounds and first values of every filter; rows may be in another order."""
    rows = [source.row(name.id) for name in target.names]
    tables = [table[rows].clone() for table in source.tables()]
    target.restore(target.names, source.made, *tables)


def _decision(model: Model, moves: tuple[Move, ...], found: Found) -> StructureDecision:
    """All moves of the path as one decision."""
    chosen = found.path.rounds[found.path.chosen]
    layout = Layout(model.spec, found.scattering.cascade)
    new = int((layout.carried_from(model.learner.layout) < 0).sum())
    return StructureDecision(
        look=len(found.path.rounds),
        session="",
        samples=found.path.samples[0],
        n_eff=0.0,
        baseline_score=chosen.explained,
        cars=chosen.cars,
        moves=_with_blank_columns(moves, new),
        reason="; ".join(move.reason for move in moves),
    )


def _with_blank_columns(moves: tuple[Move, ...], new: int) -> tuple[Move, ...]:
    """The first filter that came brings scales for all new columns, which are set afterwards."""
    first = next((i for i, move in enumerate(moves) if move.kind == "add"), None)
    blank = (0.0,) * new
    return tuple(
        replace(move, mean=blank, column_scale=blank)
        if i == first
        else replace(move, mean=(), column_scale=())
        for i, move in enumerate(moves)
    )


def _stream(spec: ModelSpec, samples: CalibrationSet, session: Session) -> Iterator[Sample]:
    """The set as an experiment would have sent it, undoing the scale that the model applies."""
    scale = torch.tensor(spec.input_scale).view(-1, *(1 for _ in spec.shape))
    raw = (samples.inputs.cpu() / scale).numpy()
    targets = samples.targets.cpu().numpy()
    for number, (x, y) in enumerate(zip(raw, targets, strict=True)):
        yield Sample(f"calibration/{number:06d}", session.name, x, None if _empty(y) else y)


def _empty(target: NDArray[np.float32]) -> bool:
    return bool(np.isnan(target).all())
