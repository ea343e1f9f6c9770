"""How good banks are: a ridge readout fitted to some samples, scored on the others."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scatonline.cascade import Averages, Filters
from scatonline.config import ModelSpec
from scatonline.features import Layout, Standardiser
from scatonline.nested.calibration import CalibrationSet
from scatonline.nested.ridge import Groups, best_ridge, filled, predict
from scatonline.scattering import Scattering
from scatonline.structure import Difference

# Inputs transformed together.
_CHUNK = 32


@dataclass(frozen=True)
class Verdict:
    """Scores of banks.

    Attributes:
        explained: Held-out explained variance, 1 − error/variance, mean over observed targets.
        accuracy: Held-out share of right classes; None for values and counts.
        left_out: Explained variance of fitted samples, each by the fit without its group.
        ridge: Of least left-out error.
        standardiser: Of the columns of the fitted samples.
        losses: Squared error of every held-out sample in units of variance, ``(held,)``.
    """

    explained: float
    accuracy: float | None
    left_out: float
    ridge: float
    standardiser: Standardiser
    losses: Tensor

    def gain_over(self, other: "Verdict") -> Difference:
        """Held-out explained variance beyond another's, sample by sample."""
        return Difference.of((other.losses - self.losses)[None])


@dataclass(frozen=True)
class Judge:
    """A fixed split of a calibration set.

    Attributes:
        spec: The model.
        fitted: Samples that the readout is fitted to.
        held: Samples that it is scored on.
    """

    spec: ModelSpec
    fitted: CalibrationSet
    held: CalibrationSet

    def __call__(self, scattering: Scattering) -> Verdict:
        """Fits and scores."""
        layout = Layout(self.spec, scattering.cascade)
        columns = columns_of(scattering, layout, self.fitted.inputs)
        standardise = Standardiser.fit(columns, layout.weight.to(columns.device))
        z = standardise(columns)
        new = standardise(columns_of(scattering, layout, self.held.inputs))
        count = len(self.fitted)
        targets = torch.cat((self.fitted.targets, self.held.targets))
        y, observed = filled(targets, torch.arange(count))
        gram = z @ z.T
        ridge, errors = best_ridge(gram, y[:count], Groups.of(self.fitted.groups))
        prediction = predict(gram, y[:count], new @ z.T, ridge)
        losses = _mean_square(y[count:] - prediction, observed[count:])
        return Verdict(
            explained=1 - float(losses.nanmean()),
            accuracy=self._accuracy(prediction, y[count:]),
            left_out=1 - float(_mean_square(errors, observed[:count]).nanmean()),
            ridge=ridge,
            standardiser=standardise,
            losses=losses,
        )

    def _accuracy(self, prediction: Tensor, y: Tensor) -> float | None:
        if self.spec.readout.kind != "softmax":
            return None
        targets = self.fitted.targets.double()
        varied = targets.var(0) > 0
        spread, mean = targets.std(0, correction=0)[varied], targets.mean(0)[varied]
        scores = prediction * spread + mean
        true = y * spread + mean
        return float((scores.argmax(1) == true.argmax(1)).double().mean())


def columns_of(scattering: Scattering, layout: Layout, inputs: Tensor) -> Tensor:
    """Raw columns without a graph, ``(samples, columns)`` float32."""
    return torch.cat(_transformed(scattering, inputs, layout.columns))


def views_of(scattering: Scattering, layout: Layout, inputs: Tensor) -> Tensor:
    """Raw columns of every view without a graph, ``(views, samples, columns)`` float32."""
    return torch.cat(_transformed(scattering, inputs, layout.of_views), 1)


def _transformed(
    scattering: Scattering,
    inputs: Tensor,
    transform: Callable[[Tensor, Filters, Averages | None], Tensor],
) -> list[Tensor]:
    with torch.no_grad():
        filters = scattering.build()
        averages = scattering.averages(torch.float32, inputs.device)
        return [transform(x, filters, averages) for x in torch.split(inputs, _CHUNK)]


def _mean_square(errors: Tensor, observed: Tensor) -> Tensor:
    """Mean over a sample's observed outputs, NaN where there is none."""
    return torch.where(observed, errors.square(), torch.nan).nanmean(1)
