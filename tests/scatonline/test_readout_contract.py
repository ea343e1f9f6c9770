"""One contract for every readout: what sessions, readers and checkpoints rely on."""

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from scatonline.config import Method, ReadoutKind, ReadoutSpec
from scatonline.readout import LINKS, Readout, fresh

OUTPUTS = ("a", "b", "c")
# Four maps of three cells, and two columns that are of no such map.
CELLS = torch.tensor([3] * 12 + [1] * 2)
WIDTH = len(CELLS)
# What every readout can learn: an output asks the same of each place, here more and there less.
WHAT = np.random.default_rng(9).normal(0, 0.4, (len(OUTPUTS), 4))
WHERE = np.random.default_rng(8).uniform(0, 1, (len(OUTPUTS), 3))
ASIDE = np.array([[0.3, -0.3, 0.0], [0.0, 0.2, -0.2]])
WEIGHTS = np.concatenate((np.einsum("kf,ks->fsk", WHAT, WHERE).reshape(12, -1), ASIDE))
METHODS: tuple[Method, ...] = ("recursive", "window", "factorised")
EVERY = [
    pytest.param(method, kind, id=f"{method}-{kind}")
    for method in METHODS
    for kind in ("gaussian", "poisson", "softmax")
]
MISSING = [pytest.param(m, k, id=f"{m}-{k}") for m in METHODS for k in ("gaussian", "poisson")]


def untaught(method: Method, kind: ReadoutKind) -> Readout:
    spec = ReadoutSpec(kind, ridge=5.0, method=method, window=64)
    return fresh(spec, CELLS, OUTPUTS, float(WIDTH), "cpu")


