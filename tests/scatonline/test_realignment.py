"""Classes are followed while electrodes move, and nothing is used before it can be known."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from scatonline.config import RealignmentSpec
from scatonline.realignment import (
    Blend,
    Decoded,
    MovingClasses,
    Persistence,
    Realignment,
    placements,
    strengths,
)
from scatonline.realignment.persistence import HORIZON

CHANNELS, CLASSES, BLOCK = 8, 3, 6
EVEN = torch.full((CLASSES,), 1 / CLASSES, dtype=torch.float64)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Muscle:
    """Windows of noise whose loudness by channel depends on the class."""

    def __init__(self, seed: int = 0) -> None:
        self.draw = generator(seed)
        self.loudness = torch.randn(CLASSES, CHANNELS, generator=self.draw).double()
        self.offset = torch.zeros(CHANNELS, dtype=torch.float64)
        self.order = torch.arange(CHANNELS)

    def window(self, chosen: int) -> Tensor:
        noise = torch.randn(CHANNELS, 64, generator=self.draw).double()
        return (self.loudness[chosen] + self.offset).exp()[self.order, None] * noise


def block(model: Realignment, muscle: Muscle, chosen: int, *, labels: bool = True) -> float:
    """Share right in a block whose labels come after it."""
    seen = [model.predict(muscle.window(chosen), EVEN) for _ in range(BLOCK)]
    if labels:
        for decoded in seen:
            model.learn(decoded, chosen)
    return float(np.mean([int(d.opinions[1].argmax()) == chosen for d in seen]))


def taught(spec: RealignmentSpec, muscle: Muscle, rounds: int = 8) -> Realignment:
    model = Realignment(spec, CHANNELS, CLASSES)
    for turn in range(rounds * CLASSES):
        block(model, muscle, turn % CLASSES)
    return model


SPEC = RealignmentSpec(enabled=True, memory=60.0)
DEAF = RealignmentSpec(enabled=True, memory=60.0, alarm=1e12)


def test_a_gain_is_added_to_its_channel() -> None:
    x = Muscle().window(0)
    gain = torch.tensor([3.0, *[1.0] * (CHANNELS - 1)]).double()
    moved = strengths(gain[:, None] * x) - strengths(x)
    torch.testing.assert_close(moved, gain.log(), atol=1e-4, rtol=0)


def test_strengths_know_no_offset_and_no_silence() -> None:
    x = Muscle().window(0)
    torch.testing.assert_close(strengths(x + 5), strengths(x), atol=1e-9, rtol=0)
    assert torch.isfinite(strengths(torch.zeros(CHANNELS, 64))).all()
    x[2] = 0
    mean_power = (x - x.mean(1, keepdim=True)).square().mean()
    expected = 0.5 * torch.log(mean_power) - 0.5 * math.log(1e6)
    torch.testing.assert_close(strengths(x)[2], expected, atol=1e-6, rtol=0)


def test_without_drift_means_are_the_exact_posterior() -> None:
    """Conjugate normal model: M̄ = (x₀/v₀ + Σx)/(1/v₀ + n), V = 1/(1/v₀ + n)."""
    model = MovingClasses(CHANNELS, CLASSES, memory=50.0)
    x = torch.randn(12, CHANNELS, generator=generator(1)).double()
    model.start(x[0])
    prior = float(model.spread[0, 1, 1])
    for row in x:
        model.learn(row, 1)
    total = 1 / prior + len(x)
    torch.testing.assert_close(model.mean[0, 1], (x[0] / prior + x.sum(0)) / total)
    assert float(model.spread[0, 1, 1]) == pytest.approx(1 / total)
    assert float(model.spread[0, 0, 0]) == pytest.approx(prior)


def test_densities_are_densities() -> None:
    """Those of one channel integrate to 1, for every hypothesis and class."""
    model = MovingClasses(1, CLASSES, memory=50.0)
    for value in (0.1, -0.2, 0.15):
        model.start(torch.tensor([value]).double())
        model.learn(torch.tensor([value]).double(), 0)
    grid = torch.linspace(-200, 200, 8001, dtype=torch.float64)
    logs = torch.stack([model.density(x[None]) for x in grid])
    total = torch.trapezoid(logs.exp(), grid, dim=0)
    torch.testing.assert_close(total, torch.ones_like(total), atol=0.02, rtol=0)


def test_a_window_unlike_all_known_classes_is_of_one_not_yet_seen() -> None:
    muscle = Muscle()
    model = Realignment(SPEC, CHANNELS, CLASSES)
    for chosen in (0, 1):
        block(model, muscle, chosen)
    assert block(model, muscle, 2) == 1.0


def test_nothing_is_heard_where_nothing_moves() -> None:
    model = taught(SPEC, Muscle(seed=3), rounds=100)
    assert model.alarms == 0


def test_a_move_is_heard_before_any_label() -> None:
    for seed in range(8):
        muscle = Muscle(seed)
        model = taught(SPEC, muscle)
        assert model.alarms == 0
        muscle.offset = 1.5 * torch.randn(CHANNELS, generator=generator(100 + seed)).double()
        block(model, muscle, 0, labels=False)
        assert model.alarms == 1


def test_after_an_alarm_one_class_takes_the_others_with_it() -> None:
    """They go as far as they have the misfit in common, 0.8 of its way; before, not at all."""
    ways = []
    for alarm in (False, True):
        model = MovingClasses(CHANNELS, CLASSES, memory=50.0)
        model.start(torch.zeros(CHANNELS).double())
        draw = generator(2)
        for turn in range(60):
            x = turn % CLASSES + 0.1 * torch.randn(CHANNELS, generator=draw).double()
            model.learn(x, turn % CLASSES)
        if alarm:
            model.loosen(torch.full((3, CHANNELS), 3.5).double(), placements("fixed", CHANNELS))
        before = model.mean[0].clone()
        for _ in range(20):
            model.learn(2 + 0.1 * torch.randn(CHANNELS, generator=draw).double(), 0)
        moved = (model.mean[0] - before).mean(1)
        ways.append(moved[1:] / moved[0])
    torch.testing.assert_close(ways[0], torch.zeros(2).double(), atol=0.03, rtol=0)
    torch.testing.assert_close(ways[1], torch.full((2,), 0.8).double(), atol=0.03, rtol=0)


def turned(placement: str, seed: int, turn: int) -> tuple[list[float], bool]:
    """Shares right in unlabelled blocks after a turn, and whether labels then tell the turn."""
    spec = RealignmentSpec(True, placement, memory=60.0)  # type: ignore[arg-type]
    muscle = Muscle(seed)
    model = taught(spec, muscle)
    muscle.order = muscle.order.roll(turn)
    right = [block(model, muscle, chosen, labels=False) for chosen in (0, 1, 2)]
    for chosen in (0, 1, 2):
        block(model, muscle, chosen)
    return right, torch.equal(model.origin, muscle.order)


def test_turns_around_the_limb_are_found() -> None:
    """Most windows are right without one label; after one of each class the turn is known."""
    cases = [(seed, turn) for seed in range(4) for turn in (1, 3, 5)]
    ring, fixed = ([turned(p, *case) for case in cases] for p in ("ring", "fixed"))
    assert all(found for _, found in ring)
    assert np.mean([right for right, _ in ring]) > 0.75
    assert np.mean([right for right, _ in fixed]) < 0.5


def test_placements_are_permutations_and_the_first_stays() -> None:
    assert torch.equal(placements("fixed", 5), torch.arange(5)[None])
    ring = placements("ring", 5)
    assert torch.equal(ring[0], torch.arange(5))
    assert len({tuple(row) for row in ring.tolist()}) == 5
    assert torch.equal(ring.sort(1).values, torch.arange(5).expand(5, 5))


def test_it_does_not_matter_in_which_order_channels_are_stored() -> None:
    order = torch.randperm(CHANNELS, generator=generator(7))
    muscle = Muscle(seed=8)
    one, other = (Realignment(SPEC, CHANNELS, CLASSES) for _ in range(2))
    for turn in range(30):
        x = muscle.window(turn % CLASSES)
        a, b = one.predict(x, EVEN), other.predict(x[order], EVEN)
        torch.testing.assert_close(a.probabilities, b.probabilities, atol=1e-7, rtol=0)
        one.learn(a, turn % CLASSES)
        other.learn(b, turn % CLASSES)


def test_how_long_labels_last_is_learned_in_the_order_of_samples() -> None:
    """Labels that come backwards, and one that never came, count for what they are."""
    model = Persistence(CLASSES)
    for number, chosen in ((2, 0), (1, 0), (4, 1), (5, 1), (6, 1), (7, 2)):
        model.learn(number, chosen)
    assert model.newest == (7, 2)
    # 4→5 and 5→6 stayed, 6→7 changed; 1→2 came backwards, 3 never.
    assert (model.stayed, model.changed) == (3.0, 2.0)
    torch.testing.assert_close(model.transition().sum(1), torch.ones(CLASSES).double())


def test_neighbours_help_where_labels_persist_and_do_no_harm_where_not() -> None:
    def errors(length: int, *, persistence: bool) -> int:
        draw = generator(9)
        muscle = Muscle(seed=10)
        muscle.loudness *= 0.04
        spec = RealignmentSpec(enabled=True, persistence=persistence)
        model = Realignment(spec, CHANNELS, CLASSES)
        wrong = 0
        for _ in range(900 // length):
            chosen = int(torch.randint(CLASSES, (1,), generator=draw))
            seen = [model.predict(muscle.window(chosen), EVEN) for _ in range(length)]
            wrong += sum(int(d.opinions[1].argmax()) != chosen for d in seen)
            for decoded in seen:
                model.learn(decoded, chosen)
        return wrong

    assert errors(15, persistence=True) < 0.8 * errors(15, persistence=False)
    assert errors(1, persistence=True) < 1.05 * errors(1, persistence=False)


def test_a_blend_loses_little_to_the_better_opinion() -> None:
    blend, losses = Blend(2), torch.zeros(3)
    good, bad = torch.tensor([[0.9, 0.1], [0.3, 0.7]]).double()
    for turn in range(400):
        opinions = torch.stack((good, bad) if turn < 200 else (bad, good))
        losses += -torch.stack((*opinions[:, 0], blend(opinions)[0])).log()
        blend.learn(opinions, 0)
    assert float(losses[2]) < float(losses[:2].min()) / 2
    assert float(losses[2]) < 400 * -math.log(0.9) * 1.6
    assert float(blend.weight.sum()) == pytest.approx(1)


def restored(model: Realignment, spec: RealignmentSpec) -> Realignment:
    copy = Realignment(spec, CHANNELS, CLASSES)
    tensors = {name: tensor.clone() for name, tensor in model.tensors().items()}
    copy.load(tensors, json.loads(json.dumps(model.meta())))
    return copy


@pytest.mark.parametrize("placement", ["fixed", "ring"])
def test_a_restored_one_continues_to_the_same_bits(placement: str) -> None:
    """From before an alarm, with windows that wait for their labels."""
    spec = RealignmentSpec(True, placement, True, 60.0)  # type: ignore[arg-type]
    muscle = Muscle(seed=11)
    model = taught(spec, muscle)
    waiting: list[Decoded] = [model.predict(muscle.window(0), EVEN) for _ in range(2)]
    copy = restored(model, spec)
    muscle.offset += 3.0
    windows = [muscle.window(turn % CLASSES) for turn in range(40)]
    for turn, x in enumerate(windows):
        a, b = model.predict(x, EVEN), copy.predict(x, EVEN)
        assert torch.equal(a.probabilities, b.probabilities)
        if turn % 4 == 3:
            for each in (model, copy):
                each.learn(waiting[0], 0)
                each.learn(a, turn % CLASSES)
        if turn == 20:
            copy = restored(copy, spec)
    assert model.alarms == copy.alarms == 1
    assert all(torch.equal(copy.tensors()[k], t) for k, t in model.tensors().items())


def test_a_glance_leaves_no_trace() -> None:
    muscle = Muscle(seed=12)
    model = taught(SPEC, muscle)
    model.predict(muscle.window(1), EVEN)
    before, x = {k: t.clone() for k, t in model.tensors().items()}, muscle.window(2)
    view = model.view()
    glance = model.peek(x, EVEN)
    assert all(torch.equal(t, before[k]) for k, t in model.tensors().items())
    assert torch.equal(model.predict(x, EVEN).probabilities, glance)
    block(model, muscle, 0)
    assert torch.equal(view.peek(x, EVEN), glance)


def test_a_glance_sees_what_will_be_said() -> None:
    """At the first window, before and after labels, at an alarm, and when too many wait."""
    muscle = Muscle(seed=16)
    model = Realignment(SPEC, CHANNELS, CLASSES)
    waiting: list[Decoded] = []
    for turn in range(300):
        if turn == 140:
            muscle.offset += 3.0
        chosen, x = turn // BLOCK % CLASSES, muscle.window(turn // BLOCK % CLASSES)
        glance = model.view().peek(x, EVEN)
        waiting.append(model.predict(x, EVEN))
        assert torch.equal(waiting[-1].probabilities, glance)
        if turn < 200 and turn % BLOCK == BLOCK - 1:
            for decoded in waiting:
                model.learn(decoded, chosen)
            waiting = []
    assert model.alarms == 1
    assert len(waiting) > HORIZON


def test_windows_that_never_get_a_label_are_forgotten() -> None:
    muscle = Muscle(seed=13)
    model = taught(SPEC, muscle)
    lost = [model.predict(muscle.window(0), EVEN) for _ in range(3 * HORIZON)]
    assert len(model.meta()["waiting"]) == HORIZON
    model.learn(lost[0], 0)
    assert block(model, muscle, 1) == 1.0


def test_extreme_windows_break_nothing() -> None:
    model = taught(SPEC, Muscle(seed=14))
    for scale in (0.0, 1e-30, 1e15):
        decoded = model.predict(scale * Muscle(seed=15).window(0), EVEN)
        model.learn(decoded, 0)
        assert torch.isfinite(decoded.probabilities).all()
        assert float(decoded.probabilities.sum()) == pytest.approx(1)


def test_a_forearm_is_followed_over_sessions(shared_recording: Callable[[str], Path]) -> None:
    """Strengths alone, labels when a gesture has ended, sessions not told apart."""
    with np.load(shared_recording("flexemg_s1.npz")) as file:
        windows, labels = file["windows"] * file["scale"], file["labels"] - 1
        session, trial = file["session"], file["trial"]
    model = Realignment(RealignmentSpec(enabled=True), windows.shape[1], 4)
    keys = np.stack((session, trial, labels)).astype(np.int64)
    ends: NDArray[np.bool_] = np.append((np.diff(keys) != 0).any(0), True)
    right, waiting = np.zeros(len(labels), bool), []
    for i, x in enumerate(windows):
        decoded = model.predict(torch.from_numpy(x), torch.full((4,), 0.25).double())
        right[i] = int(decoded.opinions[1].argmax()) == labels[i]
        waiting.append((decoded, int(labels[i])))
        if ends[i]:
            for late, chosen in waiting:
                model.learn(late, chosen)
            waiting = []
    assert right.mean() >= 0.975
    moved = right[session >= 3]
    recent = np.convolve(moved, np.ones(36) / 36, "valid")
    assert 36 + int(np.argmax(recent >= 0.9)) <= 45
