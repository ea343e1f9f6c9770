"""Inputs that wait already, transformed together before their turn comes.

A small model spends a sample on calling operations, not on what they do: sixteen inputs that go
through the cascade together take little more than one alone, and 64 twice as long. What a sample
becomes must not depend on the company that it came in, or a state would depend on how busy its
service was. Whether it does is decided by the library of Fourier transforms, which may round
otherwise when it has more to do at a time; so that is tried for every arrangement of filters, and
where a bit differs inputs go through alone.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scatonline.cascade import Averages, Filters
from scatonline.config import ModelSpec
from scatonline.features import Layout
from scatonline.sample import prepare_all

# Few sizes, since each keeps buffers of its own.
_SIZES = (64, 16, 4)
# Inputs of the trial: as many as make groups of every size, at other places in memory.
_TRIED = sum(_SIZES)


class Ahead:
    """Inputs that were prepared and transformed before their turn.

    Args:
        spec: The model's specification.
        device: Where it computes.
    """

    def __init__(self, spec: ModelSpec, device: str) -> None:
        self._spec, self._device = spec, device
        self._kept: dict[int, tuple[NDArray[np.generic], Tensor, Tensor]] = {}
        self._filters: Filters | None = None
        self._tried: Layout | None = None
        self._sizes: tuple[int, ...] = ()

    def look(
        self,
        inputs: Sequence[NDArray[np.generic]],
        layout: Layout,
        filters: Filters,
        averages: Averages | None,
    ) -> None:
        """Transforms what comes next; forgets what it looked at before.

        Args:
            inputs: ``(channels, *shape)`` each, that have been checked; the very arrays whose turn
                will come.
            layout: Which columns they become.
            filters: What they go through.
            averages: Averaging by φ.
        """
        self._kept, self._filters = {}, filters
        for group, size in self._groups(inputs, self._sizes_for(layout, filters, averages)):
            with np.errstate(over="ignore"):  # what is too large is refused in its turn
                x = prepare_all(self._spec, group, self._device)
            filling = x[:1].expand(size - len(group), *x.shape[1:])
            with torch.no_grad():
                columns = layout.columns(torch.cat((x, filling)), filters, averages)
            for each, own, became in zip(group, x, columns, strict=False):
                # Held by the array, so that no other one can have its identity meanwhile.
                self._kept[id(each)] = each, own, became

    def take(self, x: NDArray[np.generic], filters: Filters) -> tuple[Tensor, Tensor] | None:
        """What an input was prepared to and its own columns; None if not looked at, or too early.

        Args:
            x: One of the arrays that :meth:`look` was given.
            filters: Present ones; what went through others is of no use.
        """
        kept = self._kept.pop(id(x), None)
        if kept is None or filters is not self._filters:
            return None
        _, prepared, columns = kept
        # A copy: a sample that waits for its label must not keep the whole group in memory.
        return prepared.clone(), columns

    def _sizes_for(
        self, layout: Layout, filters: Filters, averages: Averages | None
    ) -> tuple[int, ...]:
        """Sizes of groups in which inputs become what they become alone, largest first."""
        if layout is not self._tried:
            self._tried = layout
            sizes = tuple(size for size in _SIZES if size <= layout.together)
            self._sizes = sizes if self._agree(sizes, layout, filters, averages) else ()
        return self._sizes

    def _agree(
        self,
        sizes: tuple[int, ...],
        layout: Layout,
        filters: Filters,
        averages: Averages | None,
    ) -> bool:
        if not sizes:
            return False
        # Of a generator of its own: no draw of the model's is used up.
        draw = np.random.default_rng(self._spec.seed)
        noise = draw.standard_normal((_TRIED, self._spec.channels, *self._spec.shape))
        x = torch.from_numpy(noise.astype(np.float32)).to(self._device)
        with torch.no_grad():
            alone = torch.cat([layout.columns(one[None], filters, averages) for one in x])
            return all(
                torch.equal(layout.columns(group, filters, averages), expected)
                for size in sizes
                for group, expected in zip(
                    torch.split(x, size), torch.split(alone, size), strict=True
                )
                if len(group) == size
            )

    @staticmethod
    def _groups(
        inputs: Sequence[NDArray[np.generic]], sizes: Sequence[int]
    ) -> Iterator[tuple[Sequence[NDArray[np.generic]], int]]:
        """Groups, each with the smallest size that holds all that are left, or the largest."""
        begin = 0
        while sizes and (left := len(inputs) - begin) > 1:
            size = min((size for size in sizes if size >= left), default=sizes[0])
            yield inputs[begin : begin + size], size
            begin += size
