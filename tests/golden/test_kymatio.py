"""Without a frame bound, the unlearned transform is the one that Kymatio 0.3.0 computes.

Values stored by ``benchmarks/golden/kymatio_values.py``, which needs an environment of its own.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from scatonline import Scattering, Scattering1D, Scattering2D

FILE = Path(__file__).parent / "kymatio.npz"


@cache
def stored() -> dict[str, NDArray[np.float32]]:
    with np.load(FILE) as arrays:
        return dict(arrays)


CASES = sorted(name[:-2] for name in stored() if name.endswith(".x"))


def transform(case: str, **changes: object) -> Scattering:
    """The transform of a case such as ``plane_31x33_J2_L4`` or ``line_512_J5_Q8-1``."""
    kind, size, scales, many = case.split("_")
    J, shape = int(scales[1:]), tuple(int(n) for n in size.split("x"))
    if kind == "plane":
        return Scattering2D(J, shape, int(many[1:]), bound="none", **changes)  # type: ignore[arg-type]
    Q = tuple(int(q) for q in many[1:].split("-"))
    return Scattering1D(J, shape, Q[0] if len(Q) == 1 else Q, bound="none", **changes)  # type: ignore[arg-type]


def coefficients(of: Scattering, case: str, dtype: torch.dtype) -> NDArray[np.float64]:
    with torch.no_grad():
        maps: torch.Tensor = of(torch.from_numpy(stored()[f"{case}.x"]).to(dtype))
    return maps.double().numpy()


def test_golden_values_stay_small() -> None:
    assert FILE.stat().st_size < 1_200_000


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_coefficients_agree(case: str, dtype: torch.dtype) -> None:
    """Each order by itself, relative to its largest coefficient."""
    ours = transform(case)
    found, expected = coefficients(ours, case, dtype), stored()[f"{case}.S"]
    assert found.shape == expected.shape
    order = np.array(ours.meta()["order"])
    for m in range(3):
        assert bool((order == m).any())
        apart = np.abs(found[order == m] - expected[order == m]).max()
        assert apart < 2e-6 * np.abs(expected[order == m]).max()


@pytest.mark.parametrize("case", [c for c in CASES if c.startswith("line")])
def test_sums_of_aliases_differ_by_a_power_of_two_a_path(case: str) -> None:
    """Kymatio takes the mean of a filter's aliases where their sum leaves convolution as it is.

    A path whose moduli stand at levels l₁, l₂ is thereby divided by 2^(l₁ + l₂).
    """
    ours = transform(case, aliases="sum")
    found, expected = coefficients(ours, case, torch.float64), stored()[f"{case}.S"]
    J = ours.spec.J
    for path, own, theirs in zip(ours.paths, found, expected, strict=True):
        levels = sum(min(f.scale, J) for f in path.filters)
        assert np.abs(own / 2**levels - theirs).max() < 2e-6 * np.abs(theirs).max()
