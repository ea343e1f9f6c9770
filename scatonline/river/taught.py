"""A model as River's estimators hold it: with outputs that turn up one by one, and copies."""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scatonline.config import ModelSpec, ReadoutKind
from scatonline.model import Model
from scatonline.readout import LINKS
from scatonline.river.places import Features, Places
from scatonline.sample import Sample, check_input, check_target

# Stands for all classes that have not been seen yet, while only one has: a choice needs two.
_ANOTHER = "another class"


class Taught:
    """A model, where features stand in its input, and what its outputs are called.

    A name that was not among the outputs opens a new session with all of them: its readout takes
    over the weights of the outputs there were. Copies and pickles go through the model's state, so
    that they continue to the same bits.

    Attributes:
        model: The model.
        places: Where features stand.
        outputs: Targets or classes, in the order of the present session's outputs.
        learned: Samples learned from.
    """

    def __init__(self, spec: ModelSpec, places: Places, outputs: Iterable[Hashable] = ()) -> None:
        """Starts untaught.

        Args:
            spec: The model.
            places: Where features stand.
            outputs: Targets or classes known beforehand.

        Raises:
            ConfigError: the specification does not fit together.
        """
        self.model = Model(spec)
        self.places = places
        self.outputs: tuple[Hashable, ...] = ()
        self.learned = 0
        self._open(tuple(outputs))

    def predict(self, x: Features) -> dict[Any, float]:
        """Prediction by output; empty while there are no outputs.

        Raises:
            ShapeError, NumericalError: the input does not fit.
        """
        if not self.outputs:
            return {}
        values = self.model.reader().predict(self._session, self.places.array(x)).values
        return by_name(self.model.spec.readout.kind, self.outputs, values)

    def learn(self, x: Features, target: Mapping[Any, float]) -> None:
        """Learns from one sample, and checks the structure when that is due.

        Args:
            x: Features.
            target: Value by output; an output that is not among them was not observed, for classes
                0. New names are new outputs.

        Raises:
            ShapeError, NumericalError: input or target do not fit. Nothing has changed then.
        """
        spec = self.model.spec
        places = self.places.extended(x)
        array = places.array(x)
        check_input(spec, array)
        outputs = self.outputs + tuple(name for name in target if name not in self.outputs)
        absent = 0.0 if spec.readout.kind == "softmax" else np.nan
        values = np.array([target.get(name, absent) for name in outputs], np.float32)
        check_target(spec, len(outputs), values)
        self.places = places
        self._open(outputs)
        if self._spare:
            values = np.append(values, np.float32(0))
        self.model.step(Sample(str(self.learned), self._session, array, values))
        self.learned += 1
        self._check_structure()

    def nbytes(self) -> int:
        """Bytes of the tensors that later steps depend on."""
        tensors, _ = self.model.state()
        return sum(tensor.nbytes for tensor in tensors.values())

    @property
    def _session(self) -> str:
        """The newest one; each has more outputs than the one before."""
        return str(len(self.outputs))

    @property
    def _spare(self) -> bool:
        return self.model.spec.readout.kind == "softmax" and len(self.outputs) == 1

    def _open(self, outputs: tuple[Hashable, ...]) -> None:
        if len(outputs) == len(self.outputs):
            return
        self.outputs = outputs
        # Numbered, as two names may print alike.
        names = [f"{i}: {name}" for i, name in enumerate(outputs)]
        self.model.open_session(self._session, [*names, _ANOTHER] if self._spare else names)

    def _check_structure(self) -> None:
        if self.model.structure_due():
            check = self.model.structure_check()
            if check is not None:
                self.model.apply(check.run())

    def __getstate__(self) -> dict[str, Any]:
        tensors, meta = self.model.state()
        return {
            "spec": self.model.spec,
            "tensors": {name: t.detach().cpu().numpy() for name, t in tensors.items()},
            "meta": meta,
            "places": self.places,
            "outputs": self.outputs,
            "learned": self.learned,
        }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        tensors = {name: torch.from_numpy(array) for name, array in state["tensors"].items()}
        self.model = Model.restore(state["spec"], tensors, state["meta"])
        self.places, self.outputs = state["places"], state["outputs"]
        self.learned = state["learned"]


def untaught(kind: ReadoutKind, outputs: Iterable[Hashable]) -> dict[Any, float]:
    """What a model that has learned nothing predicts, whatever the input."""
    outputs = tuple(outputs)
    mean = LINKS[kind].mean(torch.zeros(len(outputs), dtype=torch.float64))
    return by_name(kind, outputs, mean.numpy())


def by_name(
    kind: ReadoutKind, outputs: tuple[Hashable, ...], values: NDArray[Any]
) -> dict[Any, float]:
    """Values by output; probabilities sum to 1 in double precision, over the known classes."""
    known = values[: len(outputs)].astype(np.float64)
    if kind == "softmax":
        known = known / known.sum()
    return dict(zip(outputs, known.tolist(), strict=True))
