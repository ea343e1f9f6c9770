"""The outer loop: which filters there are, by their CAR; after every move θ descends again.

It starts with more filters than are needed. Each round is a descent of θ (the inner loop), a
verdict on held-out samples, and at most one structure move, which
:class:`scatonline.structure.StructureCheck` decides on the fitted samples alone: exact refits
without the filter, restarts, and a confidence bound, at a level that is spent over rounds. A round
that makes held-out samples worse by more than a standard error is undone and ends the path. Once
the structure has settled, filters that moved together are freed, which is kept if held-out samples
gain more than a standard error by it.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from scatonline.config import ModelSpec, Tie
from scatonline.drift import bank_drift, parameters
from scatonline.features import Layout
from scatonline.filterbank import FilterBank
from scatonline.nested.calibration import CalibrationSet
from scatonline.nested.descent import Descended, Problem, descend
from scatonline.nested.judge import Judge, Verdict
from scatonline.nested.limits import NestedSpec
from scatonline.nested.path import Path, Round
from scatonline.scattering import Scattering
from scatonline.structure import Move, RecentDrop, StructureCheck, StructureDecision
from scatonline.views import dilated

# Told of every gradient step (its round and number) and of every finished round.
Progress = Callable[[int, int, Round | None], None]


@dataclass(frozen=True)
class Found:
    """Where the path ended.

    Attributes:
        scattering: The banks of the chosen round.
        ridge: λ of least left-out error there.
        path: All rounds.
    """

    scattering: Scattering
    ridge: float
    path: Path


def search(
    spec: ModelSpec, samples: CalibrationSet, limits: NestedSpec, progress: Progress
) -> Found:
    """Walks the path.

    Args:
        spec: The model, with the filters to start from.
        samples: The calibration set; its inputs are scaled.
        limits: How far to go.
        progress: Told as it happens.

    Raises:
        ConfigError: too few samples, or no scattering columns.
    """
    fitted, held = (samples.take(rows) for rows in samples.split(limits.held, spec))
    judge = Judge(spec, with_copies(fitted, limits.dilations), held)
    walk = _Walk(spec, limits, fitted, Problem(spec, limits, judge.fitted, judge), progress)
    return walk.run(Scattering(spec.bank, spec.shape).to(samples.inputs.device))


def with_copies(samples: CalibrationSet, dilations: tuple[float, ...]) -> CalibrationSet:
    """Dilated copies in front of the samples, each in the group of what it is a copy of."""
    factors = [*(f for f in dict.fromkeys(dilations) if f != 1), 1.0]
    return CalibrationSet(
        torch.cat([dilated(samples.inputs, factor) for factor in factors]),
        samples.targets.repeat(len(factors), 1),
        samples.groups.repeat(len(factors)),
    )


@dataclass
class _Standing:
    """The best banks so far."""

    scattering: Scattering
    verdict: Verdict
    number: int


@dataclass
class _Walk:
    """A path under way."""

    spec: ModelSpec
    limits: NestedSpec
    fitted: CalibrationSet
    problem: Problem
    progress: Progress
    rounds: list[Round] = field(default_factory=list)
    drops: list[RecentDrop] = field(default_factory=list)
    tie: Tie = "scale"

    def run(self, start: Scattering) -> Found:
        first = self.problem.judge(start)
        best = _Standing(start, first, 0)
        self._record(Descended(start, first, 0, (), (first.explained,)), best, kept=True)
        moving = start
        ended = f"{self.limits.rounds} rounds, the most allowed"
        while len(self.rounds) <= self.limits.rounds:
            came = self._descend(moving, best)
            kept = self._no_worse(came.verdict, best)
            self._record(came, best, kept=kept)
            if not kept:
                ended = "held-out samples got worse by more than a standard error"
                break
            best = _Standing(came.scattering, came.verdict, len(self.rounds) - 1)
            moved = self._restructured(best)
            if moved is None:
                freed = self._freed(best)
                if freed is None:
                    ended = "no filter is harmless, and no candidate helps"
                    break
                best, moved = freed, freed.scattering
            moving = moved
        sizes = (len(self.fitted), len(self.problem.judge.held))
        path = Path(tuple(self.rounds), best.number, ended, sizes)
        return Found(best.scattering, best.verdict.ridge, path)

    def _descend(self, scattering: Scattering, best: _Standing) -> Descended:
        verdict = best.verdict if scattering is best.scattering else self.problem.judge(scattering)
        number = len(self.rounds)
        return descend(
            scattering, verdict, self.problem, self.tie, lambda s: self.progress(number, s, None)
        )

    @staticmethod
    def _no_worse(verdict: Verdict, best: _Standing) -> bool:
        gain = verdict.gain_over(best.verdict)
        return gain.mean >= -gain.se

    def _record(self, came: Descended, best: _Standing, *, kept: bool) -> None:
        gain = came.verdict.gain_over(best.verdict)
        banks = _banks(came.scattering)
        self.rounds.append(
            Round(
                number=len(self.rounds),
                explained=came.verdict.explained,
                accuracy=came.verdict.accuracy,
                left_out=came.verdict.left_out,
                gain=gain.mean,
                gain_se=gain.se,
                kept=kept,
                ridge=came.verdict.ridge,
                filters={
                    f"{bank.layer}/j{scale}": len(bank.rows(scale))
                    for bank in banks
                    for scale in bank.scales
                },
                columns=Layout(self.spec, came.scattering.cascade).width,
                steps=came.steps,
                tie=self.tie,
                losses=came.losses,
                judged=came.judged,
                drift=tuple(_mean_drift(bank) for bank in banks),
                values={
                    name.id: {key: p.value for key, p in own.items()}
                    for bank in banks
                    for name, own in zip(bank.names, parameters(bank), strict=True)
                },
            )
        )
        self.progress(len(self.rounds) - 1, came.steps, self.rounds[-1])

    def _restructured(self, best: _Standing) -> Scattering | None:
        """The banks after one move, or None if there is none to make."""
        if not self.limits.structure:
            return None
        decision = self._check(best).run()
        self.rounds[-1] = replace(
            self.rounds[-1], moves=decision.moves, reason=decision.reason, cars=decision.cars
        )
        self.progress(len(self.rounds) - 1, 0, self.rounds[-1])
        return self._applied(best.scattering, decision) if decision.moves else None

    def _check(self, best: _Standing) -> StructureCheck:
        structure = replace(self.spec.structure, max_drops=1)
        readout = replace(self.spec.readout, ridge=best.verdict.ridge)
        return StructureCheck(
            spec=replace(self.spec, structure=structure, readout=readout),
            scattering=copy.deepcopy(best.scattering),
            standardiser=best.verdict.standardiser,
            inputs=self.fitted.inputs,
            targets=self.fitted.targets,
            session="calibration",
            look=len(self.rounds),
            cooling=False,
            recent_drops=tuple(self.drops),
            base_event=0,
            seed=(self.spec.seed * 1_000_003 + len(self.rounds)) % 2**31,
        )

    def _applied(self, scattering: Scattering, decision: StructureDecision) -> Scattering:
        changed = copy.deepcopy(scattering)
        for move in decision.moves:
            if move.kind == "drop":
                self.drops.append(_recent(changed, move))
            make(changed, move)
        return changed

    def _freed(self, best: _Standing) -> _Standing | None:
        """The banks after every filter moved on its own, if held-out samples gain by that."""
        if not self.limits.free or self.tie == "filter" or not self.limits.steps:
            return None
        self.tie = "filter"
        came = self._descend(best.scattering, best)
        gain = came.verdict.gain_over(best.verdict)
        kept = gain.mean > gain.se
        self._record(came, best, kept=kept)
        if not kept:
            return None
        return _Standing(came.scattering, came.verdict, len(self.rounds) - 1)


def make(scattering: Scattering, move: Move) -> None:
    """Makes a structure move."""
    if move.kind == "drop":
        scattering.drop(move.layer, move.filter_id)
    else:
        scattering.add(move.layer, move.scale, move.values, move.filter_id)


def _recent(scattering: Scattering, move: Move) -> RecentDrop:
    bank = scattering.bank(move.layer)
    values = bank.values().detach()[bank.row(move.filter_id)]
    return RecentDrop(move.layer, move.scale, tuple(values.tolist()))


def _banks(scattering: Scattering) -> list[FilterBank]:
    return [scattering.bank(layer) for layer in range(1, scattering.spec.max_order + 1)]


def _mean_drift(bank: FilterBank) -> float:
    drifts = [drift["spectral_distance"] for drift in bank_drift(bank)]
    return sum(drifts) / max(len(drifts), 1)
