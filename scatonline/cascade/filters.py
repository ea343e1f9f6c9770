"""Folded filters: what a cascade multiplies spectra with."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from scatonline.cascade.paths import Use
from scatonline.kernels.arrays import Reals
from scatonline.kernels.products import Blocks, occupied


class Filters:
    """ψ̂ of every use, folded (:func:`fourier.fold_filters`).

    Attributes:
        psi: ``(aliases, filters, frequencies)`` real, in the working precision.
        arrays: The same memory for :mod:`scatonline.kernels`, and which rows of aliases every
            filter occupies; empty where filters are not on a processor.
    """

    def __init__(
        self, psi: Mapping[Use, Tensor], blocks: Mapping[Use, Blocks] | None = None
    ) -> None:
        """Looks where filters are, unless ``blocks`` tells."""
        self.psi = psi
        self.arrays: dict[Use, tuple[Reals, Blocks]] = {}
        if torch.compiler.is_compiling() or any(p.device.type != "cpu" for p in psi.values()):
            return
        for use, folded in psi.items():
            array: Reals = folded.detach().numpy()
            known = occupied(array) if blocks is None else blocks[use]
            self.arrays[use] = array, known

    def __deepcopy__(self, memo: dict[int, Any]) -> "Filters":
        """Anew, so that arrays and tensors share memory again."""
        return Filters(copy.deepcopy(self.psi, memo), self._blocks() or None)

    def __reduce__(self) -> tuple[type["Filters"], tuple[Any, ...]]:
        return Filters, (self.psi, self._blocks() or None)

    def leaves(self, requires_grad: bool) -> "Filters":
        """The same values, cut off from what they were made of; gradients may gather on them."""
        psi = {use: p.detach().requires_grad_(requires_grad) for use, p in self.psi.items()}
        return Filters(psi, self._blocks() or None)

    def items(self) -> Iterator[tuple[Use, Tensor]]:
        """Uses and their filters."""
        return iter(self.psi.items())

    def _blocks(self) -> dict[Use, Blocks]:
        return {use: known for use, (_, known) in self.arrays.items()}
