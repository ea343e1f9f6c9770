"""One contract for models of every kind, in one dimension and in two."""

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from scatonline import session as session_module
from scatonline.config import BankSpec, LearningSpec, ModelSpec, ReadoutKind, StructureSpec
from scatonline.errors import (
    ConfigError,
    DuplicateName,
    NumericalError,
    ScatOnlineError,
    ShapeError,
    StateVersionError,
    UnknownName,
)
from scatonline.model import Model
from scatonline.readout import LINKS
from scatonline.sample import Sample, check_target
from scatonline.structure import Move
from tests.scatonline.models import (
    KINDS,
    OUTPUTS,
    copied,
    decided,
    specification,
    stream,
    taught,
    unlabelled,
)

EVERY = [pytest.param(kind, d, id=f"{kind}-{d}-D") for kind in KINDS for d in (1, 2)]
# Where kind and dimension have nothing to do with one another.
EACH = [
    pytest.param(kind, d, id=f"{kind}-{d}-D")
    for kind, d in [*((k, 2) for k in KINDS), ("poisson", 1)]
]
STILL = LearningSpec(enabled=False)


@pytest.mark.parametrize(("kind", "dimensions"), EVERY)
def test_a_sample_is_predicted_then_scored_then_learned(kind: ReadoutKind, dimensions: int) -> None:
    """The prediction is the one that a reader would have made just before."""
    spec = specification(kind, dimensions)
    model = Model(spec)
    model.open_session("a", OUTPUTS)
    for i, sample in enumerate(stream(spec, 24)):
        expected = model.reader().predict("a", sample.input)
        outcome = model.step(sample)
        np.testing.assert_array_equal(outcome.prediction.values, expected.values)
        assert outcome.prediction.event == expected.event == model.event - 1
        assert (outcome.learned, outcome.pending, outcome.event) == (True, False, model.event)
        assert outcome.sample_id == sample.id
        assert sample.target is not None
        p = torch.from_numpy(expected.values).double()
        losses = LINKS[kind].loss(p, torch.from_numpy(sample.target).double())
        loss = losses.nansum() if kind == "softmax" else losses.nanmean()
        assert outcome.loss == pytest.approx(float(loss))
        assert model.scores().samples == i + 1


@pytest.mark.parametrize(("kind", "dimensions"), EACH)
def test_a_prediction_does_not_depend_on_its_own_target(kind: ReadoutKind, dimensions: int) -> None:
    model = taught(specification(kind, dimensions), 20)
    (sample,) = stream(model.spec, 1, seed=1)
    assert sample.target is not None
    other = replace(sample, target=np.roll(sample.target, 1))
    twin, third = copied(model), copied(model)
    first = model.step(sample).prediction.values
    np.testing.assert_array_equal(first, twin.step(other).prediction.values)
    np.testing.assert_array_equal(first, third.step(unlabelled(sample)).prediction.values)
    assert len({m.state_hash() for m in (model, twin, third)}) == 3


@pytest.mark.parametrize(("kind", "dimensions"), EACH)
def test_every_event_counts_and_changes_the_state(kind: ReadoutKind, dimensions: int) -> None:
    spec = specification(kind, dimensions)
    model = Model(spec)
    seen = {model.state_hash()}
    model.open_session("a", OUTPUTS)
    seen.add(model.state_hash())
    samples = stream(spec, 30)
    for sample in samples[:18]:
        model.step(sample)
        seen.add(model.state_hash())
    model.step(unlabelled(samples[18]))
    seen.add(model.state_hash())
    assert samples[18].target is not None
    model.label("a", samples[18].id, samples[18].target)
    seen.add(model.state_hash())
    model.apply(decided(model))
    seen.add(model.state_hash())
    assert model.event == 22
    assert len(seen) == 23


