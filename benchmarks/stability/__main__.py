"""Measures how far noise, shifts, deformations and other samples move transforms and filters.

Every measured ratio stands beside the bound that docs/stability.md derives for it.
"""

import argparse
import json
import platform
import re
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.stability import cases, learn, measure
from benchmarks.stability.deform import Warp, random_warp
from benchmarks.stability.report import (
    Deformed,
    Learning,
    Line,
    Noise,
    Report,
    Shift,
    Solution,
)
from benchmarks.stability.signals import Folder, Signals
from benchmarks.stability.solution import Agreement, Learned, agreement
from scatonline import stability
from scatonline.model import Model
from scatonline.sample import Sample
from scatonline.scattering import Scattering

PARTS = ("constants", "line", "learning", "solution")
DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the parts that were asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks.stability", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--families", nargs="+", choices=cases.FAMILIES, default=cases.FAMILIES)
    parser.add_argument("--quick", action="store_true", help="fewer signals, samples and seeds")
    # More would wait for one another: maps are small, and cores are shared.
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the recordings")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    started = time.perf_counter()
    bench = Bench(Folder(options.data), cases.QUICK if options.quick else cases.FULL)
    report = Report(machine())
    for family in options.families:
        bench.measure(family, options.parts, report)
    report.seconds = time.perf_counter() - started
    print(report.tables())
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report.to_dict(), indent=2) + "\n")


def machine() -> dict[str, Any]:
    """What the numbers were measured on and with."""
    name, described = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if described.exists():
        found = re.search(r"model name\s*: (.*)", described.read_text())
        name = found.group(1).strip() if found else name
    packages = {package: version(package) for package in ("torch", "numba", "scipy")}
    return {"device": name, "threads": torch.get_num_threads(), **packages}


