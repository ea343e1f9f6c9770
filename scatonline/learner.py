"""One step of learning: columns of an input, and what a labelled sample teaches readout and θ.

Two time scales. The readout takes a second-order step at every sample. θ takes a first-order step
every few samples: gradients are collected on the filters ψ̂ themselves, which costs one backward
pass through the cascade a sample, and go on to θ once a step, so that filters are built once a
step.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scatonline.ahead import Ahead
from scatonline.cascade import Filters
from scatonline.config import ModelSpec
from scatonline.descent import Descent
from scatonline.features import Layout, Standardiser
from scatonline.filterbank import FilterBank
from scatonline.past import Past, beside, sources
from scatonline.readout import WindowReadout
from scatonline.sample import prepare
from scatonline.scattering import Scattering
from scatonline.session import Session
from scatonline.structure import Move, StructureDecision, quantile

# Samples before the first estimate of the columns' scales; doubled for each next one.
_FIRST_SCALES = 8


class Learner:
    """Scattering, columns and their gradient steps, shared by all sessions of a model.

    Attributes:
        scattering: The banks.
        layout: Which columns exist.
        standardiser: Their means and scales; replaced, never changed in place.
        lags: Inputs before a sample whose columns stand beside its own.
        filters: Present ψ̂; leaves of the gradient; replaced, never changed in place.
        collected: Samples whose gradients wait on ``filters``.
        calibration: (session, columns, target) of the first samples, until the scales are frozen.
        boosted: Learned samples for which θ still moves faster, after a change.
        retreats: Times that learned filters were given up for the first ones.
    """

    def __init__(self, spec: ModelSpec, device: str) -> None:
        """Starts with the specification's filters."""
        self.spec, self.device = spec, device
        self.scattering = Scattering(spec.bank, spec.shape).to(device)
        self.descents = [Descent(spec.learning, bank) for bank in self.banks()]
        self.averages = self.scattering.averages(torch.float32, torch.device(device))
        self.layout = Layout(spec, self.scattering.cascade)
        self.lags = spec.features.lags
        self.standardiser = Standardiser.silent(self.layout.width, device, self.lags)
        self.calibration: list[tuple[str, Tensor, Tensor]] = []
        self.calibrated = False
        self.boosted = self.retreats = 0
        self._asked: tuple[Tensor, Standardiser, Tensor] | None = None
        self._ahead = Ahead(spec, device)
        self.rebuild()
        self._warm_up()

    @property
    def learns_theta(self) -> bool:
        """Whether θ may move at all."""
        return self.spec.learning.enabled and self.layout.uses_scattering

    @property
    def size(self) -> float:
        """Mean squared norm of the standardised columns."""
        weight = self.layout.weight.to(self.device)
        return float(weight[self.standardiser.scale > 0].square().sum())

    def banks(self) -> list[FilterBank]:
        """Banks by layer."""
        return _banks(self.scattering)

    def look_ahead(self, inputs: Sequence[NDArray[np.generic]]) -> None:
        """Transforms inputs together whose turn comes next, if no gradient will be asked of them.

        Args:
            inputs: ``(channels, *shape)`` each, as :meth:`transformed` will be given them.
        """
        if not (self.learns_theta and self.calibrated):
            self._ahead.look(inputs, self.layout, self.filters, self.averages)

    def transformed(self, x: NDArray[np.generic], session: Session) -> tuple[Tensor, Tensor]:
        """An input that has just come, prepared, and its columns as :meth:`columns` has them.

        Args:
            x: ``(channels, *shape)``, any real dtype.
            session: Its session.
        """
        before = self._ahead.take(x, self.filters)
        if before is None or self._wants_graph(session):
            prepared = prepare(self.spec, x, self.device)
            return prepared, self.columns(prepared, session)
        prepared, own = before
        return prepared, beside(own, session.past, self.lags)

    def columns(self, x: Tensor, session: Session, past: Past | None = None) -> Tensor:
        """Raw columns of one input, with graph if θ learns.

        Args:
            x: ``(channels, *shape)``, scaled.
            session: Its session.
            past: What came before it; None: the session's newest inputs.

        Returns:
            ``(width,)``, NaN where there was no input before. The graph goes through the input's
            own columns only.
        """
        past = session.past if past is None else past
        with torch.set_grad_enabled(self._wants_graph(session)):
            own = self.layout.columns(x[None], self.filters, self.averages)[0]
            return beside(own, past, self.lags)

    def standardised(self, columns: Tensor) -> Tensor:
        """Standardised columns, float64, no graph; asked twice for one sample, made once."""
        asked = self._asked
        if asked is None or asked[0] is not columns or asked[1] is not self.standardiser:
            z = self.standardiser(columns.detach())
            self._asked = asked = columns, self.standardiser, z
        return asked[2]

    def learn(self, session: Session, columns: Tensor, target: Tensor) -> None:
        """Moves readout and θ by one labelled sample.

        Args:
            session: Its session.
            columns: From :meth:`columns`.
            target: ``(outputs,)`` float64, NaN where missing.
        """
        z = self.standardised(columns)
        # Nothing is asked about this sample again, and its graph is large.
        self._asked = None
        self.boosted = max(0, self.boosted - 1)
        if columns.requires_grad:
            slope = session.readout.gradient(z, target)
            gradient = (slope * self.standardiser.scale).to(columns.dtype)
            torch.autograd.backward(columns, gradient)
            self.collected += 1
            if self.collected == self.spec.learning.every:
                self._step_theta()
        session.readout.observe(z, target, self._refreshed(session))

    def calibrate(self, session: Session, columns: Tensor, target: Tensor) -> bool:
        """Notes an early sample; True when the scales changed and readouts must replay.

        Means and scales are taken anew at 8, 16, 32, … samples and frozen at the last of them; of
        fewer than 8 a scale would be mostly chance, so until then only the mean is predicted.
        """
        if self.calibrated:
            return False
        self.calibration.append((session.name, columns.detach(), target))
        count = len(self.calibration)
        self.calibrated = count >= self.spec.features.calibration
        if not self.calibrated and (count < _FIRST_SCALES or count & (count - 1)):
            return False
        single = self.layout.single
        own = torch.stack([c[:single] for _, c, _ in self.calibration])
        weight = self.layout.weight[:single].to(self.device)
        self.standardiser = Standardiser.fit(own, weight, self.lags)
        return True

    def restructure(self, moves: tuple[Move, ...]) -> Tensor:
        """Adds and drops filters; returns each new column's old one, −1 where new.

        Gradients collected so far are let go: they belong to filters that may be gone.

        Raises:
            UnknownName: a filter to be dropped does not exist. Nothing has changed then.
            NumericalError: the frame bound cannot hold without it; likewise.
        """
        before = self.layout
        scattering = copy.deepcopy(self.scattering)
        rows = [_moved(scattering, move) for move in moves]
        scattering.build()
        self.scattering = scattering
        for move, row in zip(moves, rows, strict=True):
            descent = self.descents[move.layer - 1]
            (descent.remove if move.kind == "drop" else descent.insert)(row)
        self.layout = Layout(self.spec, self.scattering.cascade)
        index = self.layout.carried_from(before).to(self.device)
        added = [move for move in moves if move.kind == "add"]
        mean = torch.tensor([v for m in added for v in m.mean], dtype=torch.float64)
        scale = torch.tensor([v for m in added for v in m.column_scale], dtype=torch.float64)
        self.standardiser = self.standardiser.carried(
            index, mean.to(self.device), scale.to(self.device)
        )
        self.rebuild()
        return index

    def reconsider(self, decision: StructureDecision) -> None:
        """Frees filters from their scales, or ties them again, by a structure check's CARs.

        Args:
            decision: Of the check; its look says how much error it may spend, and all filters
                that are tied share that.
        """
        if self.spec.learning.tie != "earned":
            return
        tied = sum(len(bank) for bank in self.banks()) - len(self.freed())
        z = quantile(self.spec.structure, decision.look, 1, tied)
        harmless = self.spec.structure.epsilon * max(decision.baseline_score, 0.0)
        cars = {car.filter_id: car for car in decision.cars}
        for bank, descent in zip(self.banks(), self.descents, strict=True):
            descent.review(bank, cars, z, harmless)

    def freed(self) -> frozenset[str]:
        """Ids of the filters that were freed from their scales."""
        return frozenset(
            name.id
            for bank, descent in zip(self.banks(), self.descents, strict=True)
            for name, free in zip(bank.names, descent.freed, strict=True)
            if free
        )

    def retreat(self, fixed: "Learner") -> None:
        """Takes another learner's filters, columns and scales, and learns on, a tenth as fast."""
        scattering = copy.deepcopy(fixed.scattering)
        for mine, theirs in zip(self.banks(), _banks(scattering), strict=True):
            # Ids of filters that are gone are not given again.
            theirs.made.update({j: max(n, theirs.made.get(j, 0)) for j, n in mine.made.items()})
        self.scattering = scattering
        self.descents = [Descent(self.spec.learning, bank) for bank in self.banks()]
        self.layout = Layout(self.spec, scattering.cascade)
        self.standardiser = fixed.standardiser
        self.retreats += 1
        self.rebuild()

    def _wants_graph(self, session: Session) -> bool:
        warm = session.learned >= self.spec.learning.warmup and self.calibrated
        return self.learns_theta and warm

    def rebuild(self) -> None:
        """Makes the filters from the present θ."""
        self.collected = 0
        self._built = self.filters = Filters({})
        if not self.layout.uses_scattering:
            return
        with torch.set_grad_enabled(self.learns_theta):
            self._built = self.scattering.build()
        self.filters = self._built.leaves(self.learns_theta)

    def _warm_up(self) -> None:
        """Sends nothing through, there and back: on a new machine loops are compiled for seconds.

        That is over before there is a first sample to keep waiting.
        """
        x = torch.zeros(1, self.spec.channels, *self.spec.shape, device=self.device)
        filters = self.filters.leaves(self.learns_theta)
        columns = self.layout.columns(x, filters, self.averages)
        if columns.requires_grad:
            torch.autograd.backward(columns.sum())
            self._to_thetas(filters, self.scattering.build())
        Session.rehearse(self.spec, self.layout.cells, self.size, self.device)

    def _refreshed(self, session: Session) -> Tensor | None:
        """Columns, by the filters as they are now, of a sample that the readout remembers.

        One every few samples, so that what was computed with earlier filters is renewed in turn and
        the cost of a sample stays flat.
        """
        every = self.spec.readout.refresh
        if not self.learns_theta or every == 0 or session.learned % every:
            return None
        ago = session.readout.due()
        if ago is None:
            return None
        with torch.no_grad():
            x = session.window.recent(ago)
            own = self.layout.columns(x[None], self.filters, self.averages)[0]
            z = self.standardiser(beside(own, (), self.lags))
        return self._with_lags(z, session, ago) if self.lags else z

    def _with_lags(self, z: Tensor, session: Session, ago: int) -> Tensor:
        """Puts what the readout remembers of the samples before beside one sample's own columns.

        Their own columns were renewed just before, as they came just before: so one input goes
        through the cascade here, too. A sample before that is not remembered, as it has no label or
        is too old, has left its columns in the row that is renewed; they stay.
        """
        readout, single = session.readout, self.layout.single
        assert isinstance(readout, WindowReadout)
        rows, slots = readout.memory.rows, len(readout.times)
        newest = readout.written - 1
        z[single:] = rows.row((newest - ago) % slots)[single:]
        numbers = session.window.arrivals()[-readout.memory.count :]
        place = len(numbers) - 1 - ago
        for lag, before in enumerate(sources(numbers, self.lags)[place].tolist(), 1):
            if before >= 0:
                row = rows.row((newest - (len(numbers) - 1 - before)) % slots)
                z[lag * single : (lag + 1) * single] = row[:single]
        return z

    def _step_theta(self) -> None:
        moved = self._to_thetas(self.filters, self._built)
        for bank, descent, gradient in zip(self.banks(), self.descents, moved, strict=True):
            if gradient is not None:
                descent.step(bank, gradient / self.collected, self._haste())
        self.rebuild()

    def _haste(self) -> float:
        """Factor on the rate of θ: more for a while after a change, less after each retreat."""
        boost = self.spec.adaptation.boost if self.boosted > 0 else 1.0
        return boost * 0.1**self.retreats

    def _to_thetas(self, leaves: Filters, built: Filters) -> tuple[Tensor | None, ...]:
        """Takes the gradients that wait on filters on to every layer's θ."""
        reached = [(built.psi[use], p.grad) for use, p in leaves.items() if p.grad is not None]
        outputs, gradients = zip(*reached, strict=True)
        thetas = [bank.theta for bank in self.banks()]
        moved: tuple[Tensor | None, ...] = torch.autograd.grad(
            outputs, thetas, gradients, allow_unused=True
        )
        return moved


def _banks(scattering: Scattering) -> list[FilterBank]:
    return [scattering.bank(m + 1) for m in range(len(scattering.banks))]


def _moved(scattering: Scattering, move: Move) -> int:
    """Makes a move and returns the row that came or went."""
    if move.kind == "drop":
        return scattering.drop(move.layer, move.filter_id)
    scattering.add(move.layer, move.scale, move.values, move.filter_id)
    return scattering.bank(move.layer).row(move.filter_id)
