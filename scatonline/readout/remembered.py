"""Remembered inputs, and how alike another one is to each."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scatonline.readout.rows import Rows
from scatonline.readout.similarity import Similarity

# Largest |z|², relative to its mean over usual inputs.
_LOUDEST = 100.0


@dataclass(frozen=True)
class Remembered:
    """A function of columns, as similarities to remembered inputs with a weight each.

    Attributes:
        similarity: Kernel.
        size: Mean squared norm of columns, by which products are divided.
        rows: Remembered columns.
        count: Rows in use.
    """

    similarity: Similarity
    size: float
    rows: Rows
    count: int

    def bounded(self, z: Tensor) -> Tensor:
        """``z`` ``(width,)``, drawn in to where |z|² is at most 100 times what it usually is.

        An artefact, a thousand times as strong, would otherwise drown all else in rounding.
        """
        return z * (_LOUDEST / self.own(z).clamp_min(_LOUDEST)).sqrt()

    def products(self, z: Tensor) -> Tensor:
        """⟨row, z⟩ of ``z`` ``(width,)`` and every row, over the size: ``(count,)`` float64."""
        return self.rows.products(z, self.count) / self.size

    def product(self, one: Tensor, other: Tensor) -> Tensor:
        """⟨one, other⟩ over the size, of columns that need not be remembered."""
        return (one.float().double() * self.rows.weight) @ other.float().double() / self.size

    def own(self, z: Tensor) -> Tensor:
        """|z|² over the size."""
        return (z.float().double().square() * self.rows.weight).sum() / self.size

    def alike(self, products: Tensor, own: Tensor) -> Tensor:
        """Similarities of a point to every row, from :meth:`products` and :meth:`own`."""
        return self.similarity(products, own, self.rows.norms[: self.count] / self.size)

    def similar(self, z: Tensor) -> Tensor:
        """Similarity of ``z`` ``(width,)`` to every row: ``(count,)`` float64."""
        return self.alike(self.products(z), self.own(z))

    def slope(self, z: Tensor, products: Tensor, weights: Tensor) -> Tensor:
        """d/dz of Σ weights·similarity: ``(width,)`` float64.

        Args:
            z: ``(width,)``.
            products: From :meth:`products`.
            weights: ``(count,)``.
        """
        with torch.enable_grad():
            leaves = [x.detach().requires_grad_() for x in (products, self.own(z))]
            total = weights @ self.alike(*leaves)
            along, outward = torch.autograd.grad(
                total, leaves, allow_unused=True, materialize_grads=True
            )
        weighted = (self.rows.combined(along) + 2 * outward * z) * self.rows.weight
        return weighted / self.size

    def carried(self, index: Tensor) -> "Remembered":
        """In other columns, see :meth:`Rows.carried`."""
        return replace(self, rows=self.rows.carried(index))

    def gram(self) -> Tensor:
        """Similarity between all rows, ``(count, count)`` float64."""
        table = self.rows.table()[: self.count] * self.rows.weight.sqrt().float()
        norms = self.rows.norms[: self.count] / self.size
        products = (table @ table.T).double() / self.size
        return self.similarity(products, norms[:, None], norms[None, :])
