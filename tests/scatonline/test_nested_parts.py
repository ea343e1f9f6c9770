"""The parts of the nested optimisation, each against what it stands for, computed plainly."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from scatonline.config import BankSpec, FeatureSpec, ModelSpec, ReadoutSpec
from scatonline.errors import ConfigError
from scatonline.features import Layout, Standardiser
from scatonline.nested import CalibrationSet, NestedSpec
from scatonline.nested.descent import Problem
from scatonline.nested.discriminant import discriminant, viewed
from scatonline.nested.judge import Judge
from scatonline.nested.outer import with_copies
from scatonline.nested.ridge import Groups, best_ridge, filled, left_out_errors, predict
from scatonline.scattering import Scattering

SPEC = ModelSpec(
    name="small",
    channels=1,
    shape=(16, 16),
    bank=BankSpec(J=2, L=3, max_order=2),
    features=FeatureSpec(orders=(1, 2), grid=(1,), order_weight=(1.0,)),
    readout=ReadoutSpec(kind="gaussian", ridge=1.0),
)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def refit(z: Tensor, y: Tensor, new: Tensor, ridge: float) -> Tensor:
    """Ridge regression in primal form, intercept free."""
    mean_z, mean_y = z.mean(0), y.mean(0)
    gram = (z - mean_z).T @ (z - mean_z) + ridge * torch.eye(z.shape[1], dtype=z.dtype)
    weights = torch.linalg.solve(gram, (z - mean_z).T @ (y - mean_y))
    prediction: Tensor = (new - mean_z) @ weights + mean_y
    return prediction


@pytest.mark.parametrize("groups", [[0, 1, 2, 3, 4, 5, 6, 7], [0, 0, 1, 2, 2, 2, 3, 3]])
def test_left_out_errors_are_those_of_refits_without_the_group(groups: list[int]) -> None:
    z, y, labels = random(8, 12), random(8, 2, seed=1), torch.tensor(groups)
    errors = left_out_errors(z @ z.T, y, 0.7, Groups.of(labels))
    for row in range(8):
        others = labels != labels[row]
        expected = y[row] - refit(z[others], y[others], z[row : row + 1], 0.7)[0]
        # The intercept's prior is wide, not infinite.
        torch.testing.assert_close(errors[row], expected, rtol=5e-3, atol=5e-3)


def test_the_ridge_chosen_has_the_least_left_out_error() -> None:
    z, groups = random(30, 5), Groups.of(torch.arange(30))
    y = z @ random(5, 1, seed=2) + 0.5 * random(30, 1, seed=3)
    ridge, errors = best_ridge(z @ z.T, y, groups)
    torch.testing.assert_close(errors, left_out_errors(z @ z.T, y, ridge, groups))
    for factor in (0.1, 10.0):
        other = left_out_errors(z @ z.T, y, ridge * factor, groups)
        assert errors.square().mean() <= other.square().mean()


def test_dual_predictions_are_the_primal_ones() -> None:
    z, y, new = random(20, 6), random(20, 3, seed=1), random(4, 6, seed=2)
    ours = predict(z @ z.T, y, new @ z.T, 0.3)
    torch.testing.assert_close(ours, refit(z, y, new, 0.3), rtol=5e-3, atol=5e-3)


def test_targets_are_scaled_by_fitted_rows_and_missing_ones_marked() -> None:
    targets = torch.tensor([[1.0, 5.0], [3.0, 5.0], [float("nan"), 5.0], [9.0, 7.0]])
    y, observed = filled(targets, torch.arange(3))
    assert y.shape == (4, 1), "the second output does not vary among the first three"
    assert y[:, 0].tolist() == [-1.0, 1.0, 0.0, 7.0]
    assert observed[:, 0].tolist() == [True, True, False, True]


def test_gradient_of_the_left_out_error_agrees_with_differences() -> None:
    inputs = random(24, 1, 16, 16).float()
    samples = CalibrationSet(inputs, random(24, 2, seed=1).float(), torch.arange(24) // 2)
    judge = Judge(SPEC, samples, samples.take(torch.arange(24)))
    problem = Problem(SPEC, NestedSpec(batch=24), samples, judge)
    scattering = Scattering(SPEC.bank, SPEC.shape)
    at, rows = judge(scattering), torch.arange(24)
    layout = Layout(SPEC, scattering.cascade)
    bank = scattering.bank(1)
    with torch.no_grad():
        columns = layout.columns(
            inputs, scattering.build(), scattering.averages(torch.float32, inputs.device)
        )
    # The scales of columns are held: the gradient does not go through them.
    scale = Standardiser.fit(columns, layout.weight)
    loss, gradients = problem.gradient(scattering, rows, at)
    gradient = gradients[0]
    assert gradient is not None

    def error(step: Tensor) -> float:
        with torch.no_grad():
            bank.theta.add_(step)
            moved = layout.columns(
                inputs, scattering.build(), scattering.averages(torch.float32, inputs.device)
            )
            bank.theta.sub_(step)
            y, _ = filled(samples.targets, rows)
            z = scale(moved)
            left = left_out_errors(z @ z.T, y, at.ridge, Groups.of(samples.groups))
            return float(left.square().mean())

    assert error(torch.zeros_like(bank.theta)) == pytest.approx(loss, rel=1e-6)
    direction = gradient / gradient.norm()
    slope = (error(1e-2 * direction) - error(-1e-2 * direction)) / 2e-2
    assert slope == pytest.approx(float(gradient.norm()), rel=0.02)


def test_a_discriminant_tells_gaussian_classes_apart_as_well_as_bayes() -> None:
    generator = torch.Generator().manual_seed(0)
    classes = torch.randint(3, (600,), generator=generator)
    means = 2.0 * random(3, 4, seed=1)
    mixing = random(4, 4, seed=2)
    z = means[classes] + random(600, 4, seed=3) @ mixing
    precision = torch.linalg.inv(mixing.T @ mixing)
    bayes = z @ precision @ means.T - 0.5 * ((means @ precision) * means).sum(1)
    best = (bayes.argmax(1) == classes).double().mean()
    lda = discriminant(z[:300], classes[:300], 3, torch.arange(300), 0)
    right = (lda(z[300:]).argmax(1) == classes[300:]).double().mean()
    assert right >= best - 0.03
    assert lda.accuracy == pytest.approx(float(best), abs=0.05)


def test_a_discriminant_of_few_samples_is_that_of_many_columns() -> None:
    """Σ⁻¹m by its definition, more columns than samples."""
    z, classes = random(12, 20), torch.arange(12) % 3
    lda = discriminant(z, classes, 3, torch.arange(12), 0)
    means = torch.stack([z[classes == k].mean(0) for k in range(3)])
    deviations = z - means[classes]
    covariance = deviations.T @ deviations / 12
    identity = torch.eye(20, dtype=z.dtype) * covariance.trace() / 20
    shrunk = (1 - lda.shrinkage) * covariance + lda.shrinkage * identity
    weights = torch.linalg.solve(shrunk, means.T)
    torch.testing.assert_close(lda.weights[1:], weights)
    torch.testing.assert_close(lda.weights[0], -0.5 * (means.T * weights).sum(0))


def test_views_that_are_all_alike_change_nothing() -> None:
    z, classes, groups = random(30, 8), torch.arange(30) % 3, torch.arange(30)
    one, three = (discriminant(v, classes, 3, groups, 0) for v in (z, torch.stack([z] * 3)))
    assert (one.shrinkage, one.accuracy) == (three.shrinkage, three.accuracy)
    torch.testing.assert_close(one.weights, three.weights)


def test_of_views_and_their_means_is_learned_from_what_tells_more_of_held_out_samples() -> None:
    classes, groups = torch.arange(40) % 2, torch.arange(40)
    views_won = set()
    for seed in range(12):
        views = torch.stack([random(40, 6, seed=3 * seed + v) for v in range(3)])
        views[:, :, 0] += classes
        means = discriminant(views.mean(0), classes, 2, groups, 0)
        every = discriminant(views, classes, 2, groups, 0)
        lda = viewed(views, classes, 2, groups, 0)
        assert lda.accuracy == max(means.accuracy, every.accuracy)
        views_won.add(every.accuracy > means.accuracy)
    assert views_won == {True, False}


def test_a_class_without_samples_is_never_predicted() -> None:
    z, classes = random(20, 3), torch.arange(20) % 2
    lda = discriminant(z, classes, 3, torch.arange(20), 0)
    assert not (lda(10 * random(50, 3, seed=1)).argmax(1) == 2).any()


def test_copies_stay_with_what_they_are_copies_of() -> None:
    samples = CalibrationSet(random(24, 1, 16, 16).float(), random(24, 1).float(), torch.arange(24))
    every = with_copies(samples, (0.5, 1.0, 2.0))
    assert torch.equal(every.groups, torch.arange(24).repeat(3))
    assert torch.equal(every.inputs[-24:], samples.inputs), "the samples themselves come last"


@pytest.mark.parametrize("held", [0.2, 0.25, 0.5])
def test_a_split_cuts_no_group_and_takes_of_every_class(held: float) -> None:
    classes = torch.arange(80) % 4
    targets = torch.eye(4)[classes]
    groups = torch.arange(80) // 4 * 4 + classes  # every sample alone
    spec = replace(SPEC, readout=ReadoutSpec(kind="softmax"))
    fitted, judged = CalibrationSet(random(80, 1, 16, 16).float(), targets, groups).split(
        held, spec
    )
    assert sorted([*fitted.tolist(), *judged.tolist()]) == list(range(80))
    counts = torch.bincount(classes[judged], minlength=4)
    assert counts.max() - counts.min() <= 1
    assert len(judged) == pytest.approx(held * 80, abs=1)


def test_a_split_keeps_neighbours_on_one_side() -> None:
    groups = torch.arange(90) // 9
    samples = CalibrationSet(random(90, 1, 16, 16).float(), random(90, 1).float(), groups)
    fitted, judged = samples.split(0.3, SPEC)
    assert not set(groups[fitted].tolist()) & set(groups[judged].tolist())
    assert all(a < b for a, b in pairwise(fitted.tolist())), "in the order of the recording"


def test_too_few_samples_are_refused() -> None:
    few = CalibrationSet(random(8, 1, 16, 16).float(), random(8, 1).float(), torch.arange(8))
    with pytest.raises(ConfigError, match="8 samples, expected 24"):
        few.split(0.25, SPEC)


def test_every_sample_needs_a_target() -> None:
    with pytest.raises(ConfigError, match="8 inputs, 7 targets"):
        CalibrationSet(random(8, 1, 16, 16).float(), random(7, 1).float(), torch.arange(8))


def test_one_group_cannot_be_split() -> None:
    samples = CalibrationSet(
        random(24, 1, 16, 16).float(), random(24, 1).float(), torch.zeros(24, dtype=torch.long)
    )
    with pytest.raises(ConfigError, match="too few to hold out"):
        samples.split(0.25, SPEC)


@pytest.mark.parametrize(
    "values",
    [
        {"held": 0.05},
        {"rounds": 0},
        {"steps": -1},
        {"batch": 4},
        {"every": 0},
        {"patience": 0},
        {"rate": 0.0},
        {"dilations": (1.0, 8.0)},
    ],
)
def test_limits_out_of_range_are_refused_by_name(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"nested.{next(iter(values))}"):
        NestedSpec(**values)  # type: ignore[arg-type]
