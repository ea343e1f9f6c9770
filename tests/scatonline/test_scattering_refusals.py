"""What the public transforms refuse: with the error's kind, what came and what was expected."""

import copy
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scatonline import Scattering, Scattering1D, Scattering2D
from scatonline.errors import ConfigError, NumericalError, ScatOnlineError, ShapeError, UnknownName

Make = Callable[..., Scattering]


def line() -> Scattering:
    return Scattering1D(4, 90, (3, 2))


def plane() -> Scattering:
    return Scattering2D(2, (14, 17), 3)


BOTH = pytest.mark.parametrize("make", [line, plane])
VALUES: dict[Make, list[float]] = {line: [0.21, 0.03], plane: [0.3, 1.2, 1.6, 0.9]}


def scattered(transform: Scattering, x: Tensor) -> Any:
    with torch.no_grad():
        return transform(x)


def signal_of(transform: Scattering) -> Tensor:
    shape = (2, *transform.geometry.shape)
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape))


IMPOSSIBLE: list[tuple[Callable[[], object], str]] = [
    (lambda: Scattering2D(5, (16, 16)), "J=5 averages over 32 samples.* has 16"),
    (lambda: Scattering2D(4, (16, 16)), "J=4 is too large.*reflection needs 16 .* at most 15"),
    (lambda: Scattering1D(7, 100), "J=7 averages over 128 samples.* has 100"),
    (lambda: Scattering2D(0, (16, 16)), "J: got 0, expected at least 1"),
    (lambda: Scattering1D(-1, 64), "J: got -1, expected at least 1"),
    (lambda: Scattering2D(2, (16, 16), 0), "L: got 0, expected at least 1"),
    (lambda: Scattering1D(3, 64, ()), r"Q: got \(\), expected integers of at least 1"),
    (lambda: Scattering1D(3, 64, 0), r"Q: got \(0, 1\), expected integers of at least 1"),
    (lambda: Scattering1D(3, 64, (4, 0)), r"Q: got \(4, 0\), expected integers of at least 1"),
    (lambda: Scattering2D(2, (16, 16), max_order=-1), "max_order: got -1, expected at least 0"),
    (lambda: Scattering2D(2, (16, 16), oversampling=-1), "oversampling: got -1, expected at least"),
    (lambda: Scattering2D(2, (16,)), r"\(16,\): expected \(M, N\)"),
    (lambda: Scattering2D(2, (3, 16, 16)), r"\(3, 16, 16\): expected \(M, N\)"),
    (lambda: Scattering1D(2, (16, 16)), r"\(16, 16\): expected \(N,\) or N"),
    (lambda: Scattering1D(2, 0), r"\(0,\): expected .* positive"),
    (lambda: Scattering2D(2, (18, 16), padding="none"), r"multiple of 2\^J = 4: got 18"),
    (lambda: Scattering2D(2, (16, 16), family="haar"), "'haar'.* is unknown, expected .*morlet"),
]


