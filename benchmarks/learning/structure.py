"""Does the structure search find out how many filters a recording needs?

Three days of one animal are streamed test-then-train through whole models that start with L
orientations a scale and may drop and add filters, and through one that keeps its eight. Everything
else is the same: columns, readout, order of samples; θ stays where it starts, so that structure is
all that differs. Scores are Pearson's r over a day's predictions, mean over its neurons.

Twice: with a linear readout, which is what CARs are measured by, and with the readout and the
columns of the model that is best on this recording. Orders are balanced, so that what a prior on
weights says of a prediction does not depend on L. The linear readout's ridge and the limits of the
search were chosen on the second and third day taken alone, with eight orientations.
"""

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.learning.neurons import DATA
from benchmarks.learning.neurons import SPEC as BEST
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
from scatonline.scores import score
from service.recordings import Recording, load

SEARCH = StructureSpec(window=1200, check_every=100, max_drops=4, candidates=1, cooldown=0.0)
# Ridge of the linear readout for each column; balanced ones weigh what eight orientations make.
_RIDGE = 0.25
Readout = Literal["linear", "nonlinear"]
READOUTS: tuple[Readout, ...] = ("linear", "nonlinear")
# Samples of a day over which a model that has settled is compared.
_SETTLED = 300
# The most that a searched model may lose against one that it is compared with, share of its r.
_MOST = 0.01


@dataclass(frozen=True)
class Start:
    """What a model starts with.

    Attributes:
        orientations: L.
        searched: Whether the structure search runs.
        levels: Scales open at the start; 0: all three.
        layers: Layers open at the start; 0: both.
        readout: What the readout sees of the columns.
        balanced: Whether orders count for as much with any L.
    """

    orientations: int
    searched: bool
    levels: int = 0
    layers: int = 0
    readout: Readout = "linear"
    balanced: bool = True

    @property
    def name(self) -> str:
        """For tables."""
        closed = [
            f"{n} {what}" for n, what in ((self.levels, "level"), (self.layers, "layer")) if n
        ]
        weights = [] if self.balanced else ["not balanced"]
        how = "searched" if self.searched else "fixed"
        return ", ".join([f"L = {self.orientations}", *closed, *weights, how])


STARTS = (
    Start(16, searched=True),
    Start(8, searched=False),
    Start(8, searched=True),
    Start(3, searched=True),
    Start(3, searched=False),
    Start(3, searched=True, balanced=False),
    Start(8, searched=True, levels=2, layers=1),
)


@dataclass(frozen=True)
class Day:
    """One day of one model.

    Attributes:
        correlation: Over the whole day.
        settled: Over its last 300 samples.
        filters: Filters at its end, by layer and scale.
        dropped: Filters dropped so far, of those that the model started with.
        drops: Moves of the day.
        adds: Moves of the day.
    """

    correlation: float
    settled: float
    filters: dict[str, int]
    dropped: int
    drops: int
    adds: int


def run(quick: bool) -> dict[str, Any]:
    """All starts on all days; on the first half of one day, and the cheapest starts, if ``quick``.

    Raises:
        FileNotFoundError: the recording is not there.
    """
    if not DATA.exists():
        raise FileNotFoundError(f"no {DATA}: structure search is measured on the V4 recording")
    starts = [s for s in STARTS if s.orientations < 16] if quick else STARTS
    every = [replace(start, readout=readout) for readout in READOUTS for start in starts]
    asked = [(start, 700 if quick else 0) for start in every]
    with ProcessPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        days = list(pool.map(_streamed, asked))
    return {
        "search": asdict(SEARCH),
        "starts": [
            {"name": start.name, **asdict(start), "days": [asdict(day) for day in found]}
            for start, found in zip(every, days, strict=True)
        ],
    }


def _streamed(asked: tuple[Start, int]) -> list[Day]:
    start, most = asked
    recording = load(DATA)
    return stream(start, recording, most)


def stream(start: Start, recording: Recording, most: int = 0) -> list[Day]:
    """Streams the recording's sessions through a new model.

    Args:
        start: What it starts with.
        recording: Counts; the linear readout learns their square roots.
        most: Samples; 0: all.
    """
    model = Model(specification(start, recording))
    first = {name.id for name in _names(model)}
    days: list[Day] = []
    said: list[NDArray[np.float32]] = []
    asked: list[NDArray[np.float32]] = []
    moves = 0
    session = ""
    for at, sample in enumerate(recording.stream()):
        if most and at >= most:
            break
        if sample.session != session:
            if session:
                days.append(_day(model, said, asked, first, moves))
            moves, said, asked = len(model.moves), [], []
            session = sample.session
            outputs = next(s.outputs for s in recording.sessions if s.id == session)
            model.open_session(session, outputs)
        assert sample.target is not None
        target = sample.target
        if start.readout == "linear":
            target = np.sqrt(np.maximum(target, 0))
        outcome = model.step(Sample(sample.sample_id, session, sample.input, target))
        said.append(outcome.prediction.values)
        asked.append(target)
        if model.structure_due():
            check = model.structure_check()
            assert check is not None
            model.apply(check.run())
    days.append(_day(model, said, asked, first, moves))
    return days


