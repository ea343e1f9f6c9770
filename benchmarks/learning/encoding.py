"""V4 neurons, three days in order, everything learned from the past alone.

Ours, and ours without each of its parts, beside the ridge on fixed scattering, Gabor amplitudes and
pixels. Neurons are others on every day: what a new day takes over from the days before is what the
old neurons answered to.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from benchmarks.learning.neurons import SPEC, Day, Floats, days, scores, stream
from benchmarks.learning.ridge import Ridge
from scatonline.config import LearningSpec, ModelSpec, ReadoutSpec
from scatonline.config.readout import Prior
from scatonline.model import Model

BASELINE = "fixed scattering + Gabor + pixels, ridge"
OURS = "ours"
# Measured before anything was built, by other code and settings: the mark that was set.
MARK = {
    "190923": {"first": 0.36, "all": 0.48},
    "190925": {"first": 0.35, "all": 0.67},
    "190927": {"first": 0.34, "all": 0.54},
}
_ALONE = "ours, each day alone: nothing taken over"
_FIXED = "ours, filters fixed"
_LEARNED = "ours, filters fixed, prior learned"
_RECURSIVE = "recursive readout, order 1 and pixels"


def contenders() -> dict[str, ModelSpec]:
    """Ours, and ours without a part each."""
    still = LearningSpec(enabled=False)
    fixed = replace(SPEC, learning=still)
    return {
        OURS: SPEC,
        "ours, guarded": replace(SPEC, adaptation=replace(SPEC.adaptation, shadow=True)),
        _FIXED: fixed,
        _LEARNED: replace(fixed, readout=replace(SPEC.readout, prior="learned")),
        "ours, filters fixed, changes acted upon": replace(
            fixed, adaptation=replace(SPEC.adaptation, detect=True)
        ),
        _ALONE: fixed,
        "ours, filters fixed, linear": replace(
            fixed, readout=replace(SPEC.readout, similarity="linear")
        ),
        "ours, filters fixed, no pixels": replace(
            fixed, features=replace(SPEC.features, raw_grid=0)
        ),
        "ours, filters fixed, no contrast": replace(
            fixed, features=replace(SPEC.features, contrast=0.0)
        ),
        _RECURSIVE: _recursive("flat"),
        f"{_RECURSIVE}, prior learned": _recursive("learned"),
    }


def _recursive(prior: Prior) -> ModelSpec:
    """The default readout; its cost is the square of the columns, so it has fewer of them."""
    return replace(
        SPEC,
        learning=LearningSpec(enabled=False),
        bank=replace(SPEC.bank, max_order=1),
        features=replace(SPEC.features, orders=(0, 1)),
        readout=ReadoutSpec(kind="gaussian", prior=prior),
    )


def run(quick: bool) -> dict[str, Any]:
    """Scores by model and day.

    Args:
        quick: The first 330 frames of each day, and fewer models.
    """
    shown = [day.head(330) for day in days()] if quick else days()
    specs = contenders()
    if quick:
        specs = {name: specs[name] for name in (_FIXED, _LEARNED, _ALONE)}
    found = {BASELINE: _scored(BASELINE, list(Ridge(shown).run()), shown)}
    retreats: dict[str, int] = {}
    opened: dict[str, list[float]] = {}
    for name, spec in specs.items():
        predicted, retreats[name], opened[name] = _through(spec, shown, fresh=name == _ALONE)
        found[name] = _scored(name, predicted, shown)
    return {
        "days": [day.name for day in shown],
        "retreats": retreats,
        "opened_s": {name: s for name, s in opened.items() if specs[name].readout.prior != "flat"},
        "scores": found,
    }


def _scored(name: str, predicted: list[Floats], shown: list[Day]) -> list[dict[str, float]]:
    """Scores of every day, told at once: all models take long."""
    every = [scores(p, day.counts) for p, day in zip(predicted, shown, strict=True)]
    print(f"encoding, {name}: {every}", flush=True)
    return every


def _through(
    spec: ModelSpec, shown: list[Day], *, fresh: bool
) -> tuple[list[Floats], int, list[float]]:
    """Predictions of every day, how often filters were given up, seconds to open each session."""
    model, predicted, opened = Model(spec), [], []
    for day in shown:
        if fresh:
            model = Model(spec)
        started = time.perf_counter()
        model.open_session(day.name, day.units)
        opened.append(time.perf_counter() - started)
        predicted.append(stream(model, day))
    return predicted, len(model.retreats), opened


def table(result: Mapping[str, Any]) -> str:
    """Markdown."""
    names = result["days"]
    lines = [
        (
            "Pearson r, mean over neurons, of predictions made before each frame was learned from: "
            "first 300 frames / all / last 300. The last 300 of 190925 show its first 300 again."
        ),
        "",
        f"| model | {' | '.join(names)} |",
        "| --- |" + " --- |" * len(names),
        "| the mark: the same, as measured before | "
        + " | ".join(f"{MARK[d]['first']:.2f} / {MARK[d]['all']:.2f} / –" for d in names)
        + " |",
    ]
    for name, every in result["scores"].items():
        cells = [f"{s['first']:.3f} / {s['all']:.3f} / {s['last']:.3f}" for s in every]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", f"Learned filters given up: {result['retreats']}", ""]
    lines += [
        f"{name}: opening a session took {', '.join(f'{second:.2f}' for second in seconds)} s"
        for name, seconds in result["opened_s"].items()
    ]
    return "\n".join(lines)
