"""Scattering of real signals with learnable filters: banks, one a layer, and their cascade."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scatonline.cascade import Averages, Cascade, Filters, Geometry, LowPass, Path, Use
from scatonline.config import Aliases, Average, BankSpec, Bound, Padding
from scatonline.errors import ConfigError, UnknownName
from scatonline.families import make_family
from scatonline.filterbank import FilterBank
from scatonline.fourier import check_signal


class Scattering(nn.Module):
    """Scattering transform whose filters' parameters θ are the module's parameters.

    :class:`Scattering2D` and :class:`Scattering1D` take their arguments one by one.

    Attributes:
        spec: The transform.
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
        # Beside the registered list, which is slow to ask and tells nothing about types.
        self._banks = tuple(FilterBank(spec, family, layer) for layer in layers)
        self.banks = nn.ModuleList(self._banks)
        self._phi = LowPass.of(family.low_pass(kept_norm=spec.bound == "none"))
        self._averages: dict[tuple[torch.dtype, torch.device], Averages | None] = {}
        self._kept: _Kept | None = None
        self.arrange()
        self.register_load_state_dict_post_hook(_rearrange)  # type: ignore[no-untyped-call]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The output channels, in order."""
        return self.cascade.paths

    def bank(self, layer: int) -> FilterBank:
        """Bank of a layer, counted from 1.

        Raises:
            UnknownName: there is no such layer.
        """
        if not 1 <= layer <= len(self._banks):
            raise UnknownName(
                f"no layer {layer}: this transform has layers 1 to {len(self._banks)}"
            )
        return self._banks[layer - 1]

    def meta(self) -> dict[str, list[Any]]:
        """What every output channel is, in channel order.

        Returns:
            ``order``: number of filters; ``key``: their ids; ``n``: their rows in the banks; ``j``:
            their scales; and under the name of each of the family's parameters its values. All but
            ``order`` are tuples, first layer first.
        """
        meta: dict[str, list[Any]] = {
            "order": [path.order for path in self.paths],
            "key": [path.key for path in self.paths],
            "n": list(self.cascade.plan.rows),
            "j": [tuple(f.scale for f in path.filters) for path in self.paths],
        }
        tables = [bank.values().tolist() for bank in self._banks]
        parameters = self._banks[0].family.parameters if self._banks else ()
        for column, parameter in enumerate(parameters):
            meta[parameter.name] = [
                tuple(tables[m][row][column] for m, row in enumerate(rows)) for rows in meta["n"]
            ]
        return meta

    def add(self, layer: int, scale: int, values: Sequence[float], filter_id: str = "") -> str:
        """Adds a filter to a layer and returns its id; the others keep theirs.

        Only the new filter is evaluated when the transform is next used without gradients.

        Args:
            layer: From 1.
            scale: Dyadic scale j.
            values: The family's parameters, in its order.
            filter_id: Id to give it; made up otherwise.

        Raises:
            ConfigError: ``values`` are not what the family takes.
        """
        added = self.bank(layer).add(scale, values, filter_id or None)
        self.arrange()
        return added

    def drop(self, layer: int, filter_id: str) -> int:
        """Removes a filter from a layer and returns the row it had; no other is evaluated anew.

        Raises:
            UnknownName: no filter has that id.
        """
        row = self.bank(layer).drop(filter_id)
        self.arrange()
        return row

    def arrange(self) -> None:
        """Makes the cascade for the banks' present filters."""
        layers = [bank.names for bank in self._banks]
        self.cascade = Cascade(self.geometry, layers)
        uses = self.cascade.plan.uses
        damping = self.geometry.damping
        self._uses = [
            {use: damping(use.level) for use in uses if use.layer == m + 1}
            for m in range(len(self._banks))
        ]

    def build(self, dtype: torch.dtype = torch.float32) -> Filters:
        """Filters from the present θ, differentiable; made in float64 and cast to ``dtype``."""
        psi: dict[Use, Tensor] = {}
        for bank, uses in zip(self._banks, self._uses, strict=True):
            psi |= bank.folded(uses, dtype)
        return Filters(psi)

    def averages(self, dtype: torch.dtype, device: torch.device) -> Averages | None:
        """Averaging by φ on every level; None for the average ``none``."""
        key = dtype, device
        if key not in self._averages:
            # What is made in inference mode could be part of no graph later.
            with torch.inference_mode(False):
                self._averages[key] = self.geometry.averages(self._phi.to(device), dtype)
        return self._averages[key]

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Scattering coefficients with filters built from the present θ.

        Without gradients, filters are built once and kept until θ differs: on a processor by value,
        elsewhere, where looking would make the host wait, by PyTorch's count of in-place changes.

        Args:
            x: ``(..., *shape)`` float32 or float64. That it is finite is checked on a processor.

        Returns:
            ``(..., channels, *output_shape)``; channels as :attr:`paths` and :meth:`meta` list
            them: order 0, order 1 by filter, order 2 by first and then second filter, …. Without
            averaging a list, ``(..., *size)`` for every channel.

        Raises:
            ShapeError: ``x`` has another shape or is not a float tensor.
            NumericalError: ``x`` holds NaN or infinite entries.
        """
        if torch.is_autocast_enabled(x.device.type):
            # Sums of products in half precision would be no scattering coefficients.
            with torch.autocast(x.device.type, enabled=False):
                return self.forward(x)
        shape = self.geometry.shape
        check_signal(x, shape)
        batch = x.shape[: x.dim() - len(shape)]
        flat, filters = x.reshape(-1, *shape), self._filters(x)
        averages = self.averages(x.dtype, x.device)
        if averages is None:
            return [u.view(*batch, *u.shape[1:]) for u in self.cascade.moduli(flat, filters)]
        maps = self.cascade.transform(flat, filters, averages)
        return maps.view(*batch, *maps.shape[1:])

    def _filters(self, x: Tensor) -> Filters:
        """Filters for inputs like ``x``; kept until θ changes where no gradient is asked for."""
        thetas = [bank.theta for bank in self._banks]
        learning = torch.is_grad_enabled() and any(theta.requires_grad for theta in thetas)
        if learning or torch.compiler.is_compiling():
            return self.build(x.dtype)
        # Other threads may replace what is kept between looking at it and using it.
        kept = self._kept
        if kept is None or not kept.serves(self.cascade, thetas, x):
            with torch.inference_mode(mode=False), torch.no_grad():
                kept = self._kept = _Kept.of(self.cascade, thetas, x, self.build(x.dtype))
        return kept.filters


class Scattering2D(Scattering):
    """Scattering of images.

    With ``bound="none"`` the coefficients are those of Kymatio 0.3.0's class of this name.
    """

    def __init__(  # noqa: PLR0913 (the field's names, one by one)
        self,
        J: int,
        shape: Sequence[int],
        L: int = 8,
        max_order: int = 2,
        *,
        family: str = "morlet",
        bound: Bound = "clamp",
        padding: Padding = "reflect",
        average: Average = "local",
        oversampling: int = 0,
    ) -> None:
        """Builds the transform.

        Args:
            J: Number of scales; averages reach over ``2**J`` pixels.
            shape: ``(M, N)`` of an image.
            L: Orientations a scale.
            max_order: Layers of wavelets.
            family: Wavelet family.
            bound: How the frame bound is kept, see :mod:`scatonline.filterbank`.
            padding: What stands beyond the border, see :class:`BankSpec`.
            average: ``local``, ``global`` or ``none``, see :class:`BankSpec`.
            oversampling: log₂ of the extra samples kept after each filter.

        Raises:
            ConfigError: an argument is out of range, or J too large for ``shape``.
        """
        spec = BankSpec(
            family=family,
            J=J,
            L=L,
            max_order=max_order,
            padding=padding,
            bound=bound,
            oversampling=oversampling,
            average=average,
        )
        super().__init__(spec, _sizes(shape, 2))


class Scattering1D(Scattering):
    """Scattering over time.

    With ``bound="none"`` the coefficients are those of Kymatio 0.3.0's class of this name.
    """

    def __init__(  # noqa: PLR0913 (the field's names, one by one)
        self,
        J: int,
        shape: int | Sequence[int],
        Q: int | Sequence[int] = 1,
        max_order: int = 2,
        *,
        family: str = "morlet",
        bound: Bound = "clamp",
        padding: Padding = "reflect",
        average: Average = "local",
        oversampling: int = 0,
        aliases: Aliases = "mean",
    ) -> None:
        """Builds the transform.

        Args:
            J: Number of scales; averages reach over ``2**J`` samples.
            shape: Length of a signal, ``N`` or ``(N,)``.
            Q: Wavelets an octave: of the first layer, the deeper ones having one; or by layer.
            max_order: Layers of wavelets.
            family: Wavelet family.
            bound: How the frame bound is kept, see :mod:`scatonline.filterbank`.
            padding: What stands beyond the border, see :class:`BankSpec`.
            average: ``local``, ``global`` or ``none``, see :class:`BankSpec`.
            oversampling: log₂ of the extra samples kept after each filter.
            aliases: ``mean``, as Kymatio 0.3.0, or ``sum``, see :class:`BankSpec`.

        Raises:
            ConfigError: an argument is out of range, or J too large for ``shape``.
        """
        spec = BankSpec(
            family=family,
            J=J,
            Q=(Q, 1) if isinstance(Q, int) else tuple(Q),
            max_order=max_order,
            padding=padding,
            bound=bound,
            oversampling=oversampling,
            average=average,
            aliases=aliases,
        )
        super().__init__(spec, _sizes((shape,) if isinstance(shape, int) else shape, 1))


@dataclass(frozen=True)
class _Kept:
    """Filters made before, and what they were made for."""

    cascade: Cascade
    thetas: list[Tensor]
    made_from: list[tuple[Tensor, int]]
    dtype: torch.dtype
    device: torch.device
    filters: Filters

    @classmethod
    def of(cls, cascade: Cascade, thetas: Sequence[Tensor], x: Tensor, filters: Filters) -> "_Kept":
        copies = [theta.detach().clone() for theta in thetas]
        versions = [(theta, theta._version) for theta in thetas]
        return cls(cascade, copies, versions, x.dtype, x.device, filters)

    def serves(self, cascade: Cascade, thetas: Sequence[Tensor], x: Tensor) -> bool:
        """Whether they are the filters of ``cascade`` at ``thetas`` for inputs like ``x``."""
        if self.cascade is not cascade or (self.dtype, self.device) != (x.dtype, x.device):
            return False
        if x.device.type == "cpu":
            # By value: the count of changes misses writes through ``.data``.
            return all(torch.equal(a, b) for a, b in zip(self.thetas, thetas, strict=True))
        return all(
            theta is known and theta._version == version
            for theta, (known, version) in zip(thetas, self.made_from, strict=True)
        )


def _rearrange(module: nn.Module, _: Any) -> None:
    """A loaded state may have other filters than the module was made with."""
    assert isinstance(module, Scattering)
    module.arrange()


def _sizes(shape: Sequence[int], dimensions: int) -> tuple[int, ...]:
    sizes = tuple(shape)
    if len(sizes) != dimensions or not all(n > 0 for n in sizes):
        expected = "(N,) or N" if dimensions == 1 else "(M, N)"
        raise ConfigError(f"shape {shape!r}: expected {expected}, positive integers")
    return sizes
