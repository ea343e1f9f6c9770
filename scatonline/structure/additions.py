"""New filters that are certain enough to help.

Single filters come first. All of them are screened together: every refit tells in closed form what
it would predict with a candidate's columns. The best ones are then computed exactly, in a bank of
their own, as a new filter takes its share of what the frame bound leaves. Where none of them gains
enough, groups of filters are tried that come together. What is added has a lower bound on its
held-out gain above 2ε, and the level of that bound is shared by all candidates: the best of many
looks better than it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scatonline.structure.candidates import Candidate, candidates
from scatonline.structure.car import quantile
from scatonline.structure.decision import Move
from scatonline.structure.ridge import Refit, fit
from scatonline.structure.standing import Standing
from scatonline.structure.window import Evidence

if TYPE_CHECKING:
    from scatonline.structure.search import StructureCheck


def found(
    check: "StructureCheck",
    evidence: Evidence,
    standing: Standing,
    refits: Sequence[Refit],
    car: Mapping[str, float],
) -> list[Move]:
    """The moves that add the best candidate, if it gains enough with certainty.

    Args:
        check: Limits and memory.
        evidence: The window's targets and restarts.
        standing: The present filters.
        refits: With those.
        car: CAR of each.
    """
    limits = check.spec.structure
    options = candidates(
        standing.scattering,
        car,
        check.recent_drops,
        max(check.spec.features.orders, default=0),
        limits.max_filters,
    )
    z = quantile(limits, check.look, 1, len(options))
    single = [option for option in options if len(option.filters) == 1]
    groups = [option for option in options if len(option.filters) > 1]
    for candidate in _screened(evidence, standing, refits, single)[: limits.candidates]:
        moves = _trial(check, evidence, standing, refits, candidate, z)
        if moves:
            return moves
    tried = [_trial(check, evidence, standing, refits, candidate, z) for candidate in groups]
    return max(tried, key=lambda moves: moves[0].numbers["lower"] if moves else 0.0, default=[])


def _screened(
    evidence: Evidence, standing: Standing, refits: Sequence[Refit], options: Sequence[Candidate]
) -> list[Candidate]:
    """Candidates that gain anything, surest gain first."""
    before = [refit.predictions() for refit in refits]
    ranked = []
    for layer in sorted({option.layer for option in options}):
        mine = [option for option in options if option.layer == layer]
        filters = [new for option in mine for new in option.filters]
        wider, ids = standing.plus(layer, filters)
        at = 0
        for option in mine:
            own = set(ids[at : at + len(option.filters)])
            at += len(option.filters)
            columns = _only(wider, own, set(ids) - own)
            if len(columns):
                new = wider.x[:, columns]
                gain = evidence.loss([r.plus(new) for r in refits], before).by_score[0]
                ranked.append((gain.bound(-1.0), option))
    ranked.sort(key=lambda pair: -pair[0])
    return [option for bound, option in ranked if bound > 0]


def _only(standing: Standing, own: set[str], others: set[str]) -> Tensor:
    """Columns of paths through some filters and through none of the others."""
    columns = [
        torch.arange(block.start, block.start + block.width)
        for block in standing.layout.blocks
        if own.intersection(block.key) and not others.intersection(block.key)
    ]
    return torch.cat(columns) if columns else torch.zeros(0, dtype=torch.long)


def _trial(
    check: "StructureCheck",
    evidence: Evidence,
    standing: Standing,
    refits: Sequence[Refit],
    candidate: Candidate,
    z: float,
) -> list[Move]:
    """The moves of one candidate, or none."""
    limits = check.spec.structure
    wider, ids = standing.plus(candidate.layer, candidate.filters)
    new = fit(wider.x, evidence.filled, evidence.bags, check.spec.readout.ridge)
    with_it = [refit.predictions() for refit in new]
    gain = evidence.loss(with_it, [refit.predictions() for refit in refits]).by_score[0]
    lower, least = gain.bound(-z), 2 * check.epsilon
    agreement = sum(g > 0 for g in gain.by_restart) / len(gain.by_restart)
    if lower <= least or gain.n_eff < limits.min_effective or agreement < limits.agreement:
        return []
    numbers = {"gain": gain.mean, "se": gain.se, "lower": lower, "n_eff": gain.n_eff}
    moves = [
        Move(
            "add",
            filter_id,
            candidate.layer,
            new_filter.scale,
            f"add {filter_id}, {candidate.why}: held-out gain {gain.mean:+.4f} ± {gain.se:.4f}, "
            f"lower bound {lower:.4f} > 2ε {least:.4f}, {gain.n_eff:.0f} effective samples",
            numbers,
            values=new_filter.values,
        )
        for filter_id, new_filter in zip(ids, candidate.filters, strict=True)
    ]
    columns = wider.layout.carried_from(standing.layout) < 0
    standardiser = wider.standardiser
    # The columns of filters that come together alternate: the first one brings all of them.
    moves[0] = replace(
        moves[0],
        mean=tuple(standardiser.mean.cpu()[columns].tolist()),
        column_scale=tuple(standardiser.scale.cpu()[columns].tolist()),
    )
    return moves
