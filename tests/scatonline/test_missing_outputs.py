"""Targets that were not observed: now and then, for long, or never."""

from dataclasses import replace

import numpy as np
import pytest

from scatonline.config import ReadoutKind, ReadoutSpec
from scatonline.sample import Sample
from tests.scatonline.knowledge import MOVING, STILL, opened, predictions, target_of
from tests.scatonline.models import copied, specification, stream, taught, unlabelled


@pytest.mark.parametrize("delay", [0, 7])
@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_what_was_not_observed_is_not_learned(kind: ReadoutKind, delay: int) -> None:
    """An output keeps its predictions while its target is NaN, and its share of the scores.

    With θ held, scales frozen and nothing forgotten; labels at once or late.
    """
    model = taught(specification(kind, 1, learning=STILL), 40)
    before = predictions(model)
    waiting: list[Sample] = []
    for sample in stream(model.spec, 30, seed=4):
        target = np.nan_to_num(target_of(sample), nan=1.0)
        target[1] = np.nan
        model.step(unlabelled(sample))
        waiting.append(replace(sample, target=target))
        if len(waiting) > delay:
            told = waiting.pop(0)
            model.label("a", told.id, target_of(told))
    after = predictions(model)
    np.testing.assert_array_equal(after[:, 1], before[:, 1])
    assert (after[:, [0, 2]] != before[:, [0, 2]]).all()


@pytest.mark.parametrize("forgetting", [1.0, 0.97])
@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_an_output_that_is_never_observed_harms_no_other(
    kind: ReadoutKind, forgetting: float
) -> None:
    """Nothing is predicted of it but what is predicted of the unknown, and every number is finite.

    A structure check over a window without it can still be made, and a checkpoint written.
    """
    readout = ReadoutSpec(kind, ridge=5.0, forgetting=forgetting)
    spec = specification(kind, 1, readout=readout, learning=MOVING)
    model = opened(spec)
    untaught = predictions(model)
    for sample in stream(spec, 80):
        target = np.nan_to_num(target_of(sample), nan=1.0)
        target[2] = np.nan
        model.step(replace(sample, target=target))
    found = predictions(model)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[:, 2], untaught[:, 2])
    assert (found[:, :2] != untaught[:, :2]).all()
    report = model.scores()
    assert np.isfinite([*report.values.values(), *report.recent.values()]).all()
    check = model.structure_check()
    assert check is not None
    decision = check.run()
    assert np.isfinite([decision.baseline_score, decision.n_eff]).all()
    assert np.isfinite([[c.car, c.se, c.upper] for c in decision.cars]).all()
    model.apply(decision)
    assert copied(model).state_hash() == model.state_hash()


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_an_output_that_is_lost_and_found_catches_up(kind: ReadoutKind) -> None:
    """Beside a model that never lost it: further away after 40 samples without it, closer again.

    The steps of the two differ only where something was not observed.
    """
    never_lost, lost = (taught(specification(kind, 1, learning=STILL), 40) for _ in range(2))
    samples = stream(lost.spec, 240, seed=4)
    distances: list[float] = []
    for part in (samples[:40], samples[40:]):
        for sample in part:
            target = np.nan_to_num(target_of(sample), nan=1.0)
            never_lost.step(replace(sample, target=target))
            if not distances:
                target = np.array([np.nan, *target[1:]], np.float32)
            lost.step(replace(sample, target=target))
        distances.append(np.abs(predictions(lost) - predictions(never_lost))[:, 0].mean())
    assert distances[0] > 2 * distances[1] > 0
