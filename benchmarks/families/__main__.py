"""Runs the parts that were asked for and prints what came out, good or bad."""

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import torch

from benchmarks.families import recordings, teacher
from benchmarks.families.recordings import TASKS, Outcome, Samples, Task
from benchmarks.families.report import Chosen, Report
from scatonline import choose_family
from scatonline.config import BankSpec
from scatonline.families import FAMILIES

PARTS = ("teacher", "recordings", "chooser")
NAMES = tuple(dict.fromkeys(name for name, _ in FAMILIES))
_DEFAULT = BankSpec().family


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures scores, not times: work is shared among processes."""
    parser = argparse.ArgumentParser(prog="benchmarks.families", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--families", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--tasks", nargs="+", default=[task.name for task in TASKS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=teacher.CHECKPOINTS[-1], help="of a teacher")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args(arguments)
    seeds = range(options.seeds)
    report = Report()
    tasks = [task for task in TASKS if task.name in options.tasks]
    here = [task for task in tasks if (options.data / task.file).exists()]
    report.missing = [f"{t.name}: no {options.data / t.file}" for t in tasks if t not in here]
    with ProcessPoolExecutor(
        options.workers, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        if "teacher" in options.parts:
            lessons = [
                (name, d, seed, options.samples)
                for name, d in FAMILIES
                if name in options.families
                for seed in seeds
            ]
            report.recoveries = list(pool.map(_recover, lessons))
        if "recordings" in options.parts or "chooser" in options.parts:
            runs = [
                (task, options.data, name, seed, learned)
                for task in here
                for name in options.families
                for seed in seeds
                for learned in ((False, True) if "recordings" in options.parts else (False,))
            ]
            report.outcomes = list(pool.map(_run, runs))
        if "chooser" in options.parts:
            asked = [(task, options.data, options.families, s) for task in here for s in seeds]
            chosen = list(pool.map(_choose, asked))
            report.choices = [
                _judged(report.outcomes, task, seed, family, reason)
                for (task, _, _, seed), (family, reason) in zip(asked, chosen, strict=True)
            ]
    print(report.tables())
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report.to_dict(), indent=2) + "\n")


def _recover(lesson: tuple[str, int, int, int]) -> teacher.Recovery:
    return teacher.recover(*lesson)


def _run(asked: tuple[Task, Path, str, int, bool]) -> Outcome:
    task, data, family, seed, learned = asked
    return recordings.run(task, _samples(task, data), family, seed, learned=learned)


def _choose(asked: tuple[Task, Path, Sequence[str], int]) -> tuple[str, str]:
    task, data, families, seed = asked
    samples = _samples(task, data)
    spec = recordings.specification(task, samples, _DEFAULT, learned=False)
    choice = choose_family(spec, *recordings.calibration(task, samples, seed), families)
    return choice.spec.bank.family, choice.reason


def _judged(outcomes: Sequence[Outcome], task: Task, seed: int, family: str, reason: str) -> Chosen:
    fixed = {
        o.family: o.score
        for o in outcomes
        if (o.task, o.seed, o.learned) == (task.name, seed, False)
    }
    default = fixed.get(_DEFAULT, float("nan"))
    best = max(fixed.values())
    return Chosen(task.name, seed, family, reason, fixed[family], default, best)


@cache
def _samples(task: Task, data: Path) -> Samples:
    return recordings.read(task, data)


if __name__ == "__main__":
    main()
