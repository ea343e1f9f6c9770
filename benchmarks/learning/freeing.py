"""Does a filter that must move alone earn it, and does none that need not?

Planted streams: images of white noise, a bank of one scale, and a teacher whose bank is the
student's but for what is planted: *one* filter of another shape, *all* of them by the same step, or
*none*. Targets are mixtures of the teacher's averaged moduli, with noise. The student predicts,
then learns, and a structure check that neither drops nor adds looks at its window every so often.

Then the V4 recording: whether freeing filters does any harm where learning θ gains nothing.
"""

import math
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from benchmarks.learning.neurons import DATA, Day, Floats, days, scores
from benchmarks.learning.neurons import SPEC as V4
from scatonline.config import (
    BankSpec,
    FeatureSpec,
    LearningSpec,
    ModelSpec,
    ReadoutSpec,
    StructureSpec,
    Tie,
)
from scatonline.features import Layout, Standardiser
from scatonline.model import Model
from scatonline.sample import Sample
from scatonline.scattering import Scattering

Planted = Literal["one", "all", "none"]

SHAPE = (16, 16)
OUTPUTS = 8
# The filter that is of another shape, and how far its frequency is off, up or down: a logarithm.
# A third of an octave, as a frequency has to stay below π.
ODD, STEP = "1/j0/1", 0.23
# Share of an output's variance that no filter explains.
NOISE = 0.3
SAMPLES, LAST = 2800, 700
SEEDS = 20
# Checks that say how much filters matter, and leave them where they are.
LOOKING = StructureSpec(window=400, check_every=200, max_drops=0, candidates=0)
STUDENT = ModelSpec(
    "student",
    1,
    SHAPE,
    bank=BankSpec(J=1, L=4, max_order=1, padding="periodic"),
    features=FeatureSpec(orders=(1,), grid=(1,), compression="none", calibration=64),
    readout=ReadoutSpec("gaussian", ridge=1.0, forgetting=0.995),
    learning=LearningSpec(rate=0.01, every=4, warmup=200),
    structure=LOOKING,
)
# What is asked of a recording's models that free filters, against the one whose filters are fixed.
NO_HARM = 0.005
V4_LOOKING = replace(LOOKING, window=600, check_every=300)
V4_TIES: tuple[Tie | None, ...] = ("earned", "scale", "filter", None)
_NAMES = {
    "earned": "freed where earned",
    "scale": "tied",
    "filter": "all free",
    None: "filters fixed",
}


@dataclass(frozen=True)
class Lesson:
    """What one student made of one stream.

    Attributes:
        planted: What its teacher differs in.
        tie: Of the student; None: its filters are fixed.
        seed: Of the stream.
        freed: Filters that were free at its end.
        first: Samples after which the first one was freed; 0: none was.
        loss: Mean over the last samples.
    """

    planted: Planted
    tie: Tie | None
    seed: int
    freed: tuple[str, ...]
    first: int
    loss: float


def teach(planted: Planted, tie: Tie | None, seed: int) -> Lesson:
    """Streams one lesson."""
    inputs, targets = stream(planted, seed)
    learning = replace(STUDENT.learning, enabled=tie is not None, tie=tie or "scale")
    model = Model(replace(STUDENT, learning=learning))
    model.open_session("lesson", [f"mixture{i}" for i in range(OUTPUTS)])
    losses: list[float] = []
    first = 0
    for number, (x, y) in enumerate(zip(inputs, targets, strict=True)):
        outcome = model.step(Sample(str(number), "lesson", x, y))
        assert outcome.loss is not None
        losses.append(outcome.loss)
        looked(model)
        if not first and model.learner.freed():
            first = number + 1
    freed = tuple(sorted(model.learner.freed()))
    return Lesson(planted, tie, seed, freed, first, float(np.mean(losses[-LAST:])))


