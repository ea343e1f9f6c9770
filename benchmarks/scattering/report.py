"""What was measured, as one structure for a file and as tables for people."""

from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.scattering import cases
from benchmarks.scattering.families import FamilyRow
from benchmarks.scattering.stream import Stream
from benchmarks.scattering.timing import Times


@dataclass(frozen=True)
class ForwardRow:
    """A forward pass three ways."""

    case: cases.Case
    kymatio: Times
    ours: Times
    ffts: Times

    @property
    def ratio(self) -> float:
        """How many times faster than Kymatio."""
        return self.kymatio.median / self.ours.median

    @property
    def to_ffts(self) -> float:
        """Our time over that of the FFTs in it."""
        return self.ours.median / self.ffts.median


@dataclass(frozen=True)
class StepRow:
    """An online step, by the comparison and by us, and our forward pass."""

    case: cases.Case
    parametric: Times
    ours: Times
    forward: Times

    @property
    def ratio(self) -> float:
        """How many times faster than the comparison."""
        return self.parametric.median / self.ours.median

    @property
    def to_forward(self) -> float:
        """A step over a forward pass."""
        return self.ours.median / self.forward.median


@dataclass
class Report:
    """Everything; parts that were not run are absent."""

    machine: dict[str, Any]
    forward: list[ForwardRow] = field(default_factory=list)
    steps: list[StepRow] = field(default_factory=list)
    families: list[FamilyRow] = field(default_factory=list)
    construction_s: dict[str, float] = field(default_factory=dict)
    memory_bytes: dict[str, int] = field(default_factory=dict)
    stream: Stream | None = None

    def to_dict(self) -> dict[str, Any]:
        """For a JSON file; times in seconds."""
        return {
            "machine": self.machine,
            "forward": [
                {**asdict(row), "kymatio/ours": row.ratio, "ours/ffts": row.to_ffts}
                for row in self.forward
            ],
            "steps": [
                {**asdict(row), "parametric/ours": row.ratio, "step/forward": row.to_forward}
                for row in self.steps
            ],
            "families": [row.to_dict() for row in self.families],
            "construction_s": self.construction_s,
            "memory_bytes": self.memory_bytes,
            "stream": asdict(self.stream) if self.stream else None,
        }

    def tables(self) -> str:
        """Markdown."""
        parts = [", ".join(f"{key} {value}" for key, value in self.machine.items())]
        if self.forward:
            parts.append(_table(_FORWARD_HEAD, [_forward_cells(row) for row in self.forward]))
        if self.steps:
            parts.append(_table(_STEP_HEAD, [_step_cells(row) for row in self.steps]))
        if self.families:
            parts.append(_table(_FAMILY_HEAD, [_family_cells(row) for row in self.families]))
        parts += self._sentences()
        return "\n\n".join(parts)

    def _sentences(self) -> list[str]:
        found = []
        if self.construction_s:
            theirs, own = self.construction_s["kymatio"], self.construction_s["ours"]
            found.append(
                f"Construction of {cases.CONSTRUCTION.name}: Kymatio {theirs:.2f} s, ours "
                f"{1e3 * own:.1f} ms (goal ≤ {1e3 * cases.CONSTRUCTION_GOAL_S:.0f} ms: "
                f"{_verdict(own <= cases.CONSTRUCTION_GOAL_S)})"
            )
        if self.memory_bytes:
            theirs, own = (self.memory_bytes[name] / 2**20 for name in ("kymatio", "ours"))
            found.append(
                f"Peak memory of a forward pass, {cases.MEMORY.name}: Kymatio {theirs:.0f} MiB, "
                f"ours {own:.0f} MiB (goal ≤ Kymatio's: {_verdict(own <= theirs)})"
            )
        if self.stream:
            change = self.stream.late_s / self.stream.early_s
            within = 1 / cases.STREAM_GOAL <= change <= cases.STREAM_GOAL
            found.append(
                f"Stream of {self.stream.steps} online steps, {cases.STREAM.name}: "
                f"{1e3 * self.stream.early_s:.2f} ms about step 200, "
                f"{1e3 * self.stream.late_s:.2f} ms at the end, ratio {change:.2f} "
                f"(goal within 10 %: {_verdict(within)}); resident memory grew by "
                f"{self.stream.growth_bytes / 2**20:.1f} MiB after the first thousand"
            )
        return found


_FORWARD_HEAD = ["forward", "Kymatio ms", "ours ms", "ratio", "goal", "FFTs ms", "ours ÷ FFTs"]
_STEP_HEAD = ["online step", "per-path ms", "ours ms", "ratio", "goal", "÷ own forward"]

_FAMILY_HEAD = [
    *("families", "", "ratio to Kymatio", "÷ Morlet's ratio", "step ms"),
    *("filters of layer 1 ms", "and back ms"),
]


def _forward_cells(row: ForwardRow) -> list[str]:
    return [
        row.case.name,
        _milliseconds(row.kymatio),
        _milliseconds(row.ours),
        f"{row.ratio:.1f}×",
        _goal(row.case.goal, row.ratio),
        _milliseconds(row.ffts),
        f"{row.to_ffts:.2f} (≤ {cases.FFT_GOAL}: {_verdict(row.to_ffts <= cases.FFT_GOAL)})",
    ]


def _step_cells(row: StepRow) -> list[str]:
    reached = _verdict(row.to_forward <= cases.STEP_GOAL)
    return [
        row.case.name,
        _milliseconds(row.parametric),
        _milliseconds(row.ours),
        f"{row.ratio:.1f}×",
        _goal(row.case.goal, row.ratio),
        f"{row.to_forward:.2f} (≤ {cases.STEP_GOAL}: {reached})",
    ]


def _family_cells(row: FamilyRow) -> list[str]:
    build = _milliseconds(row.build)
    if row.case == cases.BUILD:
        reached = _verdict(row.build.median <= cases.BUILD_GOAL_S)
        build += f" (≤ {1e3 * cases.BUILD_GOAL_S:g}: {reached})"
    share = _verdict(row.of_morlet >= cases.FAMILY_GOAL)
    return [
        row.case.name,
        row.family,
        f"{row.ratio:.1f}×",
        f"{row.of_morlet:.2f} (≥ {cases.FAMILY_GOAL}: {share})",
        _milliseconds(row.step),
        build,
        _milliseconds(row.build_back),
    ]


def _milliseconds(times: Times) -> str:
    return f"{1e3 * times.median:.2f} [{1e3 * times.low:.2f}–{1e3 * times.high:.2f}]"


def _goal(goal: float | None, reached: float) -> str:
    return "" if goal is None else f"≥ {goal:g}×: {_verdict(reached >= goal)}"


def _verdict(holds: bool) -> str:
    return "yes" if holds else "**no**"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