@pytest.mark.parametrize(("kind", "dimensions"), EACH)
def test_looking_changes_nothing(kind: ReadoutKind, dimensions: int) -> None:
    model = taught(specification(kind, dimensions), 50)
    before = model.state_hash()
    sample = stream(model.spec, 1, seed=1)[0]
    model.check(sample)
    model.check_input("a", sample.input)
    model.reader().predict("a", sample.input)
    model.filters()
    model.bounds()
    model.scores()
    model.structure_due()
    check = model.structure_check()
    assert check is not None
    check.run()
    assert model.state_hash() == before


def broken_samples(spec: ModelSpec) -> list[tuple[str, Sample, type[ScatOnlineError], str]]:
    good = stream(spec, 1, seed=9)[0]
    assert good.target is not None
    shape = (spec.channels, *spec.shape)
    nan, inf = good.input.copy(), good.input.copy()
    nan.flat[1], inf.flat[0] = np.nan, -np.inf
    expects = rf"expects \({spec.channels}, {spec.shape[0]}"

    def with_input(x: Any) -> Sample:
        return replace(good, input=x)

    def with_target(*values: float) -> Sample:
        return replace(good, target=np.array(values, np.float32))

    cases: list[tuple[str, Sample, type[ScatOnlineError], str]] = [
        ("other shape", with_input(np.zeros((*shape, 1))), ShapeError, expects),
        ("no channels", with_input(good.input[0]), ShapeError, expects),
        ("more channels", with_input(np.zeros((9, *spec.shape))), ShapeError, rf"\(9, .*{expects}"),
        ("complex", with_input(good.input.astype(complex)), ShapeError, "complex.*expected a real"),
        ("string", with_input(good.input.astype(str)), ShapeError, "<U.*expected a real"),
        ("bool", with_input(good.input.astype(bool)), ShapeError, "bool.*expected a real"),
        ("object", with_input(good.input.astype(object)), ShapeError, "object.*expected a real"),
        ("NaN", with_input(nan), NumericalError, "1 entries that are NaN or infinite.*none"),
        ("infinite", with_input(inf), NumericalError, "1 entries that are NaN or infinite.*none"),
        (
            "beyond float32",
            with_input(np.full(shape, 1e300)),
            NumericalError,
            "too large",
        ),
        (
            "too loud to add up",
            with_input(np.full(shape, 3e38, np.float32)),
            NumericalError,
            "too large",
        ),
        (
            "unknown session",
            replace(good, session="z"),
            UnknownName,
            "'z', expected one of a: open",
        ),
        ("id used before", replace(good, id="0-3"), DuplicateName, "'0-3'.*'a' was sent before"),
        ("no id", replace(good, id=""), ShapeError, "no id, expected one"),
        ("short target", with_target(1.0, 0.0), ShapeError, r"\(2,\).*expected\s+\(3,\)"),
        ("scalar target", replace(good, target=np.array(1, np.float32)), ShapeError, r"\(\).*"),
        ("infinite target", with_target(math.inf, 0, 1), NumericalError, "infinite.*expected"),
        ("nothing observed", with_target(*[math.nan] * 3), NumericalError, "missing|one-hot"),
    ]
    if spec.readout.kind == "poisson":
        cases.append(("negative", with_target(-1, 0, 1), NumericalError, "count -1.*at least 0"))
    if spec.readout.kind == "softmax":
        wrong = ((0, 0, 0), (1, 1, 0), (0.5, 0.5, 0), (math.nan, 0, 1), (2, 0, -1))
        cases += [
            (f"{values}", with_target(*values), NumericalError, "not one-hot.*single 1")
            for values in wrong
        ]
    return cases


@pytest.mark.parametrize(("kind", "dimensions"), EVERY)
def test_what_is_refused_changes_nothing(kind: ReadoutKind, dimensions: int) -> None:
    """The right error, a sentence with what came and what was expected, and the same state."""
    model = taught(specification(kind, dimensions), 20)
    before, event = model.state_hash(), model.event
    for name, sample, error, words in broken_samples(model.spec):
        for attempt in (model.check, model.step):
            with pytest.raises(error, match=words):
                attempt(sample)
            assert model.state_hash() == before, name
            assert model.event == event, name
    assert model.step(stream(model.spec, 1, seed=9)[0]).learned


