"""A family's bank in one dimension: waves over time, spectra, the Littlewood–Paley sum."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from scatonline.filterbank import FilterBank
from scatonline.plots.banks import described
from scatonline.plots.page import MARGIN, Page, flat, span, spread_out
from scatonline.plots.style import BLACK, BLUE, GREY, LINES, SCALES, VERMILLION

Doubles = NDArray[np.float64]

_MOST_TILES = 12
# Inches.
_LABELS, _GAP, _TILES = 0.7, 0.12, 10.2
_TILE_LEAST, _TILE_ALONE, _TILE_HEIGHT, _STEP = 0.85, 3.4, 0.72, 1.12
_PANEL, _PANEL_STEP = (4.4, 2.4), (5.45, 3.2)
# Energy of a filter that its tile shows.
_SHOWN = 0.995
# Samples each way that can be told apart.
_FEW = 24
# Frequencies to name on a logarithmic axis.
_TICKS = [digit * 10.0**power for power in range(-6, 0) for digit in (1, 2, 5)]
# Share of the peak above which the other sign of frequency is worth a line.
_OTHER_SIGN = 0.01


def family_line(bank: FilterBank, title: str, notes: Sequence[str]) -> Figure:
    """The 1-D form of :func:`scatonline.plots.family_sheet`.

    Args:
        bank: What to draw.
        title: First line.
        notes: Lines beneath it.
    """
    spectra = {scale: psi.numpy() for scale, psi in bank.spectra().items()}
    most = max(len(psi) for psi in spectra.values())
    columns = len(spread_out(most, _MOST_TILES))
    tile = _TILE_ALONE if columns == 1 else max(_TILES / columns - _GAP, _TILE_LEAST)
    block = _LABELS + columns * (tile + _GAP)
    height = len(spectra) * _STEP + 0.35
    # A lone voice leaves room beside it for the spectra.
    beside = columns == 1
    width = block + _PANEL_STEP[0] if beside else max(block, 2 * _PANEL_STEP[0])
    below = max(height, 2 * _PANEL_STEP[1]) if beside else height + _PANEL_STEP[1]
    extra = [f"of {most} filters of a scale, {columns} are drawn over time"]
    extra = extra if most > columns else []
    extra.append(
        "ψ over time: each filter scaled to its own largest |ψ|, under its frequency (cycle/sample)"
    )
    page = Page(width + 2 * MARGIN, below, title, [*notes, *extra])
    for index, (scale, psi) in enumerate(spectra.items()):
        _row(page, (page.top + index * _STEP + 0.2, tile), bank, scale, psi)
    _legend(page)
    if beside:
        places = [(MARGIN + block + 0.6, page.top + i * _PANEL_STEP[1]) for i in range(2)]
    else:
        places = [(MARGIN + 0.5 + i * _PANEL_STEP[0], page.top + height) for i in range(2)]
    magnitudes, total = (page.axes(x, y + 0.3, *_PANEL) for x, y in places)
    frequency = np.arange(1, bank.room.shape[0] // 2 + 1) / bank.room.shape[0]
    phi = np.abs(bank.family.low_pass().numpy()[1 : len(frequency) + 1])
    _magnitudes(magnitudes, frequency, spectra, phi)
    energy = bank.littlewood_paley().numpy()
    _littlewood_paley(total, frequency, energy, phi)
    for axes in (magnitudes, total):
        axes.set_xscale("log")
        # Below, φ̂ is 1 and there is nothing to see.
        lowest = max(float(frequency[0]), 0.1 * _half_width(frequency, phi))
        axes.set_xlim(lowest, 0.5)
        ticks = [tick for tick in _TICKS if lowest <= tick <= 0.5]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.tick_params(labelsize=7)
        axes.set_xlabel("frequency (cycle/sample)")
        axes.set_ylim(bottom=0)
    return page.figure


def _row(
    page: Page, place: tuple[float, float], bank: FilterBank, scale: int, psi: Doubles
) -> None:
    """Real part, imaginary part and envelope of a scale's filters, over one range of time."""
    top, tile = place
    waves = np.fft.fftshift(np.fft.ifft(psi), axes=1)
    reach = _reach(waves)
    middle = waves.shape[1] // 2
    time = np.arange(-reach, reach + 1)
    names = [bank.names[row] for row in bank.rows(scale)]
    for column, index in enumerate(spread_out(len(psi), _MOST_TILES)):
        wave = waves[index, middle - reach : middle + reach + 1]
        peak = float(abs(wave).max()) or 1.0
        left = MARGIN + _LABELS + column * (tile + _GAP)
        axes = page.axes(left, top, tile, _TILE_HEIGHT)
        axes.plot(time, abs(wave) / peak, color=GREY, linewidth=0.7)
        axes.plot(time, -abs(wave) / peak, color=GREY, linewidth=0.7)
        # Where samples are few they are marked, so that lines between them mislead nobody.
        marker = "." if reach <= _FEW else ""
        thickness = 1.1 if tile > 1.2 else 0.6
        for part, line, colour in ((wave.real, "-", BLUE), (wave.imag, "--", VERMILLION)):
            axes.plot(
                time,
                part / peak,
                line,
                color=colour,
                linewidth=thickness,
                marker=marker,
                markersize=3,
            )
        axes.set(xlim=(-reach, reach), ylim=(-1.1, 1.1), yticks=[], xticks=[-reach, 0, reach])
        axes.spines["left"].set_visible(False)
        axes.tick_params(labelsize=6, length=2, labelbottom=column == 0)
        if column == 0:
            # The outer numbers lean inwards, clear of the neighbours.
            first, _, last = axes.get_xticklabels()
            first.set_horizontalalignment("left")
            last.set_horizontalalignment("right")
        frequency = described(bank, names[index])["frequency"]
        axes.set_title(f"{frequency:.3g}", fontsize=7, pad=2)
    page.text(MARGIN, top + 0.5 * _TILE_HEIGHT, f"j = {scale}", va="bottom", fontweight="bold")
    page.text(
        MARGIN,
        top + 0.5 * _TILE_HEIGHT + 0.04,
        f"{len(psi)} filter{'s' * (len(psi) > 1)}",
        fontsize=6.5,
    )
    page.text(MARGIN, top + _TILE_HEIGHT + 0.06, "samples", fontsize=6)


