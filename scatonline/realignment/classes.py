r"""Classes whose means move: what strengths of each class look like now, and how sure that is.

A matrix-variate dynamic linear model (Quintana & West 1987; West & Harrison, "Bayesian forecasting
and dynamic models", ch. 16). The K class means are the rows of M, and

    x = M_k + e,   e ~ N(0, Σ),   M ~ N(M̄, V, Σ),   Σ ~ IW(n, S).

V ``(K, K)`` says how unsure each mean is, in units of the spread of single windows Σ, and what the
means have in common. Before each sample V grows by a drift; an alarm (:meth:`MovingClasses.loosen`)
lets it grow at once, mostly by an offset that all classes share. Then one labelled class tells
where the others went, which no readout of free weights can do. Predictions are Student's t, wider
for a class that has not been seen: a window unlike all known classes is of an unknown one.

Several such models run side by side as hypotheses: one a rate of drift, times one a placement of
the electrodes while it is not clear where they are. Their weights follow what they predicted.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

# Growth of V a sample: none, and so much that a class is as unsure as one window after 200, 50.
DRIFTS = (0.0, 0.005, 0.02)
# Prior variance of a class mean about the first window, in units of Σ.
_PRIOR_SPREAD = 3.0
# Prior of Σ: a strength's variance between windows of a class, that of 14 % of amplitude.
_PRIOR_VARIANCE = 0.02
# What all classes have in common after an alarm, and each for itself, as shares of the misfit.
_SHARED, _OWN = 0.8, 0.2
# Weight that passes between rates of drift at a sample (fixed share: Herbster & Warmuth 1998).
_SHARE = 0.01
# Share of the weight that the present placement has after an alarm, if there are others.
_STAYED = 0.5
# A placement of less weight is given up.
_HOPELESS = 1e-3


class MovingClasses:
    """Hypotheses about the classes, ``H`` = placements still possible × rates of drift.

    Attributes:
        mean: ``(H, K, d)``, M̄.
        spread: ``(H, K, K)``, V.
        scatter: ``(H, d, d)``, S.
        freedom: ``(H,)``, n.
        weight: ``(H,)``, logarithms, rates of one placement side by side.
        origin: ``(placements, d)``: where each present channel was at the start.
        seen: ``(K,)``, classes of which a label has come.
        started: Whether there has been an input.
    """

    def __init__(self, channels: int, classes: int, memory: float, device: str = "cpu") -> None:
        """Knows nothing yet.

        Args:
            channels: d.
            classes: K.
            memory: Samples after which the spread Σ of windows is forgotten to 1/e.
            device: Where it lives.
        """
        count = len(DRIFTS)
        zeros = torch.zeros(count, classes, channels, dtype=torch.float64, device=device)
        self.keep = 1 - 1 / memory
        self.prior_freedom = channels + 2.0
        self.prior = _PRIOR_VARIANCE * self.prior_freedom * torch.eye(channels).to(zeros)
        self.own = torch.eye(classes).to(zeros)
        self.drift = self.own * torch.tensor(DRIFTS).to(zeros)[:, None, None]
        self.mean = zeros
        self.spread = (_PRIOR_SPREAD * self.own).repeat(count, 1, 1)
        self.scatter = self.prior.repeat(count, 1, 1)
        self.freedom = torch.full_like(zeros[:, 0, 0], self.prior_freedom)
        self.weight = torch.full_like(self.freedom, -math.log(count))
        self.origin = torch.arange(channels, device=device)[None]
        self.seen = torch.zeros(classes, dtype=torch.bool, device=device)
        self.started = False

    def start(self, x: Tensor) -> None:
        """Expects all classes about the first input, if this is it."""
        if not self.started:
            self.mean = x.expand_as(self.mean).clone()
            self.started = True

    def density(self, x: Tensor) -> Tensor:
        """Logarithms of Student's t density of an input, by hypothesis and class: ``(H, K)``."""
        d = x.shape[0]
        variance = (self.spread + self._drifts()).diagonal(dim1=1, dim2=2) + 1
        root = torch.linalg.cholesky(self.scatter)
        deviation = (x - self.mean).transpose(1, 2)
        distance = torch.linalg.solve_triangular(root, deviation, upper=False).square().sum(1)
        volume = 2 * root.diagonal(dim1=1, dim2=2).log().sum(1)
        freedom = self.freedom - d + 1
        half = (freedom + d) / 2
        constant = torch.lgamma(half) - torch.lgamma(freedom / 2) - volume / 2
        constant = constant - d / 2 * math.log(math.pi)
        tail = half[:, None] * torch.log1p(distance / variance)
        density: Tensor = constant[:, None] - d / 2 * variance.log() - tail
        return density

    def misfit(self, x: Tensor) -> Tensor:
        """How far inputs are from the nearest class: squared deviations, mean over channels.

        In units of what is expected, by the best hypothesis: near 1 where nothing has moved. 0 as
        long as no class is known.

        Args:
            x: ``(..., d)``.
        """
        if not bool(self.seen.any()):
            return x.new_zeros(x.shape[:-1])
        best = int(self.weight.argmax())
        spread = (self.spread[best] + self._drifts()[best]).diagonal() + 1
        root = torch.linalg.cholesky(self.scatter[best] / self.freedom[best])
        deviation = (x[..., None, :] - self.mean[best][self.seen]).transpose(-1, -2)
        # Whitened by the inverse factor, which many inputs share.
        whitened = torch.linalg.solve_triangular(root, torch.eye(len(root)).to(root), upper=False)
        distances = (whitened @ deviation).square().mean(-2) / spread[self.seen]
        nearest: Tensor = distances.amin(-1)
        return nearest

    def learn(self, x: Tensor, chosen: int) -> None:
        """Learns that ``x`` ``(d,)`` is of class ``chosen``."""
        self.weight = self.weight + self.density(x)[:, chosen]
        self._settle()
        spread = self.spread + self._drifts()
        variance = spread[:, chosen, chosen] + 1
        gain = spread[:, :, chosen] / variance[:, None]
        error = x - self.mean[:, chosen]
        self.mean = self.mean + gain[:, :, None] * error[:, None, :]
        self.spread = spread - variance[:, None, None] * gain[:, :, None] * gain[:, None, :]
        squares = error[:, :, None] * error[:, None, :] / variance[:, None, None]
        self.scatter = self.keep * self.scatter + (1 - self.keep) * self.prior + squares
        self.freedom = self.keep * self.freedom + (1 - self.keep) * self.prior_freedom + 1
        self.seen = self.seen.clone()
        self.seen[chosen] = True

    def loosen(self, recent: Tensor, moves: Tensor) -> None:
        """Lets all classes move at once, by as much as recent inputs are unlike them.

        A placement in which the inputs fit better is given less room, and so is the likelier one.

        Args:
            recent: ``(inputs, d)``, after the move.
            moves: ``(placements, d)``, the old channel of each present one; the first stays.
        """
        count = len(DRIFTS)
        place = int(torch.logsumexp(self.weight.reshape(-1, count), 1).argmax())
        rows = slice(place * count, (place + 1) * count)
        # Inputs put back, instead of the classes moved: (placements, inputs, d).
        put_back = recent[:, moves.argsort(1)].transpose(0, 1)
        room = self.misfit(put_back).median(1).values.clamp_min(1).repeat_interleave(count)
        grown = room[:, None, None] * (_SHARED + _OWN * self.own)
        self.spread = self.spread[rows].repeat(len(moves), 1, 1) + grown
        self.mean = torch.cat([self.mean[rows][:, :, move] for move in moves])
        self.scatter = torch.cat([self.scatter[rows][:, move][:, :, move] for move in moves])
        self.freedom = self.freedom[rows].repeat(len(moves))
        prior = torch.full((len(moves),), (1 - _STAYED) / max(1, len(moves) - 1))
        prior[0] = _STAYED if len(moves) > 1 else 1.0
        rates = torch.log_softmax(self.weight[rows], 0)
        self.weight = (torch.log(prior.to(rates))[:, None] + rates).flatten()
        self.origin = self.origin[place][moves]

    def tensors(self) -> dict[str, Tensor]:
        """State, not copied; replaced, never changed in place."""
        names = ("mean", "spread", "scatter", "freedom", "weight", "origin", "seen")
        return {name: getattr(self, name) for name in names}

    def load(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Inverse of :meth:`tensors` and ``started``."""
        for name in self.tensors():
            setattr(self, name, tensors[name])
        self.started = bool(meta["started"])

    def _drifts(self) -> Tensor:
        return self.drift.repeat(len(self.origin), 1, 1)

    def _settle(self) -> None:
        """Normalises weights, lets rates share theirs, gives up hopeless placements."""
        table = torch.log_softmax(self.weight, 0).reshape(-1, len(DRIFTS))
        place = torch.logsumexp(table, 1)
        kept = place > math.log(_HOPELESS)
        share = _SHARE / len(DRIFTS) * place.exp()[:, None] + (1 - _SHARE) * table.exp()
        self.weight = torch.log_softmax(share[kept].log().flatten(), 0)
        if bool(kept.all()):
            return
        rows = kept.repeat_interleave(len(DRIFTS))
        for name in ("mean", "spread", "scatter", "freedom"):
            setattr(self, name, getattr(self, name)[rows])
        self.origin = self.origin[kept]