@pytest.mark.parametrize(("kind", "dimensions"), EVERY)
def test_reader_refuses_what_the_model_refuses(kind: ReadoutKind, dimensions: int) -> None:
    model = taught(specification(kind, dimensions), 5)
    reader = model.reader()
    for _, sample, error, words in broken_samples(model.spec)[:12]:
        for attempt in (reader.predict, model.check_input):
            with pytest.raises(error, match=words):
                attempt(sample.session, sample.input)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_that_are_refused_change_nothing(kind: ReadoutKind) -> None:
    model = taught(specification(kind, 1), 20)
    waiting = stream(model.spec, 1, seed=5)[0]
    model.step(unlabelled(waiting))
    assert waiting.target is not None
    good: Any = waiting.target
    before = model.state_hash()
    cases: list[tuple[str, str, Any, type[ScatOnlineError], str]] = [
        ("z", waiting.id, good, UnknownName, "no session 'z'"),
        (
            "a",
            "nobody",
            good,
            UnknownName,
            "no sample 'nobody' in session 'a', expected one that was sent",
        ),
        ("a", "0-3", good, DuplicateName, "'0-3'.*has had one"),
        ("a", waiting.id, good[:2], ShapeError, r"\(2,\).*expected\s+\(3,\)"),
        ("a", waiting.id, np.full(3, np.nan, np.float32), NumericalError, "missing|one-hot"),
        ("a", waiting.id, np.full(3, np.inf, np.float32), NumericalError, "infinite"),
    ]
    for session, sample_id, target, error, words in cases:
        for attempt in (model.check_label, model.label):
            with pytest.raises(error, match=words):
                attempt(session, sample_id, target)
            assert model.state_hash() == before
    assert model.label("a", waiting.id, good).learned
    with pytest.raises(DuplicateName, match="has had one"):
        model.label("a", waiting.id, good)


@pytest.mark.parametrize("kind", KINDS)
def test_sessions_that_are_refused_change_nothing(kind: ReadoutKind) -> None:
    model = taught(specification(kind, 1), 5)
    before = model.state_hash()
    cases: list[tuple[str, tuple[str, ...], type[ScatOnlineError], str]] = [
        ("a", ("u1", "u2"), DuplicateName, r"exists with outputs \['u1', 'u2', 'u3'\], got"),
        ("a", ("u2", "u1", "u3"), DuplicateName, "take another name or the same outputs"),
        ("", OUTPUTS, ConfigError, "no name, expected one"),
        ("b", (), ConfigError, r"\[\] of 'b': expected distinct names"),
        ("b", ("x", "x"), ConfigError, "expected distinct names"),
        ("b", ("x", ""), ConfigError, "expected distinct names"),
    ]
    if kind == "softmax":
        cases.append(("b", ("only",), ConfigError, "at least 2 classes"))
    for session, outputs, error, words in cases:
        with pytest.raises(error, match=words):
            model.open_session(session, outputs)
        assert model.state_hash() == before
    model.open_session("a", list(OUTPUTS))
    assert model.state_hash() == before
    assert dict(model.sessions) == {"a": OUTPUTS}


