"""How likely targets are under weights of columns, whatever functions of columns they come from.

Targets Y of N inputs are Gaussian with covariance a_k(K + λI) for output k, where K are
similarities of weighted columns. The amplitude a_k is each output's own and is put at its most
likely value, so that loud outputs do not drown quiet ones: minus the logarithm of the likelihood
is, but for a constant,

    L = ½ Σ_k (log det(K + λI) + n log q_k),   q_k = y_kᵀ(K + λI)⁻¹y_k,

with the gradient ½ Σ_k (P − n α_k α_kᵀ/q_k) in K, where P = (K + λI)⁻¹ and α = PY.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scatonline.readout.similarity import Similarity


@dataclass(frozen=True)
class Evidence:
    """What a session saw, as far as it speaks for weights of columns.

    Attributes:
        rows: ``(N, width)`` columns of inputs, or rows that stand for many of them.
        targets: ``(N, outputs)`` float64.
        still: ``(N, N)`` float64, the part of K that does not depend on weights.
        similarity: The rest of K, of products of weighted columns.
        size: By which products are divided.
        noise: λ.
        counted: ``(outputs,)`` n, samples that stand behind each output.
        rest: ``(outputs,)`` squares of targets that no row stands for.
        power: ``(width,)`` mean squares of columns, where only how weights compare counts: their
            sum stays what it is without weights, as ``size`` and ``noise`` refer to it. Or None.
    """

    rows: Tensor
    targets: Tensor
    still: Tensor
    similarity: Similarity
    size: float
    noise: float
    counted: Tensor
    rest: Tensor
    power: Tensor | None = None

    @property
    def observed(self) -> float:
        """Number of targets."""
        return float(self.counted.sum())

    def normal(self, weight: Tensor) -> Tensor:
        """Weights that compare alike, and keep the power if that is asked for."""
        if self.power is None:
            return weight
        return weight * (self.power.sum() / (weight * self.power).sum())

    def unlikely(self, weight: Tensor) -> tuple[float, Tensor]:
        """L, over the number of targets, and its gradient.

        Args:
            weight: ``(width,)`` float64.

        Returns:
            L and ``(width,)`` float64; L is no number where weights are beyond computing.
        """
        weighted = self.rows * weight.sqrt().to(self.rows.dtype)
        products = (weighted @ weighted.T / self.size).requires_grad_()
        norms = products.diagonal()
        with torch.enable_grad():
            similar = self.similarity(products, norms[:, None], norms[None, :])
        covariance = similar.detach().double() + self.still
        covariance.diagonal().add_(self.noise)
        root, failed = torch.linalg.cholesky_ex(covariance)
        if int(failed):
            return math.nan, torch.zeros_like(weight)
        inverse = torch.cholesky_inverse(root)
        alpha = inverse @ self.targets
        power = (self.targets * alpha).sum(0) + self.rest / self.noise
        outputs = self.targets.shape[1]
        value = outputs * root.diagonal().log().sum() + (self.counted * power.log()).sum() / 2
        slope = (outputs * inverse - (alpha * (self.counted / power)) @ alpha.T) / 2
        (along,) = torch.autograd.grad(similar, products, slope.to(similar.dtype))
        gradient = (self.rows * (along @ self.rows)).sum(0).double() / self.size
        return float(value) / self.observed, gradient / self.observed
