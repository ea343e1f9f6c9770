"""A specification is whole or refused, and survives JSON."""

import copy
import json
import math
import re
from dataclasses import fields
from typing import Any

import pytest

from scatonline.config import (
    AdaptationSpec,
    BankSpec,
    FeatureSpec,
    LearningSpec,
    ModelSpec,
    ReadoutKind,
    ReadoutSpec,
    RealignmentSpec,
    StructureSpec,
)
from scatonline.errors import ConfigError

SECTIONS: dict[str, type] = {
    "bank": BankSpec,
    "features": FeatureSpec,
    "readout": ReadoutSpec,
    "learning": LearningSpec,
    "structure": StructureSpec,
    "realignment": RealignmentSpec,
    "adaptation": AdaptationSpec,
    "": ModelSpec,
}
NAN, INF = math.nan, math.inf
OUT_OF_RANGE: dict[str, dict[str, list[Any]]] = {
    "bank": {
        "J": [0, -1],
        "L": [0],
        "Q": [(), (0,), (8, 0)],
        "max_order": [-1],
        "padding": ["mirror", ""],
        "bound": ["loose"],
        "oversampling": [-1],
        "average": ["mean"],
        "aliases": ["first"],
        "order": [-1],
        "exponentials": [0],
        "coupling": ["loose"],
        "levels": [-1, 4],
        "layers": [-1, 3],
    },
    "features": {
        "orders": [(0, 0), (-1,)],
        "grid": [(), (4, -1)],
        "compression": ["square"],
        "order_weight": [(), (1.0, 0.0), (-1.0,), (NAN,), (INF,)],
        "raw_grid": [-1],
        "raw_weight": [0.0, NAN, INF],
        "contrast": [-0.1, NAN, INF],
        "dilations": [(), (1.0, 1.0), (0.2,), (1.0, 4.1), (NAN,)],
        "calibration": [1],
        "lags": [-1, 17],
    },
    "readout": {
        "kind": ["linear"],
        "ridge": [0.0, -1.0, NAN, INF],
        "forgetting": [0.5, 1.001, 0.0, NAN],
        "method": ["dual"],
        "window": [7],
        "rank": [0, 9],
        "similarity": ["cosine"],
        "noises": [(), (0.0,), (0.5, NAN), (INF,)],
        "memories": [(), (0.5,), (-1.0,), (NAN,), (INF,)],
        "prior": ["ridge"],
        "refresh": [-1],
    },
    "learning": {
        "optimiser": ["rmsprop"],
        "rate": [0.0, -0.1, NAN, INF],
        "momentum": [1.0, -0.1, NAN],
        "every": [0],
        "warmup": [-1],
        "max_angle_rad": [0.0, NAN, INF],
        "max_log_step": [0.0, NAN, INF],
        "tie": ["bank"],
    },
    "structure": {
        "window": [0, 31],
        "check_every": [0],
        "restarts": [0],
        "epsilon": [0.0, NAN, INF],
        "alpha": [0.0, 1.0, NAN],
        "agreement": [0.0, 1.1, NAN],
        "min_effective": [0.5, NAN],
        "cooldown": [-0.1, NAN],
        "min_filters": [-1, 17],
        "max_filters": [0],
        "max_drops": [-1],
        "candidates": [-1],
    },
    "realignment": {
        "placement": ["square"],
        "memory": [1.9, NAN, INF],
        "alarm": [1.0, NAN],
    },
    "adaptation": {"boost": [0.9, NAN, INF], "boosted": [-1]},
    "": {
        "name": [""],
        "channels": [0, -1],
        "shape": [(), (3,), (8, 3), (8, 8, 8)],
        "input_scale": [(), (1.0, 1.0), (NAN,), (INF,), (0.0,)],
        "pending": [0],
        "pending_age_s": [-1.0, NAN, INF],
        "label_hold": [-1, 4096],
    },
}
# Any value will do, or another place checks it: the family's name when the bank is made.
FREE = {
    "bank.family",
    "features.balanced",
    "learning.enabled",
    "structure.enabled",
    "adaptation.detect",
    "adaptation.shadow",
    "realignment.enabled",
    "realignment.persistence",
    "seed",
}
CASES = [
    (section, field, value)
    for section, table in OUT_OF_RANGE.items()
    for field, values in table.items()
    for value in values
]


