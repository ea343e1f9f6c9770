"""Pictures: a family's filters, a model's filters then and now, and its score over time.

Functions return :class:`matplotlib.figure.Figure` objects that belong to no window and no global
state; ``figure.savefig(path)`` renders them without a display. Colours are Okabe and Ito's, which
colour-blind readers can tell apart, and nothing is told by colour alone.
"""

from collections.abc import Sequence

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure

from scatonline.config import ModelSpec
from scatonline.plots.banks import ReportedFilter, rebuilt_banks
from scatonline.plots.family import family_sheet
from scatonline.plots.history import MoveKind, ScoreCurve, score_over_time
from scatonline.plots.line import line_sheet
from scatonline.plots.plane import plane_sheet
from scatonline.plots.style import STYLE

__all__ = [
    "MoveKind",
    "ReportedFilter",
    "ScoreCurve",
    "family_sheet",
    "filters_sheet",
    "score_over_time",
]


def filters_sheet(
    spec: ModelSpec,
    before: Sequence[ReportedFilter],
    after: Sequence[ReportedFilter],
    rate_hz: float | None = None,
) -> Figure:
    """All filters of a model at two times, side by side.

    In two dimensions: the real part of every ψ in space, each scaled by its own largest magnitude,
    one row of orientations a scale, with roses of the orientations. In one: every |ψ̂| over
    frequency and the Littlewood–Paley sums. Filters that were dropped are hatched or dotted, new
    ones framed or marked.

    Args:
        spec: The model; its bank says how filters are made and bounded.
        before: Filters at the earlier time.
        after: Filters at the later time.
        rate_hz: Samples a second of a 1-D input, for a frequency axis in Hz.

    Raises:
        ConfigError: the specification cannot be built.
    """
    with rc_context(STYLE), torch.no_grad():
        old, new = rebuilt_banks(spec, before), rebuilt_banks(spec, after)
        layers = list(zip(old, new, strict=True))
        if len(spec.shape) == 2:
            return plane_sheet(spec.name, layers)
        return line_sheet(spec.name, layers, rate_hz)
