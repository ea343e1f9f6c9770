"""The nested optimisation on sets with a known truth."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from scatonline.config import ModelSpec, ReadoutKind, ReadoutSpec, StructureSpec
from scatonline.errors import ConfigError
from scatonline.model import Model
from scatonline.nested import (
    CalibrationSet,
    Fitted,
    NestedSpec,
    Round,
    Session,
    fit,
    outer,
)
from scatonline.nested.judge import Judge, columns_of
from scatonline.sample import Sample
from scatonline.scattering import Scattering
from scatonline.structure import Move, StructureCheck, StructureDecision
from tests.scatonline.planted import ANGLES, CARRIER, GRATINGS, gratings

SPEC = replace(GRATINGS, name="fitted", learning=replace(GRATINGS.learning, every=1, warmup=0))
ONE = Session("calibration", ("unit",))
TWO = Session("calibration", ("weak", "strong"))


def of_kind(kind: ReadoutKind) -> ModelSpec:
    return replace(SPEC, readout=ReadoutSpec(kind, ridge=1.0))


def planted(samples: int = 320, kind: ReadoutKind = "gaussian") -> CalibrationSet:
    inputs, targets = gratings(samples, seed=3, kind=kind)
    return CalibrationSet(inputs, targets, torch.arange(samples))


@pytest.fixture(scope="module")
def pruned() -> Fitted:
    return fit(SPEC, planted(), ONE, NestedSpec(steps=0, rounds=6))


def left(fitted: Fitted) -> set[str]:
    return {name.id for name in fitted.model.learner.scattering.bank(1).names}


def test_what_the_targets_do_not_depend_on_goes_and_what_they_do_stays(pruned: Fitted) -> None:
    assert CARRIER in left(pruned)
    # At right angles to what matters; the two beside it tell its amplitude, too.
    assert "1/j0/3" not in left(pruned)
    first, chosen = pruned.path.rounds[0], pruned.path.rounds[pruned.path.chosen]
    assert first.total_filters == ANGLES
    assert chosen.explained >= first.explained - 0.01


def test_the_path_tells_every_move_with_its_numbers(pruned: Fitted) -> None:
    moves = pruned.path.moves
    assert [m.filter_id for m in moves] == [m.filter_id for m in pruned.model.moves]
    assert all("CAR" in r.reason for r in pruned.path.rounds if r.moves)
    for before, after in zip(pruned.path.rounds[1:], pruned.path.rounds[2:], strict=False):
        assert before.total_filters - after.total_filters == len(before.moves), "one at a time"


def test_the_model_predicts_as_ridge_regression_on_the_whole_set(pruned: Fitted) -> None:
    model, samples = pruned.model, planted()
    scattering, layout = model.learner.scattering, model.learner.layout
    z = model.learner.standardiser(columns_of(scattering, layout, samples.inputs))
    y = samples.targets.double()
    one_z = torch.cat((torch.ones(len(z), 1, dtype=z.dtype), z), 1)
    prior = torch.diag(torch.tensor([1e-3] + [SPEC.readout.ridge] * z.shape[1], dtype=z.dtype))
    weights = torch.linalg.solve(one_z.T @ one_z + prior, one_z.T @ y)
    new, _ = gratings(5, seed=9)
    reader = model.reader()
    ours = [float(reader.predict("calibration", x.numpy()).values[0]) for x in new]
    theirs = model.learner.standardiser(columns_of(scattering, layout, new))
    np.testing.assert_allclose(ours, (theirs @ weights[1:] + weights[0])[:, 0], rtol=1e-4)


def test_the_model_is_served_with_its_own_specification_and_goes_on_learning(
    pruned: Fitted,
) -> None:
    tensors, meta = pruned.model.state()
    model = Model.restore(SPEC, tensors, meta)
    assert model.state_hash() == pruned.model.state_hash()
    before = model.learner.scattering.bank(1).theta.detach().clone()
    new, targets = gratings(3, seed=11)
    for i, (x, y) in enumerate(zip(new.numpy(), targets.numpy(), strict=True)):
        model.step(Sample(f"new/{i}", "calibration", x, y))
    after = model.learner.scattering.bank(1).theta.detach()
    assert not torch.equal(before, after), "θ is held during the fit, and free afterwards"


def test_the_same_set_gives_the_same_model(pruned: Fitted) -> None:
    again = fit(SPEC, planted(), ONE, NestedSpec(steps=0, rounds=6))
    assert again.model.state_hash() == pruned.model.state_hash()


def detuned(factor: float) -> CalibrationSet:
    """Gratings that are not where the filters start."""
    samples = planted(240)
    rng = np.random.default_rng(4)
    size, angle = 8, np.pi / 4
    y, x = np.meshgrid(np.arange(size), np.arange(size))
    amplitude = rng.uniform(0.2, 1.0, 240)
    along = 2 * factor * (np.cos(angle) * x + np.sin(angle) * y)
    waves = np.cos(along + rng.uniform(0, 2 * np.pi, 240)[:, None, None])
    noise = rng.standard_normal((240, size, size))
    inputs = amplitude[:, None, None] * waves + 0.6 * noise
    targets = ((amplitude - 0.6) / 0.23)[:, None] + 0.1 * rng.standard_normal((240, 1))
    return replace(
        samples,
        inputs=torch.from_numpy(inputs[:, None]).float(),
        targets=torch.from_numpy(targets).float(),
    )


def test_theta_moves_to_where_held_out_samples_are_explained_better() -> None:
    limits = NestedSpec(steps=24, every=4, rounds=1, structure=False, free=False, rate=0.05)
    fitted = fit(SPEC, detuned(0.7), ONE, limits)
    first, last = fitted.path.rounds[0], fitted.path.rounds[fitted.path.chosen]
    assert last.explained > first.explained + 0.01
    assert last.drift[0] > 1e-3
    assert np.mean(last.losses[-4:]) < np.mean(last.losses[:4])


def test_tied_filters_keep_one_shape_and_freed_ones_need_not() -> None:
    limits = NestedSpec(steps=8, every=4, rounds=1, structure=False, free=False, rate=0.05)
    fitted = fit(SPEC, detuned(0.7), ONE, limits)
    bank = fitted.model.learner.scattering.bank(1)
    values = bank.values().detach()
    shape = [p.kind != "direction" for p in bank.family.parameters]
    torch.testing.assert_close(values[:, shape], values[:1, shape].expand(len(values), -1))


def test_a_descent_ends_when_held_out_samples_gain_nothing() -> None:
    samples = planted(120)
    noise = torch.randn(120, 1, generator=torch.Generator().manual_seed(0))
    limits = NestedSpec(steps=400, every=2, patience=2, rounds=1, structure=False, free=False)
    fitted = fit(SPEC, replace(samples, targets=noise), ONE, limits)
    assert fitted.path.rounds[1].steps < 100, "noise cannot be explained"


class _Harmful(StructureCheck):
    """A check that always drops the one filter that matters."""

    def run(self) -> StructureDecision:
        move = Move("drop", CARRIER, 1, 0, "because a test says so", {})
        return StructureDecision(self.look, "", 0, 0.0, 0.0, (), (move,), move.reason)


def test_a_move_that_harms_held_out_samples_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outer, "StructureCheck", _Harmful)
    fitted = fit(SPEC, planted(), ONE, NestedSpec(steps=0, rounds=6))
    assert "got worse" in fitted.path.ended
    assert not fitted.path.rounds[-1].kept
    assert CARRIER in left(fitted)
    assert fitted.path.moves == ()


def test_classes_are_told_apart_by_the_discriminant() -> None:
    spec, samples = of_kind("softmax"), planted(kind="softmax")
    fitted = fit(spec, samples, TWO, NestedSpec(steps=0, rounds=1, dilations=(0.9, 1.0)))
    lda, model = fitted.classifier, fitted.model
    assert lda is not None
    assert fitted.path.rounds[0].accuracy is not None
    new, targets = gratings(40, seed=12, kind="softmax")
    z = model.learner.standardiser(columns_of(model.learner.scattering, model.learner.layout, new))
    reader = model.reader()
    ours = np.stack([reader.predict("calibration", x.numpy()).values for x in new])
    np.testing.assert_allclose(ours, lda(z).softmax(1).numpy(), atol=1e-5)
    assert (ours.argmax(1) == targets.numpy().argmax(1)).mean() > 0.85


def test_classes_may_be_left_to_the_readout_itself() -> None:
    spec, samples = of_kind("softmax"), planted(160, kind="softmax")
    limits = NestedSpec(steps=0, rounds=1, structure=False, classifier="readout")
    fitted = fit(spec, samples, TWO, limits)
    assert fitted.classifier is None
    assert fitted.model.scores().values["accuracy"] > 0.7


def test_counts_take_the_ridge_that_was_found() -> None:
    samples = planted(160, kind="poisson")
    limits = NestedSpec(steps=0, rounds=1, structure=False, keep_ridge=False)
    fitted = fit(of_kind("poisson"), samples, ONE, limits)
    chosen = fitted.path.rounds[fitted.path.chosen]
    assert fitted.model.spec.readout.ridge == chosen.ridge


def test_missing_targets_are_left_out() -> None:
    samples = planted(160)
    targets = torch.cat((samples.targets, torch.full_like(samples.targets, torch.nan)), 1)
    targets[:100, 1] = samples.targets[:100, 0]
    both = Session("calibration", ("a", "b"))
    limits = NestedSpec(steps=0, rounds=1, structure=False)
    fitted = fit(SPEC, replace(samples, targets=targets), both, limits)
    assert np.isfinite(fitted.path.rounds[0].explained)
    assert fitted.path.rounds[0].explained > 0.5


def test_progress_is_told_of_steps_and_rounds() -> None:
    told: list[tuple[int, int, Round | None]] = []
    limits = NestedSpec(steps=4, every=2, rounds=1, structure=False, free=False)
    fit(SPEC, planted(60), ONE, limits, lambda *event: told.append(event))
    steps = [step for number, step, finished in told if finished is None and number == 1]
    assert steps == list(range(1, len(steps) + 1))
    assert steps
    assert [finished.number for *_, finished in told if finished is not None] == [0, 1]


def test_a_judge_never_looks_at_held_out_samples_when_it_fits() -> None:
    samples = planted(120)
    fitted, held = samples.take(torch.arange(80)), samples.take(torch.arange(80, 120))
    scattering = Scattering(SPEC.bank, SPEC.shape)
    one = Judge(SPEC, fitted, held)(scattering)
    other = Judge(SPEC, fitted, replace(held, targets=-held.targets))(scattering)
    assert one.ridge == other.ridge
    assert one.left_out == other.left_out
    assert one.explained > other.explained


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": torch.zeros(60, 1, 4, 4)}, "shape"),
        ({"targets": torch.zeros(60, 3)}, "3 outputs"),
        ({"targets": torch.zeros(60, 1)}, "never vary"),
    ],
)
def test_a_set_that_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(SPEC, replace(planted(60), **change), ONE, NestedSpec(steps=0))


def test_a_model_without_filters_is_refused() -> None:
    spec = replace(
        SPEC,
        features=replace(SPEC.features, orders=(0,)),
        structure=StructureSpec(enabled=False),
    )
    with pytest.raises(ConfigError, match="no filters to fit"):
        fit(spec, planted(60), ONE, NestedSpec(steps=0))


def test_a_descent_shorter_than_the_wait_between_looks_is_judged_at_its_end() -> None:
    limits = NestedSpec(steps=3, every=50, rounds=1, structure=False, free=False)
    fitted = fit(SPEC, detuned(0.7), ONE, limits)
    assert len(fitted.path.rounds[1].judged) == 2