def model(**values: Any) -> ModelSpec:
    return ModelSpec(**{"name": "m", "channels": 1, "shape": (32, 32), **values})


def checked(spec: Any, field: str, value: object) -> None:
    """Checks a specification with another value; past the types that only tests enforce."""
    changed = copy.copy(spec)
    object.__setattr__(changed, field, value)
    changed.__post_init__()


def test_every_field_is_held_to_its_range() -> None:
    listed = {
        f"{s}.{f}".removeprefix(".") for s, table in OUT_OF_RANGE.items() for f in table
    } | FREE
    existing = {
        f"{name}.{f.name}".removeprefix(".") for name, cls in SECTIONS.items() for f in fields(cls)
    }
    assert existing - set(SECTIONS) == listed


@pytest.mark.parametrize(("section", "field", "value"), CASES)
def test_out_of_range_is_refused_by_name(section: str, field: str, value: object) -> None:
    """The message names the field, the value it got and the range."""
    name = f"{section}.{field}".removeprefix(".")
    with pytest.raises(ConfigError, match=rf"^{re.escape(f'{name}: got {value!r}, expected ')}\S"):
        checked(SECTIONS[section]() if section else model(), field, value)


def test_features_may_not_ask_for_orders_that_the_bank_lacks() -> None:
    with pytest.raises(ConfigError, match=r"features\.orders.*bank\.max_order = 1"):
        model(bank=BankSpec(max_order=1))


def test_only_directions_are_balanced() -> None:
    features = FeatureSpec(balanced=True)
    assert model(features=features).features.balanced
    with pytest.raises(
        ConfigError, match=r"^features\.balanced: got True, expected False for .*one"
    ):
        model(features=features, shape=(64,))


@pytest.mark.parametrize(
    ("kind", "channels"), [("softmax", 1), ("poisson", 8), ("gaussian", 8), ("poisson", 1)]
)
def test_realignment_is_for_classes_of_several_channels(kind: ReadoutKind, channels: int) -> None:
    asked: dict[str, Any] = {"readout": ReadoutSpec(kind), "channels": channels}
    told = rf"^realignment\.enabled: got True, expected False with .*{kind} and .* = {channels}:"
    with pytest.raises(ConfigError, match=told):
        model(**asked, realignment=RealignmentSpec(enabled=True))
    assert not model(**asked).realignment.enabled


@pytest.mark.parametrize(
    "spec",
    [
        model(),
        model(
            shape=(128,),
            channels=2,
            input_scale=(0.5, 1 / 3),
            bank=BankSpec(J=2, Q=(4,), bound="tight", padding="zero", max_order=1),
            features=FeatureSpec(orders=(), grid=(0,), raw_grid=8, compression="log"),
            readout=ReadoutSpec("softmax", ridge=1e-3, forgetting=0.999),
            learning=LearningSpec(enabled=False, optimiser="sgd"),
            structure=StructureSpec(epsilon=0.1, candidates=0),
            realignment=RealignmentSpec(enabled=True, placement="ring", alarm=9.0),
            seed=7,
        ),
    ],
)
def test_specification_survives_json(spec: ModelSpec) -> None:
    restored = ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert restored == spec
    assert hash(restored) == hash(spec)


@pytest.mark.parametrize("section", [*SECTIONS])
def test_unknown_keys_are_refused(section: str) -> None:
    values = model().to_dict()
    (values[section] if section else values)["kernel"] = 3
    with pytest.raises(ConfigError, match=rf"{SECTIONS[section].__name__} keys: got \['kernel'\]"):
        ModelSpec.from_dict(values)


def test_parts_left_out_have_defaults() -> None:
    assert ModelSpec.from_dict({"name": "m", "channels": 1, "shape": [32, 32]}) == model()
