"""What a new readout takes over from the ones before it: their predictions, as they last made them.

The units of two sessions need not match, yet what the old ones answered to tells where to look: the
old readouts' predictions of a new input are a short list of good features for the new units. A unit
that is in both sessions, by its name, starts from its old prediction itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scatonline.readout.remembered import Remembered
from scatonline.readout.rows import Rows
from scatonline.readout.similarity import CONSTANT, Similarity

_TABLES = ("alpha", "level", "mean", "scale")


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

    @classmethod
    def fitted(
        cls,
        memory: Remembered,
        targets: Tensor,
        noise: Tensor,
        unit: Tensor,
        outputs: tuple[str, ...],
    ) -> "Ancestor":
        """What was remembered, with weights of its own for all of it.

        What a readout had inherited is put into them, too, so that the chain of ancestors stays
        short however many sessions there have been.

        Args:
            memory: The inputs.
            targets: ``(count, outputs)``.
            noise: Its share in them.
            unit: ``(outputs,)``, one over their standard deviation.
            outputs: Their names.
        """
        gram = memory.gram() + CONSTANT
        eye = torch.eye(memory.count, dtype=gram.dtype).to(gram)
        root = torch.linalg.cholesky(gram + noise * eye)
        # Solvers leave columns one after the other, a checkpoint rows; products round otherwise.
        alpha = torch.cholesky_solve(targets, root).contiguous()
        fitted = targets - noise * alpha
        mean = fitted.mean(0)
        power = ((fitted - mean) * unit).square().sum(1).mean().clamp_min(1e-12)
        level = CONSTANT * alpha.sum(0)
        return cls(memory, alpha, level, mean, unit * power.rsqrt(), outputs)

    def tensors(self) -> dict[str, Tensor]:
        """State that a checkpoint keeps."""
        numbers = torch.tensor([self.memory.size], dtype=torch.float64)
        kept = {name: getattr(self, name) for name in _TABLES}
        rows = self.memory.rows
        return {"rows": rows.table(), "weight": rows.weight, "size": numbers, **kept}

    @classmethod
    def restored(
        cls, tensors: Mapping[str, Tensor], outputs: tuple[str, ...], similarity: Similarity
    ) -> "Ancestor":
        """Inverse of :meth:`tensors`."""
        count = len(tensors["alpha"])
        rows = Rows.of(tensors["rows"], tensors["weight"])
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

    @classmethod
    def restored(
        cls,
        tensors: Mapping[str, Tensor],
        names: Sequence[tuple[str, ...]],
        similarity: Similarity,
        outputs: Sequence[str],
    ) -> "Heritage":
        """Inverse of :meth:`tensors`.

        Args:
            tensors: A checkpoint's; others may be among them.
            names: Outputs of every ancestor.
            similarity: Of all of them.
            outputs: Those of the readout that inherits.
        """
        ancestors = []
        for number, own in enumerate(names):
            start = f"ancestor.{number}."
            parts = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
            ancestors.append(Ancestor.restored(parts, own, similarity))
        return cls.of(ancestors, outputs)

    def tensors(self) -> dict[str, Tensor]:
        """State that a checkpoint keeps, of all ancestors."""
        return {
            f"ancestor.{number}.{name}": part
            for number, ancestor in enumerate(self.ancestors)
            for name, part in ancestor.tensors().items()
        }

    @property
    def width(self) -> int:
        """Number of inherited features."""
        return sum(len(a.outputs) for a in self.ancestors)

    def answer(self, z: Tensor) -> "Answer":
        """What all ancestors say of an input, standardised columns ``(width,)``."""
        products = tuple(a.memory.products(z) for a in self.ancestors)
        said = [
            a.memory.alike(p, a.memory.own(z)) @ a.alpha + a.level
            for p, a in zip(products, self.ancestors, strict=True)
        ]
        parts = [(p - a.mean) * a.scale for p, a in zip(said, self.ancestors, strict=True)]
        start = [z.new_zeros(()) if h is None else said[h[0]][h[1]] for h in self.heirs]
        return Answer(torch.cat([*parts, z.new_zeros(0)]), torch.stack(start), products)

    def slope(self, z: Tensor, answer: "Answer", start: Tensor, features: Tensor) -> Tensor:
        """d/dz of Σ start·starting predictions + Σ features·inherited features: ``(width,)``.

        Args:
            z: What was answered about.
            answer: From :meth:`answer`.
            start: ``(outputs,)`` weights.
            features: ``(inherited,)`` weights.
        """
        total, first = torch.zeros_like(z), 0
        for number, ancestor in enumerate(self.ancestors):
            count = len(ancestor.outputs)
            weights = features[first : first + count] * ancestor.scale
            first += count
            for output, heir in enumerate(self.heirs):
                if heir is not None and heir[0] == number:
                    weights[heir[1]] += start[output]
            products = answer.products[number]
            total = total + ancestor.memory.slope(z, products, ancestor.alpha @ weights)
        return total

    def carried(self, index: Tensor) -> "Heritage":
        """For other columns, see :meth:`Remembered.carried`."""
        moved = (replace(a, memory=a.memory.carried(index)) for a in self.ancestors)
        return replace(self, ancestors=tuple(moved))


@dataclass(frozen=True)
class Answer:
    """What ancestors say of one input.

    Attributes:
        features: ``(inherited,)`` their predictions, standardised.
        start: ``(outputs,)`` what the new readout's outputs start from; 0 for one that is new.
        products: ⟨row, z⟩ with what each ancestor remembers.
    """

    features: Tensor
    start: Tensor
    products: tuple[Tensor, ...]


def _heir(ancestors: Sequence[Ancestor], output: str) -> tuple[int, int] | None:
    for number, ancestor in enumerate(ancestors):
        if output in ancestor.outputs:
            return number, ancestor.outputs.index(output)
    return None
