"""Filters in one dimension: magnitudes over frequency, and the Littlewood–Paley sum."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from scatonline.cascade import FilterName
from scatonline.filterbank import FilterBank
from scatonline.plots.banks import either_time, scales_of, spectra_by_id
from scatonline.plots.style import BLACK, GREY, SCALES, VERMILLION


def line_sheet(
    title: str, layers: Sequence[tuple[FilterBank, FilterBank]], rate_hz: float | None
) -> Figure:
    """The 1-D form of :func:`scatonline.plots.filters_sheet`.

    Args:
        title: Name of the model.
        layers: The bank before and after, layer by layer.
        rate_hz: Samples a second; None for cycles a sample.
    """
    figure = Figure(figsize=(11.0, 2.7 * len(layers) + 0.7), layout="constrained")
    figure.suptitle(f"{title}: |ψ̂| before and after", x=0.01, ha="left", fontsize=9)
    panels = figure.subplots(len(layers), 3, squeeze=False, sharex=True)
    for (before, after, total), (old, new) in zip(panels, layers, strict=True):
        frequency = _frequencies(old, rate_hz)
        _magnitudes(before, frequency, old, old)
        _magnitudes(after, frequency, old, new)
        before.set_title(f"layer {old.layer} before: {len(old)} filters", loc="left")
        after.set_title(f"layer {old.layer} after: {len(new)} filters", loc="left")
        after.sharey(before)
        _littlewood_paley(total, frequency, old, new)
    for axes in figure.axes:
        axes.set_xscale("log")
    for axes in panels[-1]:
        axes.set_xlabel("frequency (cycles/sample)" if rate_hz is None else "frequency (Hz)")
    _legend(figure, panels[:, 1].tolist(), "outside lower left")
    _legend(figure, [panels[0, 2]], "outside lower right")
    return figure


def _frequencies(bank: FilterBank, rate_hz: float | None) -> NDArray[np.float64]:
    """Positive frequencies of the padded grid, in Hz or cycles a sample."""
    n = bank.room.shape[0]
    return np.arange(1, n // 2 + 1) / n * (1.0 if rate_hz is None else rate_hz)


def _magnitudes(
    axes: Axes, frequency: NDArray[np.float64], old: FilterBank, shown: FilterBank
) -> None:
    """Every filter at the time of ``shown``, and dotted those that it has lost since ``old``."""
    spectra = {**spectra_by_id(old), **spectra_by_id(shown)}
    for scale in scales_of(old, shown):
        for name in either_time(old, shown, scale):
            magnitude = np.abs(spectra[name.id][1 : len(frequency) + 1])
            colour, line, marker, label = _look(name, old, shown)
            axes.plot(
                frequency,
                magnitude,
                line,
                color=colour,
                linewidth=1.8 if label == "new" else 1.0,
                marker=marker,
                markevery=[int(magnitude.argmax())],
                label=label,
            )
    axes.set_ylabel("|ψ̂|")


def _look(name: FilterName, old: FilterBank, shown: FilterBank) -> tuple[str, str, str, str]:
    if name not in shown.names:
        return GREY, ":", "x", "dropped"
    if name not in old.names:
        return VERMILLION, "-", "^", "new"
    return SCALES[name.scale % len(SCALES)], "-", "", f"scale j={name.scale}"


def _littlewood_paley(
    axes: Axes, frequency: NDArray[np.float64], old: FilterBank, new: FilterBank
) -> None:
    axes.axhline(1.0, color=BLACK, linewidth=0.6)
    for bank, colour, line, label in ((old, GREY, "--", "before"), (new, VERMILLION, "-", "after")):
        energy = bank.littlewood_paley().numpy()[1 : len(frequency) + 1]
        axes.plot(frequency, energy, line, color=colour, label=label)
    axes.set_ylim(0, 1.08)
    axes.set_ylabel("A(ω) = |φ̂|² + ½Σ|ψ̂|²")
    axes.set_title(f"layer {old.layer}: Littlewood–Paley sum, bound 1", loc="left")


def _legend(
    figure: Figure,
    panels: Sequence[Axes],
    place: Literal["outside lower left", "outside lower right"],
) -> None:
    """One legend for several panels, each label once."""
    entries: dict[str, Artist] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    figure.legend(list(entries.values()), list(entries), loc=place, ncols=len(entries))
