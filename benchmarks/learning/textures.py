"""Textures from few labelled images: 5 or 24 of each material, the others held out.

For every seed, 5 or 24 images of each class are drawn from all 528 (24: half of each class; the
draws of one seed share nothing with those of another but chance) and everything that is chosen is
chosen on them: the baseline's compression and readout, shrinkage, ridge, and when θ stops. The
held-out images are scored once. How far views reach (``features.dilations``) is told by how the
images were taken; beside it stands what folds of the training images choose.

A model with dilations is scored by what :func:`scatonline.nested.fit` makes of its columns, which
are computed once for all draws; the first draw of every size goes through ``fit``, and what the
reader of that model says of held-out images must be the same.
"""

import math
import os
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
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
    discriminant,
    fit,
    viewed,
)
from scatonline.nested.judge import columns_of, views_of
from scatonline.nested.ridge import Groups, best_ridge, predict
from scatonline.scattering import Scattering
from scatonline.views import dilated

# The materials were photographed from distances two octaves apart (Hayman et al. 2004).
DILATIONS = (0.5, math.sqrt(0.5), 1.0, math.sqrt(2), 2.0)
# What is chosen from: the input itself, half an octave to both sides of it, an octave.
REACHES = (DILATIONS[2:3], DILATIONS[1:4], DILATIONS)
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
BASE = "one scale, best of 4"
COPIED = "dilated copies as samples, one scale (`fit --dilations`)"
MEAN = "mean of views, learned from the means"
SERVED = "mean of views, as served (`features.dilations`, `fit`)"
CHOSEN = "the same, reach chosen by folds of the training images"
FITTED, STARTED = "one scale, θ learned by fit", "one scale, the same without learning"
# Seeds with which θ is learned, too, which takes most of the time.
_LEARNED = 3
_ITSELF = DILATIONS.index(1.0)
# A model's own predictions are looked at for so many held-out images, and may differ by this much.
_LOOKED_AT, _SAME = 33, 1e-3
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
    wide = _spec(DILATIONS)
    scattering = Scattering(SPEC.bank, SPEC.shape)
    views = views_of(scattering, Layout(wide, scattering.cascade), images.x)
    trials = []
    for each in GOALS:
        for seed in range(2 if quick else 5):
            train, rest = images.draw(each, seed)
            found = _baselines(images, root, views[_ITSELF], train, rest, seed)
            found[COPIED] = _copied(images, copies, train, rest, seed)
            viewed, reach = _viewed(images, views, train, rest, seed)
            found |= viewed
            if seed < _LEARNED and not quick:
                found |= _learned(images, train, rest, seed)
            print(f"textures, {each} a class, seed {seed}: {found}", flush=True)
            trials.append({"each": each, "seed": seed, "accuracy": found, "reach": list(reach)})
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
    lines += [f"| *goal* | | {goals} |", "", "Mean ± standard deviation over seeds.", ""]
    lines += [f"Reaches chosen, {each} a class: {_reaches(trials, each)}." for each in sizes]
    if "search" in result:
        lines += ["", "Fitted to the stored half, right on the other half:"]
        lines += [
            f"* {name}: {row['accuracy']:.3f}, {row['filters']} filters of {row['at_first']}"
            for name, row in result["search"].items()
        ]
    return "\n".join(lines)


def _reaches(trials: Sequence[dict[str, Any]], each: int) -> str:
    counted = Counter(
        f"{trial['reach'][0]:.2f} to {trial['reach'][-1]:.2f}"
        for trial in trials
        if trial["each"] == each
    )
    return ", ".join(f"{reach} ({count})" for reach, count in sorted(counted.items()))


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


def _spec(dilations: tuple[float, ...]) -> ModelSpec:
    return replace(SPEC, features=replace(SPEC.features, dilations=dilations))


def _samples(images: Images, rows: Tensor) -> CalibrationSet:
    targets = torch.eye(len(images.names))[images.classes[rows]]
    return CalibrationSet(images.x[rows], targets, torch.arange(len(rows)))


