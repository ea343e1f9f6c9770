"""Many values or counts at a time, such as the responses of a population of neurons."""

from collections.abc import Hashable, Mapping
from typing import Any

from river import base

from scatonline.config import (
    BankSpec,
    FeatureSpec,
    LearningSpec,
    ReadoutKind,
    ReadoutSpec,
    StructureSpec,
)
from scatonline.river.estimator import ScatteringEstimator
from scatonline.river.places import Features


class ScatteringMultiTargetRegressor(ScatteringEstimator, base.MultiTargetRegressor):
    """Several regressions on one input, with one bank of wavelets and one readout.

    Features are those of :class:`scatonline.river.ScatteringRegressor`. A target that is absent
    from a sample, or NaN, was not observed. A name that has not been seen yet is a new target: it
    starts from nothing, the others keep their weights, and how sure the readout was is forgotten,
    so that it learns fast: its next few predictions are erratic.

    Args:
        shape: Size of one channel; None: that of the first sample.
        channels: Channels of an input.
        bank: The scattering transform.
        features: Which of its coefficients, and which raw terms, the readout sees. None: all orders
            that the bank has, up to 2.
        readout: ``gaussian`` (the default) or, for counts, ``poisson``, with ridge and forgetting.
        learning: How wavelets move.
        structure: When filters are dropped and added, checked between two samples. None: never.
        targets: Names known beforehand, if any.

    Raises:
        ConfigError: a specification is out of range, is of classes, or does not fit the shape.

    Examples:
        >>> import numpy as np
        >>> from scatonline.river import ScatteringMultiTargetRegressor
        >>> from scatonline import BankSpec
        >>> bank = BankSpec(J=2, L=4)
        >>> units = ("unit 1", "unit 2")
        >>> model = ScatteringMultiTargetRegressor(shape=(8, 8), bank=bank, targets=units)
        >>> frame = np.ones((8, 8))
        >>> model.predict_one(frame)
        {'unit 1': 0.0, 'unit 2': 0.0}
        >>> model.learn_one(frame, {"unit 1": 2.0})
        >>> model.predict_one(frame)
        {'unit 1': 1.99..., 'unit 2': 0.0}
    """

    _kinds: tuple[ReadoutKind, ...] = ("gaussian", "poisson")

    def __init__(
        self,
        shape: tuple[int, ...] | None = None,
        channels: int = 1,
        *,
        bank: BankSpec | None = None,
        features: FeatureSpec | None = None,
        readout: ReadoutSpec | None = None,
        learning: LearningSpec | None = None,
        structure: StructureSpec | None = None,
        targets: tuple[Hashable, ...] | None = None,
    ) -> None:
        self.targets = targets
        super().__init__(
            shape,
            channels,
            bank=bank,
            features=features,
            readout=readout,
            learning=learning,
            structure=structure,
        )

    @property
    def _known(self) -> tuple[Hashable, ...]:
        return self.targets or ()

    def learn_one(self, x: Features, y: Mapping[Any, float], **kwargs: Any) -> None:
        """Learns from one sample.

        Args:
            x: Features.
            y: Value by target.
            kwargs: Nothing; River's interface has them.

        Raises:
            ShapeError, NumericalError: features or targets do not fit, or no target was observed.
                Nothing has changed then.
        """
        del kwargs
        self._learn(x, y)

    def predict_one(self, x: Features) -> dict[Any, float]:
        """Expected value, or rate, by target; empty while none is known.

        Raises:
            ShapeError, NumericalError: the features do not fit.
        """
        return self._predict(x)
