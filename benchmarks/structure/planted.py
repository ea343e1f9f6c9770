"""Streams whose truth is planted: which directions matter, and from when on.

Images are sums of oriented noise in four directions, 45° apart, each with an amplitude of its own
from image to image. A teacher's outputs depend on the amplitudes in some of the directions: on two
of them at first, on a third one, too, from the middle of the stream on. The model starts with
filters in those directions and half-way between them, and with a second filter in one that matters.
So some filters carry nothing, some carry what their neighbours carry already, one is a duplicate,
and one becomes needed.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scatonline.config import (
    BankSpec,
    FeatureSpec,
    LearningSpec,
    ModelSpec,
    ReadoutSpec,
    StructureSpec,
)
from scatonline.features import Layout
from scatonline.model import Model
from scatonline.sample import Sample
from scatonline.scattering import Scattering
from scatonline.structure import Move, StructureDecision

Floats = NDArray[np.float64]

SIZE = 16
L = 8
OUTPUTS = 4
# Rows of the bank's filters in whose directions there is noise: those that the outputs depend on
# from the start, the one that they depend on later, and one that they never depend on.
ALWAYS, LATER, NEVER = (0, 4), 2, 6
# Of the L + 1 filters at the start two are enough as long as two directions matter.
USELESS = L + 1 - len(ALWAYS)
# Share of an output's variance that no filter explains.
NOISE = 0.4
# Width of the oriented noise: octaves, radians.
_RADIAL, _ANGULAR = 0.2, 0.12
# Two filters closer than this are in one place: half of the way to a neighbour.
NEAR = math.pi / L / 2

SPEC = ModelSpec(
    "planted",
    1,
    (SIZE, SIZE),
    bank=BankSpec(J=1, L=L, max_order=1, padding="periodic"),
    features=FeatureSpec(orders=(1,), grid=(1,), compression="none", calibration=32),
    readout=ReadoutSpec("gaussian", ridge=1.0),
    learning=LearningSpec(enabled=False),
    structure=StructureSpec(
        window=240, check_every=60, min_effective=60, max_drops=3, candidates=2
    ),
)


@dataclass(frozen=True)
class Teacher:
    """Makes images and what the outputs answer.

    Attributes:
        spectra: ``(directions, M, N)`` gain of each direction's noise.
        weights: ``(outputs, directions)``, for the directions that matter at the end.
        later: The direction that comes to matter, radians.
    """

    spectra: Floats
    weights: Floats
    later: float

    @classmethod
    def of(cls, rng: np.random.Generator) -> "Teacher":
        """In the directions of the model's filters, at their frequency."""
        values = Scattering(SPEC.bank, SPEC.shape).bank(1).values().detach().numpy()
        x, y = np.meshgrid(*[2 * np.pi * np.fft.fftfreq(SIZE)] * 2, indexing="ij")
        octave = np.log2(np.maximum(np.hypot(x, y), 1e-9) / values[0, 1])
        spectra = []
        for row in (*ALWAYS, LATER, NEVER):
            apart = _apart(np.arctan2(y, x), values[row, 0])
            spectra.append(np.exp(-0.5 * ((octave / _RADIAL) ** 2 + (apart / _ANGULAR) ** 2)))
        # Every output depends on every direction, some more and some less.
        weights = rng.choice([-1.0, 1.0], (OUTPUTS, 3)) * rng.uniform(0.5, 1.0, (OUTPUTS, 3))
        return cls(np.stack(spectra), weights, float(values[LATER, 0]))

    def samples(self, count: int, later: bool, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Images ``(count, M, N)`` and targets ``(count, outputs)``.

        Args:
            count: How many.
            later: Whether the third direction matters.
            rng: Source of chance.
        """
        directions = len(self.spectra)
        noise = np.fft.rfft2(rng.standard_normal((count, directions, SIZE, SIZE)))
        parts = np.fft.irfft2(noise * self.spectra[..., : SIZE // 2 + 1], s=(SIZE, SIZE))
        parts /= np.sqrt((parts**2).mean((2, 3), keepdims=True))
        amplitude = rng.uniform(0.2, 1.0, (count, directions))
        images = (amplitude[..., None, None] * parts).sum(1)
        strength = (amplitude - 0.6) / (0.8 / math.sqrt(12))
        matter = [True, True, later, False]
        weights = np.zeros((OUTPUTS, directions))
        weights[:, :3] = self.weights * matter[:3]
        weights /= np.sqrt((weights**2).sum(1, keepdims=True))
        answer = math.sqrt(1 - NOISE) * strength @ weights.T
        return images, answer + math.sqrt(NOISE) * rng.standard_normal((count, OUTPUTS))


@dataclass
class Outcome:
    """What the search did with one stream.

    Attributes:
        seed: Of the stream.
        drops: Filters that were dropped.
        harmful: Of those, how many went in a check that truly cost more than ε, measured on fresh
            samples.
        found: Share of the filters that were of no use and were gone before the change.
        added_after: Samples from the change until a filter in the new direction stood; −1: never.
        oscillating: Places whose filter went and came back twice or more.
        filters: Number of filters at the end.
        costs: True cost of every check that dropped anything, as a share of what was explained.
        log: Moves, for a look at what happened: sample, kind, angle in degrees, reason.
    """

    seed: int
    drops: int = 0
    harmful: int = 0
    found: float = 0.0
    added_after: int = -1
    oscillating: int = 0
    filters: int = 0
    costs: list[float] = field(default_factory=list)
    log: list[tuple[int, str, float, str]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, without the log."""
        values = asdict(self)
        del values["log"]
        return values


def run(
    seed: int, change: int = 2000, after: int = 1000, structure: StructureSpec | None = None
) -> Outcome:
    """Streams test-then-train through a whole model, with structure checks when they are due.

    Args:
        seed: Of stream, teacher and model.
        change: Samples before the third direction matters.
        after: Samples after that.
        structure: The search's limits; those of :data:`SPEC` if None.
    """
    rng = np.random.default_rng(seed)
    teacher = Teacher.of(rng)
    model = Model(replace(SPEC, seed=seed, structure=structure or SPEC.structure))
    model.open_session("stream", [f"unit {i}" for i in range(OUTPUTS)])
    _duplicate(model, ALWAYS[0])
    outcome = Outcome(seed)
    places: list[tuple[float, int]] = []
    for at, image, target in _stream(teacher, change, after, rng):
        if at == change:
            outcome.found = min((L + 1 - _filters(model)) / USELESS, 1.0)
        model.step(Sample(str(at), "stream", image, target))
        due = model.structure_due()
        if due:
            _check(model, teacher, outcome, places, at + 1, at + 1 > change)
        looked = at == change or (due and at > change)
        if looked and outcome.added_after < 0 and _covers(model, teacher.later):
            outcome.added_after = at + 1 - change
    outcome.oscillating = sum(returns >= 2 for _, returns in places)
    outcome.filters = _filters(model)
    return outcome


def _stream(
    teacher: Teacher, change: int, after: int, rng: np.random.Generator
) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float32]]]:
    at = 0
    for count, later in ((change, False), (after, True)):
        images, targets = teacher.samples(count, later, rng)
        for image, target in zip(images, targets, strict=True):
            yield at, image[None].astype(np.float32), target.astype(np.float32)
            at += 1


