"""Which filters stand at one moment of a check, and the window's columns under them."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scatonline.cascade import FilterName
from scatonline.config import ModelSpec
from scatonline.features import Layout, Standardiser
from scatonline.past import shifted
from scatonline.scattering import Scattering
from scatonline.structure.candidates import NewFilter

# Inputs transformed together when a window's columns are computed anew.
_CHUNK = 32
# Bounds under which a filter's going leaves the others as they were.
_INDEPENDENT = ("none", "open")


@dataclass(frozen=True)
class Standing:
    """Banks and columns; never changed.

    Attributes:
        spec: The model's specification.
        scattering: The banks.
        layout: Their columns.
        standardiser: Of those.
        inputs: ``(samples, channels, *shape)`` float32.
        before: ``(samples, lags)`` places of the samples that came before each, −1 where not held.
        x: ``(samples, columns)`` float64, standardised.
        groups: Columns of every path through each filter, by id; filters without any are left out.
    """

    spec: ModelSpec
    scattering: Scattering
    layout: Layout
    standardiser: Standardiser
    inputs: Tensor
    before: Tensor
    x: Tensor
    groups: Mapping[str, Tensor]

    @classmethod
    def of(
        cls,
        spec: ModelSpec,
        scattering: Scattering,
        standardiser: Standardiser,
        inputs: Tensor,
        before: Tensor,
    ) -> "Standing":
        """Transforms the window: each input once, however many samples see its columns."""
        layout = Layout(spec, scattering.cascade)
        x = standardiser(shifted(_columns(scattering, layout, inputs), before)).cpu()
        groups = _groups(scattering, layout)
        return cls(spec, scattering, layout, standardiser, inputs, before, x, groups)

    def without(self, layer: int, filter_id: str) -> "Standing":
        """After one filter went.

        Raises:
            NumericalError: the bound is ``tight`` and a frequency would be left without a filter.
        """
        scattering = copy.deepcopy(self.scattering)
        scattering.drop(layer, filter_id)
        layout = Layout(self.spec, scattering.cascade)
        index = layout.carried_from(self.layout)
        nothing = self.standardiser.mean[:0]
        standardiser = self.standardiser.carried(index.to(nothing.device), nothing, nothing)
        if self.spec.bank.bound not in _INDEPENDENT:
            return Standing.of(self.spec, scattering, standardiser, self.inputs, self.before)
        return self._with(scattering, layout, standardiser, self.x[:, index])

    def plus(self, layer: int, filters: Sequence[NewFilter]) -> tuple["Standing", list[str]]:
        """After filters came, and their ids. New columns are standardised over the window."""
        scattering = copy.deepcopy(self.scattering)
        ids = [scattering.add(layer, new.scale, new.values) for new in filters]
        layout = Layout(self.spec, scattering.cascade)
        columns = _columns(scattering, layout, self.inputs)
        index = layout.carried_from(self.layout).to(columns.device)
        came = index[: layout.single] < 0
        weight = layout.weight[: layout.single].to(columns.device)
        new = Standardiser.fit(columns[:, came], weight[came], self.spec.features.lags)
        standardiser = self.standardiser.carried(index, new.mean, new.scale)
        x = standardiser(shifted(columns, self.before)).cpu()
        return self._with(scattering, layout, standardiser, x), ids

    def name(self, filter_id: str) -> FilterName:
        """Who a filter is."""
        names = (name for layer in self.scattering.cascade.layers for name in layer)
        return next(name for name in names if name.id == filter_id)

    def may_go(self, name: FilterName, fewest: int) -> bool:
        """Whether the limits on numbers let a filter go.

        Every scale keeps ``fewest`` filters and one at least; but with ``fewest`` = 0 the coarsest
        scale of a layer may lose its last one, and so may a layer, unless it is the first one or
        deeper ones stand on it.
        """
        layers = self.scattering.cascade.layers
        mine = layers[name.layer - 1]
        if sum(other.scale == name.scale for other in mine) > max(fewest, 1):
            return True
        if fewest > 0 or name.scale < max(other.scale for other in mine):
            return False
        return len(mine) > 1 or (name.layer > 1 and not any(layers[name.layer :]))

    def _with(
        self, scattering: Scattering, layout: Layout, standardiser: Standardiser, x: Tensor
    ) -> "Standing":
        groups = _groups(scattering, layout)
        return replace(
            self,
            scattering=scattering,
            layout=layout,
            standardiser=standardiser,
            x=x,
            groups=groups,
        )


def _groups(scattering: Scattering, layout: Layout) -> dict[str, Tensor]:
    names = [name for layer in scattering.cascade.layers for name in layer]
    columns = {name.id: torch.tensor(layout.columns_of(name.id)) for name in names}
    return {filter_id: c for filter_id, c in columns.items() if len(c)}


def _columns(scattering: Scattering, layout: Layout, inputs: Tensor) -> Tensor:
    """``(samples, single)``, each input's own ones."""
    with torch.no_grad():
        filters = scattering.build()
        averages = scattering.averages(torch.float32, inputs.device)
        pieces = torch.split(inputs, _CHUNK)
        return torch.cat([layout.columns(x, filters, averages) for x in pieces])
