"""What River's estimators on a scattering model have in common."""

from collections.abc import Hashable, Mapping
from typing import Any

from river import base

from scatonline.config import (
    BankSpec,
    FeatureSpec,
    LearningSpec,
    ModelSpec,
    ReadoutKind,
    ReadoutSpec,
    StructureSpec,
)
from scatonline.errors import ConfigError
from scatonline.model import Model
from scatonline.river.places import Features, Places, shape_of
from scatonline.river.taught import Taught, untaught

# Fewest samples an axis that a model takes.
_LEAST = 4
# Without checks a window serves nothing; this is the shortest.
_NO_STRUCTURE = StructureSpec(enabled=False, window=32)


class ScatteringEstimator(base.Estimator):
    """A model, from the start if its shape is given, else from the first sample learned from.

    Subclasses say what targets mean to River.
    """

    # Kinds of readout that the subclass can do with, the default first.
    _kinds: tuple[ReadoutKind, ...] = ("gaussian",)

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
    ) -> None:
        self.shape, self.channels = shape, channels
        self.bank, self.features, self.readout = bank, features, readout
        self.learning, self.structure = learning, structure
        kind = self._readout.kind
        if kind not in self._kinds:
            raise ConfigError(
                f"readout.kind: got {kind!r}, a {type(self).__name__} expects one of "
                + ", ".join(self._kinds)
            )
        self._taught: Taught | None = None
        if shape is not None:
            self._taught = self._started(shape)
        else:
            self._specification((_LEAST,))

    @property
    def _known(self) -> tuple[Hashable, ...]:
        """Outputs known beforehand."""
        return ()

    @property
    def model(self) -> Model | None:
        """The model, to look at its filters and scores; None while it has no shape.

        Its own scores are of the prediction made when a label came. Predictions that were asked for
        earlier are River's to score.
        """
        return self._taught.model if self._taught else None

    def _predict(self, x: Features) -> dict[Any, float]:
        """Prediction by output."""
        if self._taught is None:
            return untaught(self._readout.kind, self._known)
        return self._taught.predict(x)

    def _learn(self, x: Features, target: Mapping[Any, float]) -> None:
        """Learns from one sample."""
        least = max(_LEAST, 2**self._bank.J)
        taught = self._taught or self._started(shape_of(x, self.channels, least))
        taught.learn(x, target)
        self._taught = taught

    def _started(self, shape: tuple[int, ...]) -> Taught:
        places = Places((self.channels, *shape), strict=self.shape is not None)
        return Taught(self._specification(shape), places, self._known)

    @property
    def _bank(self) -> BankSpec:
        return self.bank or BankSpec()

    @property
    def _readout(self) -> ReadoutSpec:
        return self.readout or ReadoutSpec(kind=self._kinds[0])

    def _specification(self, shape: tuple[int, ...]) -> ModelSpec:
        return ModelSpec(
            name=type(self).__name__,
            channels=self.channels,
            shape=shape,
            bank=self._bank,
            features=self.features or _features(self._bank),
            readout=self._readout,
            learning=self.learning or LearningSpec(),
            structure=self.structure or _NO_STRUCTURE,
        )

    @property
    def _raw_memory_usage(self) -> int:
        """Bytes, with those of tensors, which River's count of Python objects does not see."""
        objects: int = super()._raw_memory_usage
        return objects + (self._taught.nbytes() if self._taught else 0)


def _features(bank: BankSpec) -> FeatureSpec:
    """The usual columns, of the orders that the bank has."""
    orders = tuple(order for order in FeatureSpec().orders if order <= bank.max_order)
    return FeatureSpec(orders=orders)
