"""What River's estimators promise beyond River's own checks."""

import copy
import doctest
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from river import compose, preprocessing
from river import stream as river_stream

from scatonline.config import (
    BankSpec,
    FeatureSpec,
    LearningSpec,
    ModelSpec,
    ReadoutSpec,
    StructureSpec,
)
from scatonline.errors import ConfigError, NumericalError, ScatOnlineError, ShapeError
from scatonline.model import Model
from scatonline.river import (
    ScatteringClassifier,
    ScatteringMultiTargetRegressor,
    ScatteringRegressor,
    classifier,
    regressor,
    targets,
)
from scatonline.river.places import Places, shape_of
from scatonline.sample import Sample

SMALL: dict[str, Any] = {
    "shape": (16,),
    "bank": BankSpec(J=2, Q=(2,), max_order=1),
    "features": FeatureSpec(orders=(0, 1), grid=(2,), raw_grid=4, calibration=16),
    "learning": LearningSpec(warmup=4, every=3),
}


def windows(count: int, seed: int = 0, shape: tuple[int, ...] = (16,)) -> list[Any]:
    """Arrays and how loud they are."""
    rng = np.random.default_rng(seed)
    loudness = rng.uniform(0.2, 2.0, count)
    return [(a * rng.standard_normal(shape), float(a)) for a in loudness]


def taught_regressor(**values: Any) -> ScatteringRegressor:
    model = ScatteringRegressor(**{**SMALL, **values})
    for x, y in windows(40):
        model.learn_one(x, y)
    return model


@pytest.mark.parametrize("module", [classifier, regressor, targets])
def test_docstrings_run(module: Any) -> None:
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0 == result.failed


def test_the_page_runs(repository: Path) -> None:
    page = str(repository / "docs" / "river.md")
    result = doctest.testfile(page, module_relative=False, encoding="utf-8")
    assert result.attempted > 15
    assert result.failed == 0


# Places


def same_input(shape: tuple[int, ...]) -> dict[str, Any]:
    """One array and everything that stands for it."""
    x = np.random.default_rng(0).standard_normal(shape)
    return {
        "array": x,
        "array in a dict": {"frame": x},
        "positions": dict(enumerate(x.ravel().tolist())),
        "NumPy's positions": dict(zip(np.arange(x.size), x.ravel(), strict=True)),
        "tuples": {index: float(x[index]) for index in np.ndindex(*shape)},
        "names": {f"t{i}": float(v) for i, v in reversed(list(enumerate(x.ravel())))},
    }


@pytest.mark.parametrize("shape", [(12,), (4, 4), (2, 6)])
@pytest.mark.parametrize("form", list(same_input((4,))))
def test_all_forms_of_an_input_are_one(form: str, shape: tuple[int, ...]) -> None:
    """With one channel, whose axis may be left out; (2, 6) is one frame here."""
    given = same_input(shape)
    places = Places((1, *shape)).extended(given[form])
    np.testing.assert_array_equal(places.array(given[form]), given["array"][None])


@pytest.mark.parametrize("form", list(same_input((4,))))
def test_channels_come_first(form: str) -> None:
    given = same_input((2, 6))
    places = Places((2, 6)).extended(given[form])
    np.testing.assert_array_equal(places.array(given[form]), given["array"])


def test_rivers_arrays_are_positions() -> None:
    x = np.random.default_rng(0).standard_normal((3, 8))
    for row, (features, _) in zip(x, river_stream.iter_array(x), strict=True):
        np.testing.assert_array_equal(Places((1, 8)).array(features), row[None])


def test_names_keep_their_places_and_new_ones_come_after() -> None:
    """Whatever the order in which they are given; absent and None are 0."""
    first = Places((1, 8)).extended({"t10": 0.0, "t2": 0.0, "t1": 0.0})
    assert first.names == {"t1": 0, "t2": 1, "t10": 2}
    second = first.extended({"t3": 0.0, "t1": 0.0, "a": 0.0})
    assert second.names == {"t1": 0, "t2": 1, "t10": 2, "a": 3, "t3": 4}
    given = {"t3": 5.0, "t10": None, "t2": True, "a": np.float32(4)}
    assert second.array(given).tolist() == [[0, 1, 0, 4, 5, 0, 0, 0]]


