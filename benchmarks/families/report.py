"""What was measured, as one structure for a file and as tables for people."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from benchmarks.families.recordings import TASKS, Outcome
from benchmarks.families.teacher import Recovery


@dataclass(frozen=True)
class Chosen:
    """What calibration chose, and what that was worth on the held-out samples.

    Attributes:
        task: Name.
        seed: Of the split.
        family: Chosen.
        reason: Of the chooser.
        score: Held out, of the chosen family, fixed.
        default: Held out, of Morlet, fixed.
        best: Held out, of the best family, fixed: no chooser could have more.
    """

    task: str
    seed: int
    family: str
    reason: str
    score: float
    default: float
    best: float


@dataclass
class Report:
    """Everything; parts that were not run are absent."""

    recoveries: list[Recovery] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    choices: list[Chosen] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As plain dicts, lists and numbers."""
        return asdict(self)

    def tables(self) -> str:
        """Markdown."""
        parts = [
            *(_recoveries(self.recoveries, d) for d in (2, 1)),
            _outcomes(self.outcomes),
            _choices(self.choices),
            "\n".join(f"Not run: {name}" for name in self.missing),
        ]
        return "\n\n".join(part for part in parts if part)


_COLUMNS = (
    *("family", "fixed", "learned", "learned − fixed"),
    *("explained variance, fixed", "learned − fixed"),
)


def _recoveries(every: Sequence[Recovery], dimensions: int) -> str:
    some = [r for r in every if r.dimensions == dimensions]
    if not some:
        return ""
    counts = ", ".join(str(n) for n in some[0].samples)
    title = (
        f"Teacher recovery, {dimensions}-D, mean of {len({r.seed for r in some})} seeds, after "
        f"{counts} samples: filters' distance from the teacher's, r.m.s. error of directions, of "
        "all parameters as a share of that at the start, and the prequential error as a share of "
        "the targets' variance."
    )
    lines = [
        title,
        "",
        "| family | 1000·(1 − cosine) | directions, degrees | parameters | error |",
        "| --- | --- | --- | --- | --- |",
    ]
    for family in dict.fromkeys(r.family for r in some):
        own = [r for r in some if r.family == family]
        cells = [
            " → ".join(f"{1000 * v:.1f}" for v in _mean([r.spectra for r in own])),
            " → ".join(f"{v:.1f}" for v in _mean([r.degrees for r in own]))
            if dimensions == 2
            else "–",
            " → ".join(f"{v:.2f}" for v in _mean([r.parameters for r in own])),
            " → ".join(f"{v:.3f}" for v in _mean([r.error for r in own])[1:]),
        ]
        lines.append(f"| {family} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _outcomes(every: Sequence[Outcome]) -> str:
    if not any(o.learned for o in every):
        # The chooser alone needs the fixed ones only, and has a table of its own.
        return ""
    seeds = len({o.seed for o in every})
    lines = [
        f"Held-out scores, {seeds} seeds: mean ± standard error over seeds; differences are paired",
        "",
        f"| recording | score | {' | '.join(_COLUMNS)} |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    score = {task.name: task.score for task in TASKS}
    for task in dict.fromkeys(o.task for o in every):
        for family in dict.fromkeys(o.family for o in every if o.task == task):
            ways = [
                [o for o in every if (o.task, o.family, o.learned) == (task, family, learned)]
                for learned in (False, True)
            ]
            fixed, learned = (np.array([o.score for o in way]) for way in ways)
            before, after = (np.array([o.explained for o in way]) for way in ways)
            cells = [
                *(_with_error(fixed), _with_error(learned), _with_error(learned - fixed, "+")),
                *(_with_error(before), _with_error(after - before, "+")),
            ]
            lines.append(f"| {task} | {score[task]} | {family} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _choices(every: Sequence[Chosen]) -> str:
    if not every:
        return ""
    lines = [
        'The chooser, `family="auto"`, on each training set: held-out score of its choice, fixed',
        "",
        "| recording | chosen, by seed | chosen | Morlet | best of all |",
        "| --- | --- | --- | --- | --- |",
    ]
    for task in dict.fromkeys(c.task for c in every):
        own = [c for c in every if c.task == task]
        names = ", ".join(c.family for c in own)
        means = [np.mean([getattr(c, key) for c in own]) for key in ("score", "default", "best")]
        lines.append(f"| {task} | {names} | " + " | ".join(f"{m:.4f}" for m in means) + " |")
    return "\n".join(lines)


def _mean(rows: Sequence[Sequence[float]]) -> list[float]:
    means: list[float] = np.mean(rows, 0).tolist()
    return means


def _with_error(values: np.ndarray[Any, np.dtype[np.float64]], sign: str = "") -> str:
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{values.mean():{sign}.4f} ± {error:.4f}"
