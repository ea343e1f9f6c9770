"""Columns: what stands in them, whose they are, and where they go when filters come and go."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scatonline.config import BankSpec, Compression, FeatureSpec, ModelSpec
from scatonline.features import Layout, Standardiser, order_weight
from scatonline.scattering import Scattering

COMPRESSIONS: tuple[Compression, ...] = ("none", "sqrt", "log")
PLANE = ModelSpec("plane", 2, (16, 16), bank=BankSpec(J=2, L=3))
LINE = ModelSpec("line", 3, (64,), bank=BankSpec(J=3, Q=(2,)))
BOTH = [pytest.param(PLANE, id="plane"), pytest.param(LINE, id="line")]


def with_features(spec: ModelSpec, **values: Any) -> ModelSpec:
    return replace(spec, features=FeatureSpec(**values))


def noise(spec: ModelSpec, batch: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, spec.channels, *spec.shape, generator=generator)


def made(spec: ModelSpec) -> tuple[Scattering, Layout]:
    transform = Scattering(spec.bank, spec.shape)
    return transform, Layout(spec, transform.cascade)


def columns(transform: Scattering, layout: Layout, x: Tensor) -> Tensor:
    with torch.no_grad():
        low_pass = transform.averages(torch.float32, x.device)
        return layout.columns(x, transform.build(), low_pass)


@pytest.mark.parametrize("base", BOTH)
@pytest.mark.parametrize(
    "features",
    [
        {},
        {"orders": (2, 0)},
        {"orders": (1,), "grid": (0,), "raw_grid": 3},
        {"orders": (), "raw_grid": 4},
        {"orders": (), "raw_grid": 0},
        {"orders": (0, 1, 2), "grid": (99, 1), "raw_grid": 99},
    ],
)
def test_blocks_cover_the_columns_exactly(base: ModelSpec, features: dict[str, Any]) -> None:
    """Without gap or overlap, one block a path of every order used, raw terms last."""
    spec = with_features(base, **features)
    transform, layout = made(spec)
    starts = [block.start for block in layout.blocks]
    ends = [block.start + block.width for block in layout.blocks]
    assert [0, *ends] == [*starts, layout.width]
    paths = [block.path for block in layout.blocks]
    raw = bool(spec.features.raw_grid)
    used = [p for p in transform.paths if p.order in spec.features.orders]
    assert paths == [*used, *([None] if raw else [])]
    assert len({block.key for block in layout.blocks}) == len(layout.blocks)
    found = columns(transform, layout, noise(spec))
    assert found.shape == (2, layout.width)
    assert found.dtype == torch.float32
    assert len(layout.weight) == layout.width


def cell_means(x: np.ndarray[Any, Any], cells: int) -> np.ndarray[Any, Any]:
    """Mean over `cells` equal parts of the last axis; a sample on a border counts for both."""
    n = x.shape[-1]
    parts = [(i * n // cells, -(-(i + 1) * n // cells)) for i in range(cells)]
    return np.stack([x[..., a:b].mean(-1) for a, b in parts], -1)


def test_columns_are_compressed_means_of_the_maps() -> None:
    """Block by block, channel by channel, cell by cell; order 0 and raw terms not compressed."""
    spec = with_features(LINE, grid=(4, 3, 2), raw_grid=5)
    transform, layout = made(spec)
    x = noise(spec)
    found = columns(transform, layout, x).numpy()
    with torch.no_grad():
        maps = transform(x).numpy()
    for block in layout.blocks:
        mine = found[:, block.start : block.start + block.width].reshape(2, spec.channels, -1)
        if block.path is None:
            expected = cell_means(x.numpy(), 5)
        else:
            channel = transform.paths.index(block.path)
            expected = cell_means(maps[:, :, channel], spec.features.grid[block.path.order])
            if block.path.order:
                expected = np.sqrt(expected)
        np.testing.assert_allclose(mine, expected, atol=1e-5)


@pytest.mark.parametrize("base", BOTH)
def test_each_channel_has_columns_of_its_own(base: ModelSpec) -> None:
    """The bank is shared: channels that change places change the places of their columns."""
    spec = with_features(base, raw_grid=2)
    transform, layout = made(spec)
    x = noise(spec)
    order = list(reversed(range(spec.channels)))
    straight, turned = columns(transform, layout, x), columns(transform, layout, x[:, order])
    for block in layout.blocks:
        span = slice(block.start, block.start + block.width)
        expected = straight[:, span].reshape(2, spec.channels, -1)[:, order].flatten(1)
        np.testing.assert_allclose(turned[:, span], expected, atol=1e-6)


@pytest.mark.parametrize("base", BOTH)
def test_filter_reaches_its_own_columns_and_no_others(base: ModelSpec) -> None:
    spec = replace(with_features(base, raw_grid=2), bank=replace(base.bank, bound="none"))
    transform, layout = made(spec)
    x = noise(spec)
    before = columns(transform, layout, x)
    for layer in (1, 2):
        bank = transform.bank(layer)
        for row, name in enumerate(bank.names):
            theta = bank.theta.detach().clone()
            with torch.no_grad():
                bank.theta[row] += 0.3
            changed = (columns(transform, layout, x) != before).any(0)
            own = torch.zeros(layout.width, dtype=torch.bool)
            own[layout.columns_of(name.id)] = True
            assert not bool(changed[~own].any())
            assert bool(changed[own].float().mean() > 0.9)
            with torch.no_grad():
                bank.theta.copy_(theta)


@pytest.mark.parametrize("base", BOTH)
def test_columns_follow_their_paths_through_moves(base: ModelSpec) -> None:
    """Those of paths that stay carry the same numbers; those through a new filter are new."""
    spec = replace(with_features(base, raw_grid=2), bank=replace(base.bank, bound="none"))
    transform, old = made(spec)
    x = noise(spec)
    before = columns(transform, old, x)
    transform.drop(1, "1/j0/0")
    added = transform.add(1, 0, transform.bank(1).values()[0].tolist())
    transform.drop(2, transform.bank(2).names[-1].id)
    layout = Layout(spec, transform.cascade)
    index = layout.carried_from(old)
    after = columns(transform, layout, x)
    kept = index >= 0
    np.testing.assert_allclose(after[:, kept], before[:, index[kept]], atol=1e-6)
    assert torch.nonzero(~kept)[:, 0].tolist() == layout.columns_of(added)
    assert len(set(index[kept].tolist())) == int(kept.sum())


def test_layout_carried_from_itself_is_itself() -> None:
    _, layout = made(PLANE)
    assert layout.carried_from(layout).tolist() == list(range(layout.width))


def test_weights_are_those_of_the_order() -> None:
    spec = with_features(PLANE, order_weight=(1.0, 0.5), raw_grid=2, raw_weight=2.0)
    _, layout = made(spec)
    for block in layout.blocks:
        expected = 2.0 if block.path is None else (1.0, 0.5, 0.5)[block.path.order]
        found = layout.weight[block.start : block.start + block.width]
        assert set(found.tolist()) == {expected}


def sum_of_squares(spec: ModelSpec, order: int) -> float:
    _, layout = made(spec)
    own = [b for b in layout.blocks if b.path is not None and b.path.order == order]
    return sum(float(layout.weight[b.start : b.start + b.width].square().sum()) for b in own)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_balanced_order_counts_for_as_much_with_any_number_of_directions(order: int) -> None:
    spec = with_features(PLANE, balanced=True)
    few, many = (replace(spec, bank=replace(PLANE.bank, L=n)) for n in (3, 12))
    assert sum_of_squares(few, order) == pytest.approx(sum_of_squares(many, order), rel=1e-6)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_eight_orientations_are_balanced_as_they_are(order: int) -> None:
    spec = with_features(replace(PLANE, bank=replace(PLANE.bank, L=8)), balanced=True)
    assert order_weight(spec, order) == order_weight(with_features(spec, balanced=False), order)
    finer = replace(spec, bank=replace(spec.bank, L=32))
    assert order_weight(finer, order) == order_weight(spec, order) / 2**order


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("base", BOTH)
def test_blank_input_has_finite_columns_and_gradients(
    base: ModelSpec, compression: Compression
) -> None:
    spec = with_features(base, compression=compression)
    transform, layout = made(spec)
    low_pass = transform.averages(torch.float32, torch.device("cpu"))
    for x in (
        torch.zeros(1, spec.channels, *spec.shape),
        torch.ones(1, spec.channels, *spec.shape),
    ):
        found = layout.columns(x, transform.build(), low_pass)
        assert bool(torch.isfinite(found).all())
        thetas = [transform.bank(m).theta for m in (1, 2)]
        for gradient in torch.autograd.grad(found.sum(), thetas):
            assert bool(torch.isfinite(gradient).all())


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_compression_orders_columns_as_before(compression: Compression) -> None:
    """Louder inputs have larger columns under every compression."""
    spec = with_features(PLANE, compression=compression, orders=(1,))
    transform, layout = made(spec)
    x = noise(spec, batch=1)
    quiet, loud = columns(transform, layout, x), columns(transform, layout, 4 * x)
    factor = {"none": 4 * quiet, "sqrt": 2 * quiet, "log": quiet + np.log(4)}[compression]
    np.testing.assert_allclose(loud, factor, rtol=1e-4, atol=1e-5)


def test_standardised_columns_have_mean_zero_and_their_weight_as_spread() -> None:
    generator = torch.Generator().manual_seed(0)
    raw = 5 + 3 * torch.randn(200, 4, generator=generator, dtype=torch.float64)
    weight = torch.tensor([1.0, 0.5, 2.0, 1.0], dtype=torch.float64)
    z = Standardiser.fit(raw, weight)(raw)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(z.std(0, correction=0), weight)


@pytest.mark.parametrize("level", [0.0, 1e-9, 3.0, 1e6])
def test_constant_columns_are_ignored_for_ever(level: float) -> None:
    """Also when float32 rounding makes them flicker, and when they move later."""
    raw = torch.full((50, 2), level)
    raw[::2, 0] *= 1 + 2e-7
    raw[:, 1] = torch.arange(50.0)
    z = Standardiser.fit(raw, torch.ones(2, dtype=torch.float64))
    assert float(z(raw)[:, 0].abs().max()) == 0
    assert float(z(raw + 100)[:, 0].abs().max()) == 0
    assert float(z(raw)[:, 1].abs().max()) > 1


def test_silent_standardiser_gives_zeros() -> None:
    raw = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    assert not Standardiser.silent(4, "cpu")(raw).any()


def test_carried_standardiser_keeps_old_scales_and_takes_new_ones() -> None:
    old = Standardiser(torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([4.0, 5, 6]).double())
    new = old.carried(
        torch.tensor([2, -1, 0]), torch.tensor([7.0]).double(), torch.tensor([8.0]).double()
    )
    assert new.mean.tolist() == [3, 7, 1]
    assert new.scale.tolist() == [6, 8, 4]
    assert old.mean.tolist() == [1, 2, 3]
