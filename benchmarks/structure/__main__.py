"""Runs the parts that were asked for and prints what came out, good or bad."""

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.structure import planted, report, timing

PARTS = ("planted", "timing")


def main(arguments: Sequence[str] | None = None) -> None:
    """Streams are shared among processes; times are taken alone."""
    parser = argparse.ArgumentParser(prog="benchmarks.structure", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args(arguments)
    result: dict[str, Any] = {}
    if "timing" in options.parts:
        result["timing"] = [asdict(timing.measure(size)) for size in timing.SIZES]
    if "planted" in options.parts:
        seeds = range(options.first, options.first + options.seeds)
        with ProcessPoolExecutor(
            options.workers, initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            outcomes = list(pool.map(planted.run, seeds))
        result["planted"] = {
            "goals": [asdict(goal) for goal in report.goals(outcomes)],
            "streams": [outcome.to_dict() for outcome in outcomes],
        }
    print(report.tables(result))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