class Bench:
    """Signals and samples, and what is done with them."""

    def __init__(self, folder: Folder, effort: cases.Effort) -> None:
        """Reads the recordings."""
        self.folder, self.effort = folder, effort
        self.signals: Signals = folder.signals(effort.signals)
        self.samples = folder.first_day()
        size = (cases.SIZE, cases.SIZE)
        self.warps = {
            gradient: [
                random_warp(size, gradient, cases.CYCLES, seed)
                for seed in range(effort.deformations)
            ]
            for gradient in cases.GRADIENTS
        }

    def measure(self, family: str, parts: Sequence[str], report: Report) -> None:
        """All parts of one family."""
        if "constants" in parts or "learning" in parts:
            fixed, learned, course = self.course(family, follow="learning" in parts)
            report.learning += course
            for state, model in (("fixed", fixed), ("learned", learned)):
                if "constants" in parts:
                    report.noise.append(self.noise(family, state, model))
                    report.shift.append(self.shift(family, state, model))
                    report.deformed.append(self.deformed(family, state, model))
        if "line" in parts:
            report.line.append(self.line(family))
        if "solution" in parts:
            report.solution.append(self.solution(family))

    def course(self, family: str, *, follow: bool) -> tuple[Model, Model, list[Learning]]:
        """One model before and after learning, and constants on the way."""
        points = self.effort.checkpoints
        samples = self.samples[: points[-1]]
        course, fixed = [], next(learn.taught(family, self.folder.movie, ()))
        last = fixed
        for number, model in enumerate(learn.taught(family, self.folder.movie, samples)):
            if follow and number in points:
                course.append(self.point(family, number, model))
            last = model
        return fixed, last, course

    def point(self, family: str, number: int, model: Model) -> Learning:
        """Constants of a model as it is now."""
        whole = learn.with_filters_of(model, cases.plane(family))
        sampled = learn.with_filters_of(model, cases.plane(family, oversampling=0))
        frames, warps, shift = self.signals.frames, self.warps[0.05], (4, 0)
        drifts = [f.drift["spectral_distance"] for f in model.filters() if f.layer == 1]
        return Learning(
            family=family,
            samples=number,
            moved=sum(drifts) / len(drifts),
            highest=_highest(whole),
            sampled_bound=stability.lipschitz(sampled),
            worst=measure.worst(sampled, frames[:2], self.effort.ascent),
            shift_bound=stability.translation(whole, shift),
            shift=measure.shifted(whole, frames, shift),
            deformed_bound=_deformed_bound(whole, warps),
            deformed=measure.deformed(whole, frames, warps)[1],
        )

    def noise(self, family: str, state: str, model: Model) -> Noise:
        """Additive perturbations."""
        by = {
            o: learn.with_filters_of(model, cases.plane(family, oversampling=o))
            for o in range(cases.J + 1)
        }
        padded = learn.with_filters_of(model, cases.plane(family, oversampling=0, padding=True))
        frames, ascent = self.signals.frames, self.effort.ascent
        return Noise(
            family=family,
            state=state,
            highest=_highest(by[cases.J]),
            bounds={o: stability.lipschitz(transform) for o, transform in by.items()},
            near=measure.near(by[cases.J], frames),
            far=measure.far(by[cases.J], [*self.signals.images().values()]),
            worst={o: measure.worst(by[o], frames[:2], ascent) for o in (0, cases.J)},
            model_bound=stability.lipschitz(padded) * stability.repeats(padded) ** 0.5,
            model_worst=measure.worst(padded, frames[:2], ascent, mean_free=False),
        )

    def shift(self, family: str, state: str, model: Model) -> Shift:
        """Translations along the first axis."""
        transform = learn.with_filters_of(model, cases.plane(family))
        shifts = [(c, 0) for c in cases.SHIFTS]
        measured = {
            kind: [measure.shifted(transform, x, shift) for shift in shifts]
            for kind, x in self.signals.images().items()
        }
        return Shift(family, state, measured, [stability.translation(transform, c) for c in shifts])

    def deformed(self, family: str, state: str, model: Model) -> Deformed:
        """Smooth random deformations."""
        transform = learn.with_filters_of(model, cases.plane(family))
        found = {
            kind: [measure.deformed(transform, x, warps) for warps in self.warps.values()]
            for kind, x in self.signals.images().items()
        }
        return Deformed(
            family=family,
            state=state,
            displacement=[max(w.displacement for w in warps) for warps in self.warps.values()],
            raw={kind: [raw for raw, _ in rows] for kind, rows in found.items()},
            measured={kind: [own for _, own in rows] for kind, rows in found.items()},
            bounds=[_deformed_bound(transform, warps) for warps in self.warps.values()],
            gap=measure.sampling_gap(transform, self.signals.frames[:1], 4),
        )

    def line(self, family: str) -> Line:
        """Sub-sampling over time, fixed filters."""
        bounds, worst = {}, {}
        for o in (0, 1, 2, cases.LINE_J):
            transform = Scattering(cases.line(family, o), (cases.LINE_SIZE,)).requires_grad_(False)
            bounds[o] = stability.lipschitz(transform)
            worst[o] = measure.worst(transform, self.signals.muscles[:2], self.effort.ascent)
        return Line(family, bounds, worst)

    def solution(self, family: str) -> Solution:
        """Filters learned from bootstraps, and from bootstraps with other frames' responses."""
        effort = self.effort
        return Solution(
            family,
            effort.seeds,
            effort.samples,
            self.runs(family, [self.samples] * effort.seeds),
            self.runs(family, [learn.shuffled(self.samples, s) for s in range(effort.seeds)]),
        )

    def runs(self, family: str, streams: Sequence[Sequence[Sample]]) -> Agreement:
        """One run for each stream, on a bootstrap of its own."""
        start = Learned.of(next(learn.taught(family, self.folder.movie, ())))
        learned = []
        for seed, stream in enumerate(streams):
            drawn = learn.bootstrap(stream, self.effort.samples, self.effort.block, seed)
            *_, model = learn.taught(family, self.folder.movie, drawn)
            learned.append(Learned.of(model))
        return agreement(start, learned)


def _highest(transform: Scattering) -> float:
    layers = range(1, transform.spec.max_order + 1)
    return max(float(transform.bank(layer).littlewood_paley().max()) for layer in layers)


def _deformed_bound(transform: Scattering, warps: Sequence[Warp]) -> float:
    kernels = stability.Deformation.of(transform)
    return max(kernels.bound(warp.gradient, warp.displacement) for warp in warps)


if __name__ == "__main__":
    main()
