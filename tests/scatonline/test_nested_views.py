"""The same filters on dilated inputs."""

from dataclasses import replace

import pytest
import torch

from scatonline.config import BankSpec, FeatureSpec, ModelSpec
from scatonline.errors import ConfigError
from scatonline.features import Layout
from scatonline.nested import Views
from scatonline.nested.judge import columns_of
from scatonline.scattering import Scattering

SPEC = ModelSpec(
    name="views",
    channels=1,
    shape=(32, 32),
    bank=BankSpec(J=3, L=4, max_order=1),
    features=FeatureSpec(orders=(1,), grid=(1,), compression="log"),
)


def wave(octave: float, size: int = 32) -> torch.Tensor:
    """A grating ``octave`` octaves below the finest one, upright."""
    place = torch.arange(size, dtype=torch.float32)
    row = torch.cos(0.6 * torch.pi * 2.0**-octave * place + 0.3)
    return row.expand(1, 1, size, size).contiguous()


def test_the_view_at_one_is_the_input_itself() -> None:
    scattering = Scattering(SPEC.bank, SPEC.shape)
    x = torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    plain = columns_of(scattering, Layout(SPEC, scattering.cascade), x)
    assert torch.equal(Views(SPEC, scattering, (1.0,)).columns(x)[0], plain)


def test_an_octave_nearer_moves_a_wave_one_scale_up() -> None:
    views = Views(SPEC, Scattering(SPEC.bank, SPEC.shape), (1.0, 2.0))
    here, nearer = views.columns(wave(0.0))[:, 0].view(2, SPEC.bank.J, SPEC.bank.L)
    strongest = [int(view.max(1).values.argmax()) for view in (here, nearer)]
    assert strongest == [0, 1]


def test_the_mean_over_views_changes_less_with_distance_than_one_view() -> None:
    views = Views(SPEC, Scattering(SPEC.bank, SPEC.shape), (0.5, 0.7071, 1.0, 1.4142, 2.0))
    near, far = (views.columns(wave(octave)) for octave in (0.6, 1.1))
    one = (near[2] - far[2]).norm()
    mean = (near.mean(0) - far.mean(0)).norm()
    assert mean < 0.7 * one


def test_views_follow_filters_that_moved_came_or_went() -> None:
    scattering = Scattering(SPEC.bank, SPEC.shape)
    scattering.drop(1, "1/j0/2")
    with torch.no_grad():
        scattering.bank(1).theta.add_(0.1)
    x = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    plain = columns_of(scattering, Layout(SPEC, scattering.cascade), x)
    assert torch.equal(Views(SPEC, scattering, (1.0,)).columns(x)[0], plain)


def test_signals_over_time_have_views_too() -> None:
    bank = BankSpec(J=3, Q=(2,), max_order=1)
    spec = replace(SPEC, shape=(128,), bank=bank)
    views = Views(spec, Scattering(bank, spec.shape), (0.5, 1.0, 1.5))
    columns = views.columns(torch.randn(2, 1, 128, generator=torch.Generator().manual_seed(2)))
    assert columns.shape[:2] == (3, 2)
    assert torch.isfinite(columns).all()


def test_whole_maps_have_no_common_columns() -> None:
    spec = replace(SPEC, features=replace(SPEC.features, grid=(0,)))
    with pytest.raises(ConfigError, match="expected no 0"):
        Views(spec, Scattering(SPEC.bank, SPEC.shape), (1.0, 2.0))


def test_a_view_too_small_for_its_scales_is_refused() -> None:
    with pytest.raises(ConfigError):
        Views(SPEC, Scattering(SPEC.bank, SPEC.shape), (0.1,))