@pytest.mark.parametrize(("kind", "dimensions"), EACH)
def test_label_that_comes_at_once_is_no_late_label(kind: ReadoutKind, dimensions: int) -> None:
    """With θ held, the readout ends with the same bits, whichever way labels came."""
    spec = specification(kind, dimensions, learning=STILL)
    at_once, late = Model(spec), Model(spec)
    for model in (at_once, late):
        model.open_session("a", OUTPUTS)
    for sample in stream(spec, 22):
        outcome = at_once.step(sample)
        first = late.step(unlabelled(sample))
        assert (first.learned, first.pending, first.loss) == (False, True, None)
        assert late.pending == 1
        assert sample.target is not None
        second = late.label("a", sample.id, sample.target)
        assert (second.learned, second.pending, late.pending) == (True, False, 0)
        assert second.loss == outcome.loss
        np.testing.assert_array_equal(second.prediction.values, outcome.prediction.values)
    assert late.scores() == at_once.scores()
    mine, theirs = at_once.state()[0], late.state()[0]
    for name, tensor in mine.items():
        np.testing.assert_array_equal(tensor, theirs[name])


def test_label_scores_the_prediction_made_when_the_sample_came() -> None:
    model = taught(specification("gaussian", 1), 30)
    sample, *others = stream(model.spec, 20, seed=3)
    assert sample.target is not None
    made = model.step(unlabelled(sample)).prediction
    for other in others:
        model.step(other)
    outcome = model.label("a", sample.id, sample.target)
    np.testing.assert_array_equal(outcome.prediction.values, made.values)
    assert outcome.prediction.event == made.event


def test_samples_that_wait_too_long_give_way_and_are_counted() -> None:
    spec = specification("poisson", 1, pending=3)
    model = taught(spec, 2)
    samples = stream(spec, 5, seed=4)
    for sample in samples:
        model.step(unlabelled(sample))
    assert (model.pending, model.expired) == (3, 2)
    target: Any = samples[0].target
    before = model.state_hash()
    for gone in samples[:2]:
        with pytest.raises(DuplicateName, match="waited longer than the limit"):
            model.label("a", gone.id, target)
    assert model.state_hash() == before
    for kept in samples[2:]:
        assert model.label("a", kept.id, target).learned
    assert (model.pending, model.expired) == (0, 2)


def test_ids_are_remembered_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "REMEMBERED_IDS", 3)
    model = Model(specification("poisson", 1))
    model.open_session("a", OUTPUTS)
    again = stream(model.spec, 5)
    for sample in again:
        model.step(sample)
    for sample in again[2:]:
        with pytest.raises(DuplicateName):
            model.check(sample)
    model.check(again[0])


def test_ids_are_unique_within_a_session_only() -> None:
    model = taught(specification("poisson", 1), 5)
    model.open_session("b", OUTPUTS)
    assert model.step(replace(stream(model.spec, 1)[0], session="b")).learned


@pytest.mark.parametrize("kind", KINDS)
def test_next_session_starts_from_the_last_one_by_output_name(kind: ReadoutKind) -> None:
    """Known units are predicted as before in any order; new ones as if nothing were known."""
    model = taught(specification(kind, 2), 50)
    x = stream(model.spec, 1, seed=8)[0].input
    known = model.reader().predict("a", x).values
    model.open_session("same", OUTPUTS)
    np.testing.assert_array_equal(model.reader().predict("same", x).values, known)
    if kind == "softmax":
        return
    model.open_session("b", ("u3", "new", "u1"))
    found = model.reader().predict("b", x).values
    np.testing.assert_array_equal(found[[0, 2]], known[[2, 0]])
    fresh = Model(model.spec)
    fresh.open_session("a", ("new",))
    np.testing.assert_array_equal(found[[1]], fresh.reader().predict("a", x).values)
    model.open_session("c", ("other",))
    np.testing.assert_array_equal(model.reader().predict("a", x).values, known)


@pytest.mark.parametrize(
    ("target", "named"),
    [
        (np.array(["1", "0", "0"]), "<U1.*real numbers"),
        (np.array([True, False, False]), "bool.*real numbers"),
        (np.array([1, 0, 0j]), "complex128.*real numbers"),
    ],
)
def test_targets_of_other_types_are_refused(target: Any, named: str) -> None:
    """However they come: a sample's own type says float32 already."""
    with pytest.raises(ShapeError, match=named):
        check_target(specification("gaussian", 1), 3, target)