def samples(kind: ReadoutKind, count: int, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Columns and targets of a fixed function."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((count, WIDTH))
    eta = z @ WEIGHTS
    y = eta + 0.2 * rng.standard_normal(eta.shape)
    if kind == "poisson":
        y = rng.poisson(np.exp(eta)).astype(np.float64)
    if kind == "softmax":
        y = np.eye(len(OUTPUTS))[(3 * eta + rng.gumbel(size=eta.shape)).argmax(1)]
    return list(zip(torch.from_numpy(z), torch.from_numpy(y), strict=True))


def taught(method: Method, kind: ReadoutKind, count: int = 24) -> Readout:
    readout = untaught(method, kind)
    for z, y in samples(kind, count):
        readout.observe(z, y)
    return readout


def probe(width: int = WIDTH) -> Tensor:
    return torch.from_numpy(np.random.default_rng(5).standard_normal((6, width)))


def restored(readout: Readout, kind: ReadoutKind, method: Method) -> Readout:
    """As a checkpoint would bring it back: bytes and JSON, no columns known beforehand."""
    spec = ReadoutSpec(kind, ridge=5.0, method=method, window=64)
    other = fresh(spec, CELLS[:0], OUTPUTS, 0.0, "cpu")
    tensors = {name: tensor.clone() for name, tensor in readout.tensors().items()}
    other.load(tensors, json.loads(json.dumps(readout.meta(), allow_nan=False)))
    return other


@pytest.mark.parametrize(("method", "kind"), EVERY)
def test_view_says_the_same_and_does_not_follow_later_steps(
    method: Method, kind: ReadoutKind
) -> None:
    readout = taught(method, kind)
    view, rows = readout.view(), probe()
    before = view.predict(rows)
    for z, said in zip(rows, before, strict=True):
        np.testing.assert_allclose(readout.predict(z), said, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(view.predict(z), said, rtol=1e-9, atol=1e-9)
    for z, y in samples(kind, 20, seed=1):
        readout.observe(z, y)
    np.testing.assert_array_equal(view.predict(rows), before)
    assert float((readout.predict(rows) - before).abs().max()) > 1e-6


@pytest.mark.parametrize(("method", "kind"), EVERY)
def test_restored_readout_gives_the_same_bits(method: Method, kind: ReadoutKind) -> None:
    readout = taught(method, kind, 19)
    other = restored(readout, kind, method)
    for z, y in samples(kind, 12, seed=1):
        assert torch.equal(other.predict(z), readout.predict(z))
        assert torch.equal(other.gradient(z, y), readout.gradient(z, y))
        other.observe(z, y)
        readout.observe(z, y)


@pytest.mark.parametrize(("method", "kind"), EVERY)
def test_moved_readout_is_restored_to_the_same_bits(method: Method, kind: ReadoutKind) -> None:
    """One map gone, one come: what is left is known, and both go on alike."""
    index = torch.tensor([*range(3), *range(6, 12), -1, -1, -1, 12, 13])
    readout = taught(method, kind)
    moved = readout.restructured(index, CELLS)
    other = restored(moved, kind, method)
    for z, y in samples(kind, 10, seed=1):
        moved.observe(z, y)
        other.observe(z, y)
    assert torch.equal(moved.predict(probe()), other.predict(probe()))


@pytest.mark.parametrize(("method", "kind"), EVERY)
def test_columns_that_go_leave_the_old_readout_alone(method: Method, kind: ReadoutKind) -> None:
    readout, rows = taught(method, kind), probe()
    before = readout.predict(rows)
    smaller = readout.restructured(torch.tensor([*range(9), 13]), CELLS[[*range(9), 13]])
    assert smaller.predict(rows[:, :10]).shape == before.shape
    smaller.observe(rows[0, :10], torch.eye(3, dtype=torch.float64)[0])
    np.testing.assert_array_equal(readout.predict(rows), before)


@pytest.mark.parametrize(("method", "kind"), EVERY)
def test_new_columns_change_nothing_until_they_say_something(
    method: Method, kind: ReadoutKind
) -> None:
    readout, rows = taught(method, kind), probe()
    index = torch.tensor([*range(12), -1, -1, -1, 12, 13])
    wider = readout.restructured(index, torch.tensor([3] * 15 + [1] * 2))
    known = torch.cat((rows[:, :12], torch.zeros(6, 3, dtype=torch.float64), rows[:, 12:]), 1)
    np.testing.assert_allclose(wider.predict(known), readout.predict(rows), atol=1e-5)


@pytest.mark.parametrize(("method", "kind"), MISSING)
def test_samples_without_a_target_do_not_teach_its_output(
    method: Method, kind: ReadoutKind
) -> None:
    """Whatever they were: only where the target was given does it matter."""
    one, other = untaught(method, kind), untaught(method, kind)
    for (z, y), (elsewhere, aside) in zip(
        samples(kind, 30), samples(kind, 30, seed=1), strict=True
    ):
        missing = torch.tensor([0.0, math.nan, 0.0], dtype=torch.float64)
        one.observe(z, y + missing)
        other.observe(elsewhere, aside + missing)
    said, too = one.predict(probe()), other.predict(probe())
    np.testing.assert_allclose(said[:, 1], too[:, 1], atol=1e-6)
    assert float((said - too)[:, [0, 2]].abs().max()) > 0.1


@pytest.mark.parametrize(("method", "kind"), EVERY)
def test_predictions_become_better_than_the_mean(method: Method, kind: ReadoutKind) -> None:
    """Each sample predicted before it is learned."""
    readout, loss, stream = untaught(method, kind), LINKS[kind].loss, samples(kind, 90)
    losses = []
    for z, y in stream:
        losses.append(float(loss(readout.predict(z), y).mean()))
        readout.observe(z, y)
    late = torch.stack([y for _, y in stream[-45:]])
    assert np.mean(losses[-45:]) < 0.95 * float(loss(late.mean(0).expand(45, -1), late).mean())


@pytest.mark.parametrize(("method", "kind"), EVERY)
def test_predictions_are_where_targets_can_be(method: Method, kind: ReadoutKind) -> None:
    readout = taught(method, kind)
    for size in (0.0, 1.0, 1e3, 1e8):
        p = readout.predict(size * probe())
        assert bool(torch.isfinite(p).all())
        if kind == "poisson":
            assert bool((p > 0).all())
        if kind == "softmax":
            np.testing.assert_allclose(p.sum(1), 1.0)


@pytest.mark.parametrize("method", METHODS)
def test_known_output_starts_from_its_old_prediction(method: Method) -> None:
    old = taught(method, "gaussian")
    spec = ReadoutSpec("gaussian", ridge=5.0, method=method, window=64)
    heir = fresh(spec, CELLS, ("new", "b"), float(WIDTH), "cpu")
    heir.succeed(old, [(1, 1)])  # type: ignore[arg-type]
    said = heir.predict(probe())
    np.testing.assert_allclose(said[:, 1], old.predict(probe())[:, 1], atol=1e-6)
    assert not said[:, 0].any()
