"""Any sequence of events, sought by a machine, beside a plain account of it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from numpy.typing import NDArray

from scatonline.config import FeatureSpec, ReadoutKind
from scatonline.errors import (
    DuplicateName,
    NumericalError,
    ScatOnlineError,
    ShapeError,
    UnknownName,
)
from scatonline.model import Model
from scatonline.sample import Sample
from tests.scatonline.knowledge import MOVING, target_of
from tests.scatonline.models import OUTPUTS, copied, specification, stream, unlabelled


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
