"""Measures what adapting is worth on real recordings: the same stream for every model."""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.learning import (
    cost,
    drift,
    emg,
    encoding,
    freeing,
    pictures,
    places,
    structure,
    textures,
)
from benchmarks.stability.__main__ import machine

PARTS: dict[str, Any] = {
    "encoding": encoding,
    "places": places,
    "freeing": freeing,
    "structure": structure,
    "emg": emg,
    "drift": drift,
    "textures": textures,
    "cost": cost,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the parts that were asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks.learning", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="less of everything, to see it run")
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch")
    parser.add_argument("--out", type=Path, help="JSON file to write; plots go beside it")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    results: dict[str, Any] = {"machine": machine(), "quick": options.quick}
    for name in options.parts:
        started = time.perf_counter()
        try:
            measured = PARTS[name].run(options.quick)
        except FileNotFoundError as missing:
            print(f"## {name}\n\nNot run: {missing}\n", flush=True)
            continue
        seconds = time.perf_counter() - started
        results[name] = {"seconds": seconds, **measured}
        print(f"## {name} ({seconds:.0f} s)\n\n{PARTS[name].table(measured)}\n", flush=True)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=2) + "\n")
        pictures.draw(results, options.out.parent)


if __name__ == "__main__":
    main()
