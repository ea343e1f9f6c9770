"""The family that suits a calibration set."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from scatonline.choice import choose_family
from scatonline.config import BankSpec, FeatureSpec, ModelSpec, ReadoutSpec
from scatonline.errors import ConfigError
from scatonline.families import FAMILIES
from scatonline.features import Layout, Standardiser
from scatonline.model import Model
from scatonline.scattering import Scattering

SPEC = ModelSpec(
    "m",
    1,
    (16, 16),
    bank=BankSpec(family="auto", J=2, L=3, max_order=1),
    features=FeatureSpec(orders=(1,), grid=(2,), compression="none"),
    readout=ReadoutSpec("gaussian", ridge=1.0),
)


def lesson(family: str, samples: int = 180, noise: float = 0.05) -> tuple[Tensor, Tensor]:
    """White noise, and mixtures of what a family's own filters see of it."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(samples, 1, *SPEC.shape, generator=generator)
    spec = replace(SPEC, bank=replace(SPEC.bank, family=family))
    transform = Scattering(spec.bank, spec.shape)
    layout = Layout(spec, transform.cascade)
    with torch.no_grad():
        averages = transform.averages(torch.float32, torch.device("cpu"))
        columns = layout.columns(inputs, transform.build(), averages)
    z = Standardiser.fit(columns, layout.weight)(columns)
    mixed = z @ torch.randn(z.shape[1], 8, generator=generator, dtype=torch.float64)
    mixed = mixed / mixed.std(0)
    return inputs, (mixed + noise * torch.randn(mixed.shape, generator=generator)).float()


@pytest.mark.parametrize("family", ["morlet", "daubechies", "steerable"])
def test_targets_made_by_a_family_choose_it(family: str) -> None:
    others = ("morlet", "daubechies", "steerable")
    choice = choose_family(SPEC, *lesson(family), others)
    assert choice.spec == replace(SPEC, bank=replace(SPEC.bank, family=family))
    assert [c.explained for c in choice.candidates] == sorted(
        (c.explained for c in choice.candidates), reverse=True
    )
    assert choice.candidates[0].family == family
    assert family in choice.reason


def test_all_families_are_tried_and_the_same_samples_choose_the_same() -> None:
    inputs, targets = lesson("morlet", 60)
    first, second = (choose_family(SPEC, inputs, targets) for _ in range(2))
    assert first == second
    assert {c.family for c in first.candidates} == {name for name, d in FAMILIES if d == 2}


def test_chance_does_not_unseat_the_default() -> None:
    """Targets that nothing explains."""
    inputs, _ = lesson("morlet", 90)
    targets = torch.randn(90, 4, generator=torch.Generator().manual_seed(1))
    choice = choose_family(SPEC, inputs, targets)
    best, default = (
        choice.candidates[0],
        next(c for c in choice.candidates if c.family == "morlet"),
    )
    assert (default.gain, default.se) == (0.0, 0.0)
    expected = best.family if best.gain > best.se else "morlet"
    assert choice.spec.bank.family == expected


def test_missing_targets_are_left_out() -> None:
    inputs, targets = lesson("daubechies")
    targets[::5, 0] = np.nan
    targets[7] = np.nan
    choice = choose_family(SPEC, inputs, targets, ("morlet", "daubechies"))
    assert choice.spec.bank.family == "daubechies"


@pytest.mark.parametrize(
    ("samples", "targets", "expected"),
    [(20, 20, "at least 36"), (60, 59, "60 inputs and 59 targets"), (60, 60, "never vary")],
)
def test_calibration_that_can_tell_nothing_is_refused(
    samples: int, targets: int, expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        choose_family(SPEC, torch.randn(samples, 1, 16, 16), torch.zeros(targets, 2))


def test_a_model_without_scattering_or_an_unknown_family_is_refused() -> None:
    inputs, targets = lesson("morlet", 60)
    raw = replace(SPEC, features=FeatureSpec(orders=(), raw_grid=4))
    with pytest.raises(ConfigError, match="orders is empty"):
        choose_family(raw, inputs, targets)
    with pytest.raises(ConfigError, match="'haar' is unknown, expected one of coiflet, daub"):
        choose_family(SPEC, inputs, targets, ("haar",))


def test_a_model_cannot_be_made_before_the_choice() -> None:
    with pytest.raises(ConfigError, match="'auto' is chosen from samples"):
        Model(SPEC)
