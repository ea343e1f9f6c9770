"""The cascade on a processor: few operations, one pass over memory each, and its way back.

The same as :mod:`scatonline.cascade.portable`, done differently. Signals are real, so only half of
a spectrum is transformed. The way back is written out: it keeps spectra and phases, nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scatonline.autograd import Gradients, first_derivative_only
from scatonline.cascade.arrays import planes, real_pairs
from scatonline.cascade.averages import Averages
from scatonline.cascade.buffers import (
    BackBuffers,
    BranchBuffers,
    Buffers,
    Pool,
    StageBuffers,
)
from scatonline.cascade.filters import Filters
from scatonline.cascade.geometry import Geometry
from scatonline.cascade.paths import Plan, Use
from scatonline.fourier import aliases
from scatonline.kernels import moduli, padding, products, spectra
from scatonline.kernels.arrays import Reals
from scatonline.kernels.compile import follow_threads


@dataclass(frozen=True)
class Order:
    """Rows of all stages' maps, one stage after the other, in another order.

    Attributes:
        rows: For each place, the row that stands there.
        places: For each row, its place.
    """

    rows: Tensor
    places: Tensor

    def apply(self, maps: Sequence[Tensor]) -> Tensor:
        """All maps in this order."""
        return torch.cat(list(maps)).index_select(0, self.rows)

    def undo(self, ordered: Tensor, lengths: Sequence[int]) -> Sequence[Tensor]:
        """By stage again."""
        return torch.split(ordered.index_select(0, self.places), list(lengths))


class Swift:
    """One plan on one geometry, forward and back."""

    def __init__(self, plan: Plan, geometry: Geometry) -> None:
        """Holds both, and buffers."""
        self.geometry = geometry
        self.pool = Pool(plan, geometry)
        self._sources = [np.zeros(1, np.int64), *geometry.sources][-2:]

    def stages(self, x: Tensor, filters: Filters, averages: Averages | None) -> list[Tensor]:
        """As :func:`portable.stages`, with first derivatives only."""
        return list(self._run(x, filters, averages, None))

    def ordered(
        self, x: Tensor, filters: Filters, averages: Averages | None, order: "Order"
    ) -> Tensor:
        """All stages' maps in one tensor, in an order: ``(rows, *out)``."""
        (rows,) = self._run(x, filters, averages, order)
        return rows

    def _run(
        self, x: Tensor, filters: Filters, averages: Averages | None, order: "Order | None"
    ) -> Sequence[Tensor]:
        psi = list(filters.psi.values())
        if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *psi)):
            results: Sequence[Tensor] = _Differentiable.apply(  # type: ignore[no-untyped-call]
                self, filters, averages, order, x, *psi
            )
            return results
        buffers = self.pool.borrow(len(x), x.dtype)
        try:
            maps = self.forward(x, filters, averages, buffers, returns=False)
        finally:
            self.pool.give_back(buffers)
        return maps if order is None else [order.apply(maps)]

    def forward(
        self,
        x: Tensor,
        filters: Filters,
        averages: Averages | None,
        buffers: Buffers,
        *,
        returns: bool,
    ) -> list[Tensor]:
        """Every stage's maps.

        Args:
            x: ``(batch, *shape)``.
            filters: Folded filters.
            averages: For averaging; none: moduli are returned.
            buffers: Memory; spectra and phases are in it afterwards.
            returns: Whether phases are needed.
        """
        follow_threads()
        results = []
        for stage in buffers.stages:
            if not stage.branches:
                u = self._padded(x, buffers.padded, in_buffer=averages is not None)
            else:
                u = self._moduli(stage, filters, in_buffer=averages is not None, returns=returns)
            onward = stage.whole.shape[0] if stage.folded else 0
            rows = u.shape[0] if averages and averages.by_spectra else onward
            half = torch.fft.rfftn(u[:rows], dim=self.geometry.axes) if rows else None
            results.append(averages.swift(u, half, stage.stage.level) if averages else u)
            if half is not None and onward:
                spectra.whole_spectrum(planes(half[:onward]), planes(stage.whole))
                for folded, places in stage.folds:
                    folded.copy_(places)
        return results

    def backward(
        self,
        gradients: Sequence[Tensor | None],
        filters: Filters,
        averages: Averages | None,
        buffers: Buffers,
        wanted: tuple[bool, bool],
    ) -> tuple[Tensor | None, dict[Use, Tensor]]:
        """Gradients with respect to the signal and to the filters.

        Args:
            gradients: With respect to every stage's maps.
            filters: As in :meth:`forward`.
            averages: As there.
            buffers: As it left them.
            wanted: Whether the signal's gradient is asked for, and whether the filters' are.
        """
        follow_threads()
        to_signal, to_filters = wanted
        back = buffers.for_way_back()
        reached: set[int] = set()
        found: dict[Use, Tensor] = {}
        for index in reversed(range(1, len(buffers.stages))):
            stage = buffers.stages[index]
            arriving = self._arriving(index, gradients[index], averages, buffers, reached)
            moduli.modulus_to_input(
                stage.pairs, arriving.view(arriving.shape[0], -1).numpy(), back.pairs[index]
            )
            axes = self.geometry.axes
            spectrum = torch.fft.fftn(back.gradients[index], dim=axes, norm="forward")
            pairs, row = real_pairs(spectrum, arriving.shape[0]), 0
            for branch in stage.branches:
                shape = branch.products.shape
                part = pairs[row : row + shape[0] * shape[1]].reshape(shape)
                row += shape[0] * shape[1]
                if to_filters:
                    _add_to_filters(branch, filters, part, found)
                if branch.branch.source or to_signal:
                    _add_to_spectrum(branch, filters, part, back, reached)
        if not to_signal:
            return None, found
        padded = self._arriving(0, gradients[0], averages, buffers, reached)
        signal = padded.new_empty(buffers.batch, *self.geometry.shape)
        padding.unpad(planes(padded), self._sources, planes(signal))
        return signal, found

    def _padded(self, x: Tensor, padded: Tensor, *, in_buffer: bool) -> Tensor:
        if not in_buffer:
            padded = torch.empty_like(padded)
        padding.pad(planes(x.resolve_neg().contiguous()), self._sources, planes(padded))
        return padded

    def _moduli(
        self, stage: StageBuffers, filters: Filters, *, in_buffer: bool, returns: bool
    ) -> Tensor:
        """|u ∗ ψ| for all branches of a stage."""
        for branch in stage.branches:
            psi, blocks = filters.arrays[branch.branch.use]
            products.product(psi, blocks, branch.source, branch.start, branch.products)
        z = torch.fft.ifftn(stage.spectrum, dim=self.geometry.axes)
        u, rows = stage.moduli, stage.moduli_rows
        if not in_buffer:
            u = torch.empty_like(u)
            rows = u.view(len(u), -1).numpy()
        moduli.modulus(real_pairs(z, rows.shape[0]), rows, stage.pairs if returns else None)
        return u

    def _arriving(
        self,
        index: int,
        gradient: Tensor | None,
        averages: Averages | None,
        buffers: Buffers,
        reached: set[int],
    ) -> Tensor:
        """Gradient of a stage's channels: from its maps, and from the spectra taken of them."""
        stage = buffers.stages[index]
        if gradient is None:
            total = stage.moduli.new_zeros(stage.shape)
        elif averages:
            total = averages.to_maps(gradient, stage.stage.level)
        else:
            total = gradient.clone(memory_format=torch.contiguous_format)
        if index in reached:
            spectrum = buffers.for_way_back().spectra[index]
            # Its transform is complex: what is not real, no real signal could have caused.
            deeper = torch.fft.ifftn(spectrum, dim=self.geometry.axes, norm="forward").real
            total[: deeper.shape[0]] += deeper
        return total


