"""A family's bank in two dimensions: tiles in space, spectra, a rose, the Littlewood–Paley sum."""

import math
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.projections.polar import PolarAxes
from numpy.typing import NDArray

from scatonline.filterbank import FilterBank
from scatonline.plots.banks import described
from scatonline.plots.page import MARGIN, Page, flat, span, spread_out
from scatonline.plots.style import BLACK, GREY, LINES, PALE, SCALES, VERMILLION

Doubles = NDArray[np.float64]

_MOST_TILES = 16
# Inches.
_LABELS, _GAP, _TILES = 0.8, 0.06, 7.6
_TILE_LEAST, _TILE_MOST = 0.8, 1.3
_AXIS, _BAR, _CAPTION = 0.75, 0.75, 0.2
_PANEL, _PANEL_STEP = 2.15, (3.05, 3.0)
_NARROW = 8.5
# Energy of a filter that its tile shows.
_SHOWN = 0.98
_PI_TICKS = {1: "π", 2: "π/2", 4: "π/4", 8: "π/8", 16: "π/16", 32: "π/32", 64: "π/64"}


def family_plane(bank: FilterBank, title: str, notes: Sequence[str]) -> Figure:
    """The 2-D form of :func:`scatonline.plots.family_sheet`.

    Args:
        bank: What to draw.
        title: First line.
        notes: Lines beneath it.
    """
    spectra = {scale: psi.numpy() for scale, psi in bank.spectra().items()}
    most = max(len(psi) for psi in spectra.values())
    columns = len(spread_out(most, _MOST_TILES))
    tile = min(max(_TILES / columns, _TILE_LEAST), _TILE_MOST)
    side = 2 * tile + _GAP
    step = side + _CAPTION + 0.12
    block = _LABELS + columns * (tile + _GAP) + _AXIS + side + _BAR
    height = len(spectra) * step + 0.45
    # Few orientations leave room beside them for what else is more.
    beside = block < _NARROW
    across = (1 if height > 4 * _PANEL_STEP[1] else 2) if beside else 4
    panels = (across * _PANEL_STEP[0], 4 // across * _PANEL_STEP[1])
    step_across = _PANEL_STEP[0] if beside else max(block / 4, _PANEL_STEP[0])
    width = block + panels[0] if beside else max(block, panels[0])
    below = max(height, panels[1]) if beside else height + panels[1]
    extra = [f"of {most} orientations, {columns} are drawn in space"] if most > columns else []
    extra.append(
        "ψ in space: rows run down, as in an image; orange negative, purple positive, every filter "
        "scaled to its own largest |ψ|. θ: where the wave runs, 0° down the rows, 90° along them"
    )
    page = Page(width + 2 * MARGIN, below, title, [*notes, *extra])
    largest = max(float(abs(psi).max()) for psi in spectra.values()) or 1.0
    for index, (scale, psi) in enumerate(spectra.items()):
        top = page.top + index * step + _CAPTION
        _row(page, (MARGIN + _LABELS, top, tile), bank, scale, psi)
        left = MARGIN + _LABELS + columns * (tile + _GAP) + _AXIS
        axes = page.axes(left, top, side, side)
        image = _magnitudes(axes, psi, largest)
        axes.set_title(f"|ψ̂|, j={scale}: up to {abs(psi).max():.2f}", fontsize=8, pad=3)
        if scale == max(spectra):
            axes.set_xlabel("ω along the rows (rad/pixel)")
        else:
            axes.tick_params(labelbottom=False)
        _bar(page, image, (left + side + 0.08, top, side))
    origin = (block + MARGIN, page.top) if beside else (MARGIN, page.top + height)
    places = [
        (origin[0] + i % across * step_across, origin[1] + i // across * _PANEL_STEP[1])
        for i in range(4)
    ]
    _summary(page, places, bank, spectra)
    return page.figure


def _row(
    page: Page, place: tuple[float, float, float], bank: FilterBank, scale: int, psi: Doubles
) -> None:
    """Real parts of a scale's filters, and imaginary parts beneath them."""
    left, top, tile = place
    waves = np.fft.fftshift(np.fft.ifft2(psi), axes=(1, 2))
    reach = _reach(waves)
    angles = _angles(bank, scale)
    # Neighbours beside each other, whatever order the family has them in.
    order = sorted(range(len(psi)), key=angles.__getitem__)
    for column, place_ in enumerate(spread_out(len(psi), _MOST_TILES)):
        index = order[place_]
        wave = _centre(waves[index], reach)
        peak = float(abs(wave).max()) or 1.0
        for part, field in enumerate((wave.real, wave.imag)):
            at = (left + column * (tile + _GAP), top + part * (tile + _GAP))
            axes = page.tile(*at, tile, tile)
            axes.imshow(field, cmap="PuOr", vmin=-peak, vmax=peak, interpolation="nearest")
            # An axis that is shorter than the tile leaves it grey.
            axes.set_facecolor(PALE)
            axes.set(xlim=(-0.5, 2 * reach + 0.5), ylim=(2 * reach + 0.5, -0.5))
            if part == 0:
                # Of what rounding leaves, and of −0, nothing is said.
                angle = round(math.degrees(angles[index]), 1) + 0.0
                axes.set_title(f"{angle:g}°", fontsize=7, pad=2)
            if column == 0:
                axes.set_ylabel(("Re ψ", "Im ψ")[part], fontsize=7, labelpad=2)
    middle = top + tile + 0.5 * _GAP
    page.text(MARGIN, middle - 0.03, f"j = {scale}", va="bottom", fontweight="bold")
    page.text(MARGIN, middle + 0.03, f"±{reach} px", fontsize=7)


def _angles(bank: FilterBank, scale: int) -> list[float]:
    """Directions of a scale's filters, in [0, π)."""
    angles = [described(bank, bank.names[row])["angle"] for row in bank.rows(scale)]
    # What rounding leaves just below π is 0.
    return [0.0 if math.pi - angle < 1e-9 else angle for angle in angles]


def _reach(waves: NDArray[np.complex128]) -> int:
    """Pixels about the centre, each way, that hold nearly all energy of every filter."""
    energy = abs(waves) ** 2
    middle = [n // 2 for n in waves.shape[1:]]
    away = np.maximum(*(abs(grid) for grid in _offsets(waves.shape[1:])))
    within = [energy[:, away <= reach].sum(1) for reach in range(max(middle))]
    enough = [bool((part >= _SHOWN * energy.sum((1, 2))).all()) for part in within]
    found = enough.index(True) if True in enough else max(middle) - 1
    return max(found, 3)


def _offsets(grid: tuple[int, ...]) -> list[NDArray[np.int64]]:
    axes = [np.arange(n) - n // 2 for n in grid]
    return list(np.meshgrid(*axes, indexing="ij"))


def _centre(wave: NDArray[np.complex128], reach: int) -> NDArray[np.complex128]:
    """``reach`` pixels each way about the centre; what is beyond the grid masked."""
    square = np.full((2 * reach + 1,) * 2, np.nan, dtype=np.complex128)
    rows, columns = (min(reach, n // 2, n - 1 - n // 2) for n in wave.shape)
    x, y = (n // 2 for n in wave.shape)
    square[reach - rows : reach + rows + 1, reach - columns : reach + columns + 1] = wave[
        x - rows : x + rows + 1, y - columns : y + columns + 1
    ]
    return np.ma.masked_invalid(square)


def _magnitudes(axes: Axes, psi: Doubles, largest: float) -> AxesImage:
    """Largest |ψ̂| of a scale's filters, and the contour of every one at half its height."""
    shifted = np.fft.fftshift(abs(psi), axes=(1, 2))
    image = _plane_image(axes, shifted.max(0), largest)
    x, y = _frequencies(psi.shape[1:])
    for magnitude in shifted:
        peak = magnitude.max()
        if peak > 0:
            axes.contour(y, x, magnitude, [0.5 * peak], colors="white", linewidths=0.6)
    return image


def _frequencies(grid: tuple[int, ...]) -> list[Doubles]:
    """Along the axes of a shifted spectrum, rad/pixel."""
    return [2 * math.pi * np.fft.fftshift(np.fft.fftfreq(n)) for n in grid]


def _plane_image(
    axes: Axes, values: Doubles, largest: float, limit: float = math.pi, label: bool = True
) -> AxesImage:
    """A shifted spectrum, rows down as in an image, from 0 to ``largest``."""
    x, y = _frequencies(values.shape)
    half = [math.pi / n for n in values.shape]
    image = axes.imshow(
        values,
        cmap="viridis",
        vmin=0,
        vmax=largest,
        extent=(y[0] - half[1], y[-1] + half[1], x[-1] + half[0], x[0] - half[0]),
        interpolation="nearest",
        aspect="auto",
    )
    parts = round(math.pi / limit)
    axes.set(xlim=(-limit, limit), ylim=(limit, -limit))
    ticks, name = [-limit, 0, limit], _PI_TICKS.get(parts, f"π/{parts}")
    axes.set_xticks(ticks, [f"−{name}", "0", name])
    axes.set_yticks(ticks, [f"−{name}", "0", name])
    axes.tick_params(labelsize=7, length=2)
    if label:
        axes.set_ylabel("ω down (rad/pixel)", fontsize=7, labelpad=-2)
    return image


def _bar(page: Page, image: AxesImage, place: tuple[float, float, float]) -> None:
    left, top, height = place
    axes = page.axes(left, top, 0.09, height)
    page.figure.colorbar(image, cax=axes)
    axes.tick_params(labelsize=6, length=2)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _summary(
    page: Page,
    places: Sequence[tuple[float, float]],
    bank: FilterBank,
    spectra: Mapping[int, Doubles],
) -> None:
    """The four panels that show the bank as a whole."""
    rose, along, total, low = places
    side = _PANEL
    top = 0.5
    circle = page.axes(rose[0] + 0.3, rose[1] + top, side, side, projection="polar")
    _rose(cast(PolarAxes, circle), bank, spectra)
    energy = np.fft.fftshift(bank.littlewood_paley().numpy())
    phi = np.abs(np.fft.fftshift(bank.family.low_pass().numpy()))
    _along(page.axes(along[0] + 0.45, along[1] + top, side + 0.3, side), spectra, phi, energy)

    axes = page.axes(total[0] + 0.55, total[1] + top, side - 0.1, side - 0.1)
    image = _plane_image(axes, energy, max(1.0, float(energy.max())))
    axes.set_title(span(energy, "A(ω)"), pad=4)
    axes.set_xlabel("ω along the rows (rad/pixel)")
    x, y = _frequencies(energy.shape)
    least = np.unravel_index(energy.argmin(), energy.shape)
    if not flat(energy):
        axes.plot(y[least[1]], x[least[0]], "x", color=VERMILLION, markersize=7, clip_on=False)
    _bar(page, image, (total[0] + 0.55 + side, total[1] + top, side - 0.1))

    axes = page.axes(low[0] + 0.55, low[1] + top, side - 0.1, side - 0.1)
    image = _plane_image(axes, phi, 1.0, _low_limit(phi))
    axes.set_title("|φ̂|, enlarged" if _low_limit(phi) < math.pi else "|φ̂|", pad=4)
    axes.set_xlabel("ω along the rows (rad/pixel)")
    axes.contour(y, x, phi, [0.5], colors="white", linewidths=0.6)
    _bar(page, image, (low[0] + 0.55 + side, low[1] + top, side - 0.1))


def _low_limit(phi: Doubles) -> float:
    """The part of π, halved and halved, that leaves room about where there is much of φ̂."""
    away = np.maximum(*(abs(w) for w in np.meshgrid(*_frequencies(phi.shape), indexing="ij")))
    limit = math.pi
    while limit > math.pi / 64 and phi[away > 0.35 * limit].max() < 0.05:
        limit /= 2
    return limit


def _along(axes: Axes, spectra: Mapping[int, Doubles], phi: Doubles, energy: Doubles) -> None:
    """Over |ω|: the largest |ψ̂| of every scale, φ̂, and the range of A."""
    x, y = np.meshgrid(*_frequencies(phi.shape), indexing="ij")
    step = 2 * math.pi / min(phi.shape)
    ring = np.rint(np.hypot(x, y) / step).astype(int)
    radii = step * np.arange(1, ring.max() + 1)

    def extreme(values: Doubles, which: np.ufunc) -> Doubles:
        found = np.full(ring.max() + 1, -np.inf if which is np.maximum else np.inf)
        which.at(found, ring, values)
        return found[1:]

    axes.fill_between(
        radii,
        extreme(energy, np.minimum),
        extreme(energy, np.maximum),
        color=GREY,
        alpha=0.35,
        linewidth=0,
        label="A, from least to most",
    )
    for number, (scale, psi) in enumerate(spectra.items()):
        magnitude = np.fft.fftshift(abs(psi).max(0))
        style = LINES[number // len(SCALES) % len(LINES)]
        axes.plot(
            radii,
            extreme(magnitude, np.maximum),
            style,
            color=SCALES[number % len(SCALES)],
            label=f"j={scale}",
        )
    axes.plot(radii, extreme(phi, np.maximum), "--", color=BLACK, label="|φ̂|")
    axes.axvline(math.pi, color=GREY, linewidth=0.6, linestyle=":")
    axes.set_xscale("log", base=2)
    axes.set_xlim(radii[0], radii[-1])
    shown = {math.pi / parts: name for parts, name in _PI_TICKS.items() if math.pi / parts > step}
    axes.set_xticks(list(shown), list(shown.values()))
    axes.set_ylim(bottom=0)
    axes.minorticks_off()
    axes.tick_params(labelsize=7, length=2)
    axes.set_xlabel("|ω| (rad/pixel); beyond π: the corners")
    axes.set_title("largest |ψ̂| in any direction", pad=4 + 9 * math.ceil((len(spectra) + 2) / 5))
    # Above the curves, which leave no corner free.
    axes.legend(
        fontsize=6,
        ncols=5,
        handlelength=1.2,
        handletextpad=0.4,
        columnspacing=0.8,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        borderaxespad=0.2,
        labelspacing=0.2,
    )


def _rose(axes: PolarAxes, bank: FilterBank, spectra: Mapping[int, Doubles]) -> None:
    """Direction of every filter and the spread of its energy about it, on the ring of its scale."""
    for ring, (scale, psi) in enumerate(spectra.items(), 1):
        colour = SCALES[(ring - 1) % len(SCALES)]
        ordered = sorted(zip(_angles(bank, scale), psi, strict=True), key=lambda pair: pair[0])
        for index, (angle, spectrum) in enumerate(ordered):
            half = _angular_width(spectrum, angle)
            # Neighbours overlap: every other one stands further out.
            inner = ring - 0.42 + 0.42 * (index % 2)
            for turned in (angle, angle + math.pi):
                axes.bar(turned, 0.4, 2 * half, inner, color=colour, alpha=0.45, linewidth=0)
                axes.plot([turned] * 2, [inner, inner + 0.4], color=colour, linewidth=1.4)
    # As in the tiles: the first axis of an image runs down, the second to the right.
    axes.set_theta_zero_location("S")
    axes.set_rlim(0, len(spectra) + 0.5)
    names = [f"j={scale}" for scale in spectra]
    axes.set_rgrids(list(range(1, len(spectra) + 1)), names, angle=101, fontsize=6)
    for label in axes.get_yticklabels():
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8})
    axes.set_thetagrids(range(0, 360, 45))
    axes.tick_params(axis="x", labelsize=7, pad=0)
    axes.grid(linewidth=0.4, alpha=0.5)
    # The names of the rings stand on the wedges.
    axes.set_axisbelow(True)
    axes.set_title("directions θ, wedges ± r.m.s. width", pad=12)


def _angular_width(spectrum: Doubles, angle: float) -> float:
    """R.m.s. angle, read modulo π, between a filter's axis and its energy, radians."""
    omega = [2 * math.pi * np.fft.fftfreq(n) for n in spectrum.shape]
    x, y = np.meshgrid(*omega, indexing="ij")
    away = np.arctan2(y, x) - angle
    away = (away + 0.5 * math.pi) % math.pi - 0.5 * math.pi
    # A frequency on the border stands for two directions, of which the grid tells one.
    energy = np.where((x > -math.pi) & (y > -math.pi), spectrum**2, 0.0)
    total = float(energy.sum())
    return math.sqrt(float((energy * away**2).sum()) / total) if total > 0 else 0.0