def specification(start: Start, recording: Recording) -> ModelSpec:
    """The model of a start."""
    scale = recording.input_scale
    nonlinear = start.readout == "nonlinear"
    spec = replace(
        BEST,
        name=start.name,
        channels=recording.channels,
        shape=recording.shape,
        bank=BankSpec(
            J=BEST.bank.J if nonlinear else 3,
            L=start.orientations,
            levels=start.levels,
            layers=start.layers,
        ),
        features=replace(BEST.features if nonlinear else FeatureSpec(), balanced=start.balanced),
        learning=LearningSpec(enabled=False),
        structure=replace(SEARCH, enabled=start.searched),
        input_scale=scale if isinstance(scale, tuple) else (scale,),
    )
    if nonlinear:
        return spec
    # What a prior on weights says of a prediction is in proportion to the columns' squares.
    bank = replace(spec.bank, L=8) if start.balanced else spec.bank
    columns = Layout(replace(spec, bank=bank), Scattering(bank, spec.shape).cascade).width
    return replace(spec, readout=ReadoutSpec("gaussian", ridge=_RIDGE * columns))


def _names(model: Model) -> list[Any]:
    return [name for bank in model.learner.banks() for name in bank.names]


def _day(
    model: Model,
    said: list[NDArray[np.float32]],
    asked: list[NDArray[np.float32]],
    first: set[str],
    moves: int,
) -> Day:
    predictions, targets = np.stack(said), np.stack(asked)
    names = _names(model)
    filters: dict[str, int] = {}
    for name in names:
        place = f"{name.layer}/j{name.scale}"
        filters[place] = filters.get(place, 0) + 1
    made = [move.kind for move in model.moves[moves:]]
    last = slice(-_SETTLED, None)
    return Day(
        score("gaussian", predictions, targets)["correlation"],
        score("gaussian", predictions[last], targets[last])["correlation"],
        filters,
        len(first - {name.id for name in names}),
        made.count("drop"),
        made.count("add"),
    )


def table(result: Mapping[str, Any]) -> str:
    """Scores and filters of every start and day, and the goals, as Markdown."""
    lines = []
    for readout in READOUTS:
        starts = {s["name"]: s["days"] for s in result["starts"] if s["readout"] == readout}
        days = max(len(found) for found in starts.values())
        heads = [f"day {d + 1}: r (last {_SETTLED}), filters, dropped/added" for d in range(days)]
        lines += [
            f"Readout {readout}:",
            "",
            "| start | " + " | ".join(heads) + " |",
            "| --- |" + " --- |" * days,
            *(
                f"| {name} | " + " | ".join(_told(day) for day in found) + " |"
                for name, found in starts.items()
            ),
            "",
            *goals(starts),
            "",
        ]
    return "\n".join(lines).rstrip()


def goals(starts: Mapping[str, Any]) -> list[str]:
    """What was asked for and what came of it, one line each; those that were measured."""
    fixed, eight = starts.get("L = 8, fixed"), starts.get("L = 8, searched")
    three, sixteen = starts.get("L = 3, searched"), starts.get("L = 16, searched")
    lines = []
    if fixed and eight:
        (there, first), (left, kept) = (_counted(days[0]) for days in (fixed, eight))
        whole, late = _below(eight[0], fixed[0])
        lines.append(
            f"* L = 8, end of day 1: {there - left} of {there} filters gone, {first - kept} of the "
            f"{first} of the first layer; r lower by {whole:.2%} over the day, by {late:.2%} over "
            f"its last {_SETTLED} (half of all gone at ≤ {_MOST:.0%}: "
            f"{_yes(2 * left <= there and max(whole, late) <= _MOST)})"
        )
    if three and eight and len(three) > 1:
        whole, late = _below(three[1], eight[1])
        lines.append(
            f"* L = 3, day 2: r lower than from L = 8 by {whole:.2%} over the day, by {late:.2%} "
            f"over its last {_SETTLED} (≤ {_MOST:.0%}: {_yes(max(whole, late) <= _MOST)})"
        )
    if sixteen and eight:
        losses = [_below(a, b)[0] for a, b in zip(sixteen, eight, strict=True)]
        lines.append(
            f"* L = 16: r lower than from L = 8 by {', '.join(f'{x:.2%}' for x in losses)} "
            f"(nowhere worse: {_yes(max(losses) <= 0)}; within {_MOST:.0%}: "
            f"{_yes(max(losses) <= _MOST)})"
        )
    return lines


def _counted(day: Mapping[str, Any]) -> tuple[int, int]:
    """Filters at a day's end: of all layers, and of the first."""
    first = sum(count for place, count in day["filters"].items() if place.startswith("1/"))
    return sum(day["filters"].values()), first


def _below(day: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[float, float]:
    """By what share of r one model is below another, over a day and over its last samples."""
    whole, late = (1 - day[over] / other[over] for over in ("correlation", "settled"))
    return whole, late


def _told(day: Mapping[str, Any]) -> str:
    layers: dict[str, int] = {}
    for place, count in day["filters"].items():
        layers[place[0]] = layers.get(place[0], 0) + count
    filters = "+".join(str(layers[layer]) for layer in sorted(layers))
    return (
        f"{day['correlation']:.3f} ({day['settled']:.3f}), {filters}, "
        f"−{day['drops']}/+{day['adds']}"
    )


def _yes(met: bool) -> str:
    return "yes" if met else "**no**"
