"""A whole model finds planted truth: what is useless goes, what becomes needed comes, once."""

from dataclasses import asdict

import numpy as np
import pytest

from benchmarks.structure import planted, report, timing
from scatonline.scattering import Scattering


@pytest.mark.slow
def test_planted_truth_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shorter stream than the benchmark's, whose second half would be over in five windows."""
    monkeypatch.setattr("scatonline.model._NO_RETURN_WINDOWS", 1)
    outcome = planted.run(0, change=500, after=400)
    assert outcome.drops >= 5
    assert outcome.harmful == 0
    assert outcome.found >= 0.7
    assert 0 < outcome.added_after <= 400
    assert outcome.oscillating == 0


def test_true_cost_tells_what_matters_from_what_does_not() -> None:
    rng = np.random.default_rng(0)
    teacher = planted.Teacher.of(rng)
    images, targets = teacher.samples(2000, False, rng)
    whole = Scattering(planted.SPEC.bank, planted.SPEC.shape)

    def cost(*rows: int) -> float:
        left = Scattering(planted.SPEC.bank, planted.SPEC.shape)
        for row in rows:
            left.drop(1, f"1/j0/{row}")
        return planted.true_cost(whole, left, images, targets)

    assert abs(cost(planted.LATER, planted.NEVER)) < 0.01
    needed = planted.ALWAYS[0]
    assert cost(planted.L - 1, needed, needed + 1) > 0.3
    later = teacher.samples(2000, True, rng)
    around = Scattering(planted.SPEC.bank, planted.SPEC.shape)
    for row in (planted.LATER - 1, planted.LATER, planted.LATER + 1):
        around.drop(1, f"1/j0/{row}")
    assert planted.true_cost(whole, around, *later) > 0.2


def test_goals_are_missed_by_streams_that_miss_them() -> None:
    good = planted.Outcome(0, drops=7, found=1.0, added_after=300, filters=3, costs=[0.0])
    bad = planted.Outcome(1, drops=7, harmful=7, found=0.5, oscillating=1, filters=9, costs=[0.5])
    assert all(goal.met for goal in report.goals([good]))
    assert not any(goal.met for goal in report.goals([good, bad]))
    streams = [good.to_dict(), bad.to_dict()]
    goals = [asdict(goal) for goal in report.goals([good, bad])]
    told = report.tables({"planted": {"goals": goals, "streams": streams}})
    assert told.count("**no**") == 4


def test_cars_are_timed_with_what_they_give() -> None:
    found = timing.measure(timing.Size(150, 60, 4, 2, 3), repeats=1)
    assert found.error < 1e-9
    assert 0 < found.fit_s <= found.cars_s
