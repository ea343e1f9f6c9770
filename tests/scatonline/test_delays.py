"""Labels that come late, out of order, twice or never, over sessions that come and go.

Each test states a law in its docstring. The last one lets a machine look for a sequence of events
that a plain account of them, kept beside the model, does not foresee.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from numpy.typing import NDArray

from scatonline import session as session_module
from scatonline.config import FeatureSpec, LearningSpec, ModelSpec, ReadoutKind, ReadoutSpec
from scatonline.errors import (
    DuplicateName,
    NumericalError,
    ScatOnlineError,
    ShapeError,
    UnknownName,
)
from scatonline.model import Model
from scatonline.sample import Sample
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

STILL = LearningSpec(enabled=False)
MOVING = LearningSpec(warmup=4, every=3, rate=0.03)
NAN = float("nan")


def target_of(sample: Sample) -> NDArray[np.float32]:
    assert sample.target is not None
    return sample.target


def predictions(model: Model, session: str = "a", count: int = 6) -> NDArray[np.float32]:
    """For inputs that no model has seen."""
    reader = model.reader()
    probes = stream(model.spec, count, seed=77)
    return np.stack([reader.predict(session, probe.input).values for probe in probes])


def require_same_knowledge(one: Model, other: Model, session: str = "a") -> None:
    """To the bit: predictions, filters, and what the readout knows of its columns."""
    np.testing.assert_array_equal(predictions(one, session), predictions(other, session))
    assert [f.parameters for f in one.filters()] == [f.parameters for f in other.filters()]
    mine, theirs = one.state()[0], other.state()[0]
    for name in mine:
        if not name.startswith("pending") and ".score." not in name:
            np.testing.assert_array_equal(mine[name], theirs[name], err_msg=name)


def facts(model: Model) -> dict[str, Any]:
    """The state that is no tensor, but for what was sent."""
    meta = model.state()[1]
    kept = {k: v for k, v in meta.items() if k not in ("event", "expired", "pending", "sessions")}
    sessions = [{k: v for k, v in s.items() if k != "ids"} for s in meta["sessions"]]
    return {**kept, "sessions": sessions}


def opened(spec: ModelSpec, session: str = "a", outputs: Sequence[str] = OUTPUTS) -> Model:
    model = Model(spec)
    model.open_session(session, outputs)
    return model


# Never, late, out of order


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_whose_label_never_comes_teaches_nothing(kind: ReadoutKind) -> None:
    """Whether it still waits or has given way: readout, θ, scales, window and scores are the same.

    Also during the calibration, and while wavelets move.
    """
    spec = specification(kind, 1, learning=MOVING, pending=5)
    without, among = opened(spec), opened(spec)
    strays = iter(stream(spec, 60, seed=5))
    for i, sample in enumerate(stream(spec, 45)):
        for _ in range(i % 3):
            assert among.step(unlabelled(next(strays))).pending
        expected, outcome = without.step(sample), among.step(sample)
        np.testing.assert_array_equal(expected.prediction.values, outcome.prediction.values)
        assert expected.loss == outcome.loss
    assert (among.pending, among.expired) == (5, 40)
    require_same_knowledge(without, among)
    assert without.scores() == among.scores()
    assert facts(without) == facts(among)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_learned_depends_on_the_order_of_labels_alone(kind: ReadoutKind) -> None:
    """When the samples themselves came changes which predictions are scored, and nothing else."""
    spec = specification(kind, 1, learning=MOVING)
    samples = stream(spec, 50)
    order = np.random.default_rng(2).permutation(len(samples))
    early, just_in_time = opened(spec), opened(spec)
    for sample in samples:
        early.step(unlabelled(sample))
    for i in order:
        just_in_time.step(unlabelled(samples[i]))
        for model in (early, just_in_time):
            assert model.label("a", samples[i].id, target_of(samples[i])).learned
    require_same_knowledge(early, just_in_time)
    assert early.filters()[0].parameters != Model(spec).filters()[0].parameters
    assert early.scores() != just_in_time.scores()


@settings(max_examples=12)
@given(st.permutations(range(16)), st.permutations(range(16, 40)))
def test_values_are_learned_alike_in_any_order(first: list[int], rest: list[int]) -> None:
    """Recursive least squares is ridge regression on all samples, and a sum has no order.

    The scales are those of the first 16 labels, in any order; with θ held and no gaps.
    """
    spec = specification("gaussian", 1, learning=STILL)
    samples = [replace(s, target=np.nan_to_num(target_of(s), nan=1.0)) for s in stream(spec, 40)]
    in_order, shuffled = opened(spec), opened(spec)
    for sample in samples:
        in_order.step(unlabelled(sample))
        shuffled.step(unlabelled(sample))
    for sample in samples:
        in_order.label("a", sample.id, target_of(sample))
    for i in [*first, *rest]:
        shuffled.label("a", samples[i].id, target_of(samples[i]))
    np.testing.assert_allclose(predictions(shuffled), predictions(in_order), rtol=1e-5, atol=1e-5)
    ours, theirs = shuffled.scores(), in_order.scores()
    assert ours.values == pytest.approx(theirs.values, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_after_a_structure_move_teaches_the_new_filters(kind: ReadoutKind) -> None:
    """As if the sample had come after the move; scored is what was predicted before it."""
    spec = specification(kind, 2, learning=STILL)
    before, after = taught(spec, 40), taught(spec, 40)
    (sample,) = stream(spec, 1, seed=6)
    made = before.step(unlabelled(sample)).prediction
    before.apply(decided(before))
    after.apply(decided(after))
    expected = after.step(sample)
    outcome = before.label("a", sample.id, target_of(sample))
    np.testing.assert_array_equal(outcome.prediction.values, made.values)
    assert not np.array_equal(made.values, expected.prediction.values)
    np.testing.assert_array_equal(predictions(before), predictions(after))
    np.testing.assert_array_equal(
        before.state()[0]["session.0.window.inputs"], after.state()[0]["session.0.window.inputs"]
    )


# Twice, or wrong


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_label_stands(kind: ReadoutKind) -> None:
    """A correction is refused, for samples labelled at once as for late ones, at any time after.

    The sample can be sent again under another id.
    """
    model = taught(specification(kind, 1), 30)
    at_once, late, *others = stream(model.spec, 8, seed=4)
    model.step(at_once)
    model.step(unlabelled(late))
    model.label("a", late.id, target_of(late))
    for other in [None, *others]:
        if other is not None:
            model.step(other)
        before = model.state_hash()
        for sample in (at_once, late):
            corrected = np.roll(target_of(sample), 1)
            with pytest.raises(DuplicateName, match="no longer waits for a label"):
                model.label("a", sample.id, corrected)
            with pytest.raises(DuplicateName, match="was sent before"):
                model.step(replace(sample, target=corrected))
        assert model.state_hash() == before
    assert model.step(replace(late, id="again")).learned


def wrong(kind: ReadoutKind) -> dict[str, NDArray[Any]]:
    """Labels that say nothing, or nothing that could be."""
    labels = {
        "nothing seen": np.full(3, np.nan, np.float32),
        "infinite": np.array([1, np.inf, 0], np.float32),
        "too few": np.ones(2, np.float32),
        "too many": np.ones(4, np.float32),
        "a table": np.ones((1, 3), np.float32),
        "none": np.ones(0, np.float32),
    }
    if kind == "poisson":
        labels["less than none"] = np.array([1, -1, NAN], np.float32)
    if kind == "softmax":
        labels["a gap"] = np.array([1, 0, NAN], np.float32)
        labels["two"] = np.array([1, 1, 0], np.float32)
        labels["no class"] = np.zeros(3, np.float32)
        labels["shares"] = np.array([0.5, 0.5, 0], np.float32)
    return labels


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_label_leaves_the_sample_waiting_for_the_right_one(kind: ReadoutKind) -> None:
    """Which is then learned as if the wrong ones had never come."""
    model, twin = (taught(specification(kind, 1), 30) for _ in range(2))
    (sample,) = stream(model.spec, 1, seed=4)
    for each in (model, twin):
        each.step(unlabelled(sample))
    for name, label in wrong(kind).items():
        with pytest.raises((ShapeError, NumericalError)):
            model.label("a", sample.id, label)
        assert model.pending == 1, name
    for each in (model, twin):
        assert each.label("a", sample.id, target_of(sample)).learned
    assert model.state_hash() == twin.state_hash()


# Missing outputs


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
        target[1] = NAN
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
        target[2] = NAN
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
                target = np.array([NAN, *target[1:]], np.float32)
            lost.step(replace(sample, target=target))
        distances.append(np.abs(predictions(lost) - predictions(never_lost))[:, 0].mean())
    assert distances[0] > 2 * distances[1] > 0


# Sessions


def loose(model: Model, session: str, count: int, seed: int) -> list[Sample]:
    """Sends samples without labels, and returns them."""
    outputs = len(model.sessions[session])
    samples = stream(model.spec, count, seed, session, outputs)
    for sample in samples:
        model.step(unlabelled(sample))
    return samples


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


def test_an_id_that_still_waits_is_not_given_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another sample of that id would take its place, and no count would tell that one is lost.

    With the real limit: 20 000 samples with their labels, while one waits.
    """
    monkeypatch.setattr(session_module, "REMEMBERED_IDS", 3)
    model = opened(specification("poisson", 1))
    first, *others, second = stream(model.spec, 6)
    model.step(unlabelled(first))
    for other in others:
        model.step(other)
    try:
        model.step(unlabelled(replace(second, id=first.id)))
    except DuplicateName:
        return
    assert model.pending + model.expired == 2, "two samples were sent without a label"


