"""Does the structure search find out how many filters a recording needs?

Three days of one animal are streamed test-then-train through whole models that start with L
orientations a scale and may drop and add filters, and through one that keeps its eight. Everything
else is the same: columns, readout, order of samples; θ stays where it starts, so that structure is
all that differs. Scores are Pearson's r over a day's predictions, mean over its neurons.

A prior on weights says how much a prediction varies in proportion to the number of columns, so the
ridge is in proportion to the columns that a model starts with. Ridge and limits of the search were
chosen on the second and third day taken alone, with eight orientations.
"""

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
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
from scatonline.scores import score
from service.recordings import Recording, load

FILE = Path("../shared/data/v4_we_days1to3.npz")
SEARCH = StructureSpec(window=1200, check_every=100, max_drops=4, candidates=1, cooldown=0.0)
# Ridge for each column at the start.
_RIDGE = 0.25
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
    """

    orientations: int
    searched: bool
    levels: int = 0
    layers: int = 0

    @property
    def name(self) -> str:
        """For tables."""
        closed = [
            f"{n} {what}" for n, what in ((self.levels, "level"), (self.layers, "layer")) if n
        ]
        return ", ".join(
            [f"L = {self.orientations}", *closed, "searched" if self.searched else "fixed"]
        )


STARTS = (
    Start(16, searched=True),
    Start(8, searched=False),
    Start(8, searched=True),
    Start(3, searched=True),
    Start(3, searched=False),
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
    if not FILE.exists():
        raise FileNotFoundError(f"no {FILE}: structure search is measured on the V4 recording")
    starts = [s for s in STARTS if s.orientations < 16] if quick else STARTS
    asked = [(start, 700 if quick else 0) for start in starts]
    with ProcessPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        days = list(pool.map(_streamed, asked))
    return {
        "search": asdict(SEARCH),
        "starts": [
            {"name": start.name, **asdict(start), "days": [asdict(day) for day in found]}
            for start, found in zip(starts, days, strict=True)
        ],
    }


def _streamed(asked: tuple[Start, int]) -> list[Day]:
    start, most = asked
    recording = load(FILE)
    return stream(start, recording, most)


def stream(start: Start, recording: Recording, most: int = 0) -> list[Day]:
    """Streams the recording's sessions through a new model.

    Args:
        start: What it starts with.
        recording: Counts; their square roots are learned.
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
        target = np.sqrt(np.maximum(sample.target, 0))
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
    spec = ModelSpec(
        start.name,
        recording.channels,
        recording.shape,
        bank=BankSpec(J=3, L=start.orientations, levels=start.levels, layers=start.layers),
        features=FeatureSpec(),
        readout=ReadoutSpec("gaussian"),
        learning=LearningSpec(enabled=False),
        structure=replace(SEARCH, enabled=start.searched),
        input_scale=scale if isinstance(scale, tuple) else (scale,),
    )
    columns = Layout(spec, Scattering(spec.bank, spec.shape).cascade).width
    return replace(spec, readout=replace(spec.readout, ridge=_RIDGE * columns))


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
    starts = {start["name"]: start["days"] for start in result["starts"]}
    days = max(len(found) for found in starts.values())
    heads = [f"day {d + 1}: r (last {_SETTLED}), filters, dropped/added" for d in range(days)]
    lines = [
        "| start | " + " | ".join(heads) + " |",
        "| --- |" + " --- |" * days,
        *(
            f"| {name} | " + " | ".join(_told(day) for day in found) + " |"
            for name, found in starts.items()
        ),
    ]
    return "\n".join([*lines, "", *goals(starts)])


def goals(starts: Mapping[str, Any]) -> list[str]:
    """What was asked for and what came of it, one line each; those that were measured."""
    fixed, eight = starts.get("L = 8, fixed"), starts.get("L = 8, searched")
    three, sixteen = starts.get("L = 3, searched"), starts.get("L = 16, searched")
    lines = []
    if fixed and eight:
        day = eight[0]
        layer = sum(n for place, n in day["filters"].items() if place.startswith("1/"))
        total = sum(day["filters"].values())
        loss = 1 - day["correlation"] / fixed[0]["correlation"]
        late = 1 - day["settled"] / fixed[0]["settled"]
        lines.append(
            f"* L = 8, end of day 1: {24 - layer} of the 24 filters of the first layer gone, "
            f"{40 - total} of all 40; r lower by {loss:.2%} over the day, by {late:.2%} over its "
            f"last {_SETTLED} (half gone at ≤ {_MOST:.0%}: "
            f"{_yes(2 * layer <= 24 and max(loss, late) <= _MOST)})"
        )
    if three and eight and len(three) > 1:
        whole, late = (1 - three[1][over] / eight[1][over] for over in ("correlation", "settled"))
        lines.append(
            f"* L = 3, day 2: r lower than from L = 8 by {whole:.2%} over the day, by {late:.2%} "
            f"over its last {_SETTLED} (≤ {_MOST:.0%}: {_yes(max(whole, late) <= _MOST)})"
        )
    if sixteen and eight:
        losses = [
            1 - a["correlation"] / b["correlation"] for a, b in zip(sixteen, eight, strict=True)
        ]
        lines.append(
            f"* L = 16: r lower than from L = 8 by {', '.join(f'{x:.2%}' for x in losses)} "
            f"(nowhere worse: {_yes(max(losses) <= 0)}; within {_MOST:.0%}: "
            f"{_yes(max(losses) <= _MOST)})"
        )
    return lines


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
