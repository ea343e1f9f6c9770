"""V4 neurons, many maps at many places: what is to be made of more columns than frames.

All orders on 4 × 4 cells, beside the input on 16 × 16: 6 928 columns, of one day of 1 200 frames.
Every readout sees the same ones, filters fixed.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from benchmarks.learning.neurons import SPEC, days, scores, stream
from scatonline.config import LearningSpec, ModelSpec, ReadoutSpec
from scatonline.model import Model

# Of the factorised readout, chosen on the first frames of this day. Of the recursive one, the mean
# squared norm of the columns: noise as strong as the signal.
_RIDGE = 1000.0
_RIDGE_OF_ALL = 2650.0


def contenders() -> dict[str, ModelSpec]:
    """One model a readout."""
    readouts = {
        "factorised, rank 1": ReadoutSpec("gaussian", method="factorised", ridge=_RIDGE),
        "factorised, rank 2": ReadoutSpec("gaussian", method="factorised", ridge=_RIDGE, rank=2),
        "window, linear": replace(SPEC.readout, similarity="linear"),
        "window, nonlinear": SPEC.readout,
        "recursive": ReadoutSpec("gaussian", ridge=_RIDGE_OF_ALL),
    }
    features = replace(SPEC.features, grid=(4, 4, 4))
    still = LearningSpec(enabled=False)
    return {
        name: replace(SPEC, features=features, learning=still, readout=readout)
        for name, readout in readouts.items()
    }


def run(quick: bool) -> dict[str, Any]:
    """Scores by readout.

    Args:
        quick: The first 330 frames, and all but the recursive readout, whose P of so many columns
            takes most of the time.
    """
    day, specs = days()[0], contenders()
    if quick:
        day = day.head(330)
        del specs["recursive"]
    every = {}
    for name, spec in specs.items():
        every[name] = scores(stream(Model(spec), day), day.counts)
        print(f"places, {name}: {every[name]}", flush=True)
    return {"day": day.name, "scores": every}


def table(result: Mapping[str, Any]) -> str:
    """Markdown."""
    lines = [
        (
            f"Pearson r, mean over neurons of {result['day']}, of predictions made before each "
            "frame was learned from: first 300 frames / all / last 300."
        ),
        "",
        "| readout of 6 928 columns | first 300 / all / last 300 |",
        "| --- | --- |",
    ]
    for name, s in result["scores"].items():
        lines.append(f"| {name} | {s['first']:.3f} / {s['all']:.3f} / {s['last']:.3f} |")
    return "\n".join(lines)
