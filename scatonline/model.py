"""A named learner: banks, readouts, windows and random state, changed by events and nothing else.

The state after event n is a function of the state before it and of the event. Every method that
raises has changed nothing. One thread owns a model; only :class:`Reader` and
:meth:`StructureCheck.run` leave it.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scatonline import state
from scatonline.changes import Alarm, ChangeWatch
from scatonline.changes import prepare as prepare_detectors
from scatonline.config import ModelSpec
from scatonline.drift import FilterReport, reports
from scatonline.errors import ConfigError, DuplicateName, ShapeError, UnknownName
from scatonline.guard import Comparison, Retreat, fixed
from scatonline.learner import Learner
from scatonline.pending import Pending, Predicted
from scatonline.reader import Reader, unknown_session
from scatonline.readout import fresh
from scatonline.sample import Outcome, Prediction, Sample, check_input, check_target, fits
from scatonline.scores import ScoreReport, combine, loss_of
from scatonline.session import Session
from scatonline.structure import (
    Move,
    RecentDrop,
    StructureCheck,
    StructureDecision,
    StructureState,
)

# Changes, retreats and moves remembered.
_REMEMBERED = 256
# Windows for which a filter that was dropped may not come back.
_NO_RETURN_WINDOWS = 5


class Model:
    """One learnable scattering model.

    Attributes:
        spec: What it was made from.
        event: Events so far; its version.
        alarms: Changes of the loss, oldest first.
        retreats: Times that learned filters were given up, oldest first.
        shadow: The model beside that never moves a filter, if there is one.
        frozen: It predicts and scores, and learns nothing.
    """

    def __init__(self, spec: ModelSpec, device: str = "cpu") -> None:
        """Starts untaught.

        Raises:
            ConfigError: the specification does not fit together, e.g. J is too large for the shape.
        """
        self.spec, self.device = spec, device
        self.event = 0
        self.learner = Learner(spec, device)
        self.structure = StructureState()
        self.watch = ChangeWatch()
        if spec.adaptation.detect:
            prepare_detectors()
        self.alarms: tuple[Alarm, ...] = ()
        self.retreats: tuple[Retreat, ...] = ()
        self.comparison = Comparison()
        self.shadow: Model | None = None
        if spec.adaptation.shadow and self.learner.learns_theta:
            self.shadow = Model(fixed(spec), device)
        self.active: str | None = None
        self.frozen = False
        self._sessions: dict[str, Session] = {}
        self._pending = Pending(spec.pending)

    @property
    def sessions(self) -> Mapping[str, tuple[str, ...]]:
        """Output names by session."""
        return {name: session.outputs for name, session in self._sessions.items()}

    @property
    def pending(self) -> int:
        """Samples that wait for their label."""
        return len(self._pending)

    @property
    def expired(self) -> int:
        """Samples whose label had not come when too many waited."""
        return self._pending.expired

    @property
    def moves(self) -> tuple[Move, ...]:
        """The newest structure moves, oldest first."""
        return self.structure.moves

    def open_session(self, session: str, outputs: Sequence[str]) -> None:
        """Opens a session; its readout starts from the last one's where output names match.

        Raises:
            DuplicateName: it exists with other outputs. With the same ones nothing happens.
            ConfigError: no name, no outputs, or one output twice; classes need at least two.
        """
        self.check_session(session, outputs)
        if session in self._sessions:
            return
        cells, size = self.learner.layout.cells, self.learner.size
        opened = Session.opened(self.spec, session, outputs, cells, size, self.device)
        if self.active is not None:
            opened.carry_over(self._sessions[self.active], self.learner.layout.kinds)
        self._sessions[session] = opened
        self.event += 1
        if self.shadow is not None:
            self.shadow.open_session(session, outputs)

    def check_session(self, session: str, outputs: Sequence[str]) -> None:
        """Refuses what :meth:`open_session` would refuse; changes nothing."""
        if not session:
            raise ConfigError("session has no name, expected one")
        if len(set(outputs)) != len(outputs) or not all(outputs) or not outputs:
            raise ConfigError(f"outputs {list(outputs)} of {session!r}: expected distinct names")
        if self.spec.readout.kind == "softmax" and len(outputs) < 2:
            raise ConfigError(
                f"outputs {list(outputs)} of {session!r}: expected at least 2 classes"
            )
        if session in self._sessions:
            known = self._sessions[session].outputs
            if known != tuple(outputs):
                raise DuplicateName(
                    f"session {session!r} exists with outputs {list(known)}, got {list(outputs)}: "
                    "take another name or the same outputs"
                )

    def freeze(self, frozen: bool) -> None:
        """Stops learning, or goes on with it; changes nothing where that is so already.

        Samples that come meanwhile are predicted and scored, and nothing is learned from them, also
        when their label comes later.
        """
        if frozen == self.frozen:
            return
        self.frozen = frozen
        self.event += 1
        if self.shadow is not None:
            self.shadow.freeze(frozen)

    def check_input(self, session: str, x: NDArray[np.generic]) -> None:
        """Refuses what :meth:`Reader.predict` would refuse; changes nothing."""
        self._session(session)
        check_input(self.spec, x)

    def check(self, sample: Sample) -> None:
        """Refuses what :meth:`step` would refuse; changes nothing.

        Raises:
            UnknownName: no such session.
            DuplicateName: the id was sent before.
            ShapeError, NumericalError: input or target do not fit.
        """
        session = self._session(sample.session)
        if not sample.id:
            raise ShapeError("sample has no id, expected one that is unique within its session")
        session.require_new(sample.id)
        if (sample.session, sample.id) in self._pending:
            # Among so many since that the session has forgotten the id, but not the sample.
            raise DuplicateName(
                f"sample {sample.id!r} of session {sample.session!r} still waits for its label: "
                "send the label, or take another id"
            )
        check_input(self.spec, sample.input)
        if sample.target is not None:
            check_target(self.spec, len(session.outputs), sample.target)

    def look_ahead(self, samples: Sequence[Sample]) -> None:
        """Transforms inputs of samples together that will be stepped next, where that pays.

        Nothing else changes: what becomes of each of them is the same, to the bit.

        Args:
            samples: In their order; one that :meth:`step` would refuse is passed by.
        """
        known = [sample for sample in samples if fits(self.spec, sample.input)]
        self.learner.look_ahead([sample.input for sample in known])
        if self.shadow is not None:
            self.shadow.look_ahead(known)

    def step(self, sample: Sample, expected: Callable[[Outcome], object] | None = None) -> Outcome:
        """Predicts a sample, then scores and learns from it, or keeps it until its label comes.

        Args:
            sample: The sample.
            expected: Called with the outcome of a labelled sample once it is certain, before
                anything is learned from it.

        Raises:
            As :meth:`check`.
        """
        self.check(sample)
        session = self._session(sample.session)
        x, columns = self.learner.transformed(sample.input, session)
        # Where nothing grows too old, a clock must not tell equal states apart.
        arrived_s = sample.arrived_s if self.spec.pending_age_s else None
        predicted = self._predict(session, x, columns, arrived_s)
        session.remember(sample.id, columns, self.learner.lags)
        self.event += 1
        self._expire(sample.arrived_s)
        loss = None if sample.target is None else _scored(session, predicted, sample.target)
        outcome = Outcome(
            sample_id=sample.id,
            prediction=predicted.prediction,
            learned=loss is not None and not self.frozen,
            pending=loss is None,
            loss=loss,
            event=self.event,
        )
        if sample.target is None or loss is None:
            self._give_up(self._pending.add(sample.session, sample.id, predicted))
            if self.shadow is not None:
                self.shadow.step(sample)
        else:
            if expected is not None:
                expected(outcome)
            self._learn(session, columns, predicted, sample.target, loss)
            if self.shadow is not None:
                self._compare(loss, self.shadow.step(sample).loss)
        self._learn_held()
        return outcome

    def check_label(self, session: str, sample_id: str, target: NDArray[np.generic]) -> None:
        """Refuses what :meth:`label` would refuse; changes nothing."""
        known = self._session(session)
        if (session, sample_id) not in self._pending:
            if sample_id in known.ids:
                raise DuplicateName(
                    f"sample {sample_id!r} of session {session!r} no longer waits for a label: it "
                    "has had one, or waited longer than the limits on pending samples"
                )
            raise UnknownName(
                f"no sample {sample_id!r} in session {session!r}, expected one that was sent: "
                "send it before its label"
            )
        check_target(self.spec, len(known.outputs), target)

    def label(
        self,
        session: str,
        sample_id: str,
        target: NDArray[np.float32],
        arrived_s: float | None = None,
    ) -> Outcome:
        """Learns from a sample whose label has come, or holds the label back for a while.

        What is scored, and what realignment learns from, is what was made of the sample when it
        came, and its lags are the inputs that came before it; the gradient is taken at the present
        θ. A label that is held back can be corrected by another one.

        Args:
            session: The sample's session.
            sample_id: The sample.
            target: ``(outputs,)``, as a sample has it.
            arrived_s: When the label came, as a sample's.

        Raises:
            UnknownName: no such session, or the sample was never sent.
            DuplicateName: something was learned from its label already.
            ShapeError, NumericalError: the target does not fit.
        """
        self.check_label(session, sample_id, target)
        self.event += 1
        if self.spec.label_hold:
            due = self.event + self.spec.label_hold
            waiting = self._pending.hold(session, sample_id, target, due)
            loss = None
        else:
            waiting, loss = self._learn_waiting(session, sample_id, target)
        self._expire(arrived_s)
        self._learn_held()
        return Outcome(
            sample_id=sample_id,
            prediction=waiting.prediction,
            learned=loss is not None and not (self.frozen or waiting.frozen),
            pending=loss is None,
            loss=loss,
            event=self.event,
        )

    def reader(self) -> Reader:
        """A snapshot to predict from."""
        learner = self.learner
        return Reader(
            spec=self.spec,
            event=self.event,
            device=self.device,
            layout=learner.layout,
            filters=learner.filters,
            averages=learner.averages,
            standardiser=learner.standardiser,
            readouts={name: s.readout.view() for name, s in self._sessions.items()},
            realignments={
                name: s.realignment.view()
                for name, s in self._sessions.items()
                if s.realignment is not None
            },
            pasts={name: s.past for name, s in self._sessions.items()},
        )

    def structure_ready(self) -> str | None:
        """Why a structure check cannot run now, or None if it can."""
        if self.frozen:
            return "learning is frozen"
        if not self.learner.layout.uses_scattering:
            return "the model has no scattering columns"
        if self.active is None:
            return "no labelled sample has come yet"
        if not self.learner.calibrated:
            return "the columns' scales are not frozen yet"
        have, need = len(self._sessions[self.active].window), self.spec.structure.window // 2
        return None if have >= need else f"the window holds {have} samples, {need} are needed"

    def structure_due(self) -> bool:
        """Whether the schedule asks for a check now."""
        since = self.structure.learned - self.structure.checked_at
        limits = self.spec.structure
        return limits.enabled and since >= limits.check_every and self.structure_ready() is None

    def structure_check(self, seed: int | None = None) -> StructureCheck | None:
        """A check on a copy of the window of the session learned from last; None if not ready.

        Args:
            seed: Of its restarts; derived from the event number if None.
        """
        if self.structure_ready() is not None or self.active is None:
            return None
        session = self._sessions[self.active]
        past, limits = self.structure, self.spec.structure
        since_move = past.learned - past.moved_at
        inputs, targets = (kept[-limits.window :] for kept in session.window.ordered())
        return StructureCheck(
            spec=self.spec,
            scattering=copy.deepcopy(self.learner.scattering),
            standardiser=self.learner.standardiser,
            inputs=inputs,
            targets=targets,
            session=session.name,
            look=past.look,
            cooling=past.moved_at >= 0 and since_move < limits.cooldown * limits.window,
            recent_drops=tuple(drop for drop, _ in past.recent_drops),
            base_event=past.version,
            seed=(self.spec.seed * 1_000_003 + self.event) % 2**31 if seed is None else seed,
            numbers=session.window.arrivals()[-limits.window :],
        )

    def apply(self, decision: StructureDecision) -> tuple[Move, ...]:
        """Takes a check's result as one event and returns the moves made.

        Moves of a check that looked at an older structure, or that ends while learning is frozen,
        are not made; its CARs are kept.

        Raises:
            UnknownName: a filter to be dropped does not exist.
            NumericalError: the bound is ``tight`` and a frequency would be left without a filter.
        """
        past = self.structure
        timely = decision.base_event == past.version and not self.frozen
        moves = decision.moves if timely else ()
        moves = tuple(replace(move, event=self.event + 1) for move in moves)
        drops = [m for m in moves if m.kind == "drop"]
        gone = tuple((self._recent_drop(m), past.learned) for m in drops)
        horizon = past.learned - _NO_RETURN_WINDOWS * self.spec.structure.window
        if moves:
            index = self.learner.restructure(moves)
            single, cells = self.learner.layout.single, self.learner.layout.cells
            for session in self._sessions.values():
                session.restructure(index, single, cells)
            self._pending.restructure(index[:single])
        self.learner.reconsider(decision)
        self.event += 1
        self.structure = replace(
            past,
            look=decision.look + 1,
            version=past.version + len(moves),
            checked_at=past.learned,
            moved_at=past.learned if moves else past.moved_at,
            cars=decision.cars,
            born=self._born(moves),
            recent_drops=tuple(d for d in past.recent_drops if d[1] > horizon) + gone,
            moves=(past.moves + tuple(replace(m, mean=(), column_scale=()) for m in moves))[
                -_REMEMBERED:
            ],
        )
        return moves

    def filters(self) -> tuple[FilterReport, ...]:
        """Every filter: parameters, drift since it was made, last CAR."""
        if not self.learner.layout.uses_scattering:
            return ()
        past, freed = self.structure, self.learner.freed()
        return reports(self.learner.banks(), past.cars, past.born, freed)

    def bounds(self) -> dict[int, tuple[float, float]]:
        """Smallest and largest Littlewood–Paley sum A(ω) by layer."""
        if not self.learner.layout.uses_scattering:
            return {}
        sums = {bank.layer: bank.littlewood_paley() for bank in self.learner.banks()}
        return {layer: (float(a.min()), float(a.max())) for layer, a in sums.items()}

    def scores(self) -> ScoreReport:
        """Prequential scores of all sessions; the recent ones of the session learned from last."""
        scores = {name: session.score for name, session in self._sessions.items()}
        return combine(self.spec.readout.kind, scores, self.active)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that later steps depend on: tensors (not copies) and JSON-safe metadata."""
        tensors, learner = state.learner_state(self.learner)
        sessions = []
        for i, session in enumerate(self._sessions.values()):
            parts, meta = state.session_state(session)
            tensors |= {f"session.{i}.{name}": tensor for name, tensor in parts.items()}
            sessions.append(meta)
        tensors |= {f"pending.{name}": t for name, t in self._pending.tensors().items()}
        meta = {
            "format": state.FORMAT,
            "spec": self.spec.to_dict(),
            "event": self.event,
            "active": self.active,
            "frozen": self.frozen,
            "learner": learner,
            "sessions": sessions,
            "pending": self._pending.meta(),
            "structure": self.structure.to_dict(),
            "watch": {"losses": list(self.watch.losses), "found": self.watch.found},
            "alarms": [asdict(alarm) for alarm in self.alarms],
            "retreats": [asdict(retreat) for retreat in self.retreats],
            "comparison": [list(self.comparison.differences), self.comparison.heard],
            "shadow": None,
        }
        if self.shadow is not None:
            parts, meta["shadow"] = self.shadow.state()
            tensors |= {f"shadow.{name}": tensor for name, tensor in parts.items()}
        return tensors, meta

    @classmethod
    def restore(
        cls,
        spec: ModelSpec,
        tensors: Mapping[str, Tensor],
        meta: Mapping[str, Any],
        device: str = "cpu",
    ) -> "Model":
        """Inverse of :meth:`state`: every later step gives the same bits.

        Raises:
            StateVersionError: another format, or another specification.
        """
        state.require(spec, meta)
        model = cls(spec, device)
        own = {name: tensor.to(device, copy=True) for name, tensor in tensors.items()}
        state.restore_learner(model.learner, own, meta["learner"])
        for i, saved in enumerate(meta["sessions"]):
            parts = state.part(own, f"session.{i}.")
            session = state.restore_session(spec, parts, saved, device)
            model._sessions[session.name] = session
        model._pending.load(state.part(own, "pending."), meta["pending"])
        model.structure = StructureState.from_dict(meta["structure"])
        model.event, model.active = meta["event"], meta["active"]
        model.frozen = meta["frozen"]
        model.watch = ChangeWatch(meta["watch"]["losses"], meta["watch"]["found"])
        model.alarms = tuple(Alarm(**alarm) for alarm in meta["alarms"])
        model.retreats = tuple(Retreat(**retreat) for retreat in meta["retreats"])
        model.comparison = Comparison(*meta["comparison"])
        if model.shadow is not None:
            parts = state.part(tensors, "shadow.")
            model.shadow = cls.restore(model.shadow.spec, parts, meta["shadow"], device)
        return model

    def state_hash(self) -> str:
        """SHA-256 of the state; two models of equal hash behave alike for ever."""
        return state.digest(*self.state())

    def _session(self, name: str) -> Session:
        if name not in self._sessions:
            raise unknown_session(name, self._sessions)
        return self._sessions[name]

    def _predict(
        self, session: Session, x: Tensor, columns: Tensor, arrived_s: float | None
    ) -> Predicted:
        z = self.learner.standardised(columns)
        values, decoded = session.predict(x, z)
        prediction = Prediction(values.numpy(force=True).astype(np.float32), self.event)
        return Predicted(x, prediction, decoded, session.came, session.past, arrived_s, self.frozen)

    def _expire(self, now_s: float | None) -> None:
        """Gives up samples that have waited too long for their label."""
        if self.spec.pending_age_s and now_s is not None:
            self._give_up(self._pending.expire(now_s - self.spec.pending_age_s))

    def _give_up(self, keys: Sequence[tuple[str, str]]) -> None:
        if self.shadow is not None:
            self.shadow._pending.drop(keys)

    def _learn_held(self) -> None:
        """Learns from labels that were held back for long enough."""
        if self.spec.label_hold:
            for key in self._pending.due(self.event):
                self._learn_waiting(*key, self._pending.held(*key))

    def _learn_waiting(
        self, session: str, sample_id: str, target: NDArray[np.float32]
    ) -> tuple[Predicted, float]:
        """Learns from a waiting sample; returns it and the loss of what was predicted."""
        known = self._session(session)
        waiting = self._pending.take(session, sample_id)
        columns = self.learner.columns(waiting.input, known, waiting.past)
        loss = _scored(known, waiting, target)
        self._learn(known, columns, waiting, target, loss)
        if self.shadow is not None:
            self._compare(loss, self.shadow.label(session, sample_id, target).loss)
        return waiting, loss

    def _learn(
        self,
        session: Session,
        columns: Tensor,
        predicted: Predicted,
        target: NDArray[np.generic],
        loss: float,
    ) -> None:
        """Learns from a sample that was scored, unless frozen."""
        if self.frozen or predicted.frozen:
            return
        observed, decoded = target.astype(np.float64), predicted.decoded
        y = torch.from_numpy(observed).to(self.device)
        # What is done about a change is done to the readout, so it is its own loss that is heard.
        heard = loss
        if decoded is not None:
            opinion = decoded.opinions[0].cpu().numpy()
            heard = loss_of(self.spec.readout.kind, opinion, observed)
        session.realign(decoded, y)
        if self.learner.calibrate(session, columns, y):
            self._replay_calibration()
        else:
            self.learner.learn(session, columns, y)
        session.window.append(predicted.input, y.float(), predicted.number)
        session.learned += 1
        self.structure.learned += 1
        if self.active != session.name:
            # Other units, other losses.
            self.watch.forget()
        self.active = session.name
        if self.spec.adaptation.detect and self.learner.calibrated:
            detector = self.watch.update(heard)
            if detector is not None:
                self._act_on_change(session, detector)

    def _act_on_change(self, session: Session, detector: str) -> None:
        """Lets the past count for less, hurries θ, and asks for a structure check."""
        session.readout = session.readout.loosened()
        self.learner.boosted = self.spec.adaptation.boosted
        limits = self.spec.structure
        # Once enough samples of the new kind are in the window.
        due = self.structure.learned - limits.check_every + limits.window // 4
        self.structure = replace(self.structure, checked_at=min(self.structure.checked_at, due))
        alarm = Alarm(self.event, session.name, detector)
        self.alarms = (*self.alarms, alarm)[-_REMEMBERED:]

    def _compare(self, learned: float, unmoved: float | None) -> None:
        """Gives up the learned filters if the fixed ones do better, for sure."""
        if self.shadow is None or unmoved is None or self.frozen:
            return
        self.comparison.add(learned, unmoved)
        verdict = self.comparison.verdict()
        if verdict is None:
            return
        self.learner.retreat(self.shadow.learner)
        for name, session in self._sessions.items():
            beside = self.shadow._sessions[name]
            session.readout = beside.readout.promoted(self.spec.readout)
            session.past = beside.past
        self._pending.see_as(self.shadow._pending)
        # A check that is under way looked at filters that are gone.
        self.structure = replace(
            self.structure, version=self.structure.version + 1, cars=(), recent_drops=()
        )
        self.comparison = Comparison()
        self.retreats = (*self.retreats, Retreat(self.event, *verdict))[-_REMEMBERED:]

    def _replay_calibration(self) -> None:
        """Teaches the first samples again, after the columns' scales changed.

        All readouts start anew, also those that took over what was learned on the old scales; each
        takes over again, from the session before its first sample.
        """
        for session in self._sessions.values():
            session.readout = fresh(
                self.spec.readout,
                self.learner.layout.cells,
                session.outputs,
                self.learner.size,
                self.device,
            )
        untaught, last = dict(self._sessions), None
        for name, columns, target in self.learner.calibration:
            session = self._sessions[name]
            if untaught.pop(name, None) and last is not None:
                session.succeed(last)
            session.readout.observe(self.learner.standardiser(columns), target)
            last = session
        for session in untaught.values():
            if last is not None:
                session.succeed(last)
        if self.learner.calibrated:
            self.learner.calibration = []

    def _born(self, moves: Sequence[Move]) -> dict[str, int]:
        """Events that made the filters that there are now."""
        born = {**self.structure.born, **{m.filter_id: self.event for m in moves}}
        there = {name.id for bank in self.learner.banks() for name in bank.names}
        return {name: event for name, event in born.items() if name in there}

    def _recent_drop(self, move: Move) -> RecentDrop:
        bank = self.learner.scattering.bank(move.layer)
        values = bank.values().detach()[bank.row(move.filter_id)]
        return RecentDrop(move.layer, move.scale, tuple(values.tolist()))


def _scored(session: Session, predicted: Predicted, target: NDArray[np.generic]) -> float:
    """Scores what was predicted of a sample; its loss."""
    return session.score.add(predicted.prediction.values, target.astype(np.float64))
