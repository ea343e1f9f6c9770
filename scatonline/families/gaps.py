"""Where between a scale's filters a new one would stand."""

import math
from collections.abc import Sequence
from itertools import pairwise


def angle_gaps(angles: Sequence[float], car: Sequence[float]) -> list[tuple[float, str]]:
    """Orientations worth trying beside ``angles`` (radians, read modulo π).

    Returns:
        The midpoint of the largest gap, then the midpoints on both sides of the filter with the
        highest CAR, each with its reason; duplicates left out.
    """
    order = sorted(range(len(angles)), key=lambda i: angles[i] % math.pi)
    start = [angles[i] % math.pi for i in order]
    gap = [b - a for a, b in pairwise([*start, start[0] + math.pi])]
    widest = max(range(len(gap)), key=lambda i: gap[i])
    best = max(range(len(order)), key=lambda i: car[order[i]])
    middle = [(a + g / 2) % math.pi for a, g in zip(start, gap, strict=True)]
    return _reasons(middle, gap, widest, (best, best - 1), "rad")


def log_frequency_gaps(
    frequencies: Sequence[float], car: Sequence[float]
) -> list[tuple[float, str]]:
    """Frequencies worth trying beside ``frequencies``, as :func:`angle_gaps`.

    Gaps are ratios; a lone filter is taken to stand in a gap of an octave.
    """
    order = sorted(range(len(frequencies)), key=lambda i: frequencies[i])
    logs = [math.log2(frequencies[i]) for i in order]
    edges = [logs[0] - 0.5, *logs, logs[-1] + 0.5] if len(logs) == 1 else logs
    gap = [b - a for a, b in pairwise(edges)]
    middle = [2 ** (a + g / 2) for a, g in zip(edges, gap, strict=False)]
    widest = max(range(len(gap)), key=lambda i: gap[i])
    best = max(range(len(order)), key=lambda i: car[order[i]])
    sides = [i for i in (best, best - 1) if 0 <= i < len(gap)]
    return _reasons(middle, gap, widest, sides, "octave")


def turned(
    values: Sequence[Sequence[float]], car: Sequence[float]
) -> list[tuple[tuple[float, ...], str]]:
    """Filters at :func:`angle_gaps`, the angle being a filter's first value.

    Everything else is taken from the filter nearest in angle.
    """

    def nearest(angle: float) -> Sequence[float]:
        return min(values, key=lambda v: abs(math.remainder(v[0] - angle, math.pi)))

    return [
        ((angle, *nearest(angle)[1:]), reason)
        for angle, reason in angle_gaps([v[0] for v in values], car)
    ]


def _reasons(
    middle: Sequence[float], gap: Sequence[float], widest: int, sides: Sequence[int], unit: str
) -> list[tuple[float, str]]:
    chosen = {widest: f"middle of the largest gap ({gap[widest]:.2f} {unit})"}
    for side in sides:
        position = side % len(gap)
        chosen.setdefault(
            position, f"beside the filter of highest CAR ({gap[position]:.2f} {unit})"
        )
    return [(middle[i], reason) for i, reason in chosen.items()]