def test_features_without_a_place_are_refused_or_left_out() -> None:
    names = {f"t{i}": float(i) for i in range(6)}
    assert Places((1, 4), strict=False).extended(names).array(names).tolist() == [[0, 1, 2, 3]]
    positions = dict(enumerate(range(6)))
    assert Places((1, 4), strict=False).array(positions).tolist() == [[0, 1, 2, 3]]
    with pytest.raises(ShapeError, match="no place for 2 of 6 features such as 't5'"):
        Places((1, 4)).extended(names).array(names)
    with pytest.raises(ShapeError, match="feature 4 lies outside"):
        Places((1, 4)).array(positions)
    for outside in [(4,), (-1,), (0, 4), (1, 0), (0, 0, 0)]:
        with pytest.raises(ShapeError, match="lies outside"):
            Places((1, 4)).array({outside: 1.0})


def test_a_shape_is_taken_from_the_first_sample() -> None:
    assert shape_of(np.zeros((6, 7)), 1, 4) == (6, 7)
    assert shape_of(np.zeros((1, 6, 7)), 1, 4) == (6, 7)
    assert shape_of(np.zeros((3, 7)), 3, 4) == (7,)
    assert shape_of({"frame": np.zeros((6, 7))}, 1, 4) == (6, 7)
    assert shape_of({0: 1.0, 11: 2.0}, 1, 4) == (12,)
    assert shape_of({0: 1.0, 11: 2.0}, 5, 2) == (3,)
    assert shape_of({"a": 1.0}, 1, 4) == shape_of({}, 1, 4) == (4,)
    with pytest.raises(ConfigError, match="give the shape"):
        shape_of({(0, 1): 1.0}, 1, 4)


REFUSED: dict[str, tuple[Any, type[ScatOnlineError], str]] = {
    "text": ({"t1": "loud"}, ShapeError, "'t1' is a str, expected a number"),
    "complex": ({"t1": 1j}, ShapeError, "complex, expected a number"),
    "mixed": ({0: 1.0, "a": 2.0}, ShapeError, "positions such as 0 and by names such as 'a'"),
    "two arrays": ({"a": np.zeros(16), "b": np.zeros(16)}, ShapeError, "ndarray, expected a num"),
    "too many": ({f"n{i}": 0.0 for i in range(17)}, ShapeError, "no place for 1 of 17 .* 'n16'"),
    "outside": ({16: 1.0}, ShapeError, "feature 16 lies outside"),
    "other shape": (np.zeros(15), ShapeError, r"shape \(15,\), model .* expects \(1, 16\)"),
    "NaN": ({"t1": float("nan")}, NumericalError, "1 entries that are NaN"),
}


