"""Textures from few labelled images: 5 or 24 of each material, the others held out.

For every seed, 5 or 24 images of each class are drawn from all 528 (24: half of each class; the
draws of one seed share nothing with those of another but chance) and everything that is chosen is
chosen on them: the baseline's compression and readout, shrinkage, ridge, and when θ stops. The
held-out images are scored once. The representations that are compared were narrowed down on folds
of the file's own training half.
"""

import math
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scatonline.config import (
    BankSpec,
    FeatureSpec,
    LearningSpec,
    ModelSpec,
    ReadoutSpec,
    StructureSpec,
)
from scatonline.features import Layout, Standardiser
from scatonline.model import Model
from scatonline.nested import (
    CalibrationSet,
    NestedSpec,
    Session,
    Views,
    dilated,
    discriminant,
    fit,
)
from scatonline.nested.judge import columns_of
from scatonline.nested.ridge import Groups, best_ridge, predict
from scatonline.scattering import Scattering

DILATIONS = (0.5, math.sqrt(0.5), 1.0, math.sqrt(2), 2.0)
SPEC = ModelSpec(
    name="textures",
    channels=1,
    shape=(128, 128),
    bank=BankSpec(J=5, L=8),
    features=FeatureSpec(orders=(1, 2), grid=(1,), compression="log", order_weight=(1.0,)),
    readout=ReadoutSpec(kind="softmax", ridge=1.0),
    learning=LearningSpec(tie="scale"),
    structure=StructureSpec(enabled=False),
    input_scale=(1 / 255,),
)
LIMITS = NestedSpec(steps=8, every=4, patience=1, rounds=1, batch=88, free=False, structure=False)
BASE, VIEWS, MEAN = "one scale, best of 4", "views as samples, mean of views", "mean of views"
COPIED = "dilated copies as samples, one scale (`fit --dilations`)"
AVERAGED = "dilated copies as samples, mean of predictions (`predict_averaged`)"
FITTED, STARTED = "one scale, θ learned by fit", "one scale, the same without learning"
# Seeds with which θ is learned, too, which takes most of the time.
_LEARNED = 3
_ITSELF = DILATIONS.index(1.0)
GOALS = {5: 0.72, 24: 0.93}


@dataclass(frozen=True)
class Images:
    """The recording.

    Attributes:
        x: ``(images, 1, 128, 128)`` float32, scaled.
        classes: ``(images,)``.
        stored: ``(images,)``, which half the recording sets apart for tests.
        names: Of the classes.
    """

    x: Tensor
    classes: Tensor
    stored: Tensor
    names: tuple[str, ...]

    def draw(self, each: int, seed: int) -> tuple[Tensor, Tensor]:
        """``each`` images of every class, and the others."""
        rng = np.random.default_rng(seed)
        members = [np.flatnonzero(self.classes.numpy() == k) for k in range(len(self.names))]
        shuffled = [rng.permutation(m) for m in members]
        train, rest = (
            np.concatenate([m[part] for m in shuffled])
            for part in (slice(None, each), slice(each, None))
        )
        return torch.from_numpy(train), torch.from_numpy(rest)


def run(quick: bool) -> dict[str, Any]:
    """Five seeds, three of them with θ learned; two seeds and no learning of θ if ``quick``.

    Raises:
        FileNotFoundError: the recording is not there.
    """
    images = _read()
    root = _columns(images, replace(SPEC, features=replace(SPEC.features, compression="sqrt")))
    copies = torch.stack([_columns(images, SPEC, factor=factor) for factor in DILATIONS])
    views = Views(SPEC, Scattering(SPEC.bank, SPEC.shape), DILATIONS).columns(images.x)
    trials = []
    for each in GOALS:
        for seed in range(2 if quick else 5):
            train, rest = images.draw(each, seed)
            found = _baselines(images, root, views, train, rest, seed)
            found |= _dilated(images, copies, train, rest, seed)
            found[VIEWS] = _views(images, views, train, rest, seed)[1]
            if seed < _LEARNED and not quick:
                found |= _learned(images, train, rest, seed)
            print(f"textures, {each} a class, seed {seed}: {found}", flush=True)
            trials.append({"each": each, "seed": seed, "accuracy": found})
    goals = {str(each): goal for each, goal in GOALS.items()}
    tried = {"trials": trials, "dilations": list(DILATIONS), "goals": goals}
    return tried if quick else {**tried, "search": _searched(images)}


def table(result: dict[str, Any]) -> str:
    """Markdown."""
    trials = result["trials"]
    sizes = sorted({trial["each"] for trial in trials})
    lines = [
        "| held-out accuracy | seeds | " + " | ".join(f"{each} a class" for each in sizes) + " |",
        "| --- | --- |" + " --- |" * len(sizes),
    ]
    for way in trials[0]["accuracy"]:
        scored = [t for t in trials if way in t["accuracy"]]
        seeds = len({trial["seed"] for trial in scored})
        cells = [
            _spread([t["accuracy"][way] for t in scored if t["each"] == each]) for each in sizes
        ]
        lines.append(f"| {way} | {seeds} | " + " | ".join(cells) + " |")
    goals = " | ".join(f"≥ {result['goals'][str(each)]}" for each in sizes)
    lines += [f"| *goal* | | {goals} |", "", "Mean ± standard deviation over seeds."]
    if "search" in result:
        lines += ["", "Fitted to the stored half, right on the other half:"]
        lines += [
            f"* {name}: {row['accuracy']:.3f}, {row['filters']} filters of {row['at_first']}"
            for name, row in result["search"].items()
        ]
    return "\n".join(lines)


def _spread(scores: Sequence[float]) -> str:
    return f"{statistics.mean(scores):.3f} ± {statistics.stdev(scores):.3f}"


