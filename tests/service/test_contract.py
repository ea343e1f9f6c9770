"""What a client may send is in the contract: every limit that it can meet, as it is."""

import re
from pathlib import Path

import pytest

from scatonline.config import ModelSpec
from scatonline.session import REMEMBERED_IDS
from service import bounded_yaml
from service.engine.notices import KEPT
from service.rpc import converters, transfer
from service.settings import MODEL_NAME, LimitSettings

# What decides when something is done, and refuses nothing.
INSIDE = {"batch", "linger_s"}


@pytest.fixture
def contract(repository: Path) -> str:
    """Its words, without line ends and comment signs."""
    text = (repository / "protos" / "scatonline" / "v1" / "scatonline.proto").read_text()
    return re.sub(r"\s*\n\s*(// ?)?\s*", " ", text)


@pytest.mark.parametrize("name", sorted(LimitSettings.model_fields.keys() - INSIDE))
def test_every_limit_of_the_settings_is_told_with_its_default(contract: str, name: str) -> None:
    value = getattr(LimitSettings(), name)
    told = {
        str(value),
        *(f"{value >> shift} {unit}" for shift, unit in ((20, "MiB"), (30, "GiB"))),
    }
    (place,) = re.finditer(rf"limits\.{name}\b", contract)
    near = contract[max(0, place.start() - 70) : place.end() + 40]
    assert any(re.search(rf"\b{each}\b", near) for each in told), near


@pytest.mark.parametrize(
    "words",
    [
        f"1 to {converters.NAME_BYTES} bytes of UTF-8",
        f"at most {converters.SPECIFICATION_CHARACTERS} characters",
        f"{bounded_yaml.DEEPEST} levels",
        f"{bounded_yaml.MOST} values of at most {bounded_yaml.LONGEST} characters",
        f"in parts of at most {transfer.PART_BYTES >> 10} KiB",
        f"the newest {REMEMBERED_IDS} ids",
        f"more than {KEPT} notices",
        f"pending, {ModelSpec.__dataclass_fields__['pending'].default} unless",
        MODEL_NAME,
    ],
)
def test_every_limit_of_the_code_is_told(contract: str, words: str) -> None:
    assert words in contract


def test_the_largest_sequence_number_is_told(contract: str) -> None:
    assert converters.LARGEST_SEQUENCE == 2**53
    assert re.search(r"at most 2\^53, each one more than the last;[^;]*uint64 sequence", contract)
