"""Sessions that come and go beside each other, with labels that come late."""

from dataclasses import replace

import numpy as np
import pytest

from scatonline.config import ReadoutKind
from scatonline.errors import DuplicateName
from tests.scatonline.knowledge import STILL, loose, predictions, require_same_knowledge, target_of
from tests.scatonline.models import (
    KINDS,
    OUTPUTS,
    copied,
    specification,
    stream,
    taught,
    unlabelled,
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_late_label_teaches_its_own_session_only(kind: ReadoutKind) -> None:
    """However many sessions were opened since; with θ held the others keep every bit."""
    model = taught(specification(kind, 1, learning=STILL), 30)
    stragglers = loose(model, "a", 5, seed=3)
    model.open_session("b", (*OUTPUTS, "u4"))
    for sample in stream(model.spec, 20, 4, "b", 4):
        model.step(sample)
    model.open_session("c", OUTPUTS[:2])
    other, untaught = predictions(model, "b"), predictions(model, "c")
    own = predictions(model)
    for sample in stragglers:
        assert model.label("a", sample.id, target_of(sample)).learned
    np.testing.assert_array_equal(predictions(model, "b"), other)
    np.testing.assert_array_equal(predictions(model, "c"), untaught)
    assert (predictions(model) != own).any()
    assert model.scores().samples == 55


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_session_follows_the_one_that_was_taught_last(kind: ReadoutKind) -> None:
    """A straggler of an older session makes that the last one taught: the new one takes it over.

    The session that was opened last, or sent to last, is not what counts.
    """
    model = taught(specification(kind, 1, learning=STILL), 30)
    (straggler,) = loose(model, "a", 1, seed=3)
    model.open_session("b", OUTPUTS)
    for sample in stream(model.spec, 20, 4, "b"):
        model.step(sample)
    model.open_session("of b", OUTPUTS)
    model.label("a", straggler.id, target_of(straggler))
    loose(model, "b", 1, seed=6)
    model.open_session("of a", OUTPUTS)
    np.testing.assert_array_equal(predictions(model, "of b"), predictions(model, "b"))
    np.testing.assert_array_equal(predictions(model, "of a"), predictions(model, "a"))
    assert (predictions(model, "of a") != predictions(model, "of b")).any()


@pytest.mark.parametrize("kind", KINDS)
def test_sessions_in_turn_learn_as_sessions_one_after_the_other(kind: ReadoutKind) -> None:
    """They share filters and scales, not readouts: with those held, their order is nothing."""
    one_by_one, in_turn = (taught(specification(kind, 1, learning=STILL), 20) for _ in range(2))
    parts = {
        "b": stream(one_by_one.spec, 25, 4, "b"),
        "c": stream(one_by_one.spec, 25, 5, "c"),
    }
    for model in (one_by_one, in_turn):
        for session in parts:
            model.open_session(session, [f"{session}{i}" for i in range(3)])
    for sample in [*parts["b"], *parts["c"]]:
        one_by_one.step(sample)
    for pair in zip(*parts.values(), strict=True):
        for sample in reversed(pair):
            in_turn.step(sample)
    for session in ("a", "b", "c"):
        require_same_knowledge(one_by_one, in_turn, session)
    assert one_by_one.scores().values == in_turn.scores().values


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_opened_again_is_the_same_one(kind: ReadoutKind) -> None:
    """It keeps its readout, its ids and the samples that wait; other sessions may lie between."""
    model, twin = (taught(specification(kind, 1), 30) for _ in range(2))
    waiting = loose(model, "a", 4, seed=3)
    assert [s.id for s in loose(twin, "a", 4, seed=3)] == [s.id for s in waiting]
    for each in (model, twin):
        each.open_session("b", OUTPUTS)
        for sample in stream(each.spec, 10, 4, "b"):
            each.step(sample)
    for _ in range(3):
        model.open_session("a", OUTPUTS)
    assert model.state_hash() == twin.state_hash()
    with pytest.raises(DuplicateName, match="was sent before"):
        model.step(waiting[0])
    with pytest.raises(DuplicateName, match="exists with outputs"):
        model.open_session("a", OUTPUTS[::-1])
    for each in (model, twin):
        for sample in reversed(waiting):
            assert each.label("a", sample.id, target_of(sample)).learned
    assert model.state_hash() == twin.state_hash()


def test_one_id_in_two_sessions_is_two_samples() -> None:
    """A label reaches the one of its session, in whichever order they were sent."""
    model = taught(specification("poisson", 1), 20)
    model.open_session("b", OUTPUTS)
    here, there = stream(model.spec, 2, seed=4)
    first = model.step(unlabelled(replace(here, id="same"))).prediction
    second = model.step(unlabelled(replace(there, id="same", session="b"))).prediction
    outcome = model.label("b", "same", target_of(there))
    np.testing.assert_array_equal(outcome.prediction.values, second.values)
    outcome = model.label("a", "same", target_of(here))
    np.testing.assert_array_equal(outcome.prediction.values, first.values)
    assert model.pending == 0


@pytest.mark.parametrize("stored_between", [False, True], ids=["running", "restored"])
def test_the_oldest_gives_way_whatever_its_session(stored_between: bool) -> None:
    """Among all that wait, not among its session's; and a checkpoint keeps their order."""
    spec = specification("poisson", 1, pending=3)
    model = taught(spec, 5)
    model.open_session("b", OUTPUTS)
    old, newer, newest = loose(model, "a", 3, seed=4)
    # The middle one leaves a gap; what comes then is the youngest all the same.
    model.label("a", newer.id, target_of(newer))
    if stored_between:
        model = copied(model)
    loose(model, "b", 2, seed=5)
    assert (model.pending, model.expired) == (3, 1)
    with pytest.raises(DuplicateName, match="waited longer than the limit"):
        model.check_label("a", old.id, target_of(old))
    model.check_label("a", newest.id, target_of(newest))
    loose(model, "b", 1, seed=6)
    with pytest.raises(DuplicateName, match="waited longer than the limit"):
        model.check_label("a", newest.id, target_of(newest))