def test_labels_of_samples_from_before_the_calibration_use_its_scales() -> None:
    """Whatever was predicted of them, silence: it is learned as if they had come just now."""
    spec = specification("gaussian", 1, learning=STILL)
    early, now = opened(spec), opened(spec)
    strangers = stream(spec, 3, seed=4)
    for sample in strangers:
        assert not early.step(unlabelled(sample)).prediction.values.any()
    for sample in stream(spec, 30):
        early.step(sample)
        now.step(sample)
    for sample in strangers:
        early.label("a", sample.id, target_of(sample))
        now.step(sample)
    require_same_knowledge(early, now)


# Any sequence of events


@dataclass
class Account:
    """What is known of one session without asking the model."""

    outputs: tuple[str, ...]
    sent: list[str] = field(default_factory=list)
    scored: int = 0


def stepping(sample: Sample) -> Callable[[Model], object]:
    return lambda model: model.step(sample)


class EventsInAnyOrder(RuleBasedStateMachine):
    """A model beside a plain account of its events.

    Whatever happens, the account foresees the counts, the order in which samples give way and which
    events are refused; a refused event changes no bit; and the accepted ones alone, given to a new
    model, lead to the same bits, over any number of checkpoints.
    """

    kind: ReadoutKind = "gaussian"

    def __init__(self) -> None:
        super().__init__()
        self.spec = specification(
            self.kind,
            1,
            channels=1,
            shape=(16,),
            pending=4,
            learning=MOVING,
            features=FeatureSpec(orders=(0, 1), grid=(1,), raw_grid=4, calibration=10),
        )
        self.model = Model(self.spec)
        self.accounts: dict[str, Account] = {}
        self.waiting: dict[tuple[str, str], NDArray[np.float32]] = {}
        self.expired = 0
        self.number = 0
        self.journal: list[Callable[[Model], object]] = []

    def do(self, event: Callable[[Model], Any]) -> Any:
        self.journal.append(event)
        return event(self.model)

    def refuse(self, error: type[ScatOnlineError], event: Callable[[Model], object]) -> None:
        before = self.model.state_hash()
        with pytest.raises(error):
            event(self.model)
        assert self.model.state_hash() == before

    def label_for(self, session: str, seed: int) -> NDArray[np.float32]:
        outputs = len(self.accounts[session].outputs)
        return target_of(stream(self.spec, 1, seed, session, outputs)[0])

    @rule(
        session=st.sampled_from("abc"),
        outputs=st.sampled_from([OUTPUTS, OUTPUTS[:2], ("u2", "u9")]),
    )
    def open(self, session: str, outputs: tuple[str, ...]) -> None:
        known = self.accounts.get(session)
        if known is not None and known.outputs != outputs:
            self.refuse(DuplicateName, lambda m: m.open_session(session, outputs))
            return
        self.do(lambda m: m.open_session(session, outputs))
        self.accounts.setdefault(session, Account(outputs))

    @precondition(lambda self: self.accounts)
    @rule(data=st.data(), late=st.booleans(), count=st.integers(1, 4))
    def send(self, data: Any, late: bool, count: int) -> None:
        session = data.draw(st.sampled_from(sorted(self.accounts)))
        account = self.accounts[session]
        for _ in range(count):
            self.number += 1
            (sample,) = stream(self.spec, 1, self.number, session, len(account.outputs))
            sample = unlabelled(sample) if late else sample
            outcome = self.do(stepping(sample))
            assert (outcome.learned, outcome.pending) == (not late, late)
            account.sent.append(sample.id)
            if late:
                if len(self.waiting) == self.spec.pending:
                    del self.waiting[next(iter(self.waiting))]
                    self.expired += 1
                self.waiting[session, sample.id] = outcome.prediction.values
            else:
                account.scored += 1

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def label(self, data: Any) -> None:
        session, name = data.draw(st.sampled_from(sorted(self.waiting)))
        target = self.label_for(session, data.draw(st.integers(0, 50)))
        outcome = self.do(lambda m: m.label(session, name, target))
        np.testing.assert_array_equal(outcome.prediction.values, self.waiting.pop((session, name)))
        self.accounts[session].scored += 1

    @precondition(lambda self: any(a.sent for a in self.accounts.values()))
    @rule(data=st.data())
    def send_or_label_again(self, data: Any) -> None:
        sent = [(s, name) for s, account in self.accounts.items() for name in account.sent]
        session, name = data.draw(st.sampled_from(sorted(sent)))
        target = self.label_for(session, 0)
        (sample,) = stream(self.spec, 1, 0, session, len(target))
        self.refuse(DuplicateName, lambda m: m.step(replace(sample, id=name)))
        if (session, name) not in self.waiting:
            self.refuse(DuplicateName, lambda m: m.label(session, name, target))

    @precondition(lambda self: self.accounts)
    @rule(data=st.data())
    def label_what_was_never_sent(self, data: Any) -> None:
        session = data.draw(st.sampled_from(sorted(self.accounts)))
        target = self.label_for(session, 0)
        self.refuse(UnknownName, lambda m: m.label(session, "never sent", target))
        self.refuse(UnknownName, lambda m: m.label("nowhere", "never sent", target))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def label_wrongly(self, data: Any) -> None:
        session, name = data.draw(st.sampled_from(sorted(self.waiting)))
        empty = np.full(len(self.accounts[session].outputs), np.nan, np.float32)
        self.refuse(NumericalError, lambda m: m.label(session, name, empty))
        self.refuse(ShapeError, lambda m: m.label(session, name, np.append(empty, empty)))

    @rule()
    def restart(self) -> None:
        self.model = copied(self.model)

    @invariant()
    def counts_are_foreseen(self) -> None:
        model, accounts = self.model, self.accounts
        sent = sum(len(account.sent) for account in accounts.values())
        scored = sum(account.scored for account in accounts.values())
        assert dict(model.sessions) == {name: a.outputs for name, a in accounts.items()}
        assert (model.pending, model.expired) == (len(self.waiting), self.expired)
        assert model.scores().samples == scored == sent - self.expired - model.pending

    def teardown(self) -> None:
        again = Model(self.spec)
        for event in self.journal:
            event(again)
        assert again.state_hash() == self.model.state_hash()


class CountsInAnyOrder(EventsInAnyOrder):
    kind = "poisson"


class ClassesInAnyOrder(EventsInAnyOrder):
    kind = "softmax"


for _machine in (EventsInAnyOrder, CountsInAnyOrder, ClassesInAnyOrder):
    _machine.TestCase.settings = settings(max_examples=12, stateful_step_count=40)
TestValuesInAnyOrder = EventsInAnyOrder.TestCase
TestCountsInAnyOrder = CountsInAnyOrder.TestCase
TestClassesInAnyOrder = ClassesInAnyOrder.TestCase
