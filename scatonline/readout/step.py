"""What a recursive readout says of a sample and learns from it, in two forms.

One, of PyTorch's operations, runs on any device. The other does the same on a processor without a
call for every operation, on which a small readout would spend most of its time. They differ by
rounding only.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scatonline.config import ReadoutKind, ReadoutSpec
from scatonline.kernels import regression
from scatonline.readout.links import LEAST_LOG, LINKS, RATE_LIMIT, Link

_CURVATURE = (0.05, 20.0)
_COUNT_FLOOR = 0.05
_LIMITS = regression.Limits(*_CURVATURE, _COUNT_FLOOR, LEAST_LOG, RATE_LIMIT)


@dataclass(frozen=True)
class Counts:
    """What the observed targets have been like.

    Attributes:
        table: ``(3, outputs)`` float64: their sum, their number, the largest. Never changed in
            place, so that a reader may keep it.
    """

    table: Tensor

    @classmethod
    def none(cls, outputs: int, device: str) -> "Counts":
        """Of no targets."""
        return cls(torch.zeros(3, outputs, dtype=torch.float64, device=device))

    @classmethod
    def of(cls, total: Tensor, seen: Tensor, peak: Tensor) -> "Counts":
        """From its rows."""
        return cls(torch.stack((total, seen, peak)))

    @property
    def total(self) -> Tensor:
        """Sum, an entry an output."""
        return self.table[regression.TOTAL]

    @property
    def seen(self) -> Tensor:
        """Number."""
        return self.table[regression.SEEN]

    @property
    def peak(self) -> Tensor:
        """The largest."""
        return self.table[regression.PEAK]

    def anchor(self, link: Link) -> Tensor:
        """By what steps are divided: the mean count; 1 where there are no counts."""
        if not link.anchored:
            return torch.ones_like(self.total)
        # One virtual observation of 1 keeps the first samples' steps finite.
        return ((self.total + 1) / (self.seen + 1)).clamp_min(_COUNT_FLOOR)

    def succeeding(self, earlier: "Counts", here: Tensor, there: Tensor) -> "Counts":
        """With those of an earlier session's outputs ``there`` in the place of ``here``."""
        return Counts(self.table.index_copy(1, here, earlier.table[:, there]))


@dataclass(frozen=True)
class Step:
    """What a sample has changed, and what it has said.

    Attributes:
        counts: With its targets.
        weights: ``(width + 1, outputs)``, the intercept first.
        eta: ``(outputs,)``, linear predictors before it.
        residual: ``(outputs,)``, target − mean after it, over the anchor; 0 where missing.
        reach: zᵀP z/γ.
        curvature: h.
    """

    counts: Counts
    weights: Tensor
    eta: Tensor
    residual: Tensor
    reach: Tensor | float
    curvature: Tensor | float


def predict(kind: ReadoutKind, weights: Tensor, counts: Counts, z: Tensor) -> Tensor:
    """Predictions of ``weights`` with the intercept first.

    A rate, being a mean count, is never given above the largest count seen (and one): the
    exponential of a linear predictor knows no ceiling, a cell does.

    Args:
        kind: Meaning of the targets.
        weights: ``(width + 1, outputs)`` float64.
        counts: Of the targets seen.
        z: ``(..., width)`` standardised columns, float64.
    """
    if z.dim() == 1 and z.device.type == "cpu":
        said = np.empty(weights.shape[1])
        regression.expected(kind, _LIMITS, z.numpy(), weights.numpy(), counts.table.numpy(), said)
        return torch.from_numpy(said)
    link = LINKS[kind]
    mean = link.mean(weights[0] + z @ weights[1:])
    return torch.minimum(mean, counts.peak.clamp_min(1.0)) if link.anchored else mean


def step(
    spec: ReadoutSpec, z: Tensor, target: Tensor, counts: Counts, precision: Tensor, weights: Tensor
) -> Step:
    """Learns from one sample, in the form that suits the device.

    Args:
        spec: Kind and forgetting.
        z: ``(width,)`` standardised columns, float64.
        target: ``(outputs,)`` float64, NaN where missing.
        counts: Of the targets before.
        precision: P, ``(width + 1, width + 1)`` float64, contiguous; changed in place.
        weights: ``(width + 1, outputs)`` float64; left alone.
    """
    form = compiled if z.device.type == "cpu" else portable
    return form(spec, z, target, counts, precision, weights)


def portable(
    spec: ReadoutSpec, z: Tensor, target: Tensor, counts: Counts, precision: Tensor, weights: Tensor
) -> Step:
    """:func:`step` on any device, without a wait for it."""
    link = LINKS[spec.kind]
    counts = Counts.of(
        counts.total + torch.nan_to_num(target, nan=0.0),
        counts.seen + (~torch.isnan(target)),
        torch.fmax(counts.peak, target),
    )
    anchor = counts.anchor(link)
    one_z = torch.cat((z.new_ones(1), z))
    direction = precision @ one_z / spec.forgetting
    reach = one_z @ direction
    eta = one_z @ weights
    settled = link.settled(eta, target, reach / anchor)
    residual = link.residual(settled, target) / anchor
    curvature = (link.curvature(settled) / anchor).nanmean().clamp(*_CURVATURE)
    if spec.forgetting < 1:
        precision.div_(spec.forgetting)
    precision.addr_(-curvature / (1 + curvature * reach) * direction, direction)
    weights = weights + torch.outer(direction, residual)
    return Step(counts, weights, eta, residual, reach, curvature)


def compiled(
    spec: ReadoutSpec, z: Tensor, target: Tensor, counts: Counts, precision: Tensor, weights: Tensor
) -> Step:
    """:func:`step` on a processor."""
    before = weights.numpy()
    after, direction = np.empty_like(before), np.empty(len(before))
    made = np.empty((5, before.shape[1]))
    reach, curvature = regression.step(
        spec.kind,
        _LIMITS,
        spec.forgetting,
        z.numpy(),
        target.numpy(),
        counts.table.numpy(),
        precision.numpy(),
        before,
        after,
        direction,
        made,
    )
    rows = torch.from_numpy(made)
    return Step(
        Counts(rows[: regression.ETA]),
        torch.from_numpy(after),
        rows[regression.ETA],
        rows[regression.RESIDUAL],
        reach,
        curvature,
    )