def test_target_beyond_single_precision_is_refused() -> None:
    with pytest.raises(NumericalError, match="infinite"):
        check_target(specification("gaussian", 1), 2, np.array([1e300, 0.0]))


def test_session_opened_during_calibration_follows_the_scales() -> None:
    """What it took over was learned on columns in other units: it must not be used on new ones."""
    spec = specification("gaussian", 1, learning=STILL)
    samples = stream(spec, 20)
    model = Model(spec)
    model.open_session("a", OUTPUTS)
    for sample in samples[:10]:
        model.step(sample)
    model.open_session("b", OUTPUTS)
    for sample in samples[10:]:
        model.step(sample)
    x = stream(spec, 1, seed=8)[0].input
    reader = model.reader()
    a, b = (reader.predict(name, x).values for name in ("a", "b"))
    untaught = np.zeros(3, np.float32)
    assert np.allclose(a, b, atol=0.3) or np.array_equal(b, untaught)


@pytest.mark.parametrize(
    ("kind", "dimensions", "taken"),
    [
        ("poisson", 1, 20),
        ("gaussian", 1, 21),
        ("poisson", 2, 20),
        ("gaussian", 2, 19),
        ("softmax", 2, 21),
        ("poisson", 2, 5),
    ],
)
def test_restored_model_goes_on_with_the_same_bits(
    kind: ReadoutKind, dimensions: int, taken: int
) -> None:
    """Through bytes and JSON: before, during and after calibration, between two steps of θ.

    Then 50 samples with labels at once and late, a second session, and a structure decision.
    """
    spec = specification(kind, dimensions)
    model = Model(spec)
    model.open_session("a", OUTPUTS)
    samples = stream(spec, taken + 52)
    for sample in samples[:taken]:
        model.step(sample)
    model.step(unlabelled(samples[taken]))
    twin = copied(model)
    assert twin.state_hash() == model.state_hash()
    later = samples[taken + 1 :]
    waiting = samples[taken]
    assert waiting.target is not None
    for i, sample in enumerate(later):
        if i == 10:
            ours = model.label("a", waiting.id, waiting.target)
            theirs = twin.label("a", waiting.id, waiting.target)
        else:
            ours, theirs = model.step(sample), twin.step(sample)
        np.testing.assert_array_equal(ours.prediction.values, theirs.prediction.values)
        assert ours.loss == theirs.loss
        if i == 25:
            decision = decided(model)
            assert model.apply(decision) == twin.apply(decision)
            twin = copied(twin)
        if i == 30:
            for one in (model, twin):
                one.open_session("b", OUTPUTS[::-1])
    assert model.state_hash() == twin.state_hash()
    assert model.filters() == twin.filters()
    assert model.scores() == twin.scores()


def test_restored_model_shares_nothing_with_what_it_was_restored_from() -> None:
    """Not even when the live state itself is handed over."""
    model = taught(specification("poisson", 1), 30)
    tensors, meta = model.state()
    twin = Model.restore(model.spec, tensors, meta)
    before = model.state_hash()
    for sample in stream(model.spec, 10, seed=2):
        twin.step(sample)
    assert model.state_hash() == before
    assert twin.state_hash() != before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 5}, "seed: saved 0, asked 5"),
        ({"bank": BankSpec(J=2, Q=(2,), bound="none")}, "bank.bound: saved open, asked none"),
        ({"channels": 3, "input_scale": (1.0,)}, "channels: saved 2, asked 3"),
    ],
)
def test_state_of_another_specification_is_refused(change: dict[str, Any], named: str) -> None:
    model = taught(specification("poisson", 1), 3)
    tensors, meta = model.state()
    with pytest.raises(StateVersionError, match=named):
        Model.restore(replace(model.spec, **change), tensors, meta)


