"""What one online step costs, and whether that stays so.

One step is predict, score, learn and, every other sample, the refresh of one remembered sample, on
64×64 frames, J = 4, order 2, L = 8, 36 neurons.
"""

import resource
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.learning.neurons import SPEC
from scatonline.config import LearningSpec, ModelSpec
from scatonline.model import Model
from scatonline.sample import Sample

NEURONS = 36
GOAL_MS = 16.0
_BLOCK = 500


def contenders() -> dict[str, ModelSpec]:
    """Ours as it is in the other parts, and what it costs without θ or with a guard."""
    return {
        "ours": SPEC,
        "ours, filters fixed": replace(SPEC, learning=LearningSpec(enabled=False)),
        "ours, guarded": replace(SPEC, adaptation=replace(SPEC.adaptation, shadow=True)),
    }


def run(quick: bool) -> dict[str, Any]:
    """Milliseconds a step in blocks of samples, and memory.

    Args:
        quick: 1 500 samples for ours, 1 200 for the others; otherwise 20 000 and 3 000.
    """
    lengths = dict.fromkeys(contenders(), 1200 if quick else 3000)
    lengths["ours"] = 1500 if quick else 20_000
    return {name: _steps(spec, lengths[name]) for name, spec in contenders().items()}


def _steps(spec: ModelSpec, count: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    model = Model(spec)
    model.open_session("a", [str(unit) for unit in range(NEURONS)])
    taken, memory = [], []
    for number in range(count):
        frame = rng.integers(0, 256, (1, 64, 64)).astype(np.uint8)
        counts = rng.poisson(3.0, NEURONS).astype(np.float32)
        started = time.perf_counter()
        model.step(Sample(str(number), "a", frame, counts))
        taken.append(1e3 * (time.perf_counter() - started))
        if number % _BLOCK == _BLOCK - 1:
            memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    blocks = [float(np.median(taken[n : n + _BLOCK])) for n in range(0, count, _BLOCK)]
    full = taken[min(len(taken) - 1, spec.readout.window) :]
    return {
        "median_ms": float(np.median(full)),
        "mean_ms": float(np.mean(full)),
        "p99_ms": float(np.quantile(full, 0.99)),
        "blocks_ms": blocks,
        "memory_mb": memory,
    }


def table(result: Mapping[str, Any]) -> str:
    """Markdown."""
    lines = [
        (
            f"One online step once the window is full, goal {GOAL_MS:g} ms; the block is "
            f"{_BLOCK} samples."
        ),
        "",
        (
            "| model | median, ms | mean, ms | 99 %, ms | median, full window, first block → "
            "last | most memory there, MiB |"
        ),
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in result.items():
        first = min(3, len(row["blocks_ms"]) - 1)
        memory = row["memory_mb"]
        lines.append(
            f"| {name} | {row['median_ms']:.1f} | {row['mean_ms']:.1f} | {row['p99_ms']:.1f} | "
            f"{row['blocks_ms'][first]:.1f} → {row['blocks_ms'][-1]:.1f} | "
            f"{memory[min(first, len(memory) - 1)]:.0f} → {memory[-1]:.0f} |"
        )
    return "\n".join(lines)
