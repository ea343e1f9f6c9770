"""One look for all pictures."""

from typing import Any

from matplotlib.typing import RcKeyType

BLACK, GREY, ORANGE, SKY, GREEN, BLUE, VERMILLION = (
    "#000000",
    "#8c8c8c",
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#0072b2",
    "#d55e00",
)
PALE = "#e8e8e8"
CURVES = ((VERMILLION, "-"), (BLUE, "--"), (GREEN, "-."), (GREY, ":"))
SCALES = (BLUE, ORANGE, GREEN, SKY, BLACK, GREY)
# Beyond as many scales as there are colours.
LINES = ("-", "--", ":")
STYLE: dict[RcKeyType, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "axes.titlesize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "figure.facecolor": "white",
}
