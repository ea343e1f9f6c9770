"""Memory that outlives a call, so that a stream of samples does not ask for it anew each time.

Fresh pages cost the system more time than the arithmetic that fills them, and views of buffers
cost more than small products; so both are made once for every size of batch. Buffers are used by
one call at a time, and by the way back of that call; a pool hands them out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scatonline.cascade.arrays import real_pairs
from scatonline.cascade.geometry import Geometry
from scatonline.cascade.paths import Branch, Plan, Stage
from scatonline.fourier import aliases
from scatonline.kernels.arrays import Reals

# Sets that wait in a pool: a few sizes of batch, or a few graphs whose way back is still to come.
_KEPT = 4


@dataclass(frozen=True)
class BranchBuffers:
    """Where one branch reads and writes, as real pairs.

    Attributes:
        branch: Which one.
        start: First channel of the source, counted with the batch.
        source: Folded spectra of the source: ``(all channels, aliases, 2·frequencies)``.
        products: Its part of the stage's products: ``(filters, channels, 2·frequencies)``.
    """

    branch: Branch
    start: int
    source: Reals
    products: Reals


@dataclass(frozen=True)
class StageBuffers:
    """Buffers of one stage; ``rows`` are channels times batch.

    Attributes:
        stage: Which one.
        shape: ``(rows, *grid)``.
        branches: What feeds it.
        spectrum: ``shape`` complex: sums of products; written over with phases where asked for.
        pairs: The same memory as ``(rows, 2·frequencies)`` real pairs.
        moduli: ``shape`` real; shared by all stages.
        moduli_rows: The same memory as ``(rows, frequencies)``.
        whole: Spectra of its first channels, complex.
        folded: The same folded, by factor, as real pairs; where every frequency already stands in
            its place, the same memory.
        folds: Copies that fold them: where each goes and where it comes from.
    """

    stage: Stage
    shape: tuple[int, ...]
    branches: tuple[BranchBuffers, ...]
    spectrum: Tensor
    pairs: Reals
    moduli: Tensor
    moduli_rows: Reals
    whole: Tensor
    folded: dict[int, Reals]
    folds: tuple[tuple[Tensor, Tensor], ...]


class BackBuffers:
    """Buffers of the way back.

    Attributes:
        gradients: By stage, gradient of its products: ``(rows, *grid)`` complex; memory shared.
        pairs: The same as ``(rows, 2·frequencies)`` real pairs.
        spectra: By stage, gradient of the spectra of its first channels, complex.
        folded: Gradient of folded spectra, flat, for any branch.
    """

    def __init__(self, stages: Sequence[StageBuffers]) -> None:
        """Makes them for the stages of :class:`Buffers`."""
        dtype = stages[0].spectrum.dtype
        most = max(stage.spectrum.numel() for stage in stages)
        memory = torch.empty(most, dtype=dtype)
        self.gradients = [
            memory[: stage.spectrum.numel()].view(stage.spectrum.shape) for stage in stages
        ]
        self.pairs = [
            real_pairs(gradient, max(gradient.shape[0], 1)) for gradient in self.gradients
        ]
        self.spectra = [torch.empty_like(stage.whole) for stage in stages]
        self.folded = torch.empty(max(s.numel() for s in self.spectra), dtype=dtype)


class Buffers:
    """All buffers of a plan for one size of batch and one precision.

    Attributes:
        batch: Signals that go through together.
        dtype: Working precision.
        padded: ``(batch, *padded)``: the signal.
        stages: By stage.
        back: For the way back; made when first needed.
    """

    def __init__(self, plan: Plan, geometry: Geometry, batch: int, dtype: torch.dtype) -> None:
        """Makes them."""
        self.batch, self.dtype = batch, dtype
        self.back: BackBuffers | None = None
        sizes = [math.prod(geometry.grid(stage.level)) for stage in plan.stages]
        rows = [stage.channels * batch for stage in plan.stages]
        most = max(r * n for r, n in zip(rows, sizes, strict=True))
        moduli = torch.empty(most, dtype=dtype)
        self.padded = torch.empty(batch, *geometry.padded, dtype=dtype)
        self.stages: list[StageBuffers] = []
        for stage, n in zip(plan.stages, sizes, strict=True):
            shape = (stage.channels * batch, *geometry.grid(stage.level))
            pairs = torch.empty(shape[0] if stage.branches else 0, 2 * n, dtype=dtype)
            spectrum = torch.view_as_complex(pairs.view(-1, *shape[1:], 2))
            flat = moduli[: shape[0] * n]
            onward = stage.onward * batch
            whole = torch.empty(onward, *shape[1:], dtype=spectrum.dtype)
            folded, folds = _folds(whole, stage.factors)
            self.stages.append(
                StageBuffers(
                    stage,
                    shape,
                    self._branches(stage, pairs.numpy()),
                    spectrum,
                    pairs.numpy(),
                    flat.view(shape),
                    flat.view(shape[0], n).numpy(),
                    whole,
                    folded,
                    folds,
                )
            )

    def for_way_back(self) -> BackBuffers:
        """Those that only the way back needs."""
        if self.back is None:
            with torch.inference_mode(mode=False):
                self.back = BackBuffers(self.stages)
        return self.back

    def _branches(self, stage: Stage, pairs: Reals) -> tuple[BranchBuffers, ...]:
        found, row = [], 0
        for branch in stage.branches:
            source = self.stages[branch.source].folded[branch.use.factor]
            products = pairs[row : row + branch.channels * self.batch]
            row += len(products)
            channels = (branch.stop - branch.start) * self.batch
            products = products.reshape(-1, channels, products.shape[1])
            found.append(BranchBuffers(branch, branch.start * self.batch, source, products))
        return tuple(found)


def _folds(
    whole: Tensor, factors: Sequence[int]
) -> tuple[dict[int, Reals], tuple[tuple[Tensor, Tensor], ...]]:
    """Folded spectra, and the copies that fill those that are not ``whole`` itself."""
    folded: dict[int, Reals] = {}
    folds = []
    for factor in factors:
        places = aliases(whole, factor)
        copy = places if places.is_contiguous() else places.new_empty(places.shape)
        if copy is not places:
            folds.append((copy, places))
        rows = factor ** (whole.dim() - 1)
        folded[factor] = real_pairs(copy, len(whole) * rows).reshape(len(whole), rows, -1)
    return folded, tuple(folds)


class Pool:
    """Buffers that are not in use; threads may share it."""

    def __init__(self, plan: Plan, geometry: Geometry) -> None:
        """Starts empty."""
        self.plan, self.geometry = plan, geometry
        self._idle: list[Buffers] = []

    def borrow(self, batch: int, dtype: torch.dtype) -> Buffers:
        """Some that nobody else uses, until they are given back; those used last are at hand."""
        for candidate in reversed(tuple(self._idle)):
            if (candidate.batch, candidate.dtype) == (batch, dtype):
                try:
                    self._idle.remove(candidate)
                except ValueError:  # another thread took it first
                    continue
                return candidate
        # Memory made in inference mode could not be written to outside it.
        with torch.inference_mode(mode=False):
            return Buffers(self.plan, self.geometry, batch, dtype)

    def give_back(self, buffers: Buffers) -> None:
        """Takes them back; those that waited longest are let go."""
        self._idle.append(buffers)
        del self._idle[:-_KEPT]

    def __deepcopy__(self, memo: dict[int, Any]) -> "Pool":
        """A copy has no use for what stands in these buffers."""
        return Pool(self.plan, self.geometry)

    def __reduce__(self) -> tuple[type["Pool"], tuple[Plan, Geometry]]:
        return Pool, (self.plan, self.geometry)
