"""One value or count."""

from collections.abc import Hashable

from river import base

from scatonline.config import ReadoutKind
from scatonline.river.estimator import ScatteringEstimator
from scatonline.river.places import Features

_OUTPUT = "y"


class ScatteringRegressor(ScatteringEstimator, base.Regressor):
    """Regression on a window of a signal, or on a frame, by a scattering model that learns online.

    The features are the samples of one input, not variables of different kinds: scattering looks at
    how they follow one another. Their places come from their names: integers and tuples of them are
    positions, other names are placed in natural order (``t2`` before ``t10``), new ones after those
    that there were. A place without a feature holds 0. An array may stand for the dict, or be its
    only value.

    Args:
        shape: Size of one channel: ``(N,)`` or ``(M, N)``, at least 4 and 2^J samples an axis.
            Features beyond it are refused. None: taken from the first sample learned from, and
            features that turn up later and find no place are left out.
        channels: Channels of an input.
        bank: The scattering transform.
        features: Which of its coefficients, and which raw terms, the readout sees. None: all orders
            that the bank has, up to 2.
        readout: ``gaussian`` (the default) or, for counts, ``poisson``, with ridge and forgetting.
        learning: How wavelets move.
        structure: When filters are dropped and added, checked between two samples. None: never.

    Raises:
        ConfigError: a specification is out of range, is of classes, or does not fit the shape.

    Examples:
        A pulse at a random place in noise; the target is its height, known ten samples later:

        >>> import numpy as np
        >>> from river import evaluate, metrics
        >>> from scatonline import BankSpec
        >>> from scatonline.river import ScatteringRegressor
        >>> rng = np.random.default_rng(0)
        >>> def pulses(count):
        ...     for _ in range(count):
        ...         x, y = 0.1 * rng.standard_normal(32), rng.uniform(1, 3)
        ...         x[rng.integers(32)] += y
        ...         yield dict(enumerate(x)), y
        >>> model = ScatteringRegressor(shape=(32,), bank=BankSpec(J=3, Q=(1,)))
        >>> score = evaluate.progressive_val_score(pulses(600), model, metrics.R2(), delay=10)
        >>> score.get() > 0.5
        True
    """

    _kinds: tuple[ReadoutKind, ...] = ("gaussian", "poisson")

    @property
    def _known(self) -> tuple[Hashable, ...]:
        return (_OUTPUT,)

    def learn_one(self, x: Features, y: float) -> None:
        """Learns from one sample.

        Args:
            x: Features, see the class.
            y: Value; for ``poisson`` a count.

        Raises:
            ShapeError, NumericalError: features or target do not fit. Nothing has changed then.
        """
        self._learn(x, {_OUTPUT: y})

    def predict_one(self, x: Features) -> float:
        """Expected value, or rate; of a model that has learned nothing 0, or a rate of 1.

        Raises:
            ShapeError, NumericalError: the features do not fit.
        """
        return self._predict(x)[_OUTPUT]
