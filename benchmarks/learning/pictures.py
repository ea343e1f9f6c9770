"""Plots of what was measured, one file a part."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Draws the parts that there are results of, and that curves say more about than a table."""
    if "drift" in results:
        _drift(results["drift"], folder / "learning-drift.png")
    if "encoding" in results:
        _encoding(results["encoding"], folder / "learning-encoding.png")


def _drift(result: Mapping[str, Any], to: Path) -> None:
    """After each change, what is left of each model's running score."""
    changes = result["changes"]
    figure, panels = plt.subplots(1, len(changes), figsize=(4.5 * len(changes), 3.6), sharey=True)
    for axes, (change, models) in zip(np.atleast_1d(panels), changes.items(), strict=True):
        ridges = {n: m for n, m in models.items() if not n.startswith("ours")}
        best = max(ridges, key=lambda n: float(np.mean(ridges[n]["curve"])), default=None)
        for name, model in models.items():
            if name.startswith("ours") or name == best:
                left = np.divide(model["curve"][1:], model["unchanged"][1:])
                axes.plot(left, label=name, linewidth=1.2)
        axes.axhline(0.95, color="0.4", linewidth=0.8, linestyle=":")
        axes.set_title(change)
        axes.set_xlabel("frames after the change")
        axes.grid(alpha=0.3)
    np.atleast_1d(panels)[0].set_ylabel(
        f"share of r without the change, last {result['running']} frames"
    )
    np.atleast_1d(panels)[-1].legend(fontsize=7)
    _save(figure, to)


def _encoding(result: Mapping[str, Any], to: Path) -> None:
    """Correlation of every model over the first frames and over all, by day."""
    scores = result["scores"]
    figure, panels = plt.subplots(1, 2, figsize=(11, 3.8), sharey=True)
    for axes, span in zip(panels, ("first", "all"), strict=True):
        for place, (name, days) in enumerate(scores.items()):
            at = np.arange(len(days)) + 0.8 * place / len(scores)
            axes.bar(at, [day[span] for day in days], 0.75 / len(scores), label=name)
        axes.set_xticks(np.arange(len(result["days"])) + 0.35, result["days"])
        axes.set_title("first 300 frames" if span == "first" else "all frames")
        axes.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel("Pearson r")
    panels[1].legend(fontsize=6.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _save(figure, to)


def _save(figure: Any, to: Path) -> None:
    figure.tight_layout()
    figure.savefig(to, dpi=110)
    plt.close(figure)
