"""The path of a fit as a page: JSON for programs, Markdown and a picture for people."""

import json
from pathlib import Path
from typing import Any

from scatonline.nested import Fitted, Round
from scatonline.nested import Path as Walk
from service.errors import StorageError
from service.fit.figure import draw
from service.fit.problem import Problem


def write_report(file: Path, asked: Problem, fitted: Fitted) -> list[Path]:
    """Writes FILE.json, FILE.md and FILE.png; an ending of ``file`` is left out.

    Raises:
        StorageError: the disk refuses.
    """
    json_file, page, picture = (file.with_suffix(end) for end in (".json", ".md", ".png"))
    try:
        json_file.write_text(json.dumps(content(asked, fitted), indent=1), encoding="utf-8")
        page.write_text(markdown(asked, fitted, picture.name), encoding="utf-8")
        draw(fitted.path, asked.spec.name).savefig(picture, dpi=110)
    except OSError as error:
        raise StorageError(f"--report {file}: cannot be written: {error.strerror}") from error
    return [json_file, page, picture]


def content(asked: Problem, fitted: Fitted) -> dict[str, Any]:
    """Everything, JSON-safe."""
    classifier = fitted.classifier
    return {
        "spec": fitted.model.spec.to_dict(),
        "samples": len(asked.samples),
        "path": fitted.path.to_dict(),
        "classifier": None
        if classifier is None
        else {"shrinkage": classifier.shrinkage, "accuracy": classifier.accuracy},
    }


def markdown(asked: Problem, fitted: Fitted, picture: str) -> str:
    """The page."""
    walk = fitted.path
    moves = [f"- after round {r.number}: {r.reason}" for r in walk.rounds if r.reason]
    parts = [
        f"# Fit of `{fitted.model.spec.name}`",
        _summary(asked, fitted),
        _classifier(fitted),
        f"![path]({picture})",
        "## Rounds",
        _LEGEND,
        _table(walk),
        "## Moves",
        "\n".join(moves) or "None was looked for.",
        "## Filters left",
        _filters(walk.rounds[0], walk.rounds[walk.chosen]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


_LEGEND = """\
Held-out scores after each descent of θ. *left out*: explained variance of the fitted samples, each
predicted without its own group: what the descent improves. *gain*: over the best round before, ±
one standard error. *drift*: mean of 1 − correlation with the first filters, by layer."""


def _summary(asked: Problem, fitted: Fitted) -> str:
    walk = fitted.path
    first, chosen = walk.rounds[0], walk.rounds[walk.chosen]
    return (
        f"{len(asked.samples)} labelled samples: {walk.samples[0]} fitted to, {walk.samples[1]} "
        f"held out as judge. Family {fitted.model.spec.bank.family}. "
        f"Filters {first.total_filters} → {chosen.total_filters}, held-out explained variance "
        f"{first.explained:.4f} → {chosen.explained:.4f}{_accuracies(first, chosen)}. "
        f"Round {walk.chosen} was taken. Ended: {walk.ended}."
    )


def _accuracies(first: Round, chosen: Round) -> str:
    if first.accuracy is None or chosen.accuracy is None:
        return ""
    return f", held-out accuracy of the ridge readout {first.accuracy:.3f} → {chosen.accuracy:.3f}"


def _classifier(fitted: Fitted) -> str:
    lda = fitted.classifier
    if lda is None:
        return ""
    return (
        "The readout's weights are those of a linear discriminant on all samples, covariance "
        f"shrunk by {lda.shrinkage:g}: {lda.accuracy:.3f} accuracy on folds that the discriminant "
        "had not seen (θ had)."
    )


def _table(walk: Walk) -> str:
    names = "round,filters,columns,steps,θ moves,explained,accuracy,left out,gain,drift,"
    head = "| " + names.replace(",", " | ") + " |"
    rule = "|" + "---|" * (names.count(",") + 1)
    rows = [
        f"| {r.number} | {r.total_filters} | {r.columns} | {r.steps} | by {r.tie} "
        f"| {r.explained:.4f} | {'–' if r.accuracy is None else f'{r.accuracy:.3f}'} "
        f"| {r.left_out:.4f} | {r.gain:+.4f} ± {r.gain_se:.4f} "
        f"| {', '.join(f'{d:.3f}' for d in r.drift)} | {_remark(walk, r)} |"
        for r in walk.rounds
    ]
    return "\n".join((head, rule, *rows))


def _remark(walk: Walk, finished: Round) -> str:
    if finished.number == walk.chosen:
        return "**taken**"
    return "" if finished.kept else "undone"


def _filters(first: Round, chosen: Round) -> str:
    rows = [
        f"| {place} | {count} | {chosen.filters.get(place, 0)} |"
        for place, count in first.filters.items()
    ]
    rows += [f"| {p} | 0 | {n} |" for p, n in chosen.filters.items() if p not in first.filters]
    return "\n".join(("| layer/scale | at the start | left |", "|---|---|---|", *rows))
