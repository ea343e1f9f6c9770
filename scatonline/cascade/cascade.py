"""One arrangement of filters and the transform that it computes."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from scatonline.cascade import portable
from scatonline.cascade.averages import Averages
from scatonline.cascade.filters import Filters
from scatonline.cascade.geometry import Geometry
from scatonline.cascade.paths import FilterName, Path, Plan
from scatonline.cascade.swift import Order, Swift
from scatonline.fourier import pad

# Samples of padded signal that go through together; more would leave the processor's cache.
_TOGETHER = 2**14


class Cascade:
    """A transform with given filters; never changed, so that readers may share it.

    When a filter comes or goes a new one is made.

    Attributes:
        geometry: Sizes.
        layers: Filters of each layer in bank order.
        paths: The output channels: order 0, order 1 by filter, order 2 by first and then second
            filter, ….
    """

    def __init__(self, geometry: Geometry, layers: Sequence[Sequence[FilterName]]) -> None:
        """Walks over the paths."""
        self.geometry, self.layers = geometry, [list(names) for names in layers]
        self.plan = Plan(self.layers, geometry.level)
        self.paths: tuple[Path, ...] = self.plan.paths
        self._swift = Swift(self.plan, geometry)
        self._orders: dict[tuple[int, torch.device], Order] = {}

    def transform(self, x: Tensor, filters: Filters, averages: Averages | None) -> Tensor:
        """Averaged coefficients of a batch.

        Args:
            x: ``(batch, *shape)``, of the filters' dtype.
            filters: For the uses of :attr:`plan`.
            averages: From :meth:`Geometry.averages`.

        Returns:
            ``(batch, channels, *output_shape)``.
        """
        if len(x) == 0:
            return x.new_zeros(0, len(self.paths), *self.geometry.output_shape)
        pieces = [self._averaged(piece, filters, averages) for piece in self._pieces(x)]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def moduli(self, x: Tensor, filters: Filters) -> list[Tensor]:
        """Coefficients of a batch before averaging, each path at the resolution it has.

        Args:
            x: ``(batch, *shape)``, of the filters' dtype.
            filters: For the uses of :attr:`plan`.

        Returns:
            For every path ``(batch, *size)``, the part that stands for the signal itself.
        """
        if len(x) == 0:
            levels = [self.plan.stages[index].level for index, _ in self.plan.places]
            windows = [self.geometry.windows(level) for level in levels]
            return [x.new_zeros(0, *(w.stop - w.start for w in window)) for window in windows]
        swift = bool(filters.arrays)
        stages = self._swift.stages(x, filters, None) if swift else self._portable(x, filters, None)
        maps = []
        for index, channel in self.plan.places:
            level = self.plan.stages[index].level
            u = stages[index].view(-1, len(x), *self.geometry.grid(level))[channel]
            u = u[(slice(None), *self.geometry.windows(level))]
            # Order 0 may be the signal itself.
            maps.append(u if index else u.clone())
        return maps

    def _averaged(self, x: Tensor, filters: Filters, averages: Averages | None) -> Tensor:
        order = self._order(x.shape[0], x.device)
        if filters.arrays:
            ordered = self._swift.ordered(x, filters, averages, order)
        else:
            ordered = order.apply(self._portable(x, filters, averages))
        return ordered.view(x.shape[0], len(self.paths), *self.geometry.output_shape)

    def _portable(self, x: Tensor, filters: Filters, averages: Averages | None) -> list[Tensor]:
        geometry = self.geometry
        padded = pad(x, geometry.padded, geometry.spec.padding)
        return portable.stages(padded, self.plan, geometry, filters.psi, averages)

    @property
    def together(self) -> int:
        """Signals that go through at a time."""
        return max(1, _TOGETHER // math.prod(self.geometry.padded))

    def _pieces(self, x: Tensor) -> Sequence[Tensor]:
        return (x,) if len(x) <= self.together else torch.split(x, self.together)

    def _order(self, batch: int, device: torch.device) -> Order:
        """From the stages' maps to those of each path of each signal.

        Kept on the device: a copy a sample would make the host wait.
        """
        if (batch, device) not in self._orders:
            # What is made in inference mode could be part of no graph later.
            with torch.inference_mode(False):
                order = torch.tensor(self.plan.order)
                rows = (order * batch + torch.arange(batch)[:, None]).flatten()
                self._orders[batch, device] = Order(rows.to(device), rows.argsort().to(device))
        return self._orders[batch, device]
