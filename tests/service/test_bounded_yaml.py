"""Text from afar gives what YAML says, or is refused before anything of it is built."""

import json
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from service.bounded_yaml import DEEPEST, LONGEST, MOST, read
from service.errors import SettingsError

# JSON's surrogates and controls are none in YAML.
TEXTS = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=9)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), TEXTS)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(TEXTS, inner, max_size=5)),
    max_leaves=30,
)


@given(VALUES)
def test_what_was_written_comes_back(value: Any) -> None:
    assert read(yaml.safe_dump(value), "it") == value
    assert read(json.dumps(value), "it") == value


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def flat(count: int) -> str:
    """A list is a value, too."""
    return f"[{', '.join('1' * (count - 1))}]"


def test_an_alias_counts_as_what_it_stands_for() -> None:
    # Ten values under one name, which is written 999 times more, in a list of the rest.
    named = f"[&a {flat(10)}{', *a' * 998}"
    whole = read(f"{named}, {', '.join('1' * 9)}]", "it")
    assert isinstance(whole, list)
    assert len(whole) == 999 + 9
    with pytest.raises(SettingsError, match=f"it: got more than {MOST} values, expected"):
        read(f"{named}, {', '.join('1' * 10)}]", "it")


@pytest.mark.parametrize(
    ("most", "too_much", "says"),
    [
        (nested(DEEPEST), nested(DEEPEST + 1), f"more than {DEEPEST} levels, expected at most"),
        (flat(MOST), flat(MOST + 1), f"more than {MOST} values, expected at most"),
        ("x" * LONGEST, "x" * (LONGEST + 1), f"a value of {LONGEST + 1} characters, expected at"),
    ],
    ids=["levels", "values", "characters"],
)
def test_the_bounds_are_where_they_are_said_to_be(most: str, too_much: str, says: str) -> None:
    assert read(most, "it") == yaml.safe_load(most)
    with pytest.raises(SettingsError, match=f"^it: got {says}"):
        read(too_much, "it")


@pytest.mark.parametrize("text", ["&a [*a]", "&a {b: [*a]}", "[*a, &a 1]"])
def test_an_alias_names_what_has_ended_before_it(text: str) -> None:
    with pytest.raises(SettingsError, match=r"got the alias \*a, expected one of a value"):
        read(text, "it")


LAUGHS = ["- &a0 [x]", *(f"- &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10))]
MERGED = [
    "- &a0 {x: 1}",
    *(f"- &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, 7)),
]


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 2**16, "{" * 2**16, "- " * 2**15, "? " * 2**15, "{a: " * 2**14),
        *("\n".join(LAUGHS), "\n".join(MERGED), f"[&x [x], {', '.join(['*x'] * 20_000)}]"),
        *("a: 0x" + "f" * 60_000, "a: " + ":".join(["1"] * 32_000)),
    ],
    ids=lambda text: text[:8],
)
def test_what_would_take_a_reader_seconds_is_refused_at_once(text: str) -> None:
    begun_s = time.thread_time()
    with pytest.raises(SettingsError, match="expected"):
        read(text, "it")
    assert time.thread_time() - begun_s < 0.5