@pytest.mark.parametrize(("make", "named"), IMPOSSIBLE)
def test_impossible_arguments_are_refused_with_what_was_expected(
    make: Callable[[], object], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        make()


@BOTH
def test_other_signals_are_refused_with_what_was_expected(make: Make) -> None:
    transform = make()
    x = signal_of(transform)
    expected = re.escape(str(transform.geometry.shape))
    types = (torch.int64, torch.bool, torch.complex64, torch.complex128, torch.float16)
    refused: list[tuple[Tensor, type[ScatOnlineError], str]] = [
        *((x.to(t), ShapeError, f"{t}, expected float32 or float64") for t in types),
        (
            x[..., 1:],
            ShapeError,
            f"{re.escape(str(tuple(x[..., 1:].shape)))}, expected.*{expected}",
        ),
        (x[0, ..., 0], ShapeError, f"expected its last axes to be {expected}"),
        (torch.tensor(1.0), ShapeError, r"shape \(\), expected"),
    ]
    for bad in (math.nan, math.inf, -math.inf):
        broken = x.clone()
        broken[1, ..., 3] = bad
        count = int((~torch.isfinite(broken)).sum())
        named = f"{count} entries of {x.numel()} that are NaN or infinite, expected finite"
        refused += [(broken, NumericalError, named), (broken.float(), NumericalError, named)]
    before = scattered(transform, x)
    for signal, error, named in refused:
        with pytest.raises(error, match=named):
            transform(signal)
    assert torch.equal(scattered(transform, x), before)
    huge = torch.full_like(x, torch.finfo(torch.float64).max / 2)
    assert transform(huge).shape == before.shape


def assert_changes_nothing(
    transform: Scattering, refused: Callable[[], object], error: type[Exception], named: str
) -> None:
    x, before = signal_of(transform), copy.deepcopy(transform)
    with pytest.raises(error, match=named):
        refused()
    assert transform.meta() == before.meta()
    assert torch.equal(scattered(transform, x), scattered(before, x))
    ours, theirs = transform.state_dict(), before.state_dict()
    for key, kept in theirs.items():
        assert torch.equal(ours[key], kept) if isinstance(kept, Tensor) else ours[key] == kept


WRONG_VALUES: list[tuple[Make, Sequence[float], str]] = [
    (line, [], "has 0 values, expected xi, sigma"),
    (line, [0.2, 0.03, 1.0], "has 3 values, expected xi, sigma"),
    (plane, [0.3, 1.2, 1.6], "has 3 values, expected theta, xi, sigma, slant"),
    (line, [math.nan, 0.03], r"\[nan, 0.03\], expected finite xi, sigma"),
    (plane, [0.3, 1.2, math.inf, 0.9], "inf, 0.9.*, expected finite theta, xi, sigma, slant"),
]


@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize(("make", "values", "named"), WRONG_VALUES)
def test_filter_of_wrong_length_or_not_finite_is_refused(
    make: Make, values: Sequence[float], named: str, layer: int
) -> None:
    transform = make()
    assert_changes_nothing(transform, lambda: transform.add(layer, 1, values), ConfigError, named)


@BOTH
@pytest.mark.parametrize("scale", [-1, 5])
def test_scale_that_does_not_exist_is_refused(make: Make, scale: int) -> None:
    transform = make()
    named = f"scale {scale}, expected 0 to J"
    assert_changes_nothing(
        transform, lambda: transform.add(1, scale, VALUES[make]), ConfigError, named
    )


NO_FILTERS: list[tuple[Make, Sequence[float]]] = [
    (line, [0.0, 0.03]),
    (line, [-0.2, 0.03]),
    (line, [0.2, 0.0]),
    (line, [0.2, -0.03]),
    (plane, [0.3, 0.0, 1.6, 0.9]),
    (plane, [0.3, -1.2, 1.6, 0.9]),
    (plane, [0.3, 1.2, 0.0, 0.9]),
    (plane, [0.3, 1.2, -1.6, 0.9]),
    (plane, [0.3, 1.2, 1.6, 0.0]),
    (plane, [0.3, 1.2, 1.6, -0.9]),
]


@pytest.mark.parametrize(("make", "values"), NO_FILTERS)
def test_values_that_no_filter_has_are_refused(make: Make, values: Sequence[float]) -> None:
    """A frequency, width or slant that is not above 0 has no logarithm to learn in."""
    transform = make()
    assert_changes_nothing(transform, lambda: transform.add(1, 1, values), ConfigError, "expected")


@BOTH
@pytest.mark.parametrize("frequency", [0.5, 0.9, 1.2])
def test_new_filter_starts_within_its_own_bounds(make: Make, frequency: float) -> None:
    """Also one asked for beyond the highest frequency there is."""
    transform = make()
    values = list(VALUES[make])
    column = len(values) - 2 if make is line else 1
    values[column] = frequency if make is line else 2 * math.pi * frequency
    bank = transform.bank(1)
    row = bank.row(transform.add(1, 1, values))
    assert bool((bank.lower[row] < bank.upper[row]).all())
    found = bank.values().detach()[row]
    assert bool(((bank.lower[row] <= found) & (found <= bank.upper[row]))[~bank.angle].all())


@BOTH
@pytest.mark.parametrize("layer", [-1, 0, 3])
def test_layer_that_does_not_exist_is_refused(make: Make, layer: int) -> None:
    """And never taken for another one, counted from the end."""
    transform = make()
    for refused in (
        lambda: transform.add(layer, 1, VALUES[make]),
        lambda: transform.drop(layer, "2/j1/0"),
        lambda: transform.drop(layer, "1/j0/0"),
    ):
        assert_changes_nothing(transform, refused, ScatOnlineError, "layer")


@BOTH
def test_id_is_never_given_twice(make: Make) -> None:
    """Made up or asked for."""
    transform = make()
    given = {name.id for name in transform.bank(1).names}
    ahead = f"1/j1/{len(transform.bank(1).rows(1)) + 2}"
    given.add(transform.add(1, 1, VALUES[make], ahead))
    for _ in range(4):
        made_up = transform.add(1, 1, VALUES[make])
        assert made_up not in given
        given.add(made_up)


@BOTH
@pytest.mark.parametrize("taken", ["1/j0/0", "1/j1/0"])
def test_id_that_a_filter_has_is_refused(make: Make, taken: str) -> None:
    transform = make()
    assert_changes_nothing(
        transform, lambda: transform.add(1, 1, VALUES[make], taken), ScatOnlineError, taken
    )


@BOTH
@pytest.mark.parametrize("gone", ["1/j0/1", "2/j1/0", "", "1/j0"])
def test_filter_that_does_not_exist_cannot_be_dropped(make: Make, gone: str) -> None:
    transform = make()
    transform.drop(1, "1/j0/1")
    named = f"no filter '{gone}' in layer 1; it has 1/j0/0, "
    assert_changes_nothing(transform, lambda: transform.drop(1, gone), UnknownName, named)
