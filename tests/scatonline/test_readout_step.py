"""A step in two forms: they say and change the same, whatever is asked of them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scatonline.config import ReadoutKind, ReadoutSpec
from scatonline.readout.step import Counts, Step, compiled, portable, predict

KINDS: tuple[ReadoutKind, ...] = ("gaussian", "poisson", "softmax")


def drawn(
    kind: ReadoutKind, seed: int, width: int, outputs: int, missing: bool
) -> tuple[Tensor, Tensor, Counts, Tensor, Tensor]:
    """Columns, target, counts, P and weights as they may be in the middle of a stream."""
    rng = np.random.default_rng(seed)
    z = 10 ** rng.uniform(-3, 1) * rng.standard_normal(width)
    y = {
        "gaussian": 10 ** rng.uniform(-3, 3) * rng.standard_normal(outputs),
        "poisson": rng.poisson(10 ** rng.uniform(-2, 3), outputs).astype(float),
        "softmax": np.eye(outputs)[rng.integers(outputs)],
    }[kind]
    if missing and kind != "softmax":
        y[rng.integers(outputs)] = np.nan
        y[(np.isnan(y).argmax() + 1) % outputs] = 1.0
    seen = rng.integers(0, 50, outputs).astype(float)
    counts = [seen * rng.uniform(0, 3, outputs), seen, 3 * seen]
    half = rng.standard_normal((width + 1, width + 1))
    precision = 10 ** rng.uniform(-5, 0) * (half @ half.T)
    weights = rng.normal(0, 0.3, (width + 1, outputs))
    tensors = [torch.from_numpy(each) for each in (z, y, *counts, precision, weights)]
    return tensors[0], tensors[1], Counts.of(*tensors[2:5]), tensors[5], tensors[6]


def numbers(step: Step) -> list[Tensor]:
    counts, others = step.counts, (step.weights, step.eta, step.residual)
    scalars = [torch.as_tensor(each, dtype=torch.float64) for each in (step.reach, step.curvature)]
    return [counts.total, counts.seen, counts.peak, *others, *scalars]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    width=st.integers(0, 40),
    outputs=st.integers(2, 9),
    missing=st.booleans(),
    forgetting=st.sampled_from([1.0, 0.999, 0.9]),
)
def test_both_forms_agree(
    kind: ReadoutKind, seed: int, width: int, outputs: int, missing: bool, forgetting: float
) -> None:
    spec = ReadoutSpec(kind, 1.0, forgetting)
    z, y, counts, precision, weights = drawn(kind, seed, width, outputs, missing)
    mine, theirs, before = precision.clone(), precision.clone(), weights.clone()
    one = compiled(spec, z, y, counts, mine, weights)
    other = portable(spec, z, y, counts, theirs, weights)
    assert torch.equal(weights, before), "a reader may hold them"
    for ours, reference in zip(numbers(one), numbers(other), strict=True):
        size = float(reference.abs().max())
        assert torch.allclose(ours, reference, rtol=1e-8, atol=1e-10 * (1 + size))
    assert torch.allclose(mine, theirs, rtol=1e-8, atol=1e-10 * float(precision.abs().max()))


@pytest.mark.parametrize("kind", KINDS)
def test_threads_share_a_wide_step(kind: ReadoutKind) -> None:
    """Above what is worth sharing the other compiled form runs; it says the same."""
    spec = ReadoutSpec(kind, 1.0, 0.999)
    z, y, counts, precision, weights = drawn(kind, 3, 200, 4, False)
    mine, theirs = precision.clone(), precision.clone()
    one = compiled(spec, z, y, counts, mine, weights)
    other = portable(spec, z, y, counts, theirs, weights)
    assert torch.allclose(one.weights, other.weights, rtol=1e-9)
    assert torch.allclose(mine, theirs, rtol=1e-8, atol=1e-11 * float(precision.abs().max()))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), width=st.integers(0, 40), outputs=st.integers(2, 9))
def test_one_sample_is_predicted_as_among_others(
    kind: ReadoutKind, seed: int, width: int, outputs: int
) -> None:
    """Alone it goes through the compiled form, in company through PyTorch's operations."""
    z, _, counts, _, weights = drawn(kind, seed, width, outputs, missing=False)
    alone = predict(kind, weights, counts, z)
    among = predict(kind, weights, counts, torch.stack((z, -z)))[0]
    assert torch.allclose(alone, among, rtol=1e-9, atol=1e-12)
