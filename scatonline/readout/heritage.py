"""What a new readout takes over from the ones before it: their predictions, as they last made them.

The units of two sessions need not match, yet what the old ones answered to tells where to look: the
old readouts' predictions of a new input are a short list of good features for the new units. A unit
that is in both sessions, by its name, starts from its old prediction itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scatonline.readout.rows import Rows
from scatonline.readout.similarity import Similarity

_TABLES = ("alpha", "level", "mean", "scale")


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

    def products(self, z: Tensor) -> Tensor:
        """⟨row, z⟩ of ``z`` ``(width,)`` and every row, over the size: ``(count,)`` float64."""
        return self.rows.products(z, self.count) / self.size

    def own(self, z: Tensor) -> Tensor:
        """|z|² over the size."""
        return z.float().double().square().sum() / self.size

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
        return (self.rows.combined(along) + 2 * outward * z) / self.size

    def gram(self) -> Tensor:
        """Similarity between all rows, ``(count, count)`` float64."""
        table = self.rows.table()[: self.count]
        norms = self.rows.norms[: self.count] / self.size
        products = (table @ table.T).double() / self.size
        return self.similarity(products, norms[:, None], norms[None, :])


@dataclass(frozen=True)
class Ancestor:
    """An earlier readout, frozen.

    Attributes:
        memory: Its inputs.
        alpha: ``(count, outputs)`` weights.
        level: ``(outputs,)`` what it predicts for an input unlike any.
        mean: ``(outputs,)`` of its predictions.
        scale: ``(outputs,)`` factor that makes them features.
        outputs: Names of its units.
    """

    memory: Remembered
    alpha: Tensor
    level: Tensor
    mean: Tensor
    scale: Tensor
    outputs: tuple[str, ...]

    def predict(self, z: Tensor) -> Tensor:
        """Its prediction for ``z``: ``(outputs,)``."""
        return self.memory.similar(z) @ self.alpha + self.level

    def tensors(self) -> dict[str, Tensor]:
        """State that a checkpoint keeps."""
        numbers = torch.tensor([self.memory.size], dtype=torch.float64)
        kept = {name: getattr(self, name) for name in _TABLES}
        return {"rows": self.memory.rows.table(), "size": numbers, **kept}

    @classmethod
    def restored(
        cls, tensors: Mapping[str, Tensor], outputs: tuple[str, ...], similarity: Similarity
    ) -> "Ancestor":
        """Inverse of :meth:`tensors`."""
        count = len(tensors["alpha"])
        rows = Rows.of(tensors["rows"])
        memory = Remembered(similarity, float(tensors["size"]), rows, count)
        alpha, level, mean, scale = (tensors[name] for name in _TABLES)
        return cls(memory, alpha, level, mean, scale, outputs)


@dataclass(frozen=True)
class Heritage:
    """Ancestors of a readout, the newest first.

    Attributes:
        ancestors: Earlier readouts.
        heirs: For each output of the new readout the (ancestor, output) of the same name, or None.
    """

    ancestors: tuple[Ancestor, ...] = ()
    heirs: tuple[tuple[int, int] | None, ...] = ()

    @classmethod
    def of(cls, ancestors: Sequence[Ancestor], outputs: Sequence[str]) -> "Heritage":
        """For a readout of ``outputs``."""
        return cls(tuple(ancestors), tuple(_heir(ancestors, output) for output in outputs))

    def slope(self, z: Tensor, start: Tensor, features: Tensor) -> Tensor:
        """d/dz of Σ start·starting predictions + Σ features·inherited features: ``(width,)``."""
        total = torch.zeros_like(z)
        first = 0
        for number, ancestor in enumerate(self.ancestors):
            count = len(ancestor.outputs)
            weights = features[first : first + count] * ancestor.scale
            first += count
            for output, heir in enumerate(self.heirs):
                if heir is not None and heir[0] == number:
                    weights[heir[1]] += start[output]
            memory = ancestor.memory
            total = total + memory.slope(z, memory.products(z), ancestor.alpha @ weights)
        return total

    @property
    def width(self) -> int:
        """Number of inherited features."""
        return sum(len(a.outputs) for a in self.ancestors)

    def features(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Inherited features ``(width,)`` and starting predictions ``(outputs,)`` for ``z``."""
        predicted = [a.predict(z) for a in self.ancestors]
        parts = [(p - a.mean) * a.scale for p, a in zip(predicted, self.ancestors, strict=True)]
        start = [z.new_zeros(()) if h is None else predicted[h[0]][h[1]] for h in self.heirs]
        return torch.cat(parts), torch.stack(start)


def _heir(ancestors: Sequence[Ancestor], output: str) -> tuple[int, int] | None:
    for number, ancestor in enumerate(ancestors):
        if output in ancestor.outputs:
            return number, ancestor.outputs.index(output)
    return None
