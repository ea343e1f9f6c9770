"""Scores over one stream, with what happened to it and to the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from scatonline.plots.style import BLACK, CURVES, STYLE, VERMILLION

MoveKind = Literal["add", "drop"]


@dataclass(frozen=True)
class ScoreCurve:
    """One model's score at the checkpoints of :func:`score_over_time`.

    Attributes:
        running: ``(checkpoints,)``, over all samples so far.
        recent: ``(checkpoints,)``, over the recent window.
    """

    running: NDArray[np.float64]
    recent: NDArray[np.float64]


def score_over_time(
    checkpoints: NDArray[np.int64],
    curves: Mapping[str, ScoreCurve],
    score: str,
    window: int,
    sessions: Sequence[tuple[int, str]] = (),
    moves: Sequence[tuple[int, MoveKind]] = (),
) -> Figure:
    """Running and recent score of several models over one stream.

    Args:
        checkpoints: ``(checkpoints,)`` samples streamed, ascending.
        curves: By name of the model, the most important first; four can be told apart.
        score: Name of the score, with its unit if it has one.
        window: Samples of the recent window.
        sessions: First sample and name of each session.
        moves: Structure moves and the sample at which each was made.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(9.0, 6.0), layout="constrained")
        running, recent = figure.subplots(2, 1, sharex=True)
        _curves(running, checkpoints, {name: curve.running for name, curve in curves.items()})
        _curves(recent, checkpoints, {name: curve.recent for name, curve in curves.items()})
        running.set_title(f"{score} over all samples so far", loc="left")
        recent.set_title(f"{score} over the last {window} samples", loc="left")
        recent.set_xlabel("samples streamed")
        for axes in (running, recent):
            axes.set_ylabel(score)
            _sessions(axes, sessions)
            _moves(axes, moves)
        for start, name in sessions:
            running.annotate(
                name,
                (start, 1.0),
                (2, -2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                va="top",
                fontsize=7,
            )
        figure.legend(
            *running.get_legend_handles_labels(),
            loc="outside upper right",
            ncols=len(curves),
            handlelength=3.0,
        )
        recent.set_title(_summary(moves), loc="right", fontsize=7)
        return figure


def _curves(
    axes: Axes, checkpoints: NDArray[np.int64], values: Mapping[str, NDArray[np.float64]]
) -> None:
    for index, (name, value) in enumerate(values.items()):
        colour, line = CURVES[index % len(CURVES)]
        axes.plot(
            checkpoints,
            value,
            color=colour,
            linestyle=line,
            label=name,
            linewidth=2.0 if index == 0 else 1.3,
            zorder=3 - 0.1 * index,
        )
    axes.grid(axis="y", linewidth=0.4, alpha=0.5)
    axes.margins(x=0.01)


def _sessions(axes: Axes, sessions: Sequence[tuple[int, str]]) -> None:
    for start, _ in sessions:
        axes.axvline(start, color=BLACK, linewidth=0.6, linestyle=(0, (1, 2)))


def _moves(axes: Axes, moves: Sequence[tuple[int, MoveKind]]) -> None:
    for sample, kind in moves:
        added = kind == "add"
        axes.plot(
            sample,
            0.03,
            marker="^" if added else "v",
            markersize=6,
            color=VERMILLION if added else BLACK,
            transform=axes.get_xaxis_transform(),
            zorder=4,
        )


def _summary(moves: Sequence[tuple[int, MoveKind]]) -> str:
    added = sum(kind == "add" for _, kind in moves)
    return f"structure moves: ▲ {added} added, ▼ {len(moves) - added} dropped"
