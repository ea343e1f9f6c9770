"""What was measured, as one structure for a file and as tables for people."""

from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from benchmarks.stability import cases
from benchmarks.stability.solution import Agreement


class _Row(Protocol):
    def holds(self) -> bool: ...


@dataclass(frozen=True)
class Noise:
    """Ratios ‖Sx − Sy‖/‖x − y‖.

    Attributes:
        family: Of the filters.
        state: ``fixed`` or ``learned``.
        highest: Largest Littlewood–Paley sum of both layers.
        bounds: By oversampling.
        near: Median for white noise of a thousandth.
        far: Largest between two signals.
        worst: Largest found by gradient, without sub-sampling and with all of it.
        model_bound: With reflection and all sub-sampling, as a model has it.
        model_worst: Largest found there.
    """

    family: str
    state: str
    highest: float
    bounds: dict[int, float]
    near: float
    far: float
    worst: dict[int, float]
    model_bound: float
    model_worst: float

    def holds(self) -> bool:
        """Whether every measured ratio is within its bound."""
        within = [self.far <= self.bounds[cases.J] * _ROUNDING]
        within += [self.worst[o] <= self.bounds[o] * _ROUNDING for o in self.worst]
        return all(within) and self.model_worst <= self.model_bound * _ROUNDING


@dataclass(frozen=True)
class Line:
    """The same over time, fixed filters: by oversampling."""

    family: str
    bounds: dict[int, float]
    worst: dict[int, float]

    def holds(self) -> bool:
        """Whether every measured ratio is within its bound."""
        return all(self.worst[o] <= self.bounds[o] * _ROUNDING for o in self.worst)


@dataclass(frozen=True)
class Shift:
    """‖S T_c x − S x‖/‖x‖ by kind of signal and shift, and the bounds."""

    family: str
    state: str
    measured: dict[str, list[float]]
    bounds: list[float]

    def holds(self) -> bool:
        """Whether every measured ratio is within its bound."""
        return all(
            own <= bound * _ROUNDING
            for row in self.measured.values()
            for own, bound in zip(row, self.bounds, strict=True)
        )


@dataclass(frozen=True)
class Deformed:
    """‖S L x − S x‖/‖x‖ by kind of signal and ‖∇τ‖.

    Attributes:
        family: Of the filters.
        state: ``fixed`` or ``learned``.
        displacement: sup|τ| by ‖∇τ‖, the largest, pixels.
        raw: ‖L x − x‖/‖x‖.
        measured: Of the coefficients.
        bounds: By ‖∇τ‖.
        gap: Between our coefficients and samples of those of the continuous image, over its norm.
    """

    family: str
    state: str
    displacement: list[float]
    raw: dict[str, list[float]]
    measured: dict[str, list[float]]
    bounds: list[float]
    gap: float

    def holds(self) -> bool:
        """Whether every measured ratio is within both of its bounds."""
        return all(
            own <= bound and own <= raw * _ROUNDING
            for kind in self.measured
            for own, raw, bound in zip(
                self.measured[kind], self.raw[kind], self.bounds, strict=True
            )
        )


@dataclass(frozen=True)
class Learning:
    """Constants at one point of a stream."""

    family: str
    samples: int
    moved: float
    highest: float
    sampled_bound: float
    worst: float
    shift_bound: float
    shift: float
    deformed_bound: float
    deformed: float

    def holds(self) -> bool:
        """Whether every measured ratio is within its bound."""
        return (
            self.worst <= self.sampled_bound * _ROUNDING
            and self.shift <= self.shift_bound * _ROUNDING
            and self.deformed <= self.deformed_bound
        )


@dataclass(frozen=True)
class Solution:
    """Runs on bootstraps, and on bootstraps with responses of other frames."""

    family: str
    seeds: int
    samples: int
    learned: Agreement
    chance: Agreement


@dataclass
class Report:
    """Everything; parts that were not run are absent."""

    machine: dict[str, Any]
    noise: list[Noise] = field(default_factory=list)
    line: list[Line] = field(default_factory=list)
    shift: list[Shift] = field(default_factory=list)
    deformed: list[Deformed] = field(default_factory=list)
    learning: list[Learning] = field(default_factory=list)
    solution: list[Solution] = field(default_factory=list)
    seconds: float = 0.0

    def holds(self) -> bool:
        """Whether no measured ratio is beyond its bound."""
        rows: list[_Row] = [*self.noise, *self.line, *self.shift, *self.deformed, *self.learning]
        return all(row.holds() for row in rows)

    def to_dict(self) -> dict[str, Any]:
        """For a JSON file."""
        return {**asdict(self), "within_bounds": self.holds()}

    def tables(self) -> str:
        """Markdown."""
        parts = [", ".join(f"{key} {value}" for key, value in self.machine.items())]
        for title, head, rows in (
            ("Noise, images", _NOISE, [_noise_cells(row) for row in self.noise]),
            ("Noise, muscle potentials", _LINE, [_line_cells(row) for row in self.line]),
            ("Translation", _SHIFT, [_shift_cells(row) for row in self.shift]),
            ("Deformation of images", _BENT, _bent_cells(self.deformed)),
            ("Deformation", _DEFORMED, [_deformed_cells(row) for row in self.deformed]),
            ("While learning", _LEARNING, [_learning_cells(row) for row in self.learning]),
            ("Other samples", _SOLUTION, [_solution_cells(row) for row in self.solution]),
            ("Other samples: direction", _DIRECTION, [_way_cells(row) for row in self.solution]),
        ):
            if rows:
                parts.append(f"**{title}**\n\n{_table(head, rows)}")
        verdict = "yes" if self.holds() else "**no**"
        parts.append(f"Every measured ratio within its bound: {verdict}; {self.seconds:.0f} s")
        return "\n\n".join(parts)