@pytest.mark.parametrize("version", [0, 999, None])
def test_state_of_another_format_is_refused(version: int | None) -> None:
    model = taught(specification("poisson", 1), 3)
    tensors, meta = model.state()
    with pytest.raises(StateVersionError, match=rf"format {version!r}, this version reads"):
        Model.restore(model.spec, tensors, {**meta, "format": version})


@pytest.mark.parametrize(("kind", "dimensions"), EACH)
def test_reader_does_not_notice_later_events(kind: ReadoutKind, dimensions: int) -> None:
    """Its predictions keep their bits while readouts, θ and structure move on."""
    model = taught(specification(kind, dimensions), 12)
    inputs = [s.input for s in stream(model.spec, 4, seed=6)]
    reader, event = model.reader(), model.event
    before = [reader.predict("a", x).values for x in inputs]
    for sample in stream(model.spec, 15, seed=1):
        model.step(sample)
    model.apply(decided(model))
    for sample in stream(model.spec, 5, seed=2):
        model.step(sample)
    for x, values in zip(inputs, before, strict=True):
        again = reader.predict("a", x)
        np.testing.assert_array_equal(again.values, values)
        assert again.event == reader.event == event
    assert not np.array_equal(model.reader().predict("a", inputs[0]).values, before[0])


def test_readers_predict_in_other_threads_while_the_model_learns() -> None:
    model = taught(specification("poisson", 2), 40)
    inputs = [s.input for s in stream(model.spec, 3, seed=6)]
    reader = model.reader()
    expected = [reader.predict("a", x).values for x in inputs]
    wrong: list[str] = []
    done = threading.Event()

    def predict() -> None:
        while not done.is_set():
            for x, values in zip(inputs, expected, strict=True):
                if not np.array_equal(reader.predict("a", x).values, values):
                    wrong.append("another prediction")

    threads = [threading.Thread(target=predict) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for sample in stream(model.spec, 12, seed=1):
            model.step(sample)
        model.apply(decided(model))
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert wrong == []


@pytest.mark.parametrize(("kind", "dimensions"), EACH)
def test_structure_check_leaves_the_model_as_if_it_had_never_run(
    kind: ReadoutKind, dimensions: int
) -> None:
    model = taught(specification(kind, dimensions), 50)
    twin = copied(model)
    check = model.structure_check()
    assert check is not None
    for sample in stream(model.spec, 5, seed=1):
        model.step(sample)
        twin.step(sample)
    decision = check.run()
    assert decision.samples == 48
    assert {c.filter_id for c in decision.cars} == {f.id for f in model.filters()}
    for sample in stream(model.spec, 5, seed=2):
        model.step(sample)
        twin.step(sample)
    assert model.state_hash() == twin.state_hash()
    again = twin.structure_check(seed=check.seed)
    assert again is not None
    assert again.run() != decision


@pytest.mark.parametrize(("kind", "dimensions"), EACH)
def test_decision_moves_filters_and_nothing_else_is_lost(
    kind: ReadoutKind, dimensions: int
) -> None:
    """Filters that stay keep id and values; the readout keeps what it knows of their columns."""
    model = taught(specification(kind, dimensions, learning=STILL), 24)
    before = {f.id: f.parameters for f in model.filters()}
    decision = decided(model)
    moves = model.apply(decision)
    assert [m.event for m in moves] == [model.event] * 2
    after = {f.id: f.parameters for f in model.filters()}
    drop, add = moves
    assert before.keys() - after.keys() == {drop.filter_id}
    assert after.keys() - before.keys() == {add.filter_id}
    assert all(after[name] == before[name] for name in before.keys() & after.keys())
    born = {f.id: f.born_event for f in model.filters()}
    assert born.pop(add.filter_id) == model.event
    assert set(born.values()) == {0}
    assert [(m.kind, m.filter_id) for m in model.moves] == [(m.kind, m.filter_id) for m in moves]
    assert all(high <= 1 + 1e-10 for _, high in model.bounds().values())
    for sample in stream(model.spec, 10, seed=1):
        assert np.isfinite(model.step(sample).prediction.values).all()


def test_stale_decision_makes_no_moves() -> None:
    """Its numbers are kept, and it counts as a look."""
    model = taught(specification("gaussian", 2), 50)
    check = model.structure_check()
    assert check is not None
    late = check.run()
    first = model.apply(decided(model))
    assert first
    ids = [f.id for f in model.filters()]
    look = model.structure.look
    stale = replace(late, moves=decided(model).moves, look=look)
    assert model.apply(stale) == ()
    assert [f.id for f in model.filters()] == ids
    assert len(model.moves) == 2
    assert model.structure.look > look
    assert {f.id: f.car for f in model.filters() if f.car is not None} == {
        c.filter_id: c.car for c in late.cars if c.filter_id in ids
    }


def test_decision_about_unknown_filters_is_refused_and_changes_nothing() -> None:
    model = taught(specification("gaussian", 1), 50)
    before = model.state_hash()
    decision = decided(model)
    ghost = Move("drop", "1/j7/9", 1, 7, "no such filter", {})
    for moves in ((ghost,), (*decision.moves, ghost)):
        with pytest.raises(UnknownName, match="1/j7/9"):
            model.apply(replace(decision, moves=moves))
        assert model.state_hash() == before


@pytest.mark.parametrize("drops", [0, 1, 2])
def test_every_check_is_one_look(drops: int) -> None:
    """Whatever it decides: what its later steps may spend is part of what a look may."""
    model = taught(specification("gaussian", 2), 50)
    decision = decided(model)
    drop, _ = decision.moves
    finest = [n.id for n in model.learner.scattering.bank(1).names]
    moves = tuple(replace(drop, filter_id=name) for name in finest[:drops])
    model.apply(replace(decision, moves=moves, look=5))
    assert model.structure.look == 6
    check = model.structure_check()
    assert check is not None
    assert (check.look, check.cooling) == (6, drops > 0)


def test_schedule_asks_for_checks_when_there_is_something_to_look_at() -> None:
    spec = specification("poisson", 2, structure=StructureSpec(window=48, check_every=10))
    model = Model(spec)
    assert model.structure_ready() == "no labelled sample has come yet"
    assert model.structure_check() is None
    model.open_session("a", OUTPUTS)
    due = []
    for sample in stream(spec, 45):
        model.step(sample)
        if model.structure_due():
            due.append(model.structure.learned)
            check = model.structure_check()
            assert check is not None
            model.apply(check.run())
        elif model.structure.learned < 16:
            assert model.structure_ready() == "the columns' scales are not frozen yet"
        elif model.structure.learned < 24:
            assert "the window holds" in (model.structure_ready() or "")
    assert due == [24, 34, 44]


def test_structure_search_that_is_off_is_never_due() -> None:
    limits = StructureSpec(enabled=False, window=32, check_every=1)
    model = taught(specification("poisson", 2, structure=limits), 24)
    assert model.structure_ready() is None
    assert not model.structure_due()


@pytest.mark.parametrize(("kind", "dimensions"), EACH)
def test_theta_moves_only_where_it_may(kind: ReadoutKind, dimensions: int) -> None:
    still = taught(specification(kind, dimensions, learning=STILL), 24)
    learning = taught(specification(kind, dimensions), 50)
    assert all(abs(d) < 1e-9 for f in still.filters() for d in f.drift.values())
    assert any(abs(d) > 1e-3 for f in learning.filters() for d in f.drift.values())
    assert all(high <= 1 + 1e-10 for _, high in learning.bounds().values())
    cold = taught(specification(kind, dimensions, learning=LearningSpec(warmup=25)), 24)
    assert all(abs(d) < 1e-9 for f in cold.filters() for d in f.drift.values())


@pytest.mark.parametrize("kind", KINDS)
def test_model_learns_a_stationary_stream(kind: ReadoutKind) -> None:
    """Later losses are below early ones and below those of a model of the mean alone."""
    losses = {}
    for orders in ((0, 1), ()):
        spec = specification(kind, 2, learning=STILL)
        spec = replace(spec, features=replace(spec.features, orders=orders))
        model = Model(spec)
        model.open_session("a", OUTPUTS)
        losses[orders] = [model.step(s).loss or 0.0 for s in stream(spec, 120)]
    late = {orders: np.mean(values[-60:]) for orders, values in losses.items()}
    assert late[0, 1] < np.mean(losses[0, 1][:20])
    assert late[0, 1] < late[()]


@pytest.mark.parametrize("kind", KINDS)
def test_model_without_scattering_has_no_filters_and_needs_none(kind: ReadoutKind) -> None:
    spec = specification(kind, 1)
    spec = replace(spec, features=replace(spec.features, orders=(), raw_grid=4))
    model = taught(spec, 40)
    assert (model.filters(), model.bounds()) == ((), {})
    assert model.structure_ready() == "the model has no scattering columns"
    assert not model.structure_due()
    assert copied(model).state_hash() == model.state_hash()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float64", ">f4", "float16"])
def test_any_real_type_is_scaled_alike(dtype: str) -> None:
    """The input scale, one a channel, is applied to the numbers that were sent."""
    spec = specification("gaussian", 1, input_scale=(1 / 255, 0.5))
    model = taught(spec, 20)
    raw = np.random.default_rng(0).integers(0, 256, (2, 32))
    found = model.reader().predict("a", raw.astype(dtype)).values
    plain = specification("gaussian", 1)
    reader = replace(model.reader(), spec=plain)
    scaled = raw.astype(np.float32) * np.array([[1 / 255], [0.5]], np.float32)
    np.testing.assert_allclose(found, reader.predict("a", scaled).values, rtol=1e-6)


def test_model_does_not_keep_the_senders_memory() -> None:
    model = taught(specification("gaussian", 1), 20)
    sample = stream(model.spec, 1, seed=3)[0]
    assert sample.target is not None
    target = sample.target.copy()
    model.step(unlabelled(sample))
    before = model.state_hash()
    sample.input[:] = 0
    assert model.state_hash() == before
    model.label("a", sample.id, target)
    before = model.state_hash()
    target[:] = 9
    assert model.state_hash() == before


@pytest.mark.parametrize(
    "impossible",
    [
        lambda: specification("poisson", 1, bank=BankSpec(J=9)),
        lambda: specification("poisson", 2, bank=BankSpec(J=3)),
        lambda: specification("poisson", 2, bank=BankSpec(J=2, family="haar")),
    ],
)
def test_impossible_model_is_refused(impossible: Callable[[], ModelSpec]) -> None:
    with pytest.raises(ConfigError):
        Model(impossible())


def test_same_specification_and_stream_give_the_same_bits() -> None:
    spec = specification("poisson", 2)
    assert taught(spec, 40).state_hash() == taught(spec, 40).state_hash()


def test_report_of_filters_names_every_one_once() -> None:
    model = taught(specification("poisson", 2), 50)
    reports = model.filters()
    assert len({f.id for f in reports}) == len(reports) == 3
    for report in reports:
        assert report.id.startswith(f"{report.layer}/j{report.scale}/")
        assert set(report.parameters) == {"theta", "xi", "sigma", "slant"}
        assert (report.car, report.car_se, report.car_upper) == (None, None, None)
    check = model.structure_check()
    assert check is not None
    decision = replace(check.run(), moves=())
    model.apply(decision)
    cars = {c.filter_id: (c.car, c.se, c.upper) for c in decision.cars}
    assert {f.id: (f.car, f.car_se, f.car_upper) for f in model.filters()} == cars
