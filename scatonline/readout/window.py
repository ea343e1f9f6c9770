"""A readout that remembers the newest inputs: kernel ridge regression on a sliding window.

Every output is a Gaussian process of the columns (Rasmussen & Williams 2006, ch. 2): its prediction
is a weighted sum of similarities to the remembered inputs, with the exact weights after every
sample. It costs what the *number of remembered samples* asks for and not what the number of columns
does, so that with fewer samples than columns it is the cheaper form of ridge regression; and it may
see more than linear functions, see :mod:`scatonline.readout.similarity`.

How much of a target is noise, and how fast a function may change, is not asked of the user: several
answers run side by side, and the one with the smallest error so far makes the prediction. A change
in time is a factor exp(−|t − t'|/τ) on similarities: weights that wander, with a prior that stays.

Counts and classes are regressed, too: a count's prediction is kept positive and below the largest
count seen, a class's between 0 and 1.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from scatonline.config import ReadoutSpec
from scatonline.readout.evidence import Evidence
from scatonline.readout.experts import Experts
from scatonline.readout.heritage import Ancestor, Answer, Heritage
from scatonline.readout.inverse import Inverse
from scatonline.readout.moments import Moments
from scatonline.readout.prior import between, learned
from scatonline.readout.remembered import Remembered
from scatonline.readout.rows import Rows
from scatonline.readout.similarity import CONSTANT, SIMILARITIES
from scatonline.readout.view import WindowView, within

# Weight of inherited features beside the similarity of inputs.
_INHERITED = 1.0
# Earlier readouts that a new one may ask.
_ANCESTORS = 2
# Newest samples that speak for weights of columns, and how few of them say nothing.
_SPEAKING, _LEAST_SPEAKING = 512, 64
_LEAST_NOISE = 0.01
_TABLES = ("basis", "starts", "targets", "times", "epochs")


class WindowReadout:
    """State of one session's readout.

    Attributes:
        spec: Kind, window, similarity, noises and memories that run side by side.
        outputs: Names of the outputs.
        memory: Standardised columns of the remembered samples, with the kernel.
        inverse: Exact weights of every expert.
        heritage: Earlier readouts.
        basis: ``(slots, inherited)`` float64, inherited features of the remembered samples.
        starts: ``(slots, outputs)`` float64, what heritage predicted for them.
        targets: ``(slots, outputs)`` float64; a missing one is as it was predicted.
        times: ``(slots,)`` float64, number of the sample that a slot holds.
        epochs: ``(slots,)`` float64, changes that had been found when it came.
        experts: Noises and memories, and how well each pair has predicted.
        moments: What the observed targets have been like.
        written: Samples observed.
        turn: Samples refreshed so far.
        epoch: Changes found so far.
    """

    def __init__(
        self, spec: ReadoutSpec, width: int, outputs: Sequence[str], size: float, device: str
    ) -> None:
        """Knows nothing; memory is taken at once and never grows.

        Args:
            spec: What it is to be.
            width: Number of columns.
            outputs: Names of the outputs.
            size: Mean squared norm of the columns.
            device: Where it computes.
        """
        self.spec, self.outputs = spec, tuple(outputs)
        count, slots = len(outputs), spec.window
        self.experts = Experts.of(spec, device)
        noise = self.experts.noise
        self.inverse = Inverse(noise, slots, count)
        rows = Rows.blank(slots, width, device)
        self.memory = Remembered(SIMILARITIES[spec.similarity], max(size, 1e-12), rows, 0)
        self.heritage = Heritage.of((), outputs)
        blank = noise.new_zeros(slots, count)
        self.basis, self.starts, self.targets = noise.new_zeros(slots, 0), blank, blank.clone()
        self.times, self.epochs = noise.new_zeros(slots), noise.new_zeros(slots)
        self.moments = Moments(noise.new_zeros(4, count))
        self.written = self.turn = self.epoch = 0
        self._asked: _Asked | None = None

    def succeed(
        self,
        earlier: "WindowReadout",
        _matched: Sequence[tuple[int, int]] = (),
        kinds: Tensor | None = None,
    ) -> None:
        """Starts from an earlier readout and its ancestors; before the first sample.

        Args:
            earlier: The readout before.
            _matched: Not needed, as ancestors know the names of their outputs.
            kinds: Of the columns, see :func:`scatonline.readout.prior.learned`; None: nothing is
                learned about columns now, and none counts for more.
        """
        weight = None
        if kinds is not None and self.spec.prior == "learned":
            old = earlier.memory.rows.weight
            evidence = earlier.evidence()
            weight = old if evidence is None else learned(evidence, old, kinds)
            own = weight if evidence is None else evidence.normal(between(old, weight))
            self.memory = replace(self.memory, rows=self.memory.rows.weighed(own))
        self.heritage = Heritage.of(earlier.frozen(weight)[:_ANCESTORS], self.outputs)
        self.basis = self.basis.new_zeros(len(self.times), self.heritage.width)

    def evidence(self) -> Evidence | None:
        """What the newest samples say of weights of columns; None if too few or nothing varied.

        Outputs that were missing half of the time, or never varied, have no say.
        """
        count = min(self.memory.count, _SPEAKING)
        varied = self.moments.varied() & (self.moments.number >= self.written / 2)
        if count < _LEAST_SPEAKING or not varied.any():
            return None
        slots = (self.written - 1 - torch.arange(count, device=self.times.device)) % len(self.times)
        rows, targets = self.memory.rows.table()[slots], self.targets[slots][:, varied]
        targets = targets - targets.mean(0)
        power = rows.double().square().mean(0)
        if not power.any() or not targets.any(0).all():
            return None
        return Evidence(
            rows=rows,
            targets=targets,
            still=targets.new_full((count, count), CONSTANT),
            similarity=self.memory.similarity,
            size=self.memory.size,
            noise=max(float(self.experts.noise[self.experts.chosen()]), _LEAST_NOISE),
            counted=targets.new_full((targets.shape[1],), count),
            rest=targets.new_zeros(targets.shape[1]),
            power=power,
        )

    def frozen(self, weight: Tensor | None = None) -> tuple[Ancestor, ...]:
        """This readout and its ancestors, for the next one; a new readout has only the latter.

        Args:
            weight: ``(width,)``, how much columns are to count in what is frozen; None: as now.
        """
        count = min(self.written, len(self.times))
        if count < 2:
            return self.heritage.ancestors
        rows = self.memory.rows if weight is None else self.memory.rows.weighed(weight)
        own = Ancestor.fitted(
            replace(self.memory, rows=rows, count=count),
            self.targets[:count],
            self.experts.noise[self.experts.chosen()],
            self.moments.variance().rsqrt(),
            self.outputs,
        )
        return (own, *self.heritage.ancestors)

    def predict(self, z: Tensor) -> Tensor:
        """Predictions for standardised columns ``(..., width)``: ``(..., outputs)``."""
        if z.ndim > 1:
            return self.view().predict(z)
        view, asked = self.view(), self._ask(z)
        value = view.value(self.memory.alike(asked.products, asked.own), asked.answer)
        return within(self.spec.kind, value, view.mean, view.peak)

    def view(self) -> WindowView:
        """As it is now; cheap, and later steps do not change it."""
        expert = self.experts.chosen()[None]
        count = self.memory.count
        alpha = self.inverse.alpha[:, :count].index_select(0, expert)[0]
        decay = self._since(count)
        return WindowView(
            kind=self.spec.kind,
            memory=self.memory,
            alpha=alpha * decay.index_select(0, expert)[0, :, None],
            inherited=_INHERITED * (self.basis[:count].T @ alpha),
            level=CONSTANT * alpha.sum(0),
            heritage=self.heritage,
            mean=self.moments.mean(),
            peak=self.moments.peak,
        )

    def gradient(self, z: Tensor, target: Tensor) -> Tensor:
        """d/dz of half the mean squared error in variances, all weights held: ``(width,)``."""
        view, asked = self.view(), self._ask(z)
        value = view.value(self.memory.alike(asked.products, asked.own), asked.answer)
        observed = (~torch.isnan(target)).sum().clamp_min(1)
        error = torch.nan_to_num(value - target, nan=0.0) / (self.moments.variance() * observed)
        slope = self.memory.slope(asked.point, asked.products, view.alpha @ error)
        weights = view.inherited @ error
        return slope + self.heritage.slope(asked.point, asked.answer, error, weights)

    def due(self) -> int | None:
        """How many samples ago the one was observed whose columns are refreshed next, if any."""
        if self.memory.count == 0:
            return None
        return (self.written - 1 - self.turn % self.memory.count) % len(self.times)

    def observe(self, z: Tensor, target: Tensor, refreshed: Tensor | None = None) -> None:
        """Learns from one sample.

        Args:
            z: ``(width,)`` standardised columns, float64.
            target: ``(outputs,)`` float64, NaN where missing.
            refreshed: New columns of the sample that :meth:`due` named; they take the place of its
                old ones.
        """
        slot = self.written % len(self.times)
        count = self.memory.count
        asked = self._ask(z)
        predicted = self._by_expert(self.memory.alike(asked.products, asked.own), asked.answer)
        self._judge(predicted, target)
        # A missing target is as it was predicted: no surprise, and nothing learned from it.
        target = torch.where(torch.isnan(target), predicted[self.experts.chosen()[None]][0], target)
        products = torch.nn.functional.pad(asked.products, (0, max(0, slot + 1 - count)))
        products[slot] = asked.own
        slots = [slot]
        if refreshed is not None and count:
            stale = self.turn % count
            self.turn += 1
            if stale != slot:
                slots.append(stale)
                point = self.memory.bounded(refreshed)
                self._write(stale, point, self.heritage.answer(point))
                products[stale] = self.memory.product(point, asked.point)
        self.memory = replace(self.memory, count=max(count, slot + 1))
        self._write(slot, asked.point, asked.answer)
        self.targets[slot], self.times[slot] = target, self.written
        self.epochs[slot] = self.epoch
        self.written += 1
        similar = [self.memory.alike(products, asked.own)]
        similar += [self.memory.similar(self.memory.rows.row(other)) for other in slots[1:]]
        self._replace(slots, torch.stack(similar, 1))

    def restructured(self, index: Tensor, _cells: Tensor | None = None) -> "WindowReadout":
        """The readout for other columns, exactly as if the removed ones had never been there.

        Args:
            index: ``(new width,)`` the old column of each new one, −1 for a column never seen: it
                counts as having been at its mean until the remembered samples are refreshed.
            _cells: Of which maps they are; not asked for.
        """
        other = copy.copy(self)
        other.memory = self.memory.carried(index)
        other.heritage = self.heritage.carried(index)
        other.inverse = Inverse(self.inverse.noise, len(self.times), len(self.outputs))
        if other.memory.count:
            other._rebuild()
        return other

    def loosened(self) -> "WindowReadout":
        """The readout after a change: what it remembers counts for less from now on.

        The function of the inputs is taken to be partly the one before and partly a new one, as if
        much time had passed at once.
        """
        other = copy.copy(self)
        other.epoch += 1
        return other

    def promoted(self, spec: ReadoutSpec) -> "WindowReadout":
        """A copy that learns on by itself, with the noises and memories of ``spec``."""
        width = self.memory.rows.pieces[0].shape[1]
        device = str(self.times.device)
        other = WindowReadout(spec, width, self.outputs, self.memory.size, device)
        other.memory, other.heritage = self.memory, self.heritage
        for name in _TABLES:
            setattr(other, name, getattr(self, name).clone())
        other.experts, other.moments = other.experts.following(self.experts), self.moments
        other.written, other.turn, other.epoch = self.written, self.turn, self.epoch
        if other.memory.count:
            other._rebuild()
        return other

    def tensors(self) -> dict[str, Tensor]:
        """State that a checkpoint keeps, inherited readouts included."""
        kept = {
            "rows": self.memory.rows.table(),
            "weight": self.memory.rows.weight,
            "inverse": self.inverse.inverse,
            "alpha": self.inverse.alpha,
            "filled": self.inverse.filled,
        }
        kept |= {name: getattr(self, name) for name in _TABLES}
        kept |= {"errors": self.experts.errors, "moments": self.moments.table}
        return kept | self.heritage.tensors()

    def meta(self) -> dict[str, Any]:
        """The rest of the state, JSON-safe."""
        return {
            "written": self.written,
            "turn": self.turn,
            "epoch": self.epoch,
            "count": self.memory.count,
            "size": self.memory.size,
            "ancestors": [list(a.outputs) for a in self.heritage.ancestors],
        }

    def load(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Inverse of :meth:`tensors` and :meth:`meta`."""
        similarity = self.memory.similarity
        rows = Rows.of(tensors["rows"], tensors["weight"])
        self.memory = Remembered(similarity, meta["size"], rows, meta["count"])
        self.inverse.inverse, self.inverse.alpha = tensors["inverse"], tensors["alpha"]
        self.inverse.filled = tensors["filled"]
        names = [tuple(outputs) for outputs in meta["ancestors"]]
        self.heritage = Heritage.restored(tensors, names, similarity, self.outputs)
        self.experts = replace(self.experts, errors=tensors["errors"])
        self.moments = Moments(tensors["moments"])
        for name in _TABLES:
            setattr(self, name, tensors[name])
        self.written, self.turn, self.epoch = meta["written"], meta["turn"], meta["epoch"]

    def _by_expert(self, similar: Tensor, answer: Answer) -> Tensor:
        """Every expert's prediction for the next sample: ``(experts, outputs)``."""
        count = len(similar)
        kernel = similar * self._since(count)
        kernel = kernel + CONSTANT + _INHERITED * (self.basis[:count] @ answer.features)
        alpha = self.inverse.alpha[:, :count]
        return (kernel[:, None] @ alpha)[:, 0] + answer.start

    def _judge(self, predicted: Tensor, target: Tensor) -> None:
        """Adds one sample to the errors and the moments."""
        seen = ~torch.isnan(target)
        error = torch.nan_to_num(predicted - target, nan=0.0).square() / self.moments.variance()
        self.experts = self.experts.judged(error.sum(1) / seen.sum().clamp_min(1))
        self.moments = self.moments.added(target)

    def _write(self, slot: int, point: Tensor, answer: Answer) -> None:
        self.memory = replace(self.memory, rows=self.memory.rows.written(slot, point))
        self.basis[slot], self.starts[slot] = answer.features, answer.start

    def _replace(self, slots: list[int], similar: Tensor) -> None:
        """Brings the exact weights up to date with what stands in ``slots``.

        Args:
            slots: Slots that were written.
            similar: ``(count, slots)``, similarities to what stands there.
        """
        count = self.memory.count
        still = CONSTANT + _INHERITED * (self.basis[:count] @ self.basis[slots].T)
        apart = self.experts.left(
            self.times[:count, None] - self.times[slots],
            self.epochs[:count, None] - self.epochs[slots],
        )
        kernel = similar * apart + still
        values = (self.targets[slots] - self.starts[slots]).expand(len(self.experts.noise), -1, -1)
        self.inverse.replace(slots, kernel, kernel[:, slots], values)

    def _ask(self, z: Tensor) -> "_Asked":
        """What a sample needs when it is predicted, when θ learns and when the readout does."""
        asked = self._asked
        if asked is None or asked.z is not z or asked.memory is not self.memory:
            point = self.memory.bounded(z)
            products, own = self.memory.products(point), self.memory.own(point)
            answer = self.heritage.answer(point)
            self._asked = asked = _Asked(z, self.memory, point, own, products, answer)
        return asked

    def _rebuild(self) -> None:
        count = self.memory.count
        times, epochs = self.times[:count], self.epochs[:count]
        basis = self.basis[:count]
        apart = self.experts.left(times[:, None] - times, epochs[:, None] - epochs)
        kernel = self.memory.gram() * apart + CONSTANT + _INHERITED * (basis @ basis.T)
        values = self.targets[:count] - self.starts[:count]
        self.inverse.rebuild(kernel, values.expand(len(self.experts.noise), -1, -1))

    def _since(self, count: int) -> Tensor:
        """What is left by now of similarities to what came before: ``(experts, count)``."""
        times, epochs = self.times[:count], self.epochs[:count]
        return self.experts.left(self.written - times, self.epoch - epochs)


@dataclass(frozen=True)
class _Asked:
    """One input, and what it is to this readout.

    Attributes:
        z: Its standardised columns.
        memory: What it is compared with.
        point: ``z``, bounded.
        own: |point|² over the size.
        products: ⟨row, point⟩ over the size.
        answer: What ancestors say.
    """

    z: Tensor
    memory: Remembered
    point: Tensor
    own: Tensor
    products: Tensor
    answer: Answer
