"""Writes Kymatio 0.3.0's coefficients that the tests compare with: ``tests/golden/kymatio.npz``.

Needs the environment of CONTRIBUTING.md, "Comparing with Kymatio"::

    .venv-bench/bin/python benchmarks/golden/kymatio_values.py
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from kymatio.torch import Scattering1D, Scattering2D

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden" / "kymatio.npz"

# (shape, J, L) and (length, J, Q): odd and non-square, one scale to many, padding cut short or not.
PLANES = (
    ((31, 33), 2, 4),
    ((31, 33), 3, 8),
    ((32, 32), 2, 8),
    ((32, 32), 3, 5),
    ((64, 48), 3, 6),
    ((64, 48), 4, 8),
    ((128, 128), 4, 4),
    ((128, 128), 5, 8),
)
LINES = (
    (300, 3, 2),
    (512, 4, 1),
    (512, 5, 8),
    (1024, 6, (8, 1)),
    (2048, 7, 4),
    (4096, 8, 8),
    (8192, 8, 1),
    (8192, 9, (8, 1)),
)


def main() -> None:
    """Computes all cases from one seed."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for shape, scales, angles in PLANES:
        x = rng.standard_normal(shape).astype(np.float32)
        case = f"plane_{shape[0]}x{shape[1]}_J{scales}_L{angles}"
        arrays[f"{case}.x"] = x
        arrays[f"{case}.S"] = Scattering2D(scales, shape, L=angles)(torch.from_numpy(x)).numpy()
    for length, scales, voices in LINES:
        x = rng.standard_normal(length).astype(np.float32)
        named = "-".join(map(str, voices)) if isinstance(voices, tuple) else str(voices)
        case = f"line_{length}_J{scales}_Q{named}"
        arrays[f"{case}.x"] = x
        arrays[f"{case}.S"] = Scattering1D(scales, length, Q=voices)(torch.from_numpy(x)).numpy()
    np.savez_compressed(GOLDEN, **arrays)


if __name__ == "__main__":
    main()
