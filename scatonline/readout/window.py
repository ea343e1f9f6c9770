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

from scatonline.config import ReadoutKind, ReadoutSpec
from scatonline.readout.heritage import Ancestor, Heritage, Remembered
from scatonline.readout.inverse import Inverse
from scatonline.readout.rows import Rows
from scatonline.readout.similarity import SIMILARITIES

# Samples over which the errors that choose an expert are counted.
_JUDGED = 500
# Weight of inherited features beside the similarity of inputs, and of a constant.
_INHERITED = 1.0
_CONSTANT = 1.0
_LEAST_VARIANCE = 1e-6
_UNDECIDED = 1e-6
_LEAST_RATE = 0.02
_LEAST_CHANCE = 1e-3
# Earlier readouts that a new one may ask.
_ANCESTORS = 2
# What a function after a change has in common with the one before: the correlation of the two.
_IN_COMMON = 0.8
_TABLES = ("basis", "starts", "targets", "times", "epochs", "errors", "moments")


@dataclass(frozen=True)
class WindowView:
    """A :class:`WindowReadout` as it was at one sample, for other threads.

    Attributes:
        kind: Meaning of the targets.
        memory: Remembered inputs.
        alpha: ``(count, outputs)`` weights of the chosen expert, times what time has left of them.
        inherited: ``(inherited features, outputs)`` weights.
        level: ``(outputs,)`` constants.
        heritage: Earlier readouts.
        mean: ``(outputs,)`` mean target so far.
        peak: ``(outputs,)`` largest target so far.
    """

    kind: ReadoutKind
    memory: Remembered
    alpha: Tensor
    inherited: Tensor
    level: Tensor
    heritage: Heritage
    mean: Tensor
    peak: Tensor

    def predict(self, z: Tensor) -> Tensor:
        """Predictions for standardised columns ``(..., width)``: ``(..., outputs)``."""
        if z.ndim > 1:
            return torch.stack([self.predict(one) for one in z])
        return self.value(z, self.memory.similar(z))

    def value(self, z: Tensor, similar: Tensor) -> Tensor:
        """The prediction for ``z``, given its similarities to what is remembered."""
        value = similar @ self.alpha + self.level
        if self.heritage.ancestors:
            features, start = self.heritage.features(z)
            value = value + start + features @ self.inherited
        return within(self.kind, value, self.mean, self.peak)


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
        errors: ``(experts,)`` discounted squared errors, in variances.
        moments: ``(4, outputs)``: number, sum, sum of squares and largest of the observed targets.
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
        experts = [(n, m) for m in spec.memories for n in spec.noises]
        noise, memories = (
            torch.tensor(column, dtype=torch.float64, device=device)
            for column in zip(*experts, strict=True)
        )
        # 0 stands for a memory without end.
        self.fading = torch.where(memories > 0, 1 / memories.clamp_min(1), 0.0)
        self.inverse = Inverse(noise, slots, count)
        rows = Rows.blank(slots, width, device)
        self.memory = Remembered(SIMILARITIES[spec.similarity], max(size, 1e-12), rows, 0)
        self.heritage = Heritage.of((), outputs)
        blank = noise.new_zeros(slots, count)
        self.basis, self.starts, self.targets = noise.new_zeros(slots, 0), blank, blank.clone()
        self.times, self.epochs = noise.new_zeros(slots), noise.new_zeros(slots)
        self.errors = torch.full_like(noise, _UNDECIDED)
        # Before there are errors, the one in the middle.
        self.errors[len(noise) // 2] = 0
        self.moments = noise.new_zeros(4, count)
        self.written = self.turn = self.epoch = 0
        self._asked: tuple[Tensor, Remembered, Tensor] | None = None

    def succeed(self, earlier: "WindowReadout", _matched: Sequence[tuple[int, int]] = ()) -> None:
        """Starts from an earlier readout and its ancestors; before the first sample."""
        self.heritage = Heritage.of(earlier.frozen()[:_ANCESTORS], self.outputs)
        self.basis = self.basis.new_zeros(len(self.times), self.heritage.width)

    def frozen(self) -> tuple[Ancestor, ...]:
        """This readout and its ancestors, for the next one; a new readout has only the latter.

        What is inherited is put into weights of its own, so that the chain of ancestors stays short
        however many sessions there have been.
        """
        count = min(self.written, len(self.times))
        if count < 2:
            return self.heritage.ancestors
        expert = self._chosen()
        memory = replace(self.memory, count=count)
        gram = memory.gram() + _CONSTANT
        noise = self.inverse.noise[expert]
        root = torch.linalg.cholesky(gram + noise * torch.eye(count, dtype=gram.dtype).to(gram))
        targets = self.targets[:count]
        alpha = torch.cholesky_solve(targets, root)
        fitted = targets - noise * alpha
        mean = fitted.mean(0)
        unit = self._variance().rsqrt()
        power = ((fitted - mean) * unit).square().sum(1).mean().clamp_min(1e-12)
        level = _CONSTANT * alpha.sum(0)
        own = Ancestor(memory, alpha, level, mean, unit * power.rsqrt(), self.outputs)
        return (own, *self.heritage.ancestors)

    def predict(self, z: Tensor) -> Tensor:
        """Predictions for standardised columns ``(..., width)``: ``(..., outputs)``."""
        if z.ndim > 1:
            return self.view().predict(z)
        return self.view().value(z, self.memory.alike(self._products(z), self.memory.own(z)))

    def view(self) -> WindowView:
        """As it is now; cheap, and later steps do not change it."""
        expert = self._chosen()[None]
        count = self.memory.count
        alpha = self.inverse.alpha[:, :count].index_select(0, expert)[0]
        decay = self._left(self.written - self.times[:count], self.epoch - self.epochs[:count])
        return WindowView(
            kind=self.spec.kind,
            memory=self.memory,
            alpha=alpha * decay.index_select(0, expert)[0, :, None],
            inherited=_INHERITED * (self.basis[:count].T @ alpha),
            level=_CONSTANT * alpha.sum(0),
            heritage=self.heritage,
            mean=self._mean(),
            peak=self.moments[3],
        )

    def gradient(self, z: Tensor, target: Tensor) -> Tensor:
        """d/dz of half the mean squared error in variances, all weights held: ``(width,)``."""
        view, products = self.view(), self._products(z)
        value = self.memory.alike(products, self.memory.own(z)) @ view.alpha + view.level
        features, start = self._inherited(z)
        if self.heritage.ancestors:
            value = value + start + features @ view.inherited
        observed = (~torch.isnan(target)).sum().clamp_min(1)
        error = torch.nan_to_num(value - target, nan=0.0) / (self._variance() * observed)
        slope = self.memory.slope(z, products, view.alpha @ error)
        return slope + self.heritage.slope(z, error, view.inherited @ error)

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
        features, start = self._inherited(z)
        products, own = self._products(z), self.memory.own(z)
        predicted = self._by_expert(self.memory.alike(products, own), features, start)
        self._judge(predicted, target)
        # A missing target is as it was predicted: no surprise, and nothing learned from it.
        target = torch.where(torch.isnan(target), predicted[self._chosen()[None]][0], target)
        products = torch.nn.functional.pad(products, (0, max(0, slot + 1 - count)))
        products[slot] = own
        slots = [slot]
        if refreshed is not None and count:
            stale = self.turn % count
            self.turn += 1
            if stale != slot:
                slots.append(stale)
                self._write(stale, refreshed, *self._inherited(refreshed))
                products[stale] = refreshed.float().double() @ z.float().double() / self.memory.size
        self.memory = replace(self.memory, count=max(count, slot + 1))
        self._write(slot, z, features, start)
        self.targets[slot], self.times[slot] = target, self.written
        self.epochs[slot] = self.epoch
        self.written += 1
        similar = [self.memory.alike(products, own)]
        similar += [self.memory.similar(self.memory.rows.row(other)) for other in slots[1:]]
        self._replace(slots, torch.stack(similar, 1))

    def restructured(self, index: Tensor) -> "WindowReadout":
        """The readout for other columns, exactly as if the removed ones had never been there.

        Args:
            index: ``(new width,)`` the old column of each new one, −1 for a column never seen: it
                counts as having been at its mean until the remembered samples are refreshed.
        """
        other = copy.copy(self)
        other.memory = _carried(self.memory, index)
        ancestors = tuple(
            replace(a, memory=_carried(a.memory, index)) for a in self.heritage.ancestors
        )
        other.heritage = replace(self.heritage, ancestors=ancestors)
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
        # It has judged one expert only; the others are to show that they are better.
        same = (other.inverse.noise == self.inverse.noise[0]) & (other.fading == self.fading[0])
        other.errors = torch.where(same, 1.0, 1.01) * self.errors[0]
        other.written, other.turn, other.epoch = self.written, self.turn, self.epoch
        if other.memory.count:
            other._rebuild()
        return other

    def tensors(self) -> dict[str, Tensor]:
        """State that a checkpoint keeps, inherited readouts included."""
        kept = {
            "rows": self.memory.rows.table(),
            "inverse": self.inverse.inverse,
            "alpha": self.inverse.alpha,
            "filled": self.inverse.filled,
        }
        kept |= {name: getattr(self, name) for name in _TABLES}
        for number, ancestor in enumerate(self.heritage.ancestors):
            parts = ancestor.tensors()
            kept |= {f"ancestor.{number}.{name}": part for name, part in parts.items()}
        return kept

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
        rows = Rows.of(tensors["rows"])
        self.memory = Remembered(similarity, meta["size"], rows, meta["count"])
        self.inverse.inverse, self.inverse.alpha = tensors["inverse"], tensors["alpha"]
        self.inverse.filled = tensors["filled"]
        ancestors = [
            Ancestor.restored(
                {
                    name.removeprefix(f"ancestor.{number}."): tensor
                    for name, tensor in tensors.items()
                    if name.startswith(f"ancestor.{number}.")
                },
                tuple(outputs),
                similarity,
            )
            for number, outputs in enumerate(meta["ancestors"])
        ]
        self.heritage = Heritage.of(ancestors, self.outputs)
        for name in _TABLES:
            setattr(self, name, tensors[name])
        self.written, self.turn, self.epoch = meta["written"], meta["turn"], meta["epoch"]

    def _inherited(self, z: Tensor) -> tuple[Tensor, Tensor]:
        if not self.heritage.ancestors:
            return self.basis[0], self.starts.new_zeros(len(self.outputs))
        return self.heritage.features(z)

    def _by_expert(self, similar: Tensor, features: Tensor, start: Tensor) -> Tensor:
        """Every expert's prediction for the next sample: ``(experts, outputs)``."""
        count = len(similar)
        past = self._left(self.written - self.times[:count], self.epoch - self.epochs[:count])
        kernel = similar * past
        kernel = kernel + _CONSTANT + _INHERITED * (self.basis[:count] @ features)
        alpha = self.inverse.alpha[:, :count]
        return (kernel[:, None] @ alpha)[:, 0] + start

    def _judge(self, predicted: Tensor, target: Tensor) -> None:
        """Adds one sample to the errors and the moments."""
        seen = ~torch.isnan(target)
        error = torch.nan_to_num(predicted - target, nan=0.0).square() / self._variance()
        keep = 1 - 1 / _JUDGED
        self.errors = keep * self.errors + error.sum(1) / seen.sum().clamp_min(1)
        value = torch.nan_to_num(target, nan=0.0)
        sums = self.moments[:3] + torch.stack((seen.double(), value, value.square()))
        self.moments = torch.cat((sums, torch.fmax(self.moments[3], target)[None]))

    def _write(self, slot: int, z: Tensor, features: Tensor, start: Tensor) -> None:
        self.memory = replace(self.memory, rows=self.memory.rows.written(slot, z))
        self.basis[slot], self.starts[slot] = features, start

    def _replace(self, slots: list[int], similar: Tensor) -> None:
        """Brings the exact weights up to date with what stands in ``slots``.

        Args:
            slots: Slots that were written.
            similar: ``(count, slots)``, similarities to what stands there.
        """
        count = self.memory.count
        still = _CONSTANT + _INHERITED * (self.basis[:count] @ self.basis[slots].T)
        apart = self._left(
            self.times[:count, None] - self.times[slots],
            self.epochs[:count, None] - self.epochs[slots],
        )
        kernel = similar * apart + still
        values = (self.targets[slots] - self.starts[slots]).expand(len(self.errors), -1, -1)
        self.inverse.replace(slots, kernel, kernel[:, slots], values)

    def _products(self, z: Tensor) -> Tensor:
        """⟨row, z⟩ of every row; a sample asks for it when it is predicted and when learned."""
        if self._asked is None or self._asked[0] is not z or self._asked[1] is not self.memory:
            self._asked = z, self.memory, self.memory.products(z)
        return self._asked[2]

    def _rebuild(self) -> None:
        count = self.memory.count
        times, epochs = self.times[:count], self.epochs[:count]
        basis = self.basis[:count]
        apart = self._left(times[:, None] - times, epochs[:, None] - epochs)
        kernel = self.memory.gram() * apart + _CONSTANT + _INHERITED * (basis @ basis.T)
        values = self.targets[:count] - self.starts[:count]
        self.inverse.rebuild(kernel, values.expand(len(self.errors), -1, -1))

    def _left(self, times: Tensor, epochs: Tensor) -> Tensor:
        """What time and changes leave of a similarity, by expert: ``(experts, *times.shape)``."""
        fading = self.fading.reshape(-1, *(1 for _ in times.shape))
        return torch.exp(-times.abs() * fading) * _IN_COMMON ** epochs.abs()

    def _chosen(self) -> Tensor:
        """The expert with the smallest error so far, as an index."""
        return self.errors.argmin()

    def _mean(self) -> Tensor:
        return self.moments[1] / self.moments[0].clamp_min(1)

    def _variance(self) -> Tensor:
        """Of every output so far, about its mean; of one that hardly varied, the outputs' mean."""
        count, total, squares, _ = self.moments
        seen = count.clamp_min(1)
        own = (squares / seen - (total / seen).square()).clamp_min(0)
        return torch.where(count > 1, own, 1.0).clamp_min(_LEAST_VARIANCE)


def within(kind: ReadoutKind, value: Tensor, mean: Tensor, peak: Tensor) -> Tensor:
    """What a regression says, brought to where targets can be."""
    if kind == "poisson":
        return value.clamp_min(_LEAST_RATE * mean.clamp_min(_LEAST_RATE)).minimum(
            peak.clamp_min(1.0)
        )
    if kind == "softmax":
        chance = value.clamp(_LEAST_CHANCE, 1.0)
        return chance / chance.sum(-1, keepdim=True)
    return value


def _carried(memory: Remembered, index: Tensor) -> Remembered:
    """Remembered inputs in other columns; one never seen is 0, its mean."""
    table = memory.rows.table()
    blank = table.new_zeros(len(table), 1)
    padded = torch.cat((table, blank), 1)
    return replace(memory, rows=Rows.of(padded[:, index]))
