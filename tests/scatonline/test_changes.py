"""A watch on the loss: few false alarms, quick where it matters, restored to the same state."""

from dataclasses import replace

import numpy as np
import pytest

from scatonline.changes import ChangeWatch
from scatonline.config import AdaptationSpec, ReadoutSpec
from scatonline.model import Model
from tests.scatonline.models import OUTPUTS, specification, stream


def losses(count: int, seed: int = 0) -> list[float]:
    """Skewed, as squared errors are."""
    return [float(v) for v in np.random.default_rng(seed).gamma(1.5, 1.0, count)]


def first_alarm(watch: ChangeWatch, stream: list[float]) -> int | None:
    return next((n for n, loss in enumerate(stream) if watch.update(loss)), None)


def test_seldom_cries_wolf() -> None:
    watch = ChangeWatch()
    for seed in range(10):
        for loss in losses(2000, seed):
            watch.update(loss)
    assert watch.found <= 5


@pytest.mark.parametrize(("factor", "within"), [(2.0, 120), (4.0, 40)])
def test_a_loss_that_rose_is_found_soon(factor: float, within: int) -> None:
    delays = []
    for seed in range(10):
        watch = ChangeWatch()
        for loss in losses(400, seed):
            watch.update(loss)
        delays.append(first_alarm(watch, [factor * v for v in losses(400, seed + 100)]))
    assert all(delay is not None and delay < within for delay in delays)


def test_a_loss_that_fell_is_no_alarm() -> None:
    watch = ChangeWatch()
    assert first_alarm(watch, losses(400) + [v / 4 for v in losses(800, 1)]) is None


def test_broken_losses_are_not_heard() -> None:
    watch, other = ChangeWatch(), ChangeWatch()
    for loss in losses(100):
        watch.update(loss)
        watch.update(float("nan"))
        watch.update(float("inf"))
        other.update(loss)
    assert watch.losses == other.losses


def test_restored_watch_hears_on_as_if_nothing_had_been() -> None:
    watch = ChangeWatch()
    for loss in losses(5000):
        watch.update(loss)
    again = ChangeWatch(watch.losses, watch.found)
    rest = [v * 1.5 for v in losses(500, 1)]
    assert [watch.update(v) for v in rest] == [again.update(v) for v in rest]
    assert (watch.losses, watch.found) == (again.losses, again.found)


def test_memory_is_bounded() -> None:
    watch = ChangeWatch()
    for loss in losses(20_000):
        watch.update(loss)
    assert len(watch.losses) <= 4096


@pytest.mark.parametrize("method", ["recursive", "window"])
def test_a_model_acts_on_a_change(method: str) -> None:
    """It says so, hurries θ, asks for a check, and learns on; a restored one does the same."""
    readout = ReadoutSpec("gaussian", method=method, window=64)  # type: ignore[arg-type]
    spec = specification("gaussian", 2, readout=readout, adaptation=AdaptationSpec(detect=True))
    model = Model(spec)
    model.open_session("a", OUTPUTS)
    for sample in stream(spec, 150):
        model.step(sample)
    assert list(model.alarms) == []
    tensors, meta = model.state()
    again = Model.restore(spec, {k: v.clone() for k, v in tensors.items()}, meta)
    for sample in stream(spec, 60, seed=1):
        target = np.asarray(20 - 10 * np.asarray(sample.target), dtype=np.float32)
        later = replace(sample, id=f"later-{sample.id}", target=target)
        model.step(later)
        again.step(later)
    alarm = next(iter(model.alarms))
    assert alarm.session == "a"
    assert alarm.event > 150
    assert model.learner.boosted > 0
    assert model.structure_due()
    assert model.alarms == again.alarms
    assert model.state_hash() == again.state_hash()
