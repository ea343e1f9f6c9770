"""Scattering of real signals with learnable filters: banks, one a layer, and their cascade."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scatonline.cascade import Cascade, Filters, Geometry, Path
from scatonline.config import BankSpec
from scatonline.families import make_family
from scatonline.filterbank import FilterBank
from scatonline.fourier import check_signal


class Scattering(nn.Module):
    """Scattering transform whose filters' parameters θ are the module's parameters.

    Attributes:
        geometry: Sizes of input, grid and output.
        banks: One :class:`FilterBank` a layer.
        cascade: The present arrangement of filters; replaced, never changed, by add and drop.
    """

    def __init__(self, spec: BankSpec, shape: Sequence[int]) -> None:
        """Builds the banks.

        Args:
            spec: The transform.
            shape: ``(N,)`` or ``(M, N)``.

        Raises:
            ConfigError: J is too large for ``shape``, or the family is unknown.
        """
        super().__init__()
        self.spec, self.geometry = spec, Geometry(spec, shape)
        family = make_family(spec, self.geometry.padded)
        layers = range(1, spec.max_order + 1)
        self.banks = nn.ModuleList(FilterBank(spec, family, layer) for layer in layers)
        self._phi = family.low_pass()
        self._kept: _Kept | None = None
        self.arrange()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The output channels, in order."""
        return self.cascade.paths

    def bank(self, layer: int) -> FilterBank:
        """Bank of a layer, counted from 1."""
        bank = self.banks[layer - 1]
        assert isinstance(bank, FilterBank)
        return bank

    def meta(self) -> dict[str, list[Any]]:
        """Order, key (filter ids) and scales of every output channel, in channel order."""
        return {
            "order": [path.order for path in self.paths],
            "key": [path.key for path in self.paths],
            "j": [tuple(f.scale for f in path.filters) for path in self.paths],
        }

    def add(self, layer: int, scale: int, values: Sequence[float], filter_id: str = "") -> str:
        """Adds a filter to a layer and returns its id; the others keep theirs."""
        added = self.bank(layer).add(scale, values, filter_id or None)
        self.arrange()
        return added

    def drop(self, layer: int, filter_id: str) -> int:
        """Removes a filter from a layer and returns the row it had."""
        row = self.bank(layer).drop(filter_id)
        self.arrange()
        return row

    def arrange(self) -> None:
        """Makes the cascade for the banks' present filters."""
        layers = [self.bank(m + 1).names for m in range(len(self.banks))]
        self.cascade = Cascade(self.geometry, layers)

    def build(self, dtype: torch.dtype = torch.float32) -> Filters:
        """Filters from the present θ, differentiable; made in float64 and cast to ``dtype``."""
        spectra = [self.bank(m + 1).spectra() for m in range(len(self.banks))]
        return self.cascade.filters(spectra, dtype)

    def low_pass(self, dtype: torch.dtype, device: torch.device) -> list[list[Tensor]]:
        """Averaging matrices by level and axis."""
        return self.geometry.low_pass([phi.to(device) for phi in self._phi], dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Scattering coefficients with filters built from the present θ.

        Without gradients, filters are built once and kept until θ differs. A program that must not
        wait for a GPU calls :meth:`build` itself and ``cascade.transform``, as the learner does.

        Args:
            x: ``(..., *shape)`` float32 or float64, finite.

        Returns:
            ``(..., channels, *output_shape)``; channels as :attr:`paths` and :meth:`meta` list
            them: order 0, order 1 by filter, order 2 by first and then second filter, ….

        Raises:
            ShapeError: ``x`` has another shape or is not a float tensor.
        """
        shape = self.geometry.shape
        check_signal(x, shape)
        batch = x.shape[: x.dim() - len(shape)]
        low_pass, filters = self._prepared(x)
        flat = self.cascade.transform(x.reshape(-1, *shape), filters, low_pass)
        return flat.reshape(*batch, *flat.shape[1:])

    def _prepared(self, x: Tensor) -> tuple[list[list[Tensor]], Filters]:
        """Averaging matrices and filters; kept until θ changes where no gradient is asked for."""
        thetas = [self.bank(m + 1).theta for m in range(len(self.banks))]
        if torch.is_grad_enabled() and any(theta.requires_grad for theta in thetas):
            return self.low_pass(x.dtype, x.device), self.build(x.dtype)
        if self._kept is None or not self._kept.serves(self.cascade, thetas, x):
            with torch.no_grad():
                self._kept = _Kept(
                    self.cascade,
                    [theta.detach().clone() for theta in thetas],
                    self.low_pass(x.dtype, x.device),
                    self.build(x.dtype),
                )
        return self._kept.low_pass, self._kept.filters


@dataclass(frozen=True)
class _Kept:
    """Filters made before, and what they were made for."""

    cascade: Cascade
    thetas: list[Tensor]
    low_pass: list[list[Tensor]]
    filters: Filters

    def serves(self, cascade: Cascade, thetas: Sequence[Tensor], x: Tensor) -> bool:
        """Whether they are the filters of ``cascade`` at ``thetas`` for inputs like ``x``.

        θ is compared by value: version counters miss writes through ``.data``.
        """
        made = self.low_pass[0][0]
        return (
            self.cascade is cascade
            and (made.dtype, made.device) == (x.dtype, x.device)
            and all(torch.equal(a, b) for a, b in zip(self.thetas, thetas, strict=True))
        )
