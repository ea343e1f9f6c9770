"""Decoders that are compared: free weights on strengths or scattering, River's, and realignment."""

from collections import deque
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from river import forest, linear_model, optim, preprocessing

from benchmarks.learning.emg_stream import Stream, tensor
from scatonline.config import (
    BankSpec,
    FeatureSpec,
    LearningSpec,
    ModelSpec,
    ReadoutSpec,
    RealignmentSpec,
    StructureSpec,
)
from scatonline.model import Model
from scatonline.readout import RecursiveReadout
from scatonline.realignment import Decoded, Realignment, strengths
from scatonline.sample import Sample

Scores = NDArray[np.float64]
Window = NDArray[np.float32]
WITHOUT = RealignmentSpec()


class FreeWeights:
    """Recursive readout with forgetting on the channels' strengths."""

    def __init__(self, stream: Stream, kind: str, ridge: float, forgetting: float) -> None:
        """Untaught."""
        spec = ReadoutSpec(kind=kind, ridge=ridge, forgetting=forgetting)  # type: ignore[arg-type]
        channels = stream.windows.shape[1]
        self.eye = torch.eye(stream.classes, dtype=torch.float64)
        self.readout = RecursiveReadout.fresh(spec, channels, stream.classes, "cpu")
        self.waiting: deque[torch.Tensor] = deque()

    def predict(self, x: Window) -> Scores:
        """Of its strengths."""
        self.waiting.append(strengths(tensor(x)))
        return self.readout.predict(self.waiting[-1]).numpy()

    def learn(self, chosen: int) -> None:
        """One recursive step."""
        self.readout.observe(self.waiting.popleft(), self.eye[chosen])


class Scattered:
    """A whole model: log scattering of order 1 in octaves, recursive readout."""

    def __init__(
        self,
        stream: Stream,
        kind: str,
        forgetting: float,
        realignment: RealignmentSpec = WITHOUT,
    ) -> None:
        """Untaught; with ``realignment``, its predictions are the blend."""
        channels, length = stream.windows.shape[1:]
        octaves = max(1, min(5, length.bit_length() - 3))
        self.model = Model(
            ModelSpec(
                name="windows",
                channels=channels,
                shape=(length,),
                bank=BankSpec(J=octaves, Q=(1, 1), max_order=1),
                features=FeatureSpec(orders=(1,), grid=(1,), compression="log"),
                readout=ReadoutSpec(kind=kind, ridge=1.0, forgetting=forgetting),  # type: ignore[arg-type]
                learning=LearningSpec(enabled=False),
                structure=StructureSpec(enabled=False),
                realignment=realignment,
            )
        )
        self.eye = np.eye(stream.classes, dtype=np.float32)
        self.model.open_session("all", [f"class {k}" for k in range(stream.classes)])
        self.arrived = self.labelled = 0

    def predict(self, x: Window) -> Scores:
        """As an unlabelled sample."""
        self.arrived += 1
        outcome = self.model.step(Sample(str(self.arrived), "all", x, None))
        return outcome.prediction.values.astype(np.float64)

    def learn(self, chosen: int) -> None:
        """A late label."""
        self.labelled += 1
        self.model.label("all", str(self.labelled), self.eye[chosen])


class River:
    """An estimator of River on the channels' strengths."""

    def __init__(self, stream: Stream, estimator: Any) -> None:
        """Behind River's own running standardisation; ``estimator`` is cloned, not taught."""
        self.classes = stream.classes
        self.estimator = preprocessing.StandardScaler() | estimator.clone()
        self.waiting: deque[dict[int, float]] = deque()

    def predict(self, x: Window) -> Scores:
        """Of its strengths."""
        self.waiting.append(dict(enumerate(strengths(tensor(x)).tolist())))
        said = self.estimator.predict_proba_one(self.waiting[-1])
        return np.array([said.get(k, 0.0) for k in range(self.classes)])

    def learn(self, chosen: int) -> None:
        """One step of its own."""
        self.estimator.learn_one(self.waiting.popleft(), chosen)


class Realigned:
    """Realignment on its own: what the strengths alone say."""

    def __init__(self, stream: Stream, spec: RealignmentSpec) -> None:
        """Untaught."""
        self.even = torch.full((stream.classes,), 1 / stream.classes, dtype=torch.float64)
        self.realignment = Realignment(spec, stream.windows.shape[1], stream.classes)
        self.waiting: deque[Decoded] = deque()

    def predict(self, x: Window) -> Scores:
        """Of the strengths."""
        self.waiting.append(self.realignment.predict(tensor(x), self.even))
        return self.waiting[-1].opinions[1].numpy()

    def learn(self, chosen: int) -> None:
        """Its own label."""
        self.realignment.learn(self.waiting.popleft(), chosen)


def softmax_regression(rate: float) -> Any:
    """River's, by stochastic gradient descent."""
    return linear_model.SoftmaxRegression(optimizer=optim.SGD(rate))


def random_forest(grace: int) -> Any:
    """River's adaptive random forest, ten trees with ADWIN."""
    return forest.ARFClassifier(seed=0, grace_period=grace)
