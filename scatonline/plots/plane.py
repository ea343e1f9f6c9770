"""Filters in two dimensions: tiles in space, and roses of the directions of their waves."""

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.gridspec import GridSpecFromSubplotSpec
from matplotlib.projections.polar import PolarAxes
from numpy.typing import NDArray

from scatonline.cascade import FilterName
from scatonline.filterbank import FilterBank
from scatonline.plots.banks import described, either_time, scales_of, spectra_by_id
from scatonline.plots.style import BLACK, BLUE, GREY, PALE, VERMILLION

_TILE, _PAIR, _LABELS, _ROSE = 0.72, 1.62, 0.9, 3.0  # inches
_MARKS: dict[str, dict[str, Any]] = {
    "before": {"marker": "o", "facecolors": "none", "edgecolors": GREY, "s": 26},
    "after": {"marker": "o", "color": BLUE, "s": 12},
    "new": {"marker": "^", "color": VERMILLION, "s": 34},
    "dropped": {"marker": "x", "color": BLACK, "s": 26, "linewidths": 1.0},
}


def plane_sheet(title: str, layers: Sequence[tuple[FilterBank, FilterBank]]) -> Figure:
    """The 2-D form of :func:`scatonline.plots.filters_sheet`.

    Args:
        title: Name of the model.
        layers: The bank before and after, layer by layer.
    """
    groups = [(old, new, scale) for old, new in layers for scale in scales_of(old, new)]
    columns = max(len(either_time(*group)) for group in groups)
    width = _TILE * columns + _LABELS
    height = max(_PAIR * len(groups) + 0.5, 1.1 * _ROSE * len(layers) + 0.8)
    figure = Figure(figsize=(width + _ROSE, height))
    halves = figure.add_gridspec(1, 2, width_ratios=(width, _ROSE))
    tiles, roses = figure.add_subfigure(halves[0, 0]), figure.add_subfigure(halves[0, 1])
    rows = tiles.add_gridspec(
        len(groups),
        1,
        left=_LABELS / width,
        right=0.995,
        top=1 - 0.45 / height,
        bottom=0.2 / height,
        hspace=0.16,
    )
    spectra = {bank: spectra_by_id(bank) for pair in layers for bank in pair}
    for index, (old, new, scale) in enumerate(groups):
        grid = rows[index, 0].subgridspec(2, columns, hspace=0.06, wspace=0.06)
        for column, name in enumerate(either_time(old, new, scale)):
            for time, bank in enumerate((old, new)):
                axes = _empty_tile(tiles, grid, time, column)
                if column == 0:
                    label = "after" if time else f"layer {name.layer}, j={scale}\nbefore"
                    axes.set_ylabel(label, rotation=0, ha="right", va="center", labelpad=4)
                if name in bank.names:
                    _draw_filter(axes, spectra[bank][name.id], scale)
                if time == 1:
                    _caption(axes, old, new, name)
                elif name not in old.names:
                    axes.text(0.5, 0.5, "–", transform=axes.transAxes, ha="center", color=GREY)
    tiles.suptitle(
        f"{title}: Re ψ in space, before and after (each tile scaled to itself)",
        x=_LABELS / width,
        y=1 - 0.08 / height,
        ha="left",
        va="top",
        fontsize=9,
    )
    _roses(roses, layers, height)
    return figure


def _empty_tile(figure: SubFigure, grid: GridSpecFromSubplotSpec, row: int, column: int) -> Axes:
    axes = figure.add_subplot(grid[row, column])
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=GREY, linewidth=0.5)
    return axes


def _draw_filter(axes: Axes, spectrum: NDArray[np.float64], scale: int) -> None:
    """Re ψ about its centre, six standard deviations of the default envelope each way."""
    psi = np.fft.fftshift(np.fft.ifft2(spectrum).real)
    reach = [min(5 * 2**scale, n // 2 - 1) for n in psi.shape]
    x, y = (slice(n // 2 - r, n // 2 + r + 1) for n, r in zip(psi.shape, reach, strict=True))
    peak = np.abs(psi[x, y]).max() or 1.0
    axes.imshow(
        psi[x, y], cmap="PuOr", vmin=-peak, vmax=peak, interpolation="catrom", aspect="auto"
    )


def _caption(axes: Axes, old: FilterBank, new: FilterBank, name: FilterName) -> None:
    """What became of a filter, below its later tile."""
    if name not in new.names:
        axes.patch.set(facecolor=PALE, hatch="////", edgecolor=GREY)
        text = "dropped"
    elif name not in old.names:
        for spine in axes.spines.values():
            spine.set(color=VERMILLION, linewidth=2.0)
        text = f"new {math.degrees(described(new, name)['angle']):.0f}°"
    else:
        then, now = described(old, name), described(new, name)
        turn = 0.5 * math.remainder(2 * (now["angle"] - then["angle"]), 2 * math.pi)
        text = f"{math.degrees(turn):+.1f}° ω×{now['frequency'] / then['frequency']:.2f}"
    axes.set_xlabel(text, fontsize=6, labelpad=1)


def _roses(
    figure: SubFigure, layers: Sequence[tuple[FilterBank, FilterBank]], height: float
) -> None:
    circles = figure.subplots(len(layers), 1, squeeze=False, subplot_kw={"projection": "polar"})
    for axes, (old, new) in zip(circles[:, 0], layers, strict=True):
        _rose(cast(PolarAxes, axes), old, new)
    handles, labels = circles[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), columnspacing=1.0)
    figure.text(
        0.5, 0.3 / height, "θ: where the wave runs, 0° down the rows,\n90° along them", ha="center"
    )
    figure.subplots_adjust(
        left=0.12, right=0.88, top=1 - 0.6 / height, bottom=0.9 / height, hspace=0.25
    )


def _rose(axes: PolarAxes, old: FilterBank, new: FilterBank) -> None:
    """Direction of every filter on the ring of its scale, drawn at θ and θ + π."""
    scales = scales_of(old, new)
    points: dict[str, list[tuple[float, int]]] = {label: [] for label in _MARKS}
    for ring, scale in enumerate(scales, 1):
        for name in either_time(old, new, scale):
            earlier, later = name in old.names, name in new.names
            if earlier:
                angle = described(old, name)["angle"]
                points["before" if later else "dropped"].append((angle, ring))
            if later:
                angle = described(new, name)["angle"]
                points["after" if earlier else "new"].append((angle, ring))
    for label, marks in points.items():
        angles = [angle + turn for angle, _ in marks for turn in (0, math.pi)]
        radii = [ring for _, ring in marks for _ in range(2)]
        axes.scatter(angles, radii, label=label, zorder=3, **_MARKS[label])
    # As in the tiles: the first axis of an image runs down, the second to the right.
    axes.set_theta_zero_location("S")
    axes.set_rlim(0, len(scales) + 0.4)
    names = [f"j={scale}" for scale in scales]
    axes.set_rgrids(list(range(1, len(scales) + 1)), names, angle=100, fontsize=6)
    axes.set_thetagrids(range(0, 360, 45))
    axes.tick_params(labelsize=7, pad=1)
    axes.grid(linewidth=0.4, alpha=0.6)
    axes.set_title(f"layer {old.layer}: directions θ", pad=10)
