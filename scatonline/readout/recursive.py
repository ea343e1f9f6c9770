"""A readout that learns from each sample once, by recursive weighted least squares.

Every output k is a generalised linear model on the same columns z. One step is a gradient step on
its loss, preconditioned by the inverse P of the accumulated curvature, which all outputs share:

    w_k ← w_k + γ⁻¹P z (y_k − m_k)/c_k,   P⁻¹ ← γP⁻¹ + h zzᵀ

with m_k the mean after the step (it is implicit, see :mod:`scatonline.readout.links`), h the mean
over outputs of curvature/c_k, and c_k the running mean of a count (1 otherwise). For a Gaussian
readout without missing targets and γ = 1 this *is* ridge regression on all samples so far (Haykin,
"Adaptive filter theory", ch. 10); for one Poisson cell it is online Fisher scoring. A missing
target leaves its output's weights alone, though P still counts the sample.

Forgetting (γ < 1) alone would let P grow without limit in directions that no sample visits. The
prior is therefore fed back as pseudo-observations, a few coordinates a sample in turn, so that P⁻¹
keeps the ridge it started with.

With ``prior: learned`` columns have a precision each, ridge/weight, and sums are kept from which
the next session's weights are learned, see :mod:`scatonline.readout.prior`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from scatonline.config import ReadoutKind, ReadoutSpec
from scatonline.readout.evidence import Evidence
from scatonline.readout.links import LINKS, Link
from scatonline.readout.prior import between, learned
from scatonline.readout.step import Counts, predict, step
from scatonline.readout.sums import Sums

# The intercept is all but free.
_INTERCEPT_PRECISION = 1e-3
# Length of a round of reminders of the prior, as a share of the memory 1/(1 − γ).
_ROUND = 0.25
# Share of the past that still holds the weights after a change.
_HELD = 0.5
_TABLES = ("precision", "weights", "weight")
_COUNTS = ("total", "seen", "peak")


@dataclass(frozen=True)
class RecursiveView:
    """A :class:`RecursiveReadout` as it was at one sample, for other threads.

    Attributes:
        kind: Meaning of the targets.
        weights: ``(width + 1, outputs)``, the intercept first.
        counts: Of the targets observed.
    """

    kind: ReadoutKind
    weights: Tensor
    counts: Counts

    def predict(self, z: Tensor) -> Tensor:
        """Predictions for standardised columns ``(..., width)``: ``(..., outputs)``."""
        return predict(self.kind, self.weights, self.counts, z)


@dataclass
class RecursiveReadout:
    """State of one session's readout.

    Attributes:
        spec: Kind, ridge, forgetting.
        precision: P, ``(width + 1, width + 1)`` float64, the intercept first. Changed in place.
        weights: ``(width + 1, outputs)`` float64. Replaced at each step, never changed in place, so
            that a reader may keep it.
        counts: Of the targets so far.
        weight: ``(width,)`` float64, prior variance of each column's weights over 1/ridge.
        sums: What samples say of the prior, if it is to be learned.
        turn: Next coordinate to be reminded of its prior.
    """

    spec: ReadoutSpec
    precision: Tensor
    weights: Tensor
    counts: Counts
    weight: Tensor
    sums: Sums | None = None
    turn: int = 0

    @classmethod
    def fresh(cls, spec: ReadoutSpec, width: int, outputs: int, device: str) -> "RecursiveReadout":
        """A readout that knows nothing."""
        zeros = torch.zeros(outputs, dtype=torch.float64, device=device)
        weight = zeros.new_ones(width)
        return cls(
            spec=spec,
            precision=torch.diag(1 / _prior(spec, weight)),
            weights=zeros.new_zeros(width + 1, outputs),
            counts=Counts.none(outputs, device),
            weight=weight,
            sums=Sums.none(width, outputs, device) if spec.prior == "learned" else None,
        )

    @property
    def link(self) -> Link:
        """Meaning of the targets."""
        return LINKS[self.spec.kind]

    def predict(self, z: Tensor) -> Tensor:
        """Predictions for standardised columns ``(..., width)``: ``(..., outputs)``."""
        return predict(self.spec.kind, self.weights, self.counts, z)

    def view(self) -> "RecursiveView":
        """As it is now; later steps do not change it."""
        return RecursiveView(self.spec.kind, self.weights, self.counts)

    def gradient(self, z: Tensor, target: Tensor) -> Tensor:
        """d/dz of the mean negative log-likelihood, weights held fixed: ``(width,)``.

        The mean is over observed outputs. Poisson terms are divided by the output's mean count, so
        that busy cells do not drown quiet ones.
        """
        error = -self.link.residual(self.predict(z), target) / self.counts.anchor(self.link)
        observed = (~torch.isnan(target)).sum().clamp_min(1)
        return self.weights[1:] @ (error / observed)

    def due(self) -> None:
        """Nothing is remembered that could be refreshed."""
        return

    def observe(self, z: Tensor, target: Tensor, _refreshed: Tensor | None = None) -> None:
        """Learns from one sample.

        Args:
            z: ``(width,)`` standardised columns, float64.
            target: ``(outputs,)`` float64, NaN where missing.
            _refreshed: Never given, see :meth:`due`.
        """
        taught = step(self.spec, z, target, self.counts, self.precision, self.weights)
        self.counts, self.weights = taught.counts, taught.weights
        if self.sums is not None:
            one_z = torch.cat((z.new_ones(1), z))
            working = taught.eta + taught.residual * (1 / taught.curvature + taught.reach)
            seen = ~torch.isnan(target)
            self.sums = self.sums.added(
                one_z, working, taught.curvature, seen, self.spec.forgetting
            )
        if self.spec.forgetting < 1:
            self._remember_prior()

    def restructured(self, index: Tensor, _cells: Tensor | None = None) -> "RecursiveReadout":
        """The readout for other columns.

        Args:
            index: ``(new width,)`` the old column of each new one, −1 for a column never seen.
            _cells: Of which maps they are; not asked for.

        Removed columns are taken out by the exact refit without them; new ones start from the
        prior, as if they had been zero so far.
        """
        width = self.weights.shape[0] - 1
        kept = torch.cat((index.new_zeros(1), index[index >= 0] + 1))
        gone = torch.ones(width + 1, dtype=torch.bool, device=kept.device)
        gone[kept] = False
        precision, weights = without(self.precision, self.weights, kept, torch.nonzero(gone)[:, 0])
        place = torch.cat((index.new_zeros(1), torch.nonzero(index >= 0)[:, 0] + 1))
        fresh = RecursiveReadout.fresh(self.spec, len(index), weights.shape[1], str(weights.device))
        fresh.weight = torch.cat((self.weight, self.weight.new_ones(1)))[index]
        fresh.precision = torch.diag(1 / _prior(self.spec, fresh.weight))
        fresh.sums = None if self.sums is None else self.sums.carried(index)
        fresh.precision[place[:, None], place[None, :]] = precision
        fresh.weights[place] = weights
        fresh.counts = self.counts
        return fresh

    def succeed(
        self,
        earlier: "RecursiveReadout",
        matched: Sequence[tuple[int, int]],
        kinds: Tensor | None = None,
    ) -> None:
        """Starts from an earlier readout's weights for the outputs that both have.

        What the earlier one knew about the columns is taken over only when all outputs match:
        otherwise new outputs would start with steps too small for what they know.

        Args:
            earlier: The readout before.
            matched: (output here, output there).
            kinds: Of the columns, see :func:`scatonline.readout.prior.learned`; None: nothing is
                learned about columns now, and none counts for more.
        """
        if kinds is not None and self.spec.prior == "learned":
            evidence, old = earlier.evidence(), earlier.weight
            self.weight = old if evidence is None else between(old, learned(evidence, old, kinds))
            self.precision = torch.diag(1 / _prior(self.spec, self.weight))
        if not matched:
            return
        here, there = (torch.tensor(index) for index in zip(*matched, strict=True))
        weights = self.weights.clone()
        weights[:, here] = earlier.weights[:, there]
        self.weights = weights
        self.counts = self.counts.succeeding(earlier.counts, here, there)
        if len(matched) == weights.shape[1]:
            # One regression that goes on, with the prior that it began with.
            self.precision, self.weight = earlier.precision.clone(), earlier.weight
            if earlier.sums is not None:
                self.sums = earlier.sums.matched(here, there)

    def evidence(self) -> Evidence | None:
        """What the samples say of weights of columns; None if too few or nothing varied."""
        if self.sums is None:
            return None
        prior = torch.diag(_prior(self.spec, self.weight))
        curvature = torch.linalg.inv(self.precision) - prior
        return self.sums.evidence(
            (curvature + curvature.T) / 2, _INTERCEPT_PRECISION, self.spec.ridge
        )

    def loosened(self) -> "RecursiveReadout":
        """The readout after a change: its weights, held by half of what it had seen."""
        prior = torch.diag(_prior(self.spec, self.weight))
        held = torch.linalg.inv(self.precision) * _HELD + (1 - _HELD) * prior
        # Solvers leave columns one after the other, a checkpoint rows; products round otherwise.
        precision = torch.cholesky_inverse(torch.linalg.cholesky(held)).contiguous()
        sums = None if self.sums is None else self.sums.held(_HELD)
        return replace(self, precision=precision, sums=sums)

    def promoted(self, _spec: ReadoutSpec) -> "RecursiveReadout":
        """A copy that learns on by itself."""
        return replace(self, precision=self.precision.clone())

    def tensors(self) -> dict[str, Tensor]:
        """State that a checkpoint keeps."""
        sums = {} if self.sums is None else self.sums.tensors()
        counts = {name: getattr(self.counts, name) for name in _COUNTS}
        return {name: getattr(self, name) for name in _TABLES} | counts | sums

    def meta(self) -> dict[str, Any]:
        """The rest of the state, JSON-safe."""
        return {"turn": self.turn}

    def load(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Inverse of :meth:`tensors` and :meth:`meta`."""
        for name in _TABLES:
            # Loops are compiled for rows, and solvers leave columns one after the other.
            setattr(self, name, tensors[name].contiguous())
        self.counts = Counts.of(*(tensors[name] for name in _COUNTS))
        self.sums = None if self.sums is None else Sums.restored(tensors)
        self.turn = meta["turn"]

    def _remember_prior(self) -> None:
        """Adds (1 − γ)·prior to P⁻¹ as observations that a few coordinates' weights are 0."""
        size, keep = self.weights.shape[0], self.spec.forgetting
        # A round must be short against 1/(1 − γ), or a coordinate is forgotten between its turns.
        count = min(size, math.ceil(size * (1 - keep) / _ROUND))
        turns = (self.turn + torch.arange(count, device=self.weights.device)) % size
        prior = _prior(self.spec, self.weight)[turns]
        columns = self._symmetrised(turns)
        inner = columns[turns] + torch.diag(count / ((1 - keep) * size * prior))
        root = torch.linalg.cholesky(inner)
        half = torch.linalg.solve_triangular(root, columns.T, upper=False)
        shrink = torch.cholesky_solve(self.weights[turns], root)
        self.weights = self.weights - columns @ shrink
        self.precision.addmm_(half.T, half, alpha=-1)
        self.turn = (self.turn + count) % size

    def _symmetrised(self, turns: Tensor) -> Tensor:
        """Columns of P after making P symmetric there.

        Rounding leaves it a little asymmetric, and nothing but this keeps that from growing as 1/γ
        a sample.
        """
        columns = self.precision[:, turns]
        columns[turns] = (columns[turns] + columns[turns].T) / 2
        self.precision[:, turns] = columns
        self.precision[turns] = columns.T
        return columns


def without(
    precision: Tensor, weights: Tensor, kept: Tensor, gone: Tensor
) -> tuple[Tensor, Tensor]:
    """P and W of the exact refit without the columns ``gone`` (block inverse, Schur complement)."""
    if len(gone) == 0:
        return precision[kept][:, kept], weights[kept]
    cross = precision[kept][:, gone]
    solved = torch.linalg.solve(precision[gone][:, gone], torch.cat((cross.T, weights[gone]), 1))
    schur, refit = solved[:, : len(kept)], solved[:, len(kept) :]
    return precision[kept][:, kept] - cross @ schur, weights[kept] - cross @ refit


def _prior(spec: ReadoutSpec, weight: Tensor) -> Tensor:
    """Prior precision of all weights, the intercept's first."""
    return torch.cat((weight.new_full((1,), _INTERCEPT_PRECISION), spec.ridge / weight))