def _read() -> Images:
    file = Path(os.environ.get("RECORDINGS", "../shared/data")) / "kth_tips_480.npz"
    if not file.exists():
        raise FileNotFoundError(f"no {file}: learning from few samples is measured on its textures")
    with np.load(file) as arrays:
        x = torch.from_numpy(arrays["images"]).float()[:, None] * SPEC.input_scale[0]
        classes = torch.from_numpy(arrays["labels"]).long()
        stored = torch.from_numpy(arrays["test"]).bool()
        return Images(x, classes, stored, tuple(str(name) for name in arrays["label_names"]))


def _columns(
    images: Images, spec: ModelSpec, scattering: Scattering | None = None, factor: float = 1.0
) -> Tensor:
    scattering = scattering or Scattering(spec.bank, spec.shape)
    return columns_of(scattering, Layout(spec, scattering.cascade), dilated(images.x, factor))


def _baselines(
    images: Images, root: Tensor, views: Tensor, train: Tensor, rest: Tensor, seed: int
) -> dict[str, float]:
    """Every image a sample, filters as they start."""
    one = [
        way(images, columns, train, rest, seed)
        for columns in (root, views[_ITSELF])
        for way in (_by_ridge, _by_discriminant)
    ]
    mean = _by_discriminant(images, views.mean(0), train, rest, seed)
    return {BASE: max(one)[1], MEAN: mean[1]}


def _dilated(
    images: Images, copies: Tensor, train: Tensor, rest: Tensor, seed: int
) -> dict[str, float]:
    one, mean = _views(images, copies, train, rest, seed)
    return {COPIED: one, AVERAGED: mean}


def _views(
    images: Images, views: Tensor, train: Tensor, rest: Tensor, seed: int
) -> tuple[float, float]:
    """Every view a sample: accuracy on held-out images, and on the mean of their views."""
    count = len(views)
    z, one, mean = _standardised(
        views[:, train].flatten(0, 1), views[_ITSELF, rest], views[:, rest].mean(0)
    )
    classes, groups = images.classes[train].repeat(count), torch.arange(len(train)).repeat(count)
    lda = discriminant(z, classes, len(images.names), groups, seed)
    return _accuracy(lda(one), images, rest), _accuracy(lda(mean), images, rest)


def _learned(images: Images, train: Tensor, rest: Tensor, seed: int) -> dict[str, float]:
    """Accuracy of the model that fit gives, on images as they are."""
    targets = torch.eye(len(images.names))[images.classes[train]]
    samples = CalibrationSet(images.x[train], targets, torch.arange(len(train)))
    session = Session("textures", images.names)
    scores = {}
    for name, limits in ((STARTED, replace(LIMITS, steps=0)), (FITTED, LIMITS)):
        fitted = fit(replace(SPEC, seed=seed), samples, session, limits)
        assert fitted.classifier is not None
        learner = fitted.model.learner
        z = learner.standardiser(_columns(images, SPEC, learner.scattering)[rest])
        scores[name] = _accuracy(fitted.classifier(z), images, rest)
    return scores


def _searched(images: Images) -> dict[str, dict[str, float]]:
    """What the search takes away from the stored half, and what that costs on the other half."""
    train, rest = (torch.nonzero(half)[:, 0] for half in (~images.stored, images.stored))
    targets = torch.eye(len(images.names))[images.classes[train]]
    samples = CalibrationSet(images.x[train], targets, torch.arange(len(train)))
    still = replace(LIMITS, steps=0)
    ways = {
        "filters as they start": still,
        "searched": replace(still, rounds=6, structure=True),
        "searched, θ learned": replace(LIMITS, rounds=5, structure=True),
    }
    found = {}
    for name, limits in ways.items():
        fitted = fit(SPEC, samples, Session("textures", images.names), limits)
        assert fitted.classifier is not None
        learner = fitted.model.learner
        z = learner.standardiser(_columns(images, SPEC, learner.scattering)[rest])
        found[name] = {
            "accuracy": _accuracy(fitted.classifier(z), images, rest),
            "filters": sum(len(bank) for bank in learner.banks()),
            "at_first": sum(len(bank) for bank in Model(SPEC).learner.banks()),
        }
        print(f"textures, stored half, {name}: {found[name]}", flush=True)
    return found


def _by_ridge(
    images: Images, columns: Tensor, train: Tensor, rest: Tensor, _: int
) -> tuple[float, float]:
    """Left-out accuracy on the training images, and accuracy on the others."""
    z, new = _standardised(columns[train], columns[rest])
    y = torch.eye(len(images.names), dtype=z.dtype)[images.classes[train]]
    level = y.mean(0)
    gram = z @ z.T
    ridge, errors = best_ridge(gram, y - level, Groups.of(torch.arange(len(train))))
    left_out = _accuracy(y - errors, images, train)
    return left_out, _accuracy(predict(gram, y - level, new @ z.T, ridge) + level, images, rest)


def _by_discriminant(
    images: Images, columns: Tensor, train: Tensor, rest: Tensor, seed: int
) -> tuple[float, float]:
    z, new = _standardised(columns[train], columns[rest])
    groups = torch.arange(len(train))
    lda = discriminant(z, images.classes[train], len(images.names), groups, seed)
    return lda.accuracy, _accuracy(lda(new), images, rest)


def _standardised(fitted: Tensor, *others: Tensor) -> Sequence[Tensor]:
    standardise = Standardiser.fit(fitted, torch.ones(fitted.shape[1], dtype=torch.float64))
    return [standardise(columns) for columns in (fitted, *others)]


def _accuracy(scores: Tensor, images: Images, rows: Tensor) -> float:
    return float((scores.argmax(1) == images.classes[rows]).double().mean())
