"""Ridge regressions that know their own refits with a group of columns less or more, exactly.

Every restart is a ridge regression on the samples that its bag drew, with an intercept that is not
penalised. What it would predict for the samples that it never saw, without the columns g or with
further columns Z, follows in closed form from either of two factorisations:

* *primal*, ``P = (XᵀDX + λI)⁻¹`` over columns: ``Ŷ₋g = Ŷ − (XP)_g P_gg⁻¹ W_g``;
* *dual*, ``A = D^½XXᵀD^½ + λI = LLᵀ`` over drawn samples: with ``V = L⁻¹D^½X_g`` the refit without
  g has ``A − D^½X_gX_gᵀD^½ = L(I − VVᵀ)Lᵀ``, and with Z likewise ``L(I + VVᵀ)Lᵀ``.

X and Y are centred by the bag's own means, D holds how often each sample was drawn. The cheaper one
is taken (:func:`fit`): a window has fewer samples than a scattering transform has columns, more
often than not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from scatonline.structure.bags import Bags


@runtime_checkable
class Refit(Protocol):
    """One restart; predictions are for the samples that it never saw, ``(held, outputs)``."""

    def predictions(self) -> Tensor:
        """With all columns."""
        ...

    def without(self, group: Tensor) -> Tensor:
        """With the columns ``group`` taken out before the fit."""
        ...

    def plus(self, new: Tensor) -> Tensor:
        """With further columns ``(samples, new columns)`` there from the start."""
        ...


def fit(
    x: Tensor, y: Tensor, bags: Bags, ridge: float, groups: Sequence[Tensor] = ()
) -> list[Refit]:
    """Every restart's regression, by the cheaper factorisation.

    Args:
        x: ``(samples, columns)`` float64.
        y: ``(samples, outputs)`` float64, nothing missing.
        bags: What each restart draws.
        ridge: λ > 0.
        groups: Columns that will be taken out, for the estimate of costs.
    """
    widths = [len(group) for group in groups]
    x = x - x.mean(0)
    primal = [
        primal_cost(x.shape[1], len(bags.drawn(r)), len(x), widths)
        <= dual_cost(x.shape[1], len(bags.drawn(r)), len(x), widths)
        for r in range(len(bags))
    ]
    gram = None if all(primal) else x @ x.T
    return [
        Primal(x, y, bags, r, ridge) if cheap or gram is None else Dual(x, gram, y, bags, r, ridge)
        for r, cheap in enumerate(primal)
    ]


def primal_cost(columns: int, drawn: int, samples: int, widths: Sequence[int]) -> float:
    """Multiplications of :class:`Primal`, about."""
    groups = sum(w**3 / 3 + (samples - drawn) * w for w in widths)
    return columns**2 * (drawn + samples) + columns**3 + groups


def dual_cost(columns: int, drawn: int, samples: int, widths: Sequence[int]) -> float:
    """Multiplications of :class:`Dual`, about."""
    groups = sum(drawn * w**2 if w <= drawn else drawn**2 * w for w in widths)
    return drawn**2 * (2 * columns + samples) + drawn**3 / 3 + groups


@dataclass(frozen=True)
class _Drawn:
    """A bag's samples.

    Attributes:
        rows: Which were drawn.
        held: Which were not.
        root: √ of how often each of ``rows`` was drawn, ``(drawn, 1)``.
        share: How often, as a share of all draws.
        mean: Of the targets.
        target: D^½(Y − mean).
    """

    rows: Tensor
    held: Tensor
    root: Tensor
    share: Tensor
    mean: Tensor
    target: Tensor

    @classmethod
    def of(cls, y: Tensor, bags: Bags, restart: int) -> "_Drawn":
        rows = bags.drawn(restart)
        weight = bags.counts[restart, rows]
        root, share = weight.sqrt()[:, None], weight / weight.sum()
        mean = share @ y[rows]
        return cls(rows, bags.held(restart), root, share, mean, root * (y[rows] - mean))

    def centred(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """D^½X of the drawn samples and X of the held-out ones, both about the bag's mean."""
        mean = self.share @ x[self.rows]
        return self.root * (x[self.rows] - mean), x[self.held] - mean


