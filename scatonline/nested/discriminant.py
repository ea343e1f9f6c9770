"""Linear discriminant analysis as the weights of a softmax readout.

Classes that are Gaussian with one covariance Σ in common have log-probabilities linear in the
columns, with weights Σ⁻¹m_k and intercepts −½m_kᵀΣ⁻¹m_k. Regressing on one-hot targets finds the
same directions but no right level for each class, so that a class between two others is masked by
them (Hastie, Tibshirani & Friedman 2009, ch. 4). Σ is shrunk towards a multiple of the identity,
(1 − s)Σ + s·tr(Σ)/d (Friedman 1989); samples being fewer than columns, its inverse is taken in
their space.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_SHRINKAGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4)
_FOLDS = 5


@dataclass(frozen=True)
class Discriminant:
    """Log-probabilities up to what all classes share.

    Attributes:
        weights: ``(columns + 1, classes)`` float64, intercepts first.
        shrinkage: s.
        accuracy: Of held-out folds at s.
    """

    weights: Tensor
    shrinkage: float
    accuracy: float

    def __call__(self, z: Tensor) -> Tensor:
        """Scores of ``(samples, columns)``: ``(samples, classes)``."""
        return self.weights[0] + z @ self.weights[1:]


def discriminant(z: Tensor, classes: Tensor, count: int, groups: Tensor, seed: int) -> Discriminant:
    """Fits, with the shrinkage that is best on held-out folds.

    Args:
        z: ``(samples, columns)`` standardised, float64; or ``(views, samples, columns)``: each view
            of a sample is fitted to, and the mean of its views is what held-out ones are told by.
        classes: ``(samples,)`` class numbers.
        count: Number of classes; those without a sample are never predicted.
        groups: ``(samples,)``, samples of one group are held out together.
        seed: Of the folds.
    """
    views = z if z.dim() == 3 else z[None]
    fold = _folds(classes, groups, seed)
    hits = dict.fromkeys(_SHRINKAGES, 0.0)
    for turn in range(_FOLDS):
        fitted, held = fold != turn, fold == turn
        if not held.any() or not fitted.any():
            continue
        within = _Within.of(views[:, fitted], classes[fitted], count)
        for shrinkage in _SHRINKAGES:
            weights = within.weights(shrinkage)
            scores = weights[0] + views[:, held].mean(0) @ weights[1:]
            hits[shrinkage] += float((scores.argmax(1) == classes[held]).sum())
    # Of equal ones the strongest: it depends least on the samples.
    best = max(_SHRINKAGES, key=lambda s: (hits[s], s))
    weights = _Within.of(views, classes, count).weights(best)
    return Discriminant(weights, best, hits[best] / len(classes))


def viewed(z: Tensor, classes: Tensor, count: int, groups: Tensor, seed: int) -> Discriminant:
    """Fits to every view, or to the means of views: whichever is better on held-out folds.

    Args:
        z: ``(views, samples, columns)`` standardised, float64.
        classes: As in :func:`discriminant`.
        count: Likewise.
        groups: Likewise.
        seed: Likewise.
    """
    means = discriminant(z.mean(0), classes, count, groups, seed)
    if len(z) == 1:
        return means
    every = discriminant(z, classes, count, groups, seed)
    return every if every.accuracy > means.accuracy else means


@dataclass(frozen=True)
class _Within:
    """Class means, and deviations from them in the space of samples.

    Attributes:
        means: ``(classes, columns)``, NaN for a class without a sample.
        deviations: ``(samples, columns)``.
        values, vectors: Eigenvalues and eigenvectors of RRᵀ.
    """

    means: Tensor
    deviations: Tensor
    values: Tensor
    vectors: Tensor

    @classmethod
    def of(cls, views: Tensor, classes: Tensor, count: int) -> "_Within":
        z, classes = views.flatten(0, 1), classes.repeat(len(views))
        chosen = torch.nn.functional.one_hot(classes, count).to(z.dtype)
        means = (chosen.T @ z) / chosen.sum(0)[:, None]
        deviations = z - means[classes]
        values, vectors = torch.linalg.eigh(deviations @ deviations.T)
        return cls(means, deviations, values.clamp_min(0), vectors)

    def weights(self, shrinkage: float) -> Tensor:
        """``(columns + 1, classes)``."""
        count, columns = self.deviations.shape
        # Deviations that are all 0 leave any direction as good as another.
        level = max(float(self.values.sum()) / count / columns, 1e-12) * shrinkage
        share = (1 - shrinkage) / count
        present = ~torch.isnan(self.means[:, 0])
        means = torch.nan_to_num(self.means)
        inner = self.vectors.T @ (self.deviations @ means.T)
        inner = self.vectors @ (inner / (share * self.values + level)[:, None])
        weights = (means.T - share * (self.deviations.T @ inner)) / level
        intercept = -0.5 * (means.T * weights).sum(0)
        intercept = torch.where(present, intercept, _NEVER)
        return torch.cat((intercept[None], torch.where(present, weights, 0.0)))


_NEVER = -1e4


def _folds(classes: Tensor, groups: Tensor, seed: int) -> Tensor:
    """Every group's fold, dealt out within each class in random order."""
    names, inverse = torch.unique(groups, return_inverse=True)
    label = torch.zeros(len(names), dtype=classes.dtype)
    label[inverse] = classes
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    order = order[torch.argsort(label[order], stable=True)]
    fold = torch.empty(len(names), dtype=torch.long)
    fold[order] = torch.arange(len(names)) % _FOLDS
    return fold[inverse]
