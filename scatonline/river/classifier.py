"""One class of several."""

from collections.abc import Hashable
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


class ScatteringClassifier(ScatteringEstimator, base.Classifier):
    """Classification of a window of a signal, or of a frame, by a scattering model.

    Features are those of :class:`scatonline.river.ScatteringRegressor`. A label that has not been
    seen yet is a new class: it starts from nothing, the others keep their weights, and how sure the
    readout was is forgotten, so that it learns fast: its next few predictions are erratic.

    Args:
        shape: Size of one channel; None: that of the first sample.
        channels: Channels of an input.
        bank: The scattering transform.
        features: Which of its coefficients, and which raw terms, the readout sees. None: all orders
            that the bank has, up to 2.
        readout: ``softmax``, with ridge and forgetting.
        learning: How wavelets move.
        structure: When filters are dropped and added, checked between two samples. None: never.
        classes: Labels known beforehand, if any.

    Raises:
        ConfigError: a specification is out of range, is not of classes, or does not fit
            the shape.

    Examples:
        >>> import numpy as np
        >>> from scatonline.river import ScatteringClassifier
        >>> model = ScatteringClassifier(shape=(16,))
        >>> slow, fast = np.sin(np.arange(16) / 4), np.sin(np.arange(16) * 2)
        >>> model.predict_proba_one(slow)
        {}
        >>> for _ in range(20):
        ...     model.learn_one(slow, "slow")
        ...     model.learn_one(fast, "fast")
        >>> model.predict_one(fast)
        'fast'
        >>> list(model.predict_proba_one(fast))
        ['slow', 'fast']
    """

    _kinds: tuple[ReadoutKind, ...] = ("softmax",)

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
        classes: tuple[Hashable, ...] | None = None,
    ) -> None:
        self.classes = classes
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
    def _multiclass(self) -> bool:
        return True

    @property
    def _known(self) -> tuple[Hashable, ...]:
        return self.classes or ()

    def learn_one(self, x: Features, y: Hashable) -> None:
        """Learns from one sample.

        Args:
            x: Features.
            y: Its label.

        Raises:
            ShapeError, NumericalError: the features do not fit. Nothing has changed then.
        """
        self._learn(x, {y: 1.0})

    def predict_proba_one(self, x: Features, **kwargs: Any) -> dict[Any, float]:
        """Probability of every known class; empty while none is known.

        Args:
            x: Features.
            kwargs: Nothing; River's interface has them.

        Raises:
            ShapeError, NumericalError: the features do not fit.
        """
        del kwargs
        return self._predict(x)

    def predict_one(self, x: Features, **kwargs: Any) -> Any:
        """The likeliest class; None while none is known.

        Args:
            x: Features.
            kwargs: Nothing; River's interface has them.

        Raises:
            ShapeError, NumericalError: the features do not fit.
        """
        probabilities = self.predict_proba_one(x, **kwargs)
        return max(probabilities, key=probabilities.__getitem__, default=None)
