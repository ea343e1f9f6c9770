"""A model whose filters must earn steps of their own: checks, reports, checkpoints, retreats."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.learning import freeing
from scatonline.config import AdaptationSpec, LearningSpec, ModelSpec
from scatonline.guard import Comparison
from scatonline.model import Model
from scatonline.structure import GroupCar, StructureDecision
from tests.scatonline.models import copied, decided, specification, stream, taught

LEARNING = LearningSpec(warmup=4, every=1, tie="earned", rate=0.005)


def earning(kind: str = "gaussian", **values: object) -> ModelSpec:
    return specification(kind, 2, learning=LEARNING, **values)  # type: ignore[arg-type]


def found(model: Model, car: float = 0.1, upper: float = 0.12) -> StructureDecision:
    """A check that found every filter to matter as much."""
    names = [name for bank in model.learner.banks() for name in bank.names]
    cars = tuple(
        GroupCar(name.id, name.layer, name.scale, car, 0.01, upper, 0.0, None, False)
        for name in names
    )
    return replace(decided(model), cars=cars, moves=(), baseline_score=0.5)


def ahead(model: Model, row: int) -> str:
    """Makes a filter's past speak for it, as if it had been pulled aside for long."""
    freedom = model.learner.descents[0].freedom
    assert freedom is not None
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(freedom.leads.shape, generator=generator, dtype=torch.float64)
    freedom.leads, freedom.progress = 0.1 * noise, 0.1 * noise.flip(1)
    freedom.leads[row] += 1.0
    return model.learner.banks()[0].names[row].id


def freed(model: Model) -> set[str]:
    return {report.id for report in model.filters() if report.freed}


def test_a_check_frees_what_has_earned_it_and_the_reports_say_so() -> None:
    model = taught(earning(), 30)
    name = ahead(model, 1)
    assert freed(model) == set()
    model.apply(found(model))
    assert freed(model) == {name} == set(model.learner.freed())


def test_a_freed_filter_that_is_harmless_is_tied_again() -> None:
    model = taught(earning(), 30)
    name = ahead(model, 1)
    model.apply(found(model))
    share = model.spec.structure.epsilon * 0.5
    model.apply(found(model, car=0.0, upper=1.01 * share))
    assert freed(model) == {name}
    model.apply(found(model, car=0.0, upper=0.99 * share))
    assert freed(model) == set()


@pytest.mark.parametrize("tie", ["filter", "scale", "layer"])
def test_where_it_need_not_be_earned_nothing_is_kept_or_reported(tie: str) -> None:
    learning = replace(LEARNING, tie=tie)  # type: ignore[arg-type]
    model = taught(replace(earning(), learning=learning), 30)
    model.apply(found(model))
    assert freed(model) == set()
    assert not any("leads" in name for name in model.state()[0])


def test_models_whose_checks_free_nothing_are_tied_by_scale() -> None:
    models = [
        taught(replace(earning(), learning=replace(LEARNING, tie=tie)), 60)
        for tie in ("earned", "scale")
    ]
    for model in models:
        model.apply(found(model, car=0.0))
    earned, scale = (model.learner.banks()[0].theta for model in models)
    assert torch.equal(earned, scale)


def test_freedom_follows_structure_moves() -> None:
    model = taught(earning(), 30)
    name = ahead(model, 1)
    model.apply(found(model))
    model.apply(decided(model))
    assert freed(model) == {name}
    for sample in stream(model.spec, 10, seed=4):
        model.step(replace(sample, id=f"later-{sample.id}"))
    decision = decided(model)
    drop = replace(decision.moves[0], filter_id=name)
    model.apply(replace(decision, moves=(drop,)))
    assert freed(model) == set()


@pytest.mark.parametrize("kind", ["gaussian", "poisson", "softmax"])
def test_restored_with_a_freed_filter_it_continues_to_the_same_bits(kind: str) -> None:
    model = taught(earning(kind), 30)
    ahead(model, 1)
    model.apply(found(model))
    again = copied(model)
    assert freed(again) == freed(model) != set()
    for sample in stream(model.spec, 20, seed=5):
        later = replace(sample, id=f"later-{sample.id}")
        ours, theirs = model.step(later), again.step(later)
        np.testing.assert_array_equal(ours.prediction.values, theirs.prediction.values)
    for each in (model, again):
        ahead(each, 0)
        each.apply(found(each))
    assert model.state_hash() == again.state_hash()


def test_a_retreat_ties_everything_and_asks_for_evidence_anew() -> None:
    guarded = replace(earning(), adaptation=AdaptationSpec(shadow=True))
    model = taught(guarded, 30)
    ahead(model, 1)
    model.apply(found(model))
    assert freed(model)
    model.comparison = Comparison([1.0 + 0.01 * (n % 5) for n in range(250)], 249)
    (sample,) = stream(model.spec, 1, seed=3)
    model.step(replace(sample, id="last"))
    assert len(model.retreats) == 1
    assert freed(model) == set()
    model.apply(found(model))
    assert freed(model) == set()


@pytest.mark.slow
@pytest.mark.parametrize("planted", ["one", "all", "none"])
def test_planted_streams_free_what_they_must_through_a_whole_model(
    planted: freeing.Planted,
) -> None:
    """With real gradients and CARs; `benchmarks.learning --parts freeing` has twenty of each."""
    lesson = freeing.teach(planted, "earned", seed=1)
    assert lesson.freed == ((freeing.ODD,) if planted == "one" else ())