@pytest.mark.parametrize(("x", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_changes_nothing(
    x: Any, error: type[ScatOnlineError], message: str
) -> None:
    model = taught_regressor()
    before = pickle.dumps(model)
    with pytest.raises(error, match=message):
        model.learn_one(x, 1.0)
    assert pickle.dumps(model) == before
    if isinstance(x, np.ndarray):
        with pytest.raises(error, match=message):
            model.predict_one(x)


@pytest.mark.parametrize(
    ("y", "error"), [(float("nan"), NumericalError), (float("inf"), NumericalError)]
)
def test_a_target_that_is_no_number_changes_nothing(y: float, error: type[ScatOnlineError]) -> None:
    """Nor do the new names that came with it."""
    model = taught_regressor()
    before = pickle.dumps(model)
    with pytest.raises(error):
        model.learn_one({"a": 1.0}, y)
    assert pickle.dumps(model) == before


# Models


def test_what_does_not_fit_is_refused_when_made() -> None:
    with pytest.raises(ConfigError, match=r"'poisson', a ScatteringClassifier expects one of soft"):
        ScatteringClassifier(readout=ReadoutSpec("poisson"))
    with pytest.raises(ConfigError, match="expects one of gaussian, poisson"):
        ScatteringRegressor(readout=ReadoutSpec("softmax"))
    with pytest.raises(ConfigError, match="J=3"):
        ScatteringRegressor(shape=(6,))
    with pytest.raises(ConfigError, match="channels"):
        ScatteringRegressor(channels=0)


def test_it_is_the_model_and_nothing_else() -> None:
    """Structure checks run between samples: the same events give the same state."""
    structure = StructureSpec(window=32, check_every=25, restarts=2, min_effective=1, epsilon=0.5)
    estimator = ScatteringRegressor(**SMALL, structure=structure)
    model = Model(
        ModelSpec(
            "ScatteringRegressor",
            channels=1,
            readout=ReadoutSpec("gaussian"),
            structure=structure,
            **SMALL,
        )
    )
    model.open_session("1", ["0: y"])
    for i, (x, y) in enumerate(windows(120)):
        expected = model.step(Sample(str(i), "1", x[None], np.array([y], np.float32)))
        assert estimator.predict_one(x) == expected.prediction.values[0]
        if model.structure_due() and (check := model.structure_check()):
            model.apply(check.run())
        estimator.learn_one(x, y)
    assert estimator.model is not None
    assert model.moves == estimator.model.moves != ()
    assert model.state_hash() == estimator.model.state_hash()


@pytest.mark.parametrize(
    "copied",
    [
        lambda m: pickle.loads(pickle.dumps(m)),  # noqa: S301 (our own bytes)
        copy.deepcopy,
        lambda m: m.clone(include_attributes=True),
    ],
    ids=["pickle", "deepcopy", "clone"],
)
def test_copies_continue_to_the_same_bits(copied: Callable[[Any], Any]) -> None:
    """And apart from the original, which has gradients waiting."""
    model = taught_regressor()
    assert model.model is not None
    twin = copied(model)
    for x, y in windows(30, seed=1):
        assert model.predict_one(x) == twin.predict_one(x)
        twin.learn_one(x, y)
        model.learn_one(x, y)
    assert model.model.state_hash() == twin.model.state_hash()
    twin.learn_one(np.ones(16), 1.0)
    assert model.model.state_hash() != twin.model.state_hash()
    assert twin.clone().model.event == 1


def test_looking_changes_nothing() -> None:
    """Not even names that have no place yet."""
    model = taught_regressor()
    before = pickle.dumps(model)
    first = model.predict_one({"a": 1.0, "b": 2.0})
    assert model.predict_one({"b": 2.0, "a": 1.0}) == first
    assert pickle.dumps(model) == before


def test_the_columns_are_those_that_the_bank_has() -> None:
    for order in range(3):
        model = ScatteringRegressor(shape=(32,), bank=BankSpec(J=3, Q=(2, 1), max_order=order))
        assert model.model is not None
        assert model.model.spec.features.orders == tuple(range(order + 1))


def test_untaught_predictions() -> None:
    x: Any = {"a": 1.0}
    assert ScatteringRegressor().predict_one(x) == 0.0
    assert ScatteringRegressor(readout=ReadoutSpec("poisson")).predict_one(x) == 1.0
    assert ScatteringMultiTargetRegressor().predict_one(x) == {}
    assert ScatteringMultiTargetRegressor(targets=("u",)).predict_one(x) == {"u": 0.0}
    assert ScatteringClassifier().predict_proba_one(x) == {}
    assert ScatteringClassifier().predict_one(x) is None
    assert ScatteringClassifier(classes=(1, 2)).predict_proba_one(x) == {1: 0.5, 2: 0.5}


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_without_a_shape_it_starts_where_one_with_a_shape_does(kind: Any) -> None:
    x, y = windows(1)[0]
    readout = ReadoutSpec(kind)
    known = ScatteringRegressor(**SMALL, readout=readout)
    open_ended = ScatteringRegressor(**{**SMALL, "shape": None}, readout=readout)
    assert known.predict_one(x) == open_ended.predict_one(x)
    known.learn_one(x, y)
    open_ended.learn_one(x, y)
    assert known.model is not None
    assert open_ended.model is not None
    assert known.model.state_hash() == open_ended.model.state_hash()


# Outputs that turn up


def test_labels_may_be_anything_and_turn_up_one_by_one() -> None:
    """Equal ones are one, as in a dict; ones that print alike are not."""
    model = ScatteringClassifier(**SMALL)
    labels = ["1", 1, np.bool_(True), 2, False]
    seen: dict[Any, None] = {}
    for (x, _), label in zip(windows(5), labels, strict=True):
        model.learn_one(x, label)
        seen[label] = None
        probabilities = model.predict_proba_one(x)
        assert list(probabilities) == list(seen)
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-12)
    assert list(seen) == ["1", 1, 2, False]


def test_a_new_target_leaves_the_others_as_they_were() -> None:
    """Their weights are taken over, and a sample without them teaches nothing about them."""
    model = ScatteringMultiTargetRegressor(**SMALL)
    for x, y in windows(40):
        model.learn_one(x, {"u": y, "v": 2 * y})
    probes = [x for x, _ in windows(5, seed=1)]
    before = [model.predict_one(x) for x in probes]
    model.learn_one(probes[0], {"w": 3.0})
    after = [model.predict_one(x) for x in probes]
    for old, new in zip(before, after, strict=True):
        assert new.pop("w") != 0
        assert new == old
    assert model.model is not None
    assert len(model.model.sessions) == 2


def test_a_known_class_needs_no_new_session() -> None:
    model = ScatteringClassifier(**SMALL, classes=("a", "b", "c"))
    for (x, _), label in zip(windows(3), "cab", strict=True):
        model.learn_one(x, label)
    assert model.model is not None
    assert len(model.model.sessions) == 1
    assert list(model.predict_proba_one(windows(1)[0][0])) == ["a", "b", "c"]


def test_a_class_that_turns_up_late_is_learned_and_the_others_are_kept() -> None:
    """Three rhythms; the third comes after 120 samples of the two others."""
    rng = np.random.default_rng(0)

    def rhythm(label: int) -> Any:
        phase = rng.uniform(0, 2 * np.pi)
        wave = np.sin(2 * np.pi * (0.06, 0.17, 0.4)[label] * np.arange(32) + phase)
        return wave + 0.3 * rng.standard_normal(32)

    def accuracy(labels: int) -> float:
        asked = [label for label in range(labels) for _ in range(40)]
        return float(np.mean([model.predict_one(rhythm(label)) == label for label in asked]))

    model = ScatteringClassifier(**{**SMALL, "shape": (32,), "bank": BankSpec(J=3, Q=(2,))})
    for i in range(120):
        model.learn_one(rhythm(i % 2), i % 2)
    assert accuracy(2) > 0.9
    for i in range(12):
        model.learn_one(rhythm(i % 3), i % 3)
    assert accuracy(3) > 0.9


# Among River's parts


def test_pipelines_select_scale_and_impute() -> None:
    scaled: Any = preprocessing.StandardScaler() | ScatteringRegressor(**SMALL)
    chosen: Any = compose.Select("frame") | ScatteringRegressor(**SMALL)
    for x, y in windows(20):
        scaled.learn_one(dict(enumerate(x)), y)
        chosen.learn_one({"frame": x, "at": "noon"}, y)
    assert scaled["ScatteringRegressor"].model.event == 21
    x = windows(1, seed=1)[0][0]
    alone = ScatteringRegressor(**SMALL)
    for window, y in windows(20):
        alone.learn_one(window, y)
    assert chosen.predict_one({"frame": x, "at": "noon"}) == alone.predict_one(x)


def test_memory_counts_tensors() -> None:
    wide = ScatteringRegressor(**{**SMALL, "features": FeatureSpec(orders=(0, 1), grid=(0,))})
    narrow = ScatteringRegressor(**SMALL)
    for model in (wide, narrow):
        assert model.model is not None
    difference = wide._raw_memory_usage - narrow._raw_memory_usage
    sizes = [m.model.learner.layout.width + 1 for m in (wide, narrow) if m.model is not None]
    assert difference > 8 * (sizes[0] ** 2 - sizes[1] ** 2)
