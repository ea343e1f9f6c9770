"""Which filters to drop or to add, decided on a copy of a model's window.

A check never touches the model: it takes the banks, the recent labelled samples and the limits, and
returns a :class:`StructureDecision` that the model applies as one event. Removal comes first: a
filter goes only if the upper bound on what the model loses is at most ε, enough restarts agree, and
enough effective samples stand behind it; then everything is computed again without it. What is
bounded is the loss against the model as it was *before* the check, so that ε is what one check may
cost altogether, however many filters go. Where nothing is to be removed, the most promising new
filters are tried, and added if the lower bound on their held-out gain exceeds 2ε.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from scatonline.config import ModelSpec
from scatonline.errors import NumericalError
from scatonline.features import Standardiser
from scatonline.past import sources
from scatonline.scattering import Scattering
from scatonline.structure import additions
from scatonline.structure.car import Loss, quantile
from scatonline.structure.decision import GroupCar, Move, RecentDrop, StructureDecision
from scatonline.structure.ridge import Refit, fit
from scatonline.structure.standing import Standing
from scatonline.structure.window import Evidence

# Below this explained variance a model knows too little for shares of it to mean anything.
_LEAST_EXPLAINED = 0.05


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
        seed: Of the restarts.
        numbers: ``(samples,)`` int64, the order in which they came; None: one after another. What
            lags see of samples that are not in the window is taken to be at its mean.
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
    numbers: Tensor | None = None
    epsilon: float = 0.0

    def run(self) -> StructureDecision:
        """Computes every CAR and decides."""
        limits, kind = self.spec.structure, self.spec.readout.kind
        evidence = Evidence.of(self.targets.cpu(), kind, limits.restarts, self.seed)
        numbers = torch.arange(len(self.inputs)) if self.numbers is None else self.numbers
        past = sources(numbers.to(self.inputs.device), self.spec.features.lags)
        standing = Standing.of(self.spec, self.scattering, self.standardiser, self.inputs, past)
        if not standing.groups:
            return self._no_verdict("no filter is used by the readout")
        if evidence.silent:
            return self._no_verdict("no output varied within the window")
        start = self._refits(evidence, standing)
        before = [refit.predictions() for refit in start]
        baseline = evidence.baseline(start)
        # What a removal may cost is a share of what the model explains: in single trials even a
        # perfect model explains little, and an absolute ε would give half of that away.
        self.epsilon = limits.epsilon * max(baseline, _LEAST_EXPLAINED)
        first: tuple[GroupCar, ...] = ()
        moves: list[Move] = []
        refits = start
        while True:
            step = _Step(self, evidence, standing, before, len(moves) + 1)
            cars = step.cars(refits)
            first = first or cars
            left = self._drop(cars, standing) if len(moves) < limits.max_drops else None
            if left is None:
                break
            chosen, standing = left
            moves.append(self._move(chosen, step.n_eff, baseline))
            if not standing.groups:
                break
            refits = self._refits(evidence, standing)
        if not moves and not self.cooling and limits.candidates:
            car = {c.filter_id: c.car for c in first}
            moves = additions.found(self, evidence, standing, start, car)
        return StructureDecision(
            look=self.look,
            session=self.session,
            samples=len(self.inputs),
            n_eff=step.n_eff,
            baseline_score=baseline,
            cars=first,
            moves=tuple(moves),
            reason="; ".join(m.reason for m in moves) or self._why_none(first),
            base_event=self.base_event,
        )

    def _refits(self, evidence: Evidence, standing: Standing) -> list[Refit]:
        groups = list(standing.groups.values())
        ridge = self.spec.readout.ridge
        return fit(standing.x, evidence.filled, evidence.bags, ridge, groups)

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

    def _drop(
        self, cars: tuple[GroupCar, ...], standing: Standing
    ) -> tuple[GroupCar, Standing] | None:
        """The removable filter of lowest upper bound, and what is left without it."""
        for chosen in sorted((c for c in cars if c.removable), key=lambda c: c.upper):
            try:
                return chosen, standing.without(chosen.layer, chosen.filter_id)
            except NumericalError:
                # A tight bound needs it.
                continue
        return None

    def _move(self, chosen: GroupCar, n_eff: float, baseline: float) -> Move:
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

    def _why_none(self, cars: tuple[GroupCar, ...]) -> str:
        if self.cooling:
            return "no move: cooling down after the last one"
        lowest = min(cars, key=lambda c: c.upper)
        return (
            f"no move: lowest upper bound on a CAR is {lowest.upper:.4f} ({lowest.filter_id}), "
            f"ε is {self.epsilon:.4f}; no candidate gained more than 2ε with confidence"
        )


class _Step:
    """One decision of a check: what each filter that is left would cost.

    Attributes:
        n_eff: Smallest effective sample size of any filter, set by :meth:`cars`.
    """

    def __init__(
        self,
        check: StructureCheck,
        evidence: Evidence,
        standing: Standing,
        before: list[Tensor],
        number: int,
    ) -> None:
        """Step ``number``, from 1, against the predictions ``before`` the check."""
        self._check, self._evidence, self._standing = check, evidence, standing
        self._before = before
        self._z = quantile(check.spec.structure, check.look, number, len(standing.groups))
        self.n_eff = 0.0

    def cars(self, refits: list[Refit]) -> tuple[GroupCar, ...]:
        """Of every filter."""
        losses = {
            filter_id: self._evidence.loss(self._before, [r.without(group) for r in refits])
            for filter_id, group in self._standing.groups.items()
        }
        self.n_eff = min(loss.by_score[0].n_eff for loss in losses.values())
        return tuple(self._car(filter_id, loss) for filter_id, loss in losses.items())

    def _car(self, filter_id: str, loss: Loss) -> GroupCar:
        check, name = self._check, self._standing.name(filter_id)
        limits, epsilon = check.spec.structure, check.epsilon
        main, *others = loss.by_score
        other = others[0].mean if others else None
        harmless = sum(d <= epsilon for d in main.by_restart) / len(main.by_restart)
        removable = (
            not check.cooling
            and main.bound(self._z) <= epsilon
            and harmless >= limits.agreement
            and main.n_eff >= limits.min_effective
            and (other is None or other <= epsilon)
            and self._standing.may_go(name, limits.min_filters)
        )
        kind = check.spec.readout.kind
        return GroupCar(
            filter_id=filter_id,
            layer=name.layer,
            scale=name.scale,
            car=main.mean,
            se=main.se,
            upper=main.bound(self._z),
            agreement=harmless,
            accuracy_loss=other if kind == "softmax" else None,
            removable=removable,
            deviance_loss=other if kind == "poisson" else None,
            by_output=self._evidence.spread(loss.by_output),
        )