def _columns(
    images: Images, spec: ModelSpec, scattering: Scattering | None = None, factor: float = 1.0
) -> Tensor:
    scattering = scattering or Scattering(spec.bank, spec.shape)
    return columns_of(scattering, Layout(spec, scattering.cascade), dilated(images.x, factor))


def _baselines(
    images: Images, root: Tensor, log: Tensor, train: Tensor, rest: Tensor, seed: int
) -> dict[str, float]:
    """Every image a sample, filters as they start."""
    one = [
        way(images, columns, train, rest, seed)
        for columns in (root, log)
        for way in (_by_ridge, _by_discriminant)
    ]
    return {BASE: max(one)[1]}


def _copied(images: Images, copies: Tensor, train: Tensor, rest: Tensor, seed: int) -> float:
    """Every dilated copy a sample: accuracy on held-out images as they are."""
    z, new = _standardised(copies[:, train].flatten(0, 1), copies[_ITSELF, rest])
    classes = images.classes[train].repeat(len(copies))
    groups = torch.arange(len(train)).repeat(len(copies))
    lda = discriminant(z, classes, len(images.names), groups, seed)
    return _accuracy(lda(new), images, rest)


def _viewed(
    images: Images, views: Tensor, train: Tensor, rest: Tensor, seed: int
) -> tuple[dict[str, float], tuple[float, ...]]:
    """Accuracy on the mean of views, and the reach that folds of the training images choose."""
    reaches = [views[[DILATIONS.index(factor) for factor in reach]] for reach in REACHES]
    by_mean = [_by_discriminant(images, v.mean(0), train, rest, seed) for v in reaches]
    # Of equal ones the narrowest, which costs least.
    chosen = max(range(len(REACHES)), key=lambda i: (by_mean[i][0], -i))
    scores = [_served(images, v, train, seed)(v.mean(0)[rest]) for v in reaches]
    if seed == SPEC.seed:
        few = torch.linspace(0, len(rest) - 1, _LOOKED_AT).long()
        _require_served(images, train, rest[few], scores[-1][few])
    accuracy = [_accuracy(s, images, rest) for s in scores]
    found = {MEAN: by_mean[-1][1], SERVED: accuracy[-1], CHOSEN: accuracy[chosen]}
    return found, REACHES[chosen]


def _served(images: Images, views: Tensor, train: Tensor, seed: int) -> Callable[[Tensor], Tensor]:
    """What a model that was fitted to images makes of columns."""
    ones = torch.ones(views.shape[2], dtype=torch.float64)
    standardise = Standardiser.fit(views[:, train].mean(0), ones)
    z, groups = standardise(views[:, train]), torch.arange(len(train))
    lda = viewed(z, images.classes[train], len(images.names), groups, seed)
    return lambda columns: lda(standardise(columns))


def _require_served(images: Images, train: Tensor, rows: Tensor, scores: Tensor) -> None:
    """Refuses figures that are not those of a model with all views.

    Raises:
        RuntimeError: a fitted model's reader says something else.
    """
    limits = replace(LIMITS, steps=0)
    fitted = fit(
        _spec(DILATIONS), _samples(images, train), Session("textures", images.names), limits
    )
    reader = fitted.model.reader()
    raw = (images.x[rows] / SPEC.input_scale[0]).numpy()
    said = np.stack([reader.predict("textures", x).values for x in raw])
    farthest = float(np.abs(said - scores.softmax(1).numpy()).max())
    if farthest > _SAME:
        raise RuntimeError(f"a served model's probabilities are off by {farthest}, at most {_SAME}")
    print(f"textures, fitted to {len(train)}: served within {farthest:.1e}", flush=True)


def _learned(images: Images, train: Tensor, rest: Tensor, seed: int) -> dict[str, float]:
    """Accuracy of the model that fit gives, on images as they are."""
    samples = _samples(images, train)
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
    samples = _samples(images, train)
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
