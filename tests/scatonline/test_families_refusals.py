"""What every wavelet family refuses, and that nothing has changed then."""

import math

import pytest
import torch

from scatonline.config import BankSpec
from scatonline.errors import ConfigError
from scatonline.families import FAMILIES, make_family
from scatonline.scattering import Scattering
from tests.scatonline.every_family import EVERY, GRIDS, family, scattered, signals, specification


@pytest.mark.parametrize("dimensions", [1, 2])
def test_unknown_family_is_refused_with_those_that_exist(dimensions: int) -> None:
    with pytest.raises(ConfigError, match=r"family 'haar'.* is unknown, expected .*daubechies"):
        make_family(BankSpec(family="haar", J=2), GRIDS[dimensions])


@pytest.mark.parametrize(
    ("name", "dimensions", "order", "named"),
    [
        *(("daubechies", d, 2, r"expected an order between 2·pairs \+ 1 = 3") for d in (1, 2)),
        *(("daubechies", d, 9, "at the highest frequency, and 8") for d in (1, 2)),
        *(("coiflet", d, 5, "order 5: expected one of 2, 3, 4, 6") for d in (1, 2)),
        *(("lattice", d, 1, "1 angles: expected 2 to 10") for d in (1, 2)),
        *(("lattice", d, 11, "11 angles: expected 2 to 10") for d in (1, 2)),
        ("steerable", 1, 3, "got order 3, expected 0"),
        ("steerable", 2, 17, "17 harmonics: expected 1 to 16"),
    ],
)
def test_impossible_orders_are_refused(name: str, dimensions: int, order: int, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Scattering(BankSpec(family=name, J=2, order=order), GRIDS[dimensions])


BOUNDED = [
    pytest.param(name, d, column, id=f"{name}-{d}-D-{parameter.name}")
    for name, d in FAMILIES
    # Morlet takes any width and moves it inside; a voice's bounds go with it.
    if name != "morlet"
    for column, parameter in enumerate(family(name, d).parameters)
    if not parameter.free and not (d == 1 and parameter.name == "dilation")
]


@pytest.mark.parametrize(("name", "dimensions", "column"), BOUNDED)
def test_values_outside_a_domain_are_refused_and_change_nothing(
    name: str, dimensions: int, column: int
) -> None:
    transform, x = Scattering(specification(name), GRIDS[dimensions]), signals(dimensions, 1)
    bank = transform.bank(1)
    first = bank.values()[0].tolist()
    before = scattered(transform, x)
    kept = [table.clone() for table in bank.tables()]
    lower, upper = (float(table[0, column]) for table in (bank.lower, bank.upper))
    parameter = bank.family.parameters[column]
    span = upper - lower
    for beyond in (lower, upper, lower - 0.01 * span, upper + 0.01 * span, upper + 100 * span):
        values = [beyond if k == column else value for k, value in enumerate(first)]
        if parameter.kind == "ratio" and beyond <= 0:
            named = f"{parameter.name} = .*expected more than 0"
        else:
            named = f"{parameter.name} = .*between its bounds {lower:g} and {upper:g}"
        with pytest.raises(ConfigError, match=named):
            transform.add(1, 0, values)
    assert all(torch.equal(a, b) for a, b in zip(bank.tables(), kept, strict=True))
    assert torch.equal(scattered(transform, x), before)


def test_refused_filter_uses_up_no_id() -> None:
    transform = Scattering(specification("coiflet"), GRIDS[2])
    bank = transform.bank(1)
    values = bank.values()[0].tolist()
    for asked in ("", "1/j0/9"):
        with pytest.raises(ConfigError, match="between its bounds"):
            transform.add(1, 0, [*values[:-1], 100.0], asked)
    assert bank.made == {0: 3, 1: 3}
    assert transform.add(1, 0, values) == "1/j0/3"


@pytest.mark.parametrize(("name", "dimensions"), EVERY)
def test_values_that_no_filter_has_are_refused_and_change_nothing(
    name: str, dimensions: int
) -> None:
    """Too few or too many, not finite, or a ratio of nothing."""
    transform = Scattering(specification(name), GRIDS[dimensions])
    bank = transform.bank(1)
    first = bank.values()[0].tolist()
    names = [bank.id for bank in bank.names]
    wrong = [
        ([], "0 values, expected"),
        ([*first, 1.0], f"{len(first) + 1} values, expected"),
        *(
            ([bad if k == column else value for k, value in enumerate(first)], "expected finite")
            for column in range(len(first))
            for bad in (math.nan, math.inf)
        ),
        *(
            (
                [zero if k == column else value for k, value in enumerate(first)],
                f"{parameter.name} = .*expected more than 0",
            )
            for column, parameter in enumerate(bank.family.parameters)
            if parameter.kind == "ratio"
            for zero in (0.0, -1.0)
        ),
    ]
    for values, named in wrong:
        with pytest.raises(ConfigError, match=named):
            transform.add(1, 0, values)
    assert [name.id for name in bank.names] == names