# What double precision may add to a ratio.
_ROUNDING = 1 + 1e-9

_NOISE = [
    "filters",
    "max A",
    "noise, median",
    "pairs, largest",
    "worst found",
    "bound",
    "sub-sampled: worst found",
    "bound, oversampling 0 / 1 / 2",
    "as in a model: worst found",
    "bound",
]
_LINE = ["filters", *(f"oversampling {o}: worst / bound" for o in (0, 1, 2, cases.LINE_J))]
_SHIFT = [
    "filters",
    *(f"{c} px: V4 / KTH / white (bound)" for c in cases.SHIFTS),
]
_DEFORMED = [
    "filters",
    *(f"‖∇τ‖ {g:g}: V4 / KTH / white (bound)" for g in cases.GRADIENTS),
    "sampling gap",
]
_BENT = ["‖∇τ‖", "sup\\|τ\\|, px", "images move: V4 / KTH / white"]
_LEARNING = [
    "filters",
    "samples",
    "spectra moved",
    "max A",
    "noise, sub-sampled: worst / bound",
    "4 px: V4 / bound",
    "‖∇τ‖ 0.05: V4 / bound",
]
_SOLUTION = [
    "filters",
    "angle: spread / moved, degrees",
    "frequency: spread / moved, octaves",
    "spectra: matched / from start",
    "matched with itself",
]
_DIRECTION = [
    "filters",
    "cosine in θ",
    "cosine of spectra, mean [least]",
    "responses of other frames: spectra moved",
    "cosine in θ",
    "cosine of spectra",
]


def _noise_cells(row: Noise) -> list[str]:
    return [
        f"{row.family}, {row.state}",
        f"{row.highest:.4f}",
        f"{row.near:.3f}",
        f"{row.far:.3f}",
        f"{row.worst[cases.J]:.4f}",
        f"{row.bounds[cases.J]:.4f}",
        f"{row.worst[0]:.3f}",
        " / ".join(f"{row.bounds[o]:.3f}" for o in (0, 1, 2)),
        f"{row.model_worst:.3f}",
        f"{row.model_bound:.3f}",
    ]


def _line_cells(row: Line) -> list[str]:
    return [row.family, *(f"{row.worst[o]:.3f} / {row.bounds[o]:.3f}" for o in row.bounds)]


def _shift_cells(row: Shift) -> list[str]:
    cells = [
        f"{_slashed([own[i] for own in row.measured.values()])} ({row.bounds[i]:.3f})"
        for i in range(len(row.bounds))
    ]
    return [f"{row.family}, {row.state}", *cells]


def _deformed_cells(row: Deformed) -> list[str]:
    cells = [
        f"{_slashed([own[i] for own in row.measured.values()])} ({row.bounds[i]:.2f})"
        for i in range(len(row.bounds))
    ]
    return [f"{row.family}, {row.state}", *cells, f"{row.gap:.4f}"]


def _bent_cells(rows: list[Deformed]) -> list[list[str]]:
    """What no transform has a part in, so that the first row tells it for all."""
    return [
        [
            f"{gradient:g}",
            f"{row.displacement[i]:.2f}",
            _slashed([own[i] for own in row.raw.values()]),
        ]
        for row in rows[:1]
        for i, gradient in enumerate(cases.GRADIENTS)
    ]


def _learning_cells(row: Learning) -> list[str]:
    return [
        row.family,
        str(row.samples),
        f"{row.moved:.3f}",
        f"{row.highest:.4f}",
        f"{row.worst:.3f} / {row.sampled_bound:.3f}",
        f"{row.shift:.3f} / {row.shift_bound:.3f}",
        f"{row.deformed:.4f} / {row.deformed_bound:.2f}",
    ]


def _solution_cells(row: Solution) -> list[str]:
    own = row.learned
    return [
        row.family,
        f"{own.angle_spread_deg:.1f} / {own.angle_moved_deg:.1f}",
        f"{own.frequency_spread:.3f} / {own.frequency_moved:.3f}",
        f"{own.matched_distance:.4f} / {own.start_distance:.4f}",
        f"{100 * own.own:.0f} %",
    ]


def _way_cells(row: Solution) -> list[str]:
    own, chance = row.learned, row.chance
    return [
        row.family,
        f"{own.cosine_theta:.2f}",
        f"{own.cosine_spectra:.2f} [{own.cosine_least:.2f}]",
        f"{chance.start_distance:.4f}",
        f"{chance.cosine_theta:.2f}",
        f"{chance.cosine_spectra:.2f}",
    ]


def _slashed(values: list[float]) -> str:
    return " / ".join(f"{value:.3f}" for value in values)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