def _check(
    model: Model,
    teacher: Teacher,
    outcome: Outcome,
    places: list[tuple[float, int]],
    at: int,
    later: bool,
) -> None:
    """Runs a check, applies it, and looks at what its moves truly did."""
    check = model.structure_check()
    assert check is not None
    before = _copied(model)
    angles = _angles(model)
    moves = model.apply(check.run())
    for move in moves:
        angle = angles[move.filter_id] if move.kind == "drop" else move.values[0]
        outcome.log.append((at, move.kind, math.degrees(angle) % 180, move.reason))
        _note(places, move, angle)
    drops = sum(move.kind == "drop" for move in moves)
    if drops:
        # The same samples for both banks, and another seed than the stream's.
        fresh = np.random.default_rng([outcome.seed, at])
        cost = true_cost(before, model.learner.scattering, *teacher.samples(3000, later, fresh))
        outcome.drops += drops
        outcome.costs.append(cost)
        outcome.harmful += drops if cost > model.spec.structure.epsilon else 0


def true_cost(before: Scattering, after: Scattering, images: Floats, targets: Floats) -> float:
    """Share of the explained variance that is lost from one bank to another, both refitted.

    Half of the samples are fitted to, the other half is scored.
    """
    kept = [_explained(bank, images, targets) for bank in (before, after)]
    return (kept[0] - kept[1]) / kept[0]


def _explained(bank: Scattering, images: Floats, targets: Floats) -> float:
    layout = Layout(SPEC, bank.cascade)
    with torch.no_grad():
        averages = bank.averages(torch.float32, torch.device("cpu"))
        x = torch.from_numpy(images).float()[:, None]
        columns = layout.columns(x, bank.build(), averages).double().numpy()
    half = len(columns) // 2
    design = np.hstack([np.ones((len(columns), 1)), columns])
    weights, *_ = np.linalg.lstsq(design[:half], targets[:half], rcond=None)
    error = ((targets[half:] - design[half:] @ weights) ** 2).mean(0)
    return float(1 - (error / targets[half:].var(0)).mean())


def _duplicate(model: Model, row: int) -> None:
    """A second filter a hair away from one that is there."""
    bank = model.learner.scattering.bank(1)
    theta, *rest = bank.values().detach()[row].tolist()
    twin = Move("add", "", 1, 0, "planted", {}, values=(theta + 0.01, *rest))
    twin = replace(twin, filter_id=f"1/j0/{L}", mean=(0.0,), column_scale=(1.0,))
    nothing = StructureDecision(0, "stream", 0, 0.0, 0.0, (), (twin,), "planted")
    model.apply(nothing)


def _note(places: list[tuple[float, int]], move: Move, angle: float) -> None:
    """Counts returns to places that filters had left."""
    near = [i for i, (place, _) in enumerate(places) if abs(_apart(angle, place)) < NEAR]
    if move.kind == "drop" and not near:
        places.append((angle, 0))
    elif move.kind == "add":
        for i in near:
            places[i] = places[i][0], places[i][1] + 1


def _copied(model: Model) -> Scattering:
    check = model.structure_check()
    assert check is not None
    return check.scattering


def _filters(model: Model) -> int:
    return len(model.learner.scattering.bank(1))


def _covers(model: Model, direction: float) -> bool:
    return any(abs(_apart(angle, direction)) < NEAR for angle in _angles(model).values())


def _angles(model: Model) -> dict[str, float]:
    bank = model.learner.scattering.bank(1)
    values = bank.values().detach()[:, 0].tolist()
    return {name.id: value for name, value in zip(bank.names, values, strict=True)}


def _apart(a: Any, b: Any) -> Any:
    """Difference of two directions, modulo π."""
    turn = 2 * (a - b)
    return 0.5 * np.arctan2(np.sin(turn), np.cos(turn))
