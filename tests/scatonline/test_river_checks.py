"""River's own conventions, by the checks that River runs over all its estimators."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from river import base, checks, preprocessing

from scatonline.config import BankSpec, FeatureSpec, LearningSpec, ReadoutSpec, StructureSpec
from scatonline.river import (
    ScatteringClassifier,
    ScatteringMultiTargetRegressor,
    ScatteringRegressor,
)

Check = Callable[[base.Estimator], None]

# As they come: all of River's checks.
PLAIN: dict[str, base.Estimator] = {
    "regressor": ScatteringRegressor(),
    "targets": ScatteringMultiTargetRegressor(),
    "classifier": ScatteringClassifier(),
}
# Places enough for every feature of River's data sets, raw terms, wavelets that move early and a
# structure search that has something to do.
SETTINGS: dict[str, Any] = {
    "shape": (64,),
    "bank": BankSpec(J=2, Q=(2,), max_order=1),
    "features": FeatureSpec(orders=(0, 1), raw_grid=8, calibration=16),
    "learning": LearningSpec(warmup=20, every=2),
    "structure": StructureSpec(window=32, check_every=100, restarts=1, min_effective=1),
}
# All but the growth of memory: it takes ten times the samples, and PLAIN has shown it.
SET: dict[str, base.Estimator] = {
    "counts-set": ScatteringRegressor(**SETTINGS, readout=ReadoutSpec("poisson")),
    "classifier-set": ScatteringClassifier(**SETTINGS),
    "pipeline": preprocessing.StandardScaler() | ScatteringRegressor(),
}
GROWTH = "check_bounded_memory_growth"


def every_check() -> Iterator[Any]:
    for name, estimator in {**PLAIN, **SET}.items():
        for i, check in enumerate(checks.yield_checks(estimator)):
            if check.__name__ == GROWTH and name in SET:
                continue
            marks = [pytest.mark.slow] if check.__name__ == GROWTH else []
            yield pytest.param(estimator, check, id=f"{name}-{i}-{check.__name__}", marks=marks)


@pytest.mark.parametrize(("estimator", "check"), list(every_check()))
def test_estimators_keep_to_rivers_conventions(estimator: base.Estimator, check: Check) -> None:
    # River's checks draw from the global generator.
    random.seed(0)
    check(estimator.clone())


@pytest.mark.parametrize("estimator", PLAIN.values(), ids=PLAIN)
def test_no_check_is_asked_to_be_skipped(estimator: base.Estimator) -> None:
    assert estimator._unit_test_skips() == set()
