"""Which filter to drop or to add, decided on a copy of a model's window.

A check never touches the model: it takes the banks, the recent labelled samples and the limits, and
returns a :class:`StructureDecision` that the model applies as one event. Removal comes first: a
filter goes only if the upper bound on its CAR is at most ε, enough restarts agree, and enough
effective samples stand behind it; then all CARs are computed again without it. Where nothing is to
be removed, a new filter is tried in a gap and added if the lower bound on its held-out gain exceeds
2ε.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scatonline.config import ModelSpec
from scatonline.features import Layout, Standardiser
from scatonline.scattering import Scattering
from scatonline.structure.car import Difference, Refit, car, quantile
from scatonline.structure.decision import GroupCar, Move, RecentDrop, StructureDecision
from scatonline.structure.window import Evidence

# Inputs transformed together when a window's columns are computed anew.
_CHUNK = 32
# Below this explained variance a model knows too little for shares of it to mean anything.
_LEAST_EXPLAINED = 0.05

# Layer, scale, natural parameters, and why it is tried.
_Candidate = tuple[int, int, tuple[float, ...], str]


@dataclass
class StructureCheck:
    """One check, self-contained: :meth:`run` may be called in any thread.

    Attributes:
        spec: The model's specification.
        scattering: A copy of its banks.
        standardiser: Its columns' means and scales.
        inputs: ``(samples, channels, *shape)`` float32, scaled, oldest first.
        targets: ``(samples, outputs)`` float32, NaN where missing.
        session: Whose window it is.
        look: Number of this check, from 1.
        cooling: Within the cooldown after a move: CARs only.
        recent_drops: Not to be added again yet.
        base_event: Structure version of the copy.
        seed: Of the restarts and of the choice of candidates.
        epsilon: Explained variance that a removal may cost, set by :meth:`run`.
    """

    spec: ModelSpec
    scattering: Scattering
    standardiser: Standardiser
    inputs: Tensor
    targets: Tensor
    session: str
    look: int
    cooling: bool
    recent_drops: tuple[RecentDrop, ...]
    base_event: int
    seed: int
    epsilon: float = 0.0

    def run(self) -> StructureDecision:
        """Computes every CAR and decides."""
        layout = Layout(self.spec, self.scattering.cascade)
        x = self.standardiser(self._columns(self.scattering, layout))
        evidence = Evidence.of(self.targets, self.spec.readout.kind == "softmax")
        groups = self._groups(layout)
        if not groups:
            return self._no_verdict("no filter is used by the readout")
        if not len(evidence.split.held):
            return self._no_verdict("no output varied within the window")
        limits = self.spec.structure
        refits = evidence.refits(x, self.spec.readout.ridge, limits.restarts, self.seed)
        baseline = evidence.baseline(refits, x)
        # What a removal may cost is a share of what the model explains: in single trials even a
        # perfect model explains little, and an absolute ε would give half of that away.
        self.epsilon = limits.epsilon * max(baseline, _LEAST_EXPLAINED)
        state = _Remaining(x, refits, groups)
        first: tuple[GroupCar, ...] = ()
        moves: list[Move] = []
        effective = 0.0
        while len(moves) <= limits.max_drops:
            cars, effective = self._cars(evidence, state, self.look + len(moves))
            first = first or cars
            chosen = self._to_drop(cars) if len(moves) < limits.max_drops else None
            if chosen is None:
                break
            moves.append(self._drop(chosen, effective, baseline))
            state = state.without(chosen.filter_id)
        if not moves and not self.cooling and limits.candidates:
            moves = self._additions(evidence, x, refits, first)
        return StructureDecision(
            look=self.look,
            session=self.session,
            samples=len(x),
            n_eff=effective,
            baseline_score=baseline,
            cars=first,
            moves=tuple(moves),
            reason="; ".join(m.reason for m in moves) or self._why_none(first),
            base_event=self.base_event,
        )

    def _no_verdict(self, why: str) -> StructureDecision:
        return StructureDecision(
            look=self.look,
            session=self.session,
            samples=len(self.inputs),
            n_eff=0.0,
            baseline_score=0.0,
            cars=(),
            moves=(),
            reason=f"no move: {why}",
            base_event=self.base_event,
        )

    def _columns(self, scattering: Scattering, layout: Layout) -> Tensor:
        with torch.no_grad():
            filters = scattering.build()
            averages = scattering.averages(torch.float32, self.inputs.device)
            pieces = torch.split(self.inputs, _CHUNK)
            return torch.cat([layout.columns(x, filters, averages) for x in pieces])

    def _groups(self, layout: Layout) -> dict[str, Tensor]:
        names = [name for layer in self.scattering.cascade.layers for name in layer]
        columns = {name.id: torch.tensor(layout.columns_of(name.id)) for name in names}
        return {name: c for name, c in columns.items() if len(c)}

    def _cars(
        self, evidence: Evidence, state: "_Remaining", look: int
    ) -> tuple[tuple[GroupCar, ...], float]:
        """Every remaining filter's CAR, and the smallest effective sample size among them."""
        limits = self.spec.structure
        z = quantile(limits, look, len(state.groups))
        held = state.x[evidence.split.held]
        table = car(state.refits, held, list(state.groups.values()), evidence.scores())
        names = {n.id: n for layer in self.scattering.cascade.layers for n in layer}
        counts: dict[tuple[int, int], int] = {}
        for filter_id in state.groups:
            key = names[filter_id].layer, names[filter_id].scale
            counts[key] = counts.get(key, 0) + 1
        cars = []
        for filter_id, (loss, *accuracy) in zip(state.groups, table, strict=True):
            name = names[filter_id]
            harmless = sum(d <= self.epsilon for d in loss.by_restart) / len(loss.by_restart)
            accuracy_loss = accuracy[0].mean if accuracy else None
            removable = (
                not self.cooling
                and loss.bound(z) <= self.epsilon
                and harmless >= limits.agreement
                and loss.n_eff >= limits.min_effective
                and (accuracy_loss is None or accuracy_loss <= self.epsilon)
                and counts[name.layer, name.scale] > limits.min_filters
            )
            cars.append(
                GroupCar(
                    filter_id=filter_id,
                    layer=name.layer,
                    scale=name.scale,
                    car=loss.mean,
                    se=loss.se,
                    upper=loss.bound(z),
                    agreement=harmless,
                    accuracy_loss=accuracy_loss,
                    removable=removable,
                )
            )
        return tuple(cars), min(loss.n_eff for loss, *_ in table)

    def _to_drop(self, cars: tuple[GroupCar, ...]) -> GroupCar | None:
        return min((c for c in cars if c.removable), key=lambda c: c.upper, default=None)

    def _drop(self, chosen: GroupCar, n_eff: float, baseline: float) -> Move:
        limits = self.spec.structure
        reason = (
            f"drop {chosen.filter_id}: CAR {chosen.car:+.4f} ± {chosen.se:.4f}, upper bound "
            f"{chosen.upper:.4f} ≤ ε {self.epsilon:.4f}, {chosen.agreement:.0%} of "
            f"{limits.restarts} restarts agree, {n_eff:.0f} effective samples"
        )
        numbers = {
            "car": chosen.car,
            "se": chosen.se,
            "upper": chosen.upper,
            "epsilon": self.epsilon,
            "agreement": chosen.agreement,
            "restarts": float(limits.restarts),
            "n_eff": n_eff,
            "baseline_score": baseline,
        }
        return Move("drop", chosen.filter_id, chosen.layer, chosen.scale, reason, numbers)

    def _additions(
        self, evidence: Evidence, x: Tensor, refits: list[Refit], cars: tuple[GroupCar, ...]
    ) -> list[Move]:
        """The first candidate whose gain is certain enough, if any."""
        tried = self._candidates(cars)[: self.spec.structure.candidates]
        for candidate in tried:
            move = self._trial(evidence, x, refits, candidate, len(tried))
            if move is not None:
                return [move]
        return []

    def _candidates(self, cars: tuple[GroupCar, ...]) -> list[_Candidate]:
        """Candidates of every scale with room, in an order drawn in proportion to CAR."""
        by_id = {c.filter_id: c.car for c in cars}
        found, weights = [], []
        for bank in (self.scattering.bank(m + 1) for m in range(len(self.scattering.banks))):
            natural = bank.values().detach().tolist()
            for scale in bank.scales:
                rows = bank.rows(scale)
                if len(rows) >= self.spec.structure.max_filters:
                    continue
                here = [by_id.get(bank.names[i].id, 0.0) for i in rows]
                options = bank.family.candidates([natural[i] for i in rows], here)
                for values, why in options:
                    if not self._just_dropped(bank.layer, scale, values):
                        found.append((bank.layer, scale, values, why))
                        weights.append(max(*here, 0.0) + 1e-4)
        if not found:
            return []
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.multinomial(torch.tensor(weights), len(found), generator=generator)
        return [found[i] for i in order.tolist()]

    def _just_dropped(self, layer: int, scale: int, values: tuple[float, ...]) -> bool:
        """A candidate closer to a filter that just went than to any that stayed."""
        bank = self.scattering.bank(layer)
        natural = bank.values().detach().tolist()
        stay = [natural[i] for i in bank.rows(scale)]
        went = [
            drop.values for drop in self.recent_drops if (drop.layer, drop.scale) == (layer, scale)
        ]
        every = [values, *stay, *went]
        new, *others = bank.family.describe(every, [scale] * len(every))
        distances = [_distance(new, other) for other in others]
        stayed, gone = distances[: len(stay)], distances[len(stay) :]
        return min(gone, default=math.inf) < min(stayed, default=math.inf)

    def _trial(
        self,
        evidence: Evidence,
        x: Tensor,
        refits: list[Refit],
        candidate: _Candidate,
        tried: int,
    ) -> Move | None:
        """The move that adds a filter, if its held-out gain is certain enough."""
        limits = self.spec.structure
        layer, scale, values, why = candidate
        scattering = copy.deepcopy(self.scattering)
        filter_id = scattering.add(layer, scale, values)
        layout = Layout(self.spec, scattering.cascade)
        new = self._columns(scattering, layout)[:, layout.columns_of(filter_id)]
        weight = layout.weight[layout.columns_of(filter_id)]
        standardiser = Standardiser.fit(new, weight)
        wider = torch.cat((x, standardiser(new)), 1)
        extended = evidence.refits(wider, self.spec.readout.ridge, limits.restarts, self.seed)
        held = evidence.split.held
        score = evidence.scores()[0]
        gains = [
            score(b.predict(wider[held])) - score(a.predict(x[held]))
            for a, b in zip(refits, extended, strict=True)
        ]
        gain = Difference.of(torch.stack(gains))
        lower = gain.bound(-quantile(limits, self.look, tried))
        if lower <= 2 * self.epsilon or gain.n_eff < limits.min_effective:
            return None
        reason = (
            f"add {filter_id}, {why}: held-out gain {gain.mean:+.4f} ± {gain.se:.4f}, lower bound "
            f"{lower:.4f} > 2ε {2 * self.epsilon:.4f}, {gain.n_eff:.0f} effective samples"
        )
        numbers = {"gain": gain.mean, "se": gain.se, "lower": lower, "n_eff": gain.n_eff}
        blank = Move("add", filter_id, layer, scale, reason, numbers, values=values)
        return replace(
            blank,
            mean=tuple(standardiser.mean.tolist()),
            column_scale=tuple(standardiser.scale.tolist()),
        )

    def _why_none(self, cars: tuple[GroupCar, ...]) -> str:
        if self.cooling:
            return "no move: cooling down after the last one"
        lowest = min(cars, key=lambda c: c.upper)
        return (
            f"no move: lowest upper bound on a CAR is {lowest.upper:.4f} ({lowest.filter_id}), "
            f"ε is {self.epsilon:.4f}; no candidate gained more than 2ε with confidence"
        )


@dataclass(frozen=True)
class _Remaining:
    """Columns, refits and groups that are left after removals."""

    x: Tensor
    refits: list[Refit]
    groups: Mapping[str, Tensor]

    def without(self, filter_id: str) -> "_Remaining":
        gone = torch.zeros(self.x.shape[1], dtype=torch.bool)
        gone[self.groups[filter_id]] = True
        kept = torch.nonzero(~gone)[:, 0]
        place = torch.cumsum(~gone, 0) - 1
        groups = {
            name: place[columns[~gone[columns]]]
            for name, columns in self.groups.items()
            if name != filter_id
        }
        group = torch.nonzero(gone)[:, 0]
        return _Remaining(
            self.x[:, kept],
            [refit.without(group, kept) for refit in self.refits],
            {name: columns for name, columns in groups.items() if len(columns)},
        )


def _distance(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """Between two filters of one scale: by angle where there is one, else in octaves."""
    if "angle" in a:
        turn = 2 * (a["angle"] - b["angle"])
        return abs(0.5 * math.atan2(math.sin(turn), math.cos(turn)))
    return abs(math.log2(a["frequency"] / b["frequency"]))