class Primal:
    """By the inverse over columns."""

    def __init__(self, x: Tensor, y: Tensor, bags: Bags, restart: int, ridge: float) -> None:
        """Factorises; ``x`` as in :func:`fit`."""
        self._drawn, self._ridge = _Drawn.of(y, bags, restart), ridge
        self._x, held = self._drawn.centred(x)
        gram = self._x.T @ self._x
        gram.diagonal().add_(ridge)
        self._precision = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        self._weights = self._precision @ (self._x.T @ self._drawn.target)
        self._projected = held @ self._precision
        self._full = held @ self._weights + self._drawn.mean

    def predictions(self) -> Tensor:
        """See :class:`Refit`."""
        return self._full

    def without(self, group: Tensor) -> Tensor:
        """See :class:`Refit`."""
        inner = self._precision[group][:, group]
        shift = torch.cholesky_solve(self._weights[group], torch.linalg.cholesky(inner))
        return self._full - self._projected[:, group] @ shift

    def plus(self, new: Tensor) -> Tensor:
        """See :class:`Refit`."""
        z, held = self._drawn.centred(new)
        cross = self._x.T @ z
        inner = z.T @ z - cross.T @ (self._precision @ cross)
        inner.diagonal().add_(self._ridge)
        left = self._drawn.target - self._x @ self._weights
        weights = torch.cholesky_solve(z.T @ left, torch.linalg.cholesky(inner))
        return self._full + (held - self._projected @ cross) @ weights


class Dual:
    """By the Cholesky factor over drawn samples."""

    def __init__(
        self, x: Tensor, gram: Tensor, y: Tensor, bags: Bags, restart: int, ridge: float
    ) -> None:
        """Factorises; ``gram`` is XXᵀ of all samples, ``x`` as in :func:`fit`."""
        self._drawn = drawn = _Drawn.of(y, bags, restart)
        inner, across = _centred(gram, drawn)
        inner *= drawn.root * drawn.root.T
        inner.diagonal().add_(ridge)
        self._factor = torch.linalg.cholesky(inner)
        self._x, self._held = drawn.centred(x)
        self._whitened: Tensor | None = None
        self._u = _solve(self._factor, drawn.target)
        # Held-out predictions are this times what stands between L⁻¹Y and its correction.
        self._reach = _solve(self._factor, (across * drawn.root.T).T).T
        self._full = self._reach @ self._u + drawn.mean

    def predictions(self) -> Tensor:
        """See :class:`Refit`."""
        return self._full

    def without(self, group: Tensor) -> Tensor:
        """See :class:`Refit`."""
        if self._whitened is None:
            self._whitened = _solve(self._factor, self._x)
        return self._changed(self._whitened[:, group], self._held[:, group], -1.0)

    def plus(self, new: Tensor) -> Tensor:
        """See :class:`Refit`."""
        z, held = self._drawn.centred(new)
        return self._changed(_solve(self._factor, z), held, 1.0)

    def _changed(self, v: Tensor, held: Tensor, sign: float) -> Tensor:
        """Predictions once ``sign`` · ZZᵀ is added to A, given L⁻¹Z and Z of held-out samples."""
        if v.shape[1] <= v.shape[0]:
            inner = sign * (v.T @ v)
            inner.diagonal().add_(1)
            turned = v.T @ self._u
            u = self._u - sign * (v @ torch.cholesky_solve(turned, torch.linalg.cholesky(inner)))
        else:
            inner = sign * (v @ v.T)
            inner.diagonal().add_(1)
            u = torch.cholesky_solve(self._u, torch.linalg.cholesky(inner))
        return self._reach @ u + sign * (held @ (v.T @ u)) + self._drawn.mean


def _centred(gram: Tensor, drawn: _Drawn) -> tuple[Tensor, Tensor]:
    """Products of drawn samples with each other and of held-out ones with them, all centred."""
    inner = gram[drawn.rows][:, drawn.rows]
    across = gram[drawn.held][:, drawn.rows]
    mean = inner @ drawn.share
    level = mean @ drawn.share
    return (
        inner - mean[:, None] - mean + level,
        across - (across @ drawn.share)[:, None] - mean + level,
    )


def _solve(factor: Tensor, right: Tensor) -> Tensor:
    solved: Tensor = torch.linalg.solve_triangular(factor, right, upper=False)
    return solved
