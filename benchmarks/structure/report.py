"""What was measured beside what was asked for, as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.structure.planted import Outcome
from benchmarks.structure.timing import GOAL_S

# Samples within which a direction that has become needed is to be there.
SOON = 1000


@dataclass(frozen=True)
class Goal:
    """A goal and what came of it.

    Attributes:
        what: In words.
        value: Measured.
        limit: Goal.
        met: Whether it holds.
    """

    what: str
    value: float
    limit: str
    met: bool


def goals(outcomes: Sequence[Outcome]) -> list[Goal]:
    """Over all planted streams together."""
    drops = sum(o.drops for o in outcomes)
    harmful = sum(o.harmful for o in outcomes) / max(drops, 1)
    found = float(np.mean([o.found for o in outcomes]))
    added = float(np.mean([0 <= o.added_after <= SOON for o in outcomes]))
    oscillating = sum(o.oscillating > 0 for o in outcomes)
    return [
        Goal("harmful drops, share of all drops", harmful, "≤ 0.01", harmful <= 0.01),
        Goal("useless filters gone before the change", found, "≥ 0.9", found >= 0.9),
        Goal(f"new direction there within {SOON} samples", added, "≥ 0.9", added >= 0.9),
        Goal(
            "streams with a filter that twice went and came back", oscillating, "0", not oscillating
        ),
    ]


def tables(result: Mapping[str, Any]) -> str:
    """Of everything that was measured."""
    parts = []
    if "planted" in result:
        parts.append(_planted(result["planted"]))
    if "timing" in result:
        parts.append(_timing(result["timing"]))
    return "\n\n".join(parts)


def _planted(planted: Mapping[str, Any]) -> str:
    streams = planted["streams"]
    lines = [
        f"| planted truth, {len(streams)} streams | measured | goal |",
        "| --- | --- | --- |",
        *(
            f"| {g['what']} | {g['value']:.4g} | {g['limit']}: {_told(g['met'])} |"
            for g in planted["goals"]
        ),
    ]
    costs = np.array([cost for s in streams for cost in s["costs"]])
    after = [s["added_after"] for s in streams if s["added_after"] >= 0]
    told = (
        f"{sum(s['drops'] for s in streams)} drops in {len(costs)} checks; true cost of a check's "
        f"drops, share of what is explained: median {np.median(costs):+.4f}, largest "
        f"{costs.max():+.4f}. Samples until the new direction was there: median "
        f"{np.median(after):.0f}, largest {max(after)}. Filters at the end: "
        f"{np.mean([s['filters'] for s in streams]):.2f} of the 3 that are enough."
    )
    return "\n".join([*lines, "", told])


def _timing(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| columns × samples × filters × fits | way | fits s | CARs s | anew s | ratio | error |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        size = row["size"]
        shape = f"{size['columns']} × {size['samples']} × {size['filters']} × {size['restarts']}"
        asked = (size["columns"], size["samples"], size["filters"], size["restarts"])
        goal = (
            f" (≤ {GOAL_S:g}: {_told(row['cars_s'] <= GOAL_S)})"
            if asked == (2000, 1000, 24, 5)
            else ""
        )
        lines.append(
            f"| {shape} | {row['way']} | {row['fit_s']:.2f} | {row['cars_s']:.2f}{goal} "
            f"| {row['brute_s']:.1f} | {row['brute_s'] / row['cars_s']:.0f}× | {row['error']:.0e} |"
        )
    return "\n".join(lines)


def _told(met: bool) -> str:
    return "yes" if met else "**no**"