def stream(planted: Planted, seed: int) -> tuple[Floats, Floats]:
    """Inputs ``(samples, 1, M, N)`` and targets ``(samples, outputs)``, float32."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(SAMPLES, 1, *SHAPE, generator=generator)
    teacher = Scattering(STUDENT.bank, SHAPE)
    shape(teacher, planted, up=bool(seed % 2))
    layout = Layout(STUDENT, teacher.cascade)
    with torch.no_grad():
        averages = teacher.averages(torch.float32, torch.device("cpu"))
        columns = layout.columns(inputs, teacher.build(), averages)
    z = Standardiser.fit(columns, layout.weight)(columns)
    mixed = z @ torch.randn(z.shape[1], OUTPUTS, generator=generator, dtype=torch.float64)
    noise = torch.randn(mixed.shape, generator=generator, dtype=torch.float64)
    targets = math.sqrt(1 - NOISE) * mixed / mixed.std(0) + math.sqrt(NOISE) * noise
    return inputs.numpy(), targets.float().numpy()


def shape(teacher: Scattering, planted: Planted, *, up: bool) -> None:
    """Gives a bank the frequencies that are to be learned."""
    bank = teacher.bank(1)
    names = [parameter.name for parameter in bank.family.parameters]
    rows = {"one": [bank.row(ODD)], "all": list(range(len(bank))), "none": []}[planted]
    step = (STEP if planted == "one" else STEP / 2) * (1 if up else -1)
    coordinates = bank.coordinates()
    with torch.no_grad():
        even = coordinates.even(bank.theta)
        even[rows, names.index("xi")] += step
        bank.theta.copy_(coordinates.from_even(even))


def looked(model: Model) -> None:
    """Makes the structure check that is due, if one is."""
    if model.structure_due():
        check = model.structure_check()
        assert check is not None
        model.apply(check.run())


def run(quick: bool) -> dict[str, Any]:
    """All lessons, and V4 if the recording is there.

    Args:
        quick: Two seeds, and no V4.
    """
    seeds = range(2 if quick else SEEDS)
    ties: dict[Planted, tuple[Tie | None, ...]] = {
        "one": ("earned", "scale", "filter", None),
        "all": ("earned",),
        "none": ("earned",),
    }
    asked = [(p, tie, seed) for p, each in ties.items() for tie in each for seed in seeds]
    with ProcessPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        lessons = list(pool.map(teach, *zip(*asked, strict=True)))
        found = {"lessons": [asdict(lesson) for lesson in lessons]}
        if quick or not DATA.exists():
            return found
        return found | {"v4": list(pool.map(recorded, V4_TIES))}


def recorded(tie: Tie | None) -> dict[str, Any]:
    """Scores of every day of the V4 recording, and how many filters were free at its end."""
    learning = replace(V4.learning, enabled=tie is not None, tie=tie or "scale")
    structure = V4_LOOKING if tie == "earned" else V4.structure
    model = Model(replace(V4, learning=learning, structure=structure))
    found = []
    for day in days():
        predicted = watched(model, day)
        found.append({**scores(predicted, day.counts), "freed": sorted(model.learner.freed())})
    return {"tie": tie, "days": found}


def watched(model: Model, day: Day) -> Floats:
    """What the model predicted for each frame, with structure checks on the way."""
    model.open_session(day.name, day.units)
    predicted = []
    for number, (frame, counts) in enumerate(zip(day.frames, day.counts, strict=True)):
        outcome = model.step(Sample(str(number), day.name, frame[None], counts))
        predicted.append(outcome.prediction.values)
        looked(model)
    return np.asarray(predicted, dtype=np.float64)


def table(result: Mapping[str, Any]) -> str:
    """Markdown."""
    lines = [
        f"Planted streams of {SAMPLES} samples; loss over the last {LAST}, mean ± s.d. over seeds.",
        "",
        "| planted | student | that filter alone freed | any other freed | first after | loss |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lessons = result["lessons"]
    for planted, tie in dict.fromkeys((one["planted"], one["tie"]) for one in lessons):
        every = [one for one in lessons if (one["planted"], one["tie"]) == (planted, tie)]
        lines.append(f"| {planted} | {_NAMES[tie]} | {_told(every, tie)} |")
    lines += ["", *_goals(lessons)]
    if "v4" in result:
        lines += ["", *_recorded(result["v4"])]
    return "\n".join(lines)


def _told(every: list[Mapping[str, Any]], tie: str | None) -> str:
    losses = np.array([one["loss"] for one in every])
    loss = f"{losses.mean():.4f} ± {losses.std():.4f}"
    if tie != "earned":
        return f"– | – | – | {loss}"
    alone = sum(list(one["freed"]) == [ODD] for one in every)
    others = sum(any(name != ODD for name in one["freed"]) for one in every)
    first = [one["first"] for one in every if one["first"]]
    after = f"{np.median(first):.0f}" if first else "–"
    return f"{alone} of {len(every)} | {others} of {len(every)} | {after} | {loss}"


def _goals(lessons: list[Mapping[str, Any]]) -> list[str]:
    """What was asked for, and what came of it."""
    free = [one for one in lessons if one["tie"] == "earned"]
    needless = [one for one in free if one["planted"] != "one"]
    filters = STUDENT.bank.L * len(needless)
    freed = sum(len(one["freed"]) for one in needless)
    lines = [
        f"Freed without need: {freed} of {filters} filters ({freed / filters:.1%}; goal ≤ 5 %)."
    ]
    earned = {one["seed"]: one["loss"] for one in free if one["planted"] == "one"}
    for tie in ("scale", "filter"):
        apart = np.array(
            [
                earned[one["seed"]] - one["loss"]
                for one in lessons
                if (one["planted"], one["tie"]) == ("one", tie)
            ]
        )
        se = apart.std(ddof=1) / math.sqrt(len(apart))
        lines.append(
            f"Loss less that of {_NAMES[tie]}, same streams: {apart.mean():+.4f} ± {se:.4f} "
            f"(lower in {int((apart < 0).sum())} of {len(apart)})."
        )
    return lines


def _recorded(every: list[Mapping[str, Any]]) -> list[str]:
    names = [day.name for day in days()]
    fixed = next(one for one in every if one["tie"] is None)
    lines = [
        "V4, Pearson r: first 300 frames / all / last 300; filters free at the day's end.",
        "",
        f"| model | {' | '.join(names)} | all, less fixed: lowest |",
        "| --- |" + " --- |" * (len(names) + 1),
    ]
    for one in every:
        pairs = list(zip(one["days"], fixed["days"], strict=True))
        cells = [
            f"{day['first']:.4f} / {day['all']:.4f} / {day['last']:.4f}; {len(day['freed'])}"
            for day, _ in pairs
        ]
        lowest = min(day["all"] - still["all"] for day, still in pairs)
        lines.append(f"| {_NAMES[one['tie']]} | {' | '.join(cells)} | {lowest:+.4f} |")
    return [*lines, "", f"Goal: nowhere lower than fixed by more than {NO_HARM}."]