def _reach(waves: NDArray[np.complex128]) -> int:
    """Samples about the centre, each way, that hold nearly all energy of every filter."""
    energy = abs(waves) ** 2
    middle = waves.shape[1] // 2
    # Both sides of 0 together, from the centre outwards; an even grid has one sample more before.
    after = energy[:, middle + 1 :]
    before = energy[:, middle - 1 :: -1][:, : after.shape[1]]
    outwards = energy[:, middle, None] + np.cumsum(before + after, 1)
    enough = (outwards >= _SHOWN * energy.sum(1, keepdims=True)).all(0)
    found = int(enough.argmax()) + 1 if enough.any() else len(enough)
    return max(found, min(8, len(enough)))


def _legend(page: Page) -> None:
    handles = [
        Line2D([], [], color=BLUE, linewidth=1.1, label="Re ψ"),
        Line2D([], [], color=VERMILLION, linewidth=0.9, linestyle="--", label="Im ψ"),
        Line2D([], [], color=GREY, linewidth=0.7, label="± envelope |ψ|"),
    ]
    page.figure.legend(handles=handles, loc="upper right", ncols=3, fontsize=7.5)


def _half_width(frequency: Doubles, phi: Doubles) -> float:
    """Where φ̂ first falls to a half."""
    return float(frequency[int((phi < 0.5).argmax())])


def _magnitudes(
    axes: Axes, frequency: Doubles, spectra: Mapping[int, Doubles], phi: Doubles
) -> None:
    """|ψ̂| of every filter, dotted at −ω where there is any of it, and φ̂."""
    dotted = False
    for number, (scale, psi) in enumerate(spectra.items()):
        colour = SCALES[number % len(SCALES)]
        style = LINES[number // len(SCALES) % len(LINES)]
        for index, spectrum in enumerate(abs(psi)):
            label = f"j={scale}" if index == 0 else None
            positive = spectrum[1 : len(frequency) + 1]
            axes.plot(frequency, positive, style, color=colour, linewidth=1.0, label=label)
            # Mirrored; the highest frequency is its own negative.
            negative = spectrum[: -len(frequency) - 1 : -1]
            if negative[:-1].max() > _OTHER_SIGN * spectrum.max():
                axes.plot(frequency, negative, ":", color=colour, linewidth=0.9)
                dotted = True
    axes.plot(frequency, phi, "--", color=BLACK, linewidth=1.4, label="|φ̂|")
    axes.set_ylabel("|ψ̂|, |φ̂|")
    axes.set_title("|ψ̂| at ω > 0" + (", dotted: at −ω" if dotted else ""), loc="left")
    _legend_above(axes)


def _legend_above(axes: Axes) -> None:
    """Clear of the curves, which leave no corner free."""
    axes.legend(
        fontsize=7,
        ncols=9,
        handlelength=1.3,
        columnspacing=0.8,
        handletextpad=0.5,
        loc="lower left",
        bbox_to_anchor=(0, 1.07),
        borderaxespad=0,
    )


def _littlewood_paley(axes: Axes, frequency: Doubles, energy: Doubles, phi: Doubles) -> None:
    """A, and the part of it that is φ̂'s."""
    axes.axhline(1.0, color=GREY, linewidth=0.6)
    shown = energy[1 : len(frequency) + 1]
    axes.plot(frequency, shown, color=VERMILLION, label="A(ω) = |φ̂|² + ½Σ|ψ̂|²")
    axes.plot(frequency, phi**2, "--", color=BLACK, linewidth=1.0, label="|φ̂|²")
    least = int(shown.argmin())
    if not flat(energy):
        axes.plot(frequency[least], shown[least], "x", color=BLACK, markersize=7, clip_on=False)
    axes.set_title(span(energy, "Littlewood–Paley sum A(ω)"), loc="left")
    _legend_above(axes)
    axes.set_ylim(0, 1.1 * max(1.0, float(energy.max())))
