"""Tiles of dilated inputs, and the cells of the input that their maps are averaged over."""

import itertools

import pytest
import torch
from torch import Tensor

from scatonline.views import Views, average, dilated

FACTORS = [0.25, 0.5, 0.84, 1.0, 1.19, 1.5, 2.0, 3.3]
SHAPES = [(32,), (51,), (32, 32), (24, 37)]


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def ramps(shape: tuple[int, ...]) -> Tensor:
    """A channel that rises along each axis; as in ``(1, 1, *shape)``."""
    axes = [torch.linspace(-1, 1, n) * (place + 1) for place, n in enumerate(shape)]
    total = sum(torch.meshgrid(*axes, indexing="ij"), torch.zeros(shape))
    return total[None, None]


@pytest.mark.parametrize("factor", [0.5, 0.75, 1.6, 2.0])
def test_dilation_changes_a_waves_frequency_and_not_its_size(factor: float) -> None:
    place = torch.arange(64, dtype=torch.float32)
    x = torch.cos(2 * torch.pi * 8 / 64 * (place - 31.5))[None, None, None].expand(1, 1, 64, 64)
    seen = dilated(x, factor)
    assert seen.shape == x.shape
    # Away from the border, where the mirror image of what is smaller begins.
    expected = torch.cos(2 * torch.pi * 8 / 64 * (place - 31.5) / factor)
    middle = torch.stack((seen[0, 0, 32], expected))[:, 20:44]
    assert torch.corrcoef(middle)[0, 1] > 0.99


def test_dilations_of_waveforms_keep_their_length() -> None:
    x = noise(3, 2, 50)
    assert dilated(x, 0.3).shape == (3, 2, 50)
    assert torch.equal(dilated(x, 1.0), x)


def test_a_wave_too_fine_from_far_away_is_gone_and_leaves_no_alias() -> None:
    x = torch.cos(0.9 * torch.pi * torch.arange(64.0))[None, None]
    assert float(dilated(x, 0.5)[..., 20:44].abs().max()) < 0.02


@pytest.mark.parametrize("shape", SHAPES)
def test_the_view_at_one_is_the_input_itself(shape: tuple[int, ...]) -> None:
    x = noise(2, 3, *shape)
    views = Views(shape, (0.5, 1.0))
    assert torch.equal(views.tiled(x)[2:], x)
    assert Views(shape, (1.0,)).tiled(x) is x
    grid = (3,) * len(shape)
    assert torch.equal(Views(shape, (1.0,)).cells(x, grid)[0], average(x, grid))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_nearer_view_has_as_many_tiles_along_an_axis_as_it_is_nearer(
    shape: tuple[int, ...],
) -> None:
    views = Views(shape, (0.5, 1.0, 1.5, 3.0))
    assert len(views) == 4
    assert views.tiles == 1 + 1 + 2 ** len(shape) + 3 ** len(shape)
    assert views.tiled(noise(2, 3, *shape)).shape == (2 * views.tiles, 3, *shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("cells", [1, 2, 3])
def test_cells_of_tiles_are_the_cells_of_the_input(
    shape: tuple[int, ...], factor: float, cells: int
) -> None:
    """What lies where in the input is known of every tile: nothing is moved, left out or twice."""
    x = torch.cat((ramps(shape), 3 - ramps(shape)))
    views, grid = Views(shape, (factor,)), (cells,) * len(shape)
    found = views.cells(views.tiled(x), grid)
    # A cell may be off by a part of a sample: half a step of the ramps.
    step = sum(2 * (place + 1) / (n - 1) for place, n in enumerate(shape))
    torch.testing.assert_close(found[0], average(x, grid), atol=0.6 * step, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_constant_maps_have_constant_cells_of_any_number(shape: tuple[int, ...]) -> None:
    views = Views(shape, FACTORS)
    size, grid = (3, 5)[: len(shape)], (7, 2)[: len(shape)]
    cells = views.cells(torch.full((2 * views.tiles, 4, *size), 2.5), grid)
    torch.testing.assert_close(cells, torch.full((len(FACTORS), 2, 4, *grid), 2.5))


def test_every_input_of_a_batch_keeps_its_own_tiles() -> None:
    x = noise(3, 2, 20, 24)
    views = Views((20, 24), (0.6, 1.0, 1.7))
    together = views.cells(views.tiled(x), (2, 3))
    alone = [views.cells(views.tiled(one[None]), (2, 3)) for one in x]
    torch.testing.assert_close(together, torch.cat(alone, 1))


@pytest.mark.parametrize(
    ("n", "factor"), list(itertools.product([4, 5, 7], [0.25, 0.3, 0.9, 1.1, 4.0]))
)
def test_the_shortest_inputs_have_views(n: int, factor: float) -> None:
    views = Views((n,), (factor,))
    found = views.cells(views.tiled(noise(1, 1, n)), (n,))
    assert found.shape == (1, 1, 1, n)
    assert torch.isfinite(found).all()


def test_a_view_first_asked_for_in_inference_mode_serves_gradients_later() -> None:
    views = Views((16, 16), (0.5, 2.0))
    with torch.inference_mode():
        views.cells(views.tiled(noise(1, 1, 16, 16)), (1, 1))
    x = noise(1, 1, 16, 16).requires_grad_()
    torch.autograd.backward(views.cells(views.tiled(x), (1, 1)).sum())
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
