"""A readout that asks where and what apart: few products of a mask and channel weights an output.

Many maps at many places are many columns, of which a cell of the brain sees few places and asks the
same of each. An output's weights on the maps of one grid are therefore Σ_r mask_r ⊗ channels_r
(Klindt et al. 2017), maps × rank + cells × rank numbers in place of maps × cells: it takes fewer
samples to find them. The columns of a map that is alone on its grid have a weight each. What is
minimised, and how, stands in :mod:`scatonline.readout.alternating`.

The newest samples are remembered. With each one that comes some outputs are fitted further, in turn
and from where they were: as many as see a window of samples together, so that all are while few
are remembered, and a sample costs the same once they are many. Counts and classes are
regressed, and their predictions brought to where targets can be.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scatonline.config import ReadoutKind, ReadoutSpec
from scatonline.readout.alternating import Factors, Lesson, alternated
from scatonline.readout.moments import VARIES, variances
from scatonline.readout.places import Parts, Places
from scatonline.readout.view import within

# Weight of a sample from before a change, for each change since.
_HELD = 0.5
# Largest |z|², relative to its mean over usual inputs.
_LOUDEST = 100.0
_TABLES = ("cells", "targets", "epochs", "weights", "level", "mean", "variance", "peak")


@dataclass(frozen=True)
class FactorisedView:
    """A :class:`FactorisedReadout` as it was at one sample, for other threads.

    Attributes:
        kind: Meaning of the targets.
        size: Mean squared norm of columns.
        weights: ``(width, outputs)``.
        level: ``(outputs,)`` constants.
        mean: ``(outputs,)`` mean of the remembered targets.
        peak: ``(outputs,)`` largest target so far.
    """

    kind: ReadoutKind
    size: float
    weights: Tensor
    level: Tensor
    mean: Tensor
    peak: Tensor

    def predict(self, z: Tensor) -> Tensor:
        """Predictions for standardised columns ``(..., width)``: ``(..., outputs)``."""
        value = _bounded(z, self.size) @ self.weights + self.level
        return within(self.kind, value, self.mean, self.peak)


class FactorisedReadout:
    """State of one session's readout.

    Attributes:
        spec: Kind, rank, window, ridge, forgetting.
        size: Mean squared norm of the columns.
        cells: ``(width,)`` int64, columns of the map that each column belongs to.
        places: Columns by what they stand for.
        rows: The remembered samples' columns; changed in place.
        masks: ``(outputs, cells, rank)`` float64 for each grid, orthonormal; replaced.
        targets: ``(slots, outputs)`` float64, NaN where missing; changed in place.
        epochs: ``(slots,)`` float64, changes that had been found when a sample came; likewise.
        weights: ``(width, outputs)`` float64, products of masks and channel weights. Replaced at
            each step, never changed in place, so that a reader may keep it.
        level: ``(outputs,)`` constants; likewise.
        mean: ``(outputs,)`` of the remembered targets.
        variance: ``(outputs,)`` of the remembered targets.
        peak: ``(outputs,)`` largest target so far.
        written: Samples observed.
        turn: Next output to be fitted.
        epoch: Changes found so far.
    """

    def __init__(self, spec: ReadoutSpec, cells: Tensor, outputs: int, size: float) -> None:
        """Knows nothing; memory is taken at once and never grows.

        Args:
            spec: What it is to be.
            cells: ``(width,)`` int64, where it computes: columns of the map that each column
                belongs to, see :meth:`Places.of`.
            outputs: Number of outputs.
            size: Mean squared norm of the columns.
        """
        self.spec, self.size = spec, max(size, 1e-12)
        self._arrange(cells)
        zeros = torch.zeros(outputs, dtype=torch.float64, device=cells.device)
        slots, width = spec.window, len(cells)
        self.rows = _blank(self.places, slots)
        self.masks = tuple(_smooth(t.shape[1], spec.rank, outputs, zeros) for t in self.places.maps)
        self.targets = zeros.new_full((slots, outputs), torch.nan)
        self.epochs = zeros.new_zeros(slots)
        self.weights = zeros.new_zeros(width, outputs)
        self.level, self.mean, self.peak = zeros, zeros.clone(), zeros.clone()
        self.variance = torch.ones_like(zeros)
        self.written = self.turn = self.epoch = 0

    @property
    def count(self) -> int:
        """Samples remembered."""
        return min(self.written, self.spec.window)

    def predict(self, z: Tensor) -> Tensor:
        """Predictions for standardised columns ``(..., width)``: ``(..., outputs)``."""
        return self.view().predict(z)

    def view(self) -> FactorisedView:
        """As it is now; later steps do not change it."""
        return FactorisedView(
            self.spec.kind, self.size, self.weights, self.level, self.mean, self.peak
        )

    def gradient(self, z: Tensor, target: Tensor) -> Tensor:
        """d/dz of half the mean squared error in variances, all weights held: ``(width,)``."""
        value = _bounded(z, self.size) @ self.weights + self.level
        observed = (~torch.isnan(target)).sum().clamp_min(1)
        error = torch.nan_to_num(value - target, nan=0.0) / (self.variance * observed)
        return self.weights @ error

    def due(self) -> None:
        """Remembered columns stay as they were; the oldest go soon enough."""
        return

    def observe(self, z: Tensor, target: Tensor, _refreshed: Tensor | None = None) -> None:
        """Learns from one sample.

        Args:
            z: ``(width,)`` standardised columns, float64.
            target: ``(outputs,)`` float64, NaN where missing.
            _refreshed: Never given, see :meth:`due`.
        """
        slot = self.written % self.spec.window
        parts = self.places.apart(_bounded(z, self.size).float())
        self.rows.linear[slot] = parts.linear
        for table, part in zip(self.rows.maps, parts.maps, strict=True):
            table[slot] = part
        self.targets[slot], self.epochs[slot] = target, self.epoch
        self.written += 1
        self.peak = torch.fmax(self.peak, target)
        self._weigh_outputs()
        self._fit_some()

    def restructured(self, index: Tensor, cells: Tensor) -> "FactorisedReadout":
        """The readout for other columns: masks are kept, and columns gone are made up for.

        Args:
            index: ``(new width,)`` the old column of each new one, −1 for a column never seen: it
                counts as having been at its mean.
            cells: ``(new width,)``, as when it was made.
        """
        other = copy.copy(self)
        other._arrange(cells.to(index.device))
        rows = self.places.together(self.rows)
        other.rows = other.places.apart(_carried(rows.T, index).T)
        other.weights = _carried(self.weights, index)
        known = {table.shape[1]: v for table, v in zip(self.places.maps, self.masks, strict=True)}
        counts = [table.shape[1] for table in other.places.maps]
        other.masks = tuple(
            known[n] if n in known else _smooth(n, self.spec.rank, len(self.level), self.level)
            for n in counts
        )
        other.targets, other.epochs = self.targets.clone(), self.epochs.clone()
        if other.count and int((index >= 0).sum()) < len(self.cells):
            other.turn = 0
            for _ in range(-(-len(self.level) // other._at_once())):
                other._fit_some()
        return other

    def succeed(
        self,
        earlier: "FactorisedReadout",
        matched: Sequence[tuple[int, int]],
        _kinds: Tensor | None = None,
    ) -> None:
        """Goes on from an earlier readout for the outputs that both have; before the first sample.

        What that one remembers is remembered here, as samples whose other targets are missing.

        Args:
            earlier: The readout before.
            matched: (output here, output there).
            _kinds: Of the columns; not asked for.
        """
        if not matched:
            return
        here, there = (torch.tensor(index) for index in zip(*matched, strict=True))
        self.rows = _copied(earlier.rows)
        self.targets[:, here] = earlier.targets[:, there]
        self.epochs = earlier.epochs.clone()
        self.written, self.epoch = earlier.written, earlier.epoch
        for name in ("level", "mean", "variance", "peak"):
            values = getattr(self, name).clone()
            values[here] = getattr(earlier, name)[there]
            setattr(self, name, values)
        self.weights = self.weights.clone()
        self.weights[:, here] = earlier.weights[:, there]
        masks = tuple(v.clone() for v in self.masks)
        for mine, theirs in zip(masks, earlier.masks, strict=True):
            mine[here] = theirs[there]
        self.masks = masks

    def loosened(self) -> "FactorisedReadout":
        """The readout after a change: what it remembers counts half from now on."""
        other = copy.copy(self)
        other.epoch += 1
        return other

    def promoted(self, spec: ReadoutSpec) -> "FactorisedReadout":
        """A copy that learns on by itself."""
        other = copy.copy(self)
        other.spec, other.rows = spec, _copied(self.rows)
        other.targets, other.epochs = self.targets.clone(), self.epochs.clone()
        return other

    def tensors(self) -> dict[str, Tensor]:
        """State that a checkpoint keeps."""
        kept = {name: getattr(self, name) for name in _TABLES}
        kept |= {f"rows.{n}": table for n, table in enumerate((self.rows.linear, *self.rows.maps))}
        return kept | {f"masks.{number}": v for number, v in enumerate(self.masks)}

    def meta(self) -> dict[str, Any]:
        """The rest of the state, JSON-safe."""
        return {name: getattr(self, name) for name in ("size", "written", "turn", "epoch")}

    def load(self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Inverse of :meth:`tensors` and :meth:`meta`."""
        for name in _TABLES:
            setattr(self, name, tensors[name])
        for name, value in meta.items():
            setattr(self, name, value)
        self._arrange(self.cells)
        grids = range(len(self.places.maps))
        self.rows = Parts(tensors["rows.0"], tuple(tensors[f"rows.{n + 1}"] for n in grids))
        self.masks = tuple(tensors[f"masks.{n}"] for n in grids)

    def _arrange(self, cells: Tensor) -> None:
        self.cells, self.places = cells, Places.of(cells, self.spec.rank)

    def _at_once(self) -> int:
        """Outputs that are fitted with one sample."""
        return min(len(self.level), max(1, self.spec.window // self.count))

    def _fit_some(self) -> None:
        """Fits the outputs whose turn it is to what is remembered.

        One without a remembered target stays as it is: nothing speaks against it.
        """
        total, count = len(self.level), self.count
        turns = (self.turn + torch.arange(self._at_once(), device=self.level.device)) % total
        self.turn = (self.turn + len(turns)) % total
        turns = turns[~torch.isnan(self.targets[:count, turns]).all(0)]
        if len(turns) == 0:
            return
        targets = self.targets[:count, turns].T
        lesson = Lesson(
            Parts(self.rows.linear[:count], tuple(table[:count] for table in self.rows.maps)),
            torch.nan_to_num(targets, nan=0.0),
            torch.where(torch.isnan(targets), 0.0, self._shares()),
            self.spec.ridge,
        )
        found = alternated(lesson, self._factors(turns))
        weights, level = self.weights.clone(), self.level.clone()
        weights[:, turns] = self.places.together(found.dense()).T
        level[turns] = found.level
        self.weights, self.level = weights, level
        self.masks = tuple(
            v.index_copy(0, turns, new) for v, new in zip(self.masks, found.masks, strict=True)
        )

    def _factors(self, outputs: Tensor) -> Factors:
        """As they are; channel weights are weights seen through masks."""
        parts = self.places.apart(self.weights[:, outputs].T)
        masks = tuple(v[outputs] for v in self.masks)
        channels = tuple(w @ v for w, v in zip(parts.maps, masks, strict=True))
        return Factors(self.level[outputs], parts.linear, channels, masks)

    def _shares(self) -> Tensor:
        """``(count,)``, how much each remembered sample counts."""
        count, slots = self.count, self.spec.window
        places = torch.arange(count, device=self.level.device)
        age = (self.written - 1 - places) % slots
        changes = self.epoch - self.epochs[:count]
        return self.spec.forgetting ** age.double() * _HELD**changes

    def _weigh_outputs(self) -> None:
        """Mean and variance of the remembered targets; of one that never varied, the others'."""
        targets = self.targets[: self.count]
        seen = (~torch.isnan(targets)).sum(0).clamp_min(1)
        values = torch.nan_to_num(targets, nan=0.0)
        self.mean = values.sum(0) / seen
        square = values.square().sum(0) / seen
        own = square - self.mean.square()
        self.variance = variances(own, own > VARIES * square)


def _bounded(z: Tensor, size: float) -> Tensor:
    """``z`` ``(..., width)``, drawn in to where |z|² is at most 100 times what it usually is."""
    loud = z.square().sum(-1, keepdim=True) / size
    return z * (_LOUDEST / loud.clamp_min(_LOUDEST)).sqrt()


def _blank(places: Places, slots: int) -> Parts:
    width = len(places.linear) + sum(table.numel() for table in places.maps)
    return places.apart(torch.zeros(slots, width, device=places.linear.device))


def _smooth(cells: int, rank: int, outputs: int, like: Tensor) -> Tensor:
    """Masks to begin with, ``(outputs, cells, rank)``: all cells alike, then rising waves."""
    waves = torch.arange(rank).to(like)
    phase = torch.pi / cells * (torch.arange(cells).to(like)[:, None] + 0.5)
    masks = torch.cos(phase * waves)
    lengths = masks.square().sum(0).sqrt()
    return (masks / lengths).expand(outputs, -1, -1).clone()


def _carried(table: Tensor, index: Tensor) -> Tensor:
    """Rows of a table by index; one that is new (−1) is 0."""
    return torch.cat((table, table.new_zeros(1, table.shape[1])))[index]


def _copied(rows: Parts) -> Parts:
    return Parts(rows.linear.clone(), tuple(table.clone() for table in rows.maps))
