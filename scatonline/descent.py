"""Gradient steps on θ that cannot jump.

SGD with momentum, or Adam (Kingma & Ba 2015), in the unconstrained coordinates of a bank; then
each parameter's step is cut to a cap in its natural unit: radians for angles, log-ratio for the
rest. Filters that are tied make the same step in everything but their directions; under ``earned``
those of a scale that were not freed (:mod:`scatonline.freedom`). One state row a filter, so that
filters may come and go.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from scatonline.config import LearningSpec
from scatonline.filterbank import FilterBank
from scatonline.freedom import Freedom, shaping
from scatonline.structure import GroupCar

_ADAM = (0.9, 0.99, 1e-12)
_TABLES = ("first", "second", "steps")


class Descent:
    """Optimiser of one bank.

    Attributes:
        first: Running mean of gradients, ``(filters, parameters)``.
        second: Running mean of squared gradients.
        steps: Steps that each filter has taken, ``(filters, 1)``.
        freedom: Who takes steps of its own, where that has to be earned.
    """

    def __init__(self, spec: LearningSpec, bank: FilterBank) -> None:
        """Starts at rest."""
        self.spec = spec
        self.first = torch.zeros_like(bank.theta.detach())
        self.second = torch.zeros_like(self.first)
        self.steps = self.first.new_zeros(len(bank), 1)
        self.freedom = Freedom(bank) if spec.tie == "earned" else None

    @property
    def freed(self) -> list[bool]:
        """Of every filter, whether it has earned steps of its own."""
        if self.freedom is None:
            return [False] * len(self.steps)
        return [bool(free) for free in self.freedom.freed[:, 0]]

    def step(self, bank: FilterBank, gradient: Tensor, factor: float = 1.0) -> None:
        """Moves ``bank.theta`` against ``gradient``.

        Args:
            bank: The filters.
            gradient: ``(filters, parameters)``; rows that are not finite do not move.
            factor: On the rate, for this step; the caps hold all the same.
        """
        finite = torch.isfinite(gradient).all(1, keepdim=True)
        gradient = torch.where(finite, gradient, torch.zeros_like(gradient))
        if self.freedom is not None:
            self.freedom.note(bank, gradient)
        self.steps = self.steps + 1
        direction = self._tied(bank, self._direction(self._tied(bank, gradient)))
        proposed = bank.theta.detach() - factor * self.spec.rate * direction
        with torch.no_grad():
            # Not even by the momentum of earlier gradients.
            bank.theta.copy_(torch.where(finite, self._capped(bank, proposed), bank.theta))

    def review(
        self, bank: FilterBank, cars: Mapping[str, GroupCar], z: float, harmless: float
    ) -> None:
        """Frees filters that have earned it and ties others again, see :meth:`Freedom.review`.

        Whoever is freed or tied starts from rest.
        """
        if self.freedom is None:
            return
        for row in self.freedom.review(bank, cars, z, harmless):
            for name in _TABLES:
                table = getattr(self, name).clone()
                table[row] = 0
                setattr(self, name, table)

    def insert(self, row: int) -> None:
        """Makes room for a filter that starts at ``row``."""
        for name in _TABLES:
            table = getattr(self, name)
            blank = table.new_zeros(1, table.shape[1])
            setattr(self, name, torch.cat((table[:row], blank, table[row:])))
        if self.freedom is not None:
            self.freedom.insert(row)

    def remove(self, row: int) -> None:
        """Forgets the filter that was at ``row``."""
        for name in _TABLES:
            table = getattr(self, name)
            setattr(self, name, torch.cat((table[:row], table[row + 1 :])))
        if self.freedom is not None:
            self.freedom.remove(row)

    def tensors(self) -> dict[str, Tensor]:
        """State that a checkpoint keeps."""
        own = {name: getattr(self, name) for name in _TABLES}
        return own if self.freedom is None else own | self.freedom.tensors()

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Inverse of :meth:`tensors`."""
        for name in _TABLES:
            setattr(self, name, tensors[name])
        if self.freedom is not None:
            self.freedom.load(tensors)

    def _tied(self, bank: FilterBank, rows: Tensor) -> Tensor:
        """Means over the filters that move together, of all but directions.

        Twice a step: filters that came at different times have different momenta.
        """
        groups = self._groups(bank)
        if not groups:
            return rows
        tied, shared = rows.clone(), shaping(bank)
        for group in groups:
            mean = rows[group].mean(0, keepdim=True)
            tied[group] = torch.where(shared, mean, rows[group])
        return tied

    def _groups(self, bank: FilterBank) -> list[list[int]]:
        """Rows of the filters that move together."""
        if self.spec.tie == "filter":
            return []
        if self.spec.tie == "layer":
            return [list(range(len(bank)))]
        scales = [bank.rows(scale) for scale in bank.scales]
        if self.freedom is None:
            return scales
        freed = self.freed
        left = ([row for row in rows if not freed[row]] for rows in scales)
        return [rows for rows in left if rows]

    def _direction(self, gradient: Tensor) -> Tensor:
        if self.spec.optimiser == "sgd":
            self.first = self.spec.momentum * self.first + gradient
            return self.first
        beta1, beta2, tiny = _ADAM
        self.first = beta1 * self.first + (1 - beta1) * gradient
        self.second = beta2 * self.second + (1 - beta2) * gradient.square()
        mean = self.first / (1 - beta1**self.steps)
        square = self.second / (1 - beta2**self.steps)
        return mean / (square.sqrt() + tiny)

    def _capped(self, bank: FilterBank, proposed: Tensor) -> Tensor:
        """No farther than the caps from where the filters are; ratios and levels by their share."""
        coordinates = bank.coordinates()
        most = coordinates.most(self.spec.max_angle_rad, self.spec.max_log_step)
        here = coordinates.even(bank.theta.detach())
        there = coordinates.even(proposed)
        return coordinates.from_even(here + (there - here).clamp(-most, most))
