"""An unlearned transform is the one that the field knows: Kymatio 0.3.0, on stored coefficients.

`benchmarks/golden/kymatio_values.py` made them; single precision, so equal means to about 1e-6.
"""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from scatonline.config import BankSpec
from scatonline.scattering import Scattering

FILE = Path(__file__).parent / "kymatio.npz"
# Kymatio writes 3.1415 for π where it normalises a Gaussian in the plane, so its φ̂(0) is not 1.
MEAN_OF_KYMATIO = math.pi / 3.1415


@cache
def stored() -> dict[str, NDArray[np.float32]]:
    with np.load(FILE) as arrays:
        return dict(arrays)


PLANES = sorted(name[:-2] for name in stored() if name.startswith("plane") and name.endswith(".x"))
LINES = sorted(name[:-2] for name in stored() if name.startswith("line") and name.endswith(".x"))


def ours(case: str, dtype: torch.dtype = torch.float64) -> tuple[NDArray[np.float64], Scattering]:
    """Coefficients `(channels, *out)` of a case without a bound, and the transform."""
    kind, _, J, count = case.split("_")
    scales, many = int(J[1:]), int(count[1:])
    spec = (
        BankSpec(J=scales, L=many, bound="none")
        if kind == "plane"
        else BankSpec(J=scales, Q=(many, 1), bound="none")
    )
    x = torch.from_numpy(stored()[f"{case}.x"]).to(dtype)
    transform = Scattering(spec, x.shape)
    with torch.no_grad():
        return transform(x).double().numpy(), transform


def relative(a: NDArray[np.float64], b: NDArray[np.float32]) -> float:
    return float(np.abs(a - b).max() / np.abs(b).max())


def test_golden_values_stay_small() -> None:
    assert FILE.stat().st_size < 300_000


@pytest.mark.parametrize("case", PLANES)
def test_plane_agrees(case: str) -> None:
    """But for the one known factor; in single precision, exactly once that is taken out."""
    coefficients, transform = ours(case)
    expected = stored()[f"{case}.S"]
    order = np.array(transform.meta()["order"])
    assert coefficients.shape == expected.shape
    for m in range(3):
        assert relative(coefficients[order == m], expected[order == m]) < 5e-5
        assert relative(MEAN_OF_KYMATIO * coefficients[order == m], expected[order == m]) < 1e-6


@pytest.mark.parametrize("case", LINES)
def test_line_agrees_but_for_a_power_of_two_a_path(case: str) -> None:
    """Kymatio 0.3.0 takes the mean where the aliases of a filter should be added.

    A path whose moduli stand at levels l₁, l₂ is thereby divided by 2^(l₁ + l₂); order 0 by 1.
    """
    coefficients, transform = ours(case)
    expected = stored()[f"{case}.S"]
    assert coefficients.shape == expected.shape
    J = transform.spec.J
    for path, own, theirs in zip(transform.paths, coefficients, expected, strict=True):
        levels = sum(min(f.scale, J) for f in path.filters)
        assert relative(own / 2**levels, theirs) < 1e-6


@pytest.mark.parametrize("case", [PLANES[0], LINES[0]])
def test_single_precision_is_as_good(case: str) -> None:
    double, _ = ours(case)
    single, _ = ours(case, torch.float32)
    assert np.abs(single - double).max() < 2e-6 * np.abs(double).max()