def _add_to_filters(
    buffers: BranchBuffers, filters: Filters, part: Reals, found: dict[Use, Tensor]
) -> None:
    use = buffers.branch.use
    gradient = torch.empty_like(filters.psi[use])
    blocks = filters.arrays[use][1]
    products.product_to_filters(blocks, buffers.source, buffers.start, part, gradient.numpy())
    found[use] = found[use].add_(gradient) if use in found else gradient


def _add_to_spectrum(
    buffers: BranchBuffers,
    filters: Filters,
    part: Reals,
    back: BackBuffers,
    reached: set[int],
) -> None:
    """Adds to the gradient of the spectra that a branch read."""
    branch = buffers.branch
    psi, blocks = filters.arrays[branch.use]
    whole = back.spectra[branch.source]
    if branch.source not in reached:
        reached.add(branch.source)
        whole.zero_()
    channels = part.shape[1]
    places = aliases(whole[buffers.start : buffers.start + channels], branch.use.factor)
    folded = back.folded[: places.numel()].view(places.shape)
    pairs = real_pairs(folded, channels).reshape(channels, psi.shape[0], -1)
    products.product_to_input(psi, blocks, part, pairs)
    places.add_(folded)


class _Differentiable(torch.autograd.Function):
    """Both ways as one node of PyTorch's graph."""

    @staticmethod
    def forward(
        ctx: Any,
        swift: Swift,
        filters: Filters,
        averages: Averages | None,
        order: Order | None,
        x: Tensor,
        *psi: Tensor,
    ) -> tuple[Tensor, ...]:
        buffers = swift.pool.borrow(len(x), x.dtype)
        ctx.lease = _Lease(swift.pool, buffers)
        ctx.swift, ctx.filters, ctx.averages, ctx.order = swift, filters, averages, order
        ctx.save_for_backward(x, *psi)
        ctx.set_materialize_grads(False)
        results = swift.forward(x.detach(), filters, averages, buffers, returns=True)
        return tuple(results) if order is None else (order.apply(results),)

    @staticmethod
    @first_derivative_only
    def backward(ctx: Any, *gradients: Tensor | None) -> Gradients:
        x, *_ = ctx.saved_tensors  # raises if a filter was written over since
        swift, filters, averages = ctx.swift, ctx.filters, ctx.averages
        buffers = ctx.lease.take()
        if buffers is None:
            # A graph that was retained comes back again: what it needs is computed again.
            buffers = swift.pool.borrow(len(x), x.dtype)
            swift.forward(x.detach(), filters, averages, buffers, returns=True)
        by_stage: Sequence[Tensor | None] = [None if g is None else g.detach() for g in gradients]
        if ctx.order is not None and by_stage[0] is not None:
            by_stage = ctx.order.undo(by_stage[0], [s.shape[0] for s in buffers.stages])
        wanted = ctx.needs_input_grad[4], any(ctx.needs_input_grad[5:])
        try:
            to_signal, to_filters = swift.backward(by_stage, filters, averages, buffers, wanted)
        finally:
            swift.pool.give_back(buffers)
        found = (to_filters.get(use) for use in filters.psi)
        return None, None, None, None, to_signal, *found


class _Lease:
    """Buffers as a forward pass left them.

    They go back with the first way back, so that a stream of steps needs one set of them, or with
    the graph if there was none.
    """

    def __init__(self, pool: Pool, buffers: Buffers) -> None:
        self.pool = pool
        self._buffers: Buffers | None = buffers

    def take(self) -> Buffers | None:
        """The buffers, for whoever now gives them back; None if they have gone back before."""
        buffers, self._buffers = self._buffers, None
        return buffers

    def __del__(self) -> None:
        if self._buffers is not None:
            self.pool.give_back(self._buffers)
