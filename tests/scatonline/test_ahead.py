"""Samples that go through the cascade together become what they become alone, to the bit."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from scatonline.ahead import Ahead
from scatonline.config import AdaptationSpec, LearningSpec, ReadoutKind
from scatonline.errors import ScatOnlineError
from scatonline.features import Layout
from scatonline.model import Model
from scatonline.sample import Sample
from tests.scatonline.models import (
    KINDS,
    OUTPUTS,
    copied,
    decided,
    specification,
    stream,
    unlabelled,
)

FIXED: dict[str, Any] = {"learning": LearningSpec(enabled=False)}
GUARDED: dict[str, Any] = {"adaptation": AdaptationSpec(shadow=True)}
CASES = [
    pytest.param(kind, dimensions, values, id=f"{kind}-{dimensions}-D-{name}")
    for kind in KINDS
    for dimensions in (1, 2)
    for name, values in (("fixed", FIXED), ("guarded", GUARDED))
]


def opened(kind: ReadoutKind, dimensions: int, values: dict[str, Any]) -> Model:
    model = Model(specification(kind, dimensions, **values))
    model.open_session("a", OUTPUTS)
    return model


def step_each(model: Model, samples: Sequence[Sample]) -> None:
    for sample in samples:
        model.step(sample)


@pytest.mark.parametrize(("kind", "dimensions", "values"), CASES)
def test_a_state_does_not_depend_on_what_came_together(
    kind: ReadoutKind, dimensions: int, values: dict[str, Any]
) -> None:
    alone = opened(kind, dimensions, values)
    samples = stream(alone.spec, 90)
    step_each(alone, samples)
    for flushes in ((90,), (1, 30, 3, 56), (20, 20, 20, 30)):
        model, begin = opened(kind, dimensions, values), 0
        for count in flushes:
            some = samples[begin : begin + count]
            begin += count
            model.look_ahead(some)
            step_each(model, some)
        assert model.state_hash() == alone.state_hash(), flushes


def test_inputs_go_through_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the tests above would hold of a model that never looks ahead."""
    model = opened("poisson", 1, FIXED)
    samples = stream(model.spec, 70)
    model.look_ahead(samples[:2])  # the trial is behind it
    batches = []
    columns = Layout.columns

    def counted(self: Layout, x: torch.Tensor, *others: Any) -> torch.Tensor:
        batches.append(len(x))
        return columns(self, x, *others)

    monkeypatch.setattr(Layout, "columns", counted)
    model.look_ahead(samples)
    step_each(model, samples)
    assert batches == [64, 16]


def test_looking_changes_nothing() -> None:
    model = opened("poisson", 1, FIXED)
    samples = stream(model.spec, 40)
    step_each(model, samples[:20])
    before = model.state_hash()
    model.look_ahead(samples[20:])
    assert model.state_hash() == before


def test_what_a_model_would_refuse_is_passed_by() -> None:
    model, alone = (opened("poisson", 1, FIXED) for _ in range(2))
    samples = stream(model.spec, 20)
    bad = [
        replace(samples[0], id="shape", input=np.zeros((1, 5), np.float32)),
        replace(samples[1], id="type", input=np.zeros_like(samples[1].input, dtype=complex)),
        replace(samples[3], id="large", input=np.full(samples[3].input.shape, 1e300)),
        replace(samples[2], id="nan", input=np.full_like(samples[2].input, np.nan)),
    ]
    model.look_ahead([*bad, *samples])
    for sample in bad:
        with pytest.raises(ScatOnlineError):
            model.step(sample)
    step_each(model, samples)
    step_each(alone, samples)
    assert model.state_hash() == alone.state_hash()


def test_a_sample_that_waits_keeps_no_other_in_memory() -> None:
    model = opened("poisson", 1, FIXED)
    waiting = [unlabelled(sample) for sample in stream(model.spec, 16)]
    model.look_ahead(waiting)
    step_each(model, waiting)
    tensors, _ = model.state()
    sizes = {
        tensor.untyped_storage().nbytes() / tensor.nbytes
        for name, tensor in tensors.items()
        if name.startswith("pending.") and name.endswith(".input")
    }
    assert sizes == {1.0}


def test_filters_that_came_since_are_used() -> None:
    model = opened("poisson", 1, FIXED)
    samples = stream(model.spec, 80)
    step_each(model, samples[:60])
    alone = copied(model)
    decision = decided(model)
    model.look_ahead(samples[60:])
    for each in (model, alone):
        each.apply(decision)
        step_each(each, samples[60:])
    assert model.state_hash() == alone.state_hash()


def test_where_a_bit_differs_inputs_go_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = opened("poisson", 1, FIXED)
    learner = model.learner
    columns = Layout.columns

    def rounded(self: Layout, x: torch.Tensor, *others: Any) -> torch.Tensor:
        found = columns(self, x, *others)
        return torch.nextafter(found, found + 1) if len(x) > 1 else found

    monkeypatch.setattr(Layout, "columns", rounded)
    ahead = Ahead(model.spec, "cpu")
    inputs = [sample.input for sample in stream(model.spec, 20)]
    ahead.look(inputs, learner.layout, learner.filters, learner.averages)
    assert all(ahead.take(x, learner.filters) is None for x in inputs)
