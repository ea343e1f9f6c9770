"""The path of a fit as a picture."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scatonline.nested import Path

_TAKEN = "tab:green"
_LEAST_DRIFT = 1e-4


def draw(path: Path, name: str) -> Figure:
    """Scores, filters and descents, round by round."""
    figure = Figure(figsize=(10, 7.5), layout="constrained")
    figure.suptitle(f"fit of {name}: round {path.chosen} taken; {path.ended}", fontsize=10)
    scores, counts, descents, values = figure.subplots(2, 2).flat
    _scores(scores, path)
    _counts(counts, path)
    _descents(descents, path)
    _drift(values, path)
    return figure


def _scores(axes: Axes, path: Path) -> None:
    numbers = [r.number for r in path.rounds]
    axes.plot(numbers, [r.explained for r in path.rounds], "o-", label="held-out explained")
    axes.plot(numbers, [r.left_out for r in path.rounds], ".--", label="left-out explained")
    right = [r.accuracy for r in path.rounds if r.accuracy is not None]
    if right:
        axes.plot(numbers, right, "s-", color="tab:red", label="held-out accuracy, ridge")
    for r in path.rounds:
        if not r.kept:
            axes.plot(r.number, r.explained, "x", color="black", markersize=10)
    axes.axvline(path.chosen, color=_TAKEN, alpha=0.5, label="taken")
    _dressed(axes, "score after each descent (× undone)", "round")
    axes.legend(fontsize=8)


def _counts(axes: Axes, path: Path) -> None:
    """Filters of each layer, stacked by scale, finest at the bottom."""
    places = sorted({place for r in path.rounds for place in r.filters})
    below = [0] * len(path.rounds)
    for at, place in enumerate(places):
        heights = [r.filters.get(place, 0) for r in path.rounds]
        color = f"C{at % 10}" if at < 10 else (0.2 + 0.6 * at / len(places),) * 3
        axes.bar([r.number for r in path.rounds], heights, bottom=below, label=place, color=color)
        below = [a + b for a, b in zip(below, heights, strict=True)]
    _dressed(axes, "filters, by layer/scale", "round")
    axes.legend(fontsize=7, ncols=2, loc="lower left")


def _descents(axes: Axes, path: Path) -> None:
    """Losses of all steps, one descent after the other."""
    start = 0
    for r in path.rounds:
        if r.losses:
            steps = range(start + 1, start + 1 + len(r.losses))
            axes.plot(steps, r.losses, lw=1, color="tab:blue" if r.kept else "tab:gray")
            start += len(r.losses)
            axes.axvline(start + 0.5, color="lightgray", lw=0.8)
    if not start:
        axes.text(0.5, 0.5, "θ did not move", ha="center", transform=axes.transAxes)
    _dressed(axes, "left-out error of each step's batch / variance", "step of θ, all rounds")


def _drift(axes: Axes, path: Path) -> None:
    layers = len(path.rounds[0].drift)
    for layer in range(layers):
        drift = [r.drift[layer] for r in path.rounds]
        axes.plot([r.number for r in path.rounds], drift, "o-", label=f"layer {layer + 1}")
    # Rounding is no drift.
    axes.set_ylim(0, max(axes.get_ylim()[1], _LEAST_DRIFT))
    _dressed(axes, "mean drift: 1 − correlation with the first filters", "round")
    axes.legend(fontsize=8)


def _dressed(axes: Axes, title: str, below: str) -> None:
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(below, fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
