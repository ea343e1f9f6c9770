"""A figure laid out in inches from its upper left corner, so that panels keep their sizes."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from scatonline.plots.style import GREY

MARGIN = 0.25
_LINE = 0.16
# Characters of the small print to an inch; DejaVu Sans at 7.5 points, with some to spare.
_CHARACTERS = 16.0


class Page:
    """A figure with a heading.

    Attributes:
        figure: The figure.
        width: Inches.
        top: Where the room below the heading begins, inches from the upper edge.
    """

    def __init__(self, width: float, below: float, title: str, notes: Sequence[str]) -> None:
        """Makes a figure as high as its heading needs.

        Args:
            width: Inches.
            below: Height of everything under the heading, inches.
            title: First line.
            notes: Small print under it, wrapped to the width.
        """
        lines = [
            line
            for note in notes
            for line in textwrap.wrap(
                note, int((width - 2 * MARGIN) * _CHARACTERS), subsequent_indent="    "
            )
        ]
        self.width, self.top = width, MARGIN + 0.25 + _LINE * len(lines) + 0.2
        self._height = self.top + below + MARGIN
        self.figure = Figure(figsize=(width, self._height))
        self.text(MARGIN, MARGIN, title, fontsize=11, fontweight="bold")
        for index, line in enumerate(lines):
            # Keeps the indent, which text would lose.
            indent = len(line) - len(line.lstrip())
            left = MARGIN + indent / _CHARACTERS
            self.text(left, MARGIN + 0.25 + _LINE * index, line.lstrip(), fontsize=7.5)

    def axes(self, left: float, top: float, width: float, height: float, **options: Any) -> Axes:
        """A panel; ``options`` are those of :meth:`matplotlib.figure.Figure.add_axes`."""
        place = (
            left / self.width,
            1 - (top + height) / self._height,
            width / self.width,
            height / self._height,
        )
        axes: Axes = self.figure.add_axes(place, **options)
        return axes

    def tile(self, left: float, top: float, width: float, height: float) -> Axes:
        """A framed panel without ticks."""
        axes = self.axes(left, top, width, height)
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(visible=True, color=GREY, linewidth=0.5)
        return axes

    def text(self, left: float, top: float, text: str, **options: Any) -> None:
        """Words whose upper left corner stands there, unless ``options`` align them otherwise."""
        options = {"va": "top", "ha": "left", **options}
        self.figure.text(left / self.width, 1 - top / self._height, text, **options)


def spread_out(count: int, most: int) -> list[int]:
    """At most ``most`` of ``count`` things, evenly spread, in order."""
    return list(range(0, count, math.ceil(count / most)))


def flat(values: NDArray[np.float64]) -> bool:
    """Whether values differ by rounding only."""
    return float(np.ptp(values)) < 1e-6


def span(values: NDArray[np.float64], what: str) -> str:
    """Least and largest of values, in words; × marks where they are least."""
    if flat(values):
        return f"{what} = {values.mean():.4g} everywhere"
    return f"{what}: {values.min():.3g} (×) to {values.max():.4g}"
