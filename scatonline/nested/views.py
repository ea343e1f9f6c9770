"""Columns of an input as it would look from nearer and from farther away.

A texture's class does not depend on how far the camera was, while every coefficient does. Columns
of several dilations of one input, each on a grid of its own size so that nothing is cut off and
nothing made up, tell a classifier what a change of distance does: as further samples to learn from,
and averaged, as a representation that hardly changes with it (Sifre & Mallat 2013). Averaged are
columns after their logarithm or root, so that the mean of a linear readout's scores over the views
is its score on the mean.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from scatonline.config import ModelSpec
from scatonline.errors import ConfigError
from scatonline.features import Layout
from scatonline.nested.judge import columns_of
from scatonline.scattering import Scattering


class Views:
    """The same filters on dilated inputs.

    Attributes:
        dilations: Factors by which inputs become larger.
    """

    def __init__(self, spec: ModelSpec, scattering: Scattering, dilations: Sequence[float]) -> None:
        """Puts the filters on every view's grid; their parameters are in pixels, as they were.

        Args:
            spec: The model.
            scattering: Its banks.
            dilations: Above 0; 1 is the input itself.

        Raises:
            ConfigError: a dilated input is too small for J, or features keep whole maps, which
                would differ in size.
        """
        if min(spec.features.grid) == 0:
            raise ConfigError(
                f"features.grid is {spec.features.grid}: views of different sizes have the same "
                "columns only where maps are averaged to a grid, expected no 0"
            )
        self.dilations = tuple(dilations)
        self._views = [_on_grid(spec, scattering, factor) for factor in dilations]

    def columns(self, x: Tensor) -> Tensor:
        """Columns of every view.

        Args:
            x: ``(samples, channels, *shape)`` float32, scaled.

        Returns:
            ``(views, samples, columns)`` float32.
        """
        return torch.stack(
            [
                columns_of(scattering, Layout(spec, scattering.cascade), _resized(x, spec.shape))
                for spec, scattering in self._views
            ]
        )


def _on_grid(
    spec: ModelSpec, scattering: Scattering, factor: float
) -> tuple[ModelSpec, Scattering]:
    own = replace(spec, shape=tuple(round(n * factor) for n in spec.shape))
    view = Scattering(own.bank, own.shape)
    for layer in range(1, spec.bank.max_order + 1):
        bank = scattering.bank(layer)
        tables = (table.clone() for table in bank.tables())
        view.bank(layer).restore(bank.names, bank.made, *tables)
    view.arrange()
    return own, view


def _resized(x: Tensor, shape: Sequence[int]) -> Tensor:
    if tuple(x.shape[2:]) == tuple(shape):
        return x
    if len(shape) == 1:
        return functional.interpolate(x, size=tuple(shape), mode="linear", align_corners=False)
    return functional.interpolate(
        x, size=tuple(shape), mode="bicubic", align_corners=False, antialias=True
    )
