"""Runs the parts that were asked for and prints what came out, good or bad."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.service.parts import PARTS, Figure


def main(arguments: Sequence[str] | None = None) -> None:
    """One part after the other, each with servers of its own."""
    parser = argparse.ArgumentParser(prog="benchmarks.service", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args(arguments)
    found: dict[str, list[Figure]] = {}
    for part in options.parts:
        found[part] = PARTS[part](options.quick)
        print(table(part, found[part]), flush=True)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        rows = {part: [asdict(figure) for figure in each] for part, each in found.items()}
        options.out.write_text(json.dumps(rows, indent=2) + "\n")


def table(part: str, figures: Sequence[Figure]) -> str:
    """Figures as a Markdown table."""
    verdicts = {True: "met", False: "**missed**", None: ""}
    rows = [
        f"| {figure.name} | {figure.value:.4g} {figure.unit} | {figure.goal} | "
        f"{verdicts[figure.met]} |"
        for figure in figures
    ]
    head = [f"### {part}", "", "| | measured | goal | |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *rows, ""])


if __name__ == "__main__":
    main()
