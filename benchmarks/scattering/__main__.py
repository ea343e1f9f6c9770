"""Measures the transform and prints what came out, goals beside results.

What falls short is printed as it is.
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

from benchmarks.scattering import cases, families, memory, stream, ways
from benchmarks.scattering.parametric import ParametricScattering
from benchmarks.scattering.report import ForwardRow, Report, StepRow
from benchmarks.scattering.steps import online_step
from benchmarks.scattering.timing import measure

PARTS = ("forward", "step", "families", "construction", "memory", "stream")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the parts that were asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks.scattering", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--device", default="cpu", help="where to measure: cpu or cuda")
    parser.add_argument("--threads", type=int, help="of PyTorch; as it chooses if not given")
    parser.add_argument("--seconds", type=float, default=6.0, help="for each row")
    parser.add_argument("--steps", type=int, default=20_000, help="of the stream")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    report = Report(machine(device))
    if "forward" in options.parts:
        report.forward += [forward_row(c, device, options.seconds) for c in cases.FORWARD]
    if "step" in options.parts:
        report.steps += [step_row(c, device, options.seconds) for c in cases.STEP]
    if "families" in options.parts:
        for case in cases.FAMILIES:
            report.families += families.rows(case, device, options.seconds)
    if "construction" in options.parts:
        report.construction_s = construction()
    if "memory" in options.parts:
        report.memory_bytes = {name: memory.peak(name) for name in ("kymatio", "ours")}
    if "stream" in options.parts:
        report.stream = stream.run(options.steps)
    print(report.tables())
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report.to_dict(), indent=2) + "\n")


def machine(device: torch.device) -> dict[str, Any]:
    """What the numbers were measured on and with."""
    name = platform.processor() or platform.machine()
    described = Path("/proc/cpuinfo")
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    elif described.exists():
        found = re.search(r"model name\s*: (.*)", described.read_text())
        name = found.group(1).strip() if found else name
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        **{package: version(package) for package in ("torch", "numba", "kymatio")},
    }


def forward_row(case: cases.Case, device: torch.device, seconds: float) -> ForwardRow:
    """Kymatio, ours and the bare FFTs in turn."""
    x = ways.signals(case, device)
    calls = {
        "kymatio": ways.forward(ways.kymatio(case).to(device), x),
        "ours": ways.forward(ways.ours(case).to(device), x),
        "ffts": ways.bare_ffts(case, device),
    }
    return ForwardRow(case, **measure(calls, device, seconds))


def step_row(case: cases.Case, device: torch.device, seconds: float) -> StepRow:
    """The per-path comparison and ours in turn, and our forward pass."""
    x = ways.signals(case, device)
    rows, columns = case.shape
    transform = ways.ours(case).to(device)
    parametric = ParametricScattering(case.J, (rows, columns)).to(device)
    with torch.no_grad():
        apart, whole = (parametric(x) - parametric.fixed(x)).abs().max(), parametric(x).abs().max()
    if not apart < 1e-4 * whole:
        raise RuntimeError(f"the comparison differs from Kymatio by {float(apart / whole):.1e}")
    calls = {
        "parametric": online_step(parametric, x),
        "ours": online_step(transform, x),
        "forward": ways.forward(ways.ours(case).to(device), x),
    }
    return StepRow(case, **measure(calls, device, seconds))


def construction() -> dict[str, float]:
    """Seconds from arguments to a transform that is ready, the best of a few."""
    x = ways.signals(cases.CONSTRUCTION, torch.device("cpu"))

    def seconds(make: Any) -> float:
        start = time.perf_counter()
        ways.forward(make(cases.CONSTRUCTION), x)()
        return time.perf_counter() - start

    return {
        "kymatio": seconds(ways.kymatio),
        "ours": min(seconds(ways.ours) for _ in range(5)),
    }


if __name__ == "__main__":
    main()
