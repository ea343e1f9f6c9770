"""What came of the run: numbers, all measured in it, as a JSON file and for people."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from scatonline.scores import PRIMARY
from service.client import Filter, ModelStatus, Move
from service.demo.display import move_text
from service.demo.ledger import Ledger
from service.demo.metrics import MetricsCheck
from service.demo.presets import LEARNED
from service.demo.scores import TITLES, Comparison, SpanScores, compare, span_scores
from service.recordings import Recording

Ending = Literal["whole", "time", "interrupted"]
_ENDINGS = {"whole": "", "time": ", then the time was up", "interrupted": ", stopped by hand"}


@dataclass(frozen=True)
class Result:
    """Everything that the demo measured.

    Attributes:
        recording: What was streamed.
        wanted: Samples that were to be streamed.
        elapsed_s: Seconds from the first sample to the last answer.
        ledgers: By model.
        before: Filters of the learned model before the first sample.
        after: Filters of the learned model after the last.
        status: State of the learned model after the last sample.
        moves: Structure moves and the sample that each came after.
        metrics: The scrape at the end.
        ending: Why the stream ended: it was whole, the time was up, or Ctrl-C.
    """

    recording: Recording
    wanted: int
    elapsed_s: float
    ledgers: Mapping[str, Ledger]
    before: Sequence[Filter]
    after: Sequence[Filter]
    status: ModelStatus
    moves: Sequence[tuple[Move, int]]
    metrics: MetricsCheck
    ending: Ending

    @property
    def streamed(self) -> int:
        """Samples that the learned model has taken in."""
        return self.ledgers[LEARNED].answered


@dataclass(frozen=True)
class Percentiles:
    """Of round trips as the client sees them, in milliseconds."""

    count: int
    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Percentiles | None":
        """None without a single one."""
        if not seconds:
            return None
        p50_ms, p99_ms = np.percentile(np.asarray(seconds) * 1e3, (50, 99)).tolist()
        return cls(len(seconds), p50_ms, p99_ms)


@dataclass(frozen=True)
class Summary:
    """The result with the scores worked out of it."""

    result: Result
    spans: Sequence[SpanScores]
    comparisons: Sequence[Comparison]

    @classmethod
    def of(cls, result: Result) -> "Summary":
        """Works out the scores."""
        kind = result.recording.kind
        return cls(
            result,
            span_scores(kind, result.ledgers),
            compare(kind, result.ledgers, LEARNED),
        )

    @property
    def primary(self) -> str:
        """Name of the score that decides."""
        return PRIMARY[self.result.recording.kind]


def save_summary(path: Path, summary: Summary, files: Sequence[Path]) -> None:
    """Writes everything as JSON."""
    result = summary.result
    recording = result.recording
    content: dict[str, Any] = {
        "recording": {
            "name": recording.name,
            "layout": recording.layout,
            "task": recording.task,
            "readout": recording.kind,
            "sessions": [session.id for session in recording.sessions],
            "notes": recording.notes,
        },
        "samples": {"wanted": result.wanted, "streamed": result.streamed},
        "ending": result.ending,
        "elapsed_s": result.elapsed_s,
        "primary_score": summary.primary,
        "scores": [asdict(span) for span in summary.spans],
        "service_scores": {
            "samples": result.status.scores.samples,
            **result.status.scores.values,
        },
        "learned_against": [
            {**asdict(each), "verdict": each.verdict} for each in summary.comparisons
        ],
        "moves": [{**asdict(move), "after_sample": sample} for move, sample in result.moves],
        "structure_checks": result.status.structure_checks,
        "last_decision": (
            None if result.status.last_decision is None else asdict(result.status.last_decision)
        ),
        "latency": {
            name: {"update": _as_dict(ledger.update_s), "predict": _as_dict(ledger.predict_s)}
            for name, ledger in result.ledgers.items()
        },
        "filters": {"before": len(result.before), "after": [asdict(each) for each in result.after]},
        "metrics": asdict(result.metrics),
        "versions": {
            "scatonline": version("scatonline"),
            "torch": version("torch"),
            "python": platform.python_version(),
        },
        "files": [str(file) for file in files],
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def print_summary(console: Console, summary: Summary, files: Sequence[Path]) -> None:
    """Tells the result."""
    result = summary.result
    rate = result.streamed / max(result.elapsed_s, 1e-3)
    console.print(
        f"\n[bold]Streamed[/bold] {result.streamed} of {result.wanted} samples to the learned "
        f"model in {result.elapsed_s:.0f} s ({rate:.0f} a second){_ENDINGS[result.ending]}",
        soft_wrap=True,
    )
    if summary.spans:
        _print_scores(console, summary)
        _print_verdict(console, summary)
    _print_structure(console, result)
    _print_latency(console, result)
    console.print("\n[bold]Metrics page[/bold]")
    console.print(f"  {result.metrics}", soft_wrap=True)
    console.print("\n[bold]Files[/bold]")
    for file in files:
        console.print(f"  {file}", soft_wrap=True)


def _print_scores(console: Console, summary: Summary) -> None:
    """The primary score over each span, and every other score over all samples."""
    overall = summary.spans[0].models
    console.print(
        f"\n[bold]{TITLES[summary.primary].capitalize()}[/bold] of predictions made before learning"
    )
    table = Table("model", box=None)
    for span in summary.spans:
        table.add_column(f"{span.title} ({span.samples})", justify="right")
    for model in overall:
        values = (span.models[model][summary.primary] for span in summary.spans)
        table.add_row(model, *(f"{value:.3f}" for value in values))
    console.print(table)
    others = [name for name in overall[LEARNED] if name != summary.primary]
    console.print("\n[bold]Other scores[/bold] over all samples")
    table = Table("model", box=None)
    for name in others:
        table.add_column(TITLES[name], justify="right")
    for model, scores in overall.items():
        table.add_row(model, *(f"{scores[name]:.3f}" for name in others))
    console.print(table)


def _print_verdict(console: Console, summary: Summary) -> None:
    console.print(
        f"\n[bold]Did it help?[/bold] Difference in {TITLES[summary.primary]} over all samples, "
        "± its standard error",
        soft_wrap=True,
    )
    for each in summary.comparisons:
        claim = {
            "ahead": f"the learned model beat [bold]{each.baseline}[/bold]",
            "behind": f"the learned model lost to [bold]{each.baseline}[/bold]",
            "level": f"no difference to [bold]{each.baseline}[/bold] that these samples could show",
        }[each.verdict]
        console.print(f"  {each.difference:+.3f} ± {each.error:.3f}  {claim}")


def _print_structure(console: Console, result: Result) -> None:
    status = result.status
    console.print(
        f"\n[bold]Structure[/bold] {status.structure_checks} checks, {len(result.moves)} moves, "
        f"{len(result.before)} filters before and {len(result.after)} after",
        soft_wrap=True,
    )
    for move, sample in result.moves:
        console.print(f"  {move_text(move, sample)}", markup=False, soft_wrap=True)
    if not result.moves and status.last_decision is not None:
        console.print(f"  last check: {status.last_decision.reason}", markup=False, soft_wrap=True)
    if status.structure_check_failures:
        console.print(f"  {status.structure_check_failures} checks failed; see the log")


def _print_latency(console: Console, result: Result) -> None:
    console.print(
        "\n[bold]Latency[/bold] request to reply, one at a time, the other models learning beside",
        soft_wrap=True,
    )
    for name, ledger in result.ledgers.items():
        update, predict = Percentiles.of(ledger.update_s), Percentiles.of(ledger.predict_s)
        if update is not None and predict is not None:
            console.print(
                f"  {name:8} update p50 {update.p50_ms:6.1f} ms, p99 {update.p99_ms:6.1f} ms; "
                f"predict p50 {predict.p50_ms:6.1f} ms, p99 {predict.p99_ms:6.1f} ms "
                f"({update.count} each)",
                soft_wrap=True,
            )


def _as_dict(seconds: Sequence[float]) -> dict[str, float] | None:
    found = Percentiles.of(seconds)
    return None if found is None else asdict(found)
