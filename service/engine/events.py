"""Everything that changes a model. An event is data, and applying it is the only transition.

The state after an event depends on the state before it and the event alone, so a journal of events
replayed from a checkpoint gives the same state.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from scatonline.errors import UnknownName
from scatonline.model import Model
from scatonline.sample import Outcome, Sample
from scatonline.structure import StructureDecision
from service.errors import InvalidRequest

T = TypeVar("T")


class Event(ABC, Generic[T]):
    """One change of a model; `T` is what whoever asked for it gets back."""

    @abstractmethod
    def apply(self, model: Model) -> T:
        """Changes the model, or raises and changes nothing."""


@dataclass(frozen=True)
class SessionOpened(Event[int]):
    """A recording starts; answered by the model's event number."""

    session: str
    outputs: tuple[str, ...]

    def apply(self, model: Model) -> int:
        """Opens the session."""
        model.open_session(self.session, self.outputs)
        return model.event


@dataclass(frozen=True)
class SampleArrived(Event[Outcome]):
    """A sample to predict, score and learn from.

    Attributes:
        sample: The sample.
        class_name: Its class, where the target came as a name.
    """

    sample: Sample
    class_name: str | None = None

    def apply(self, model: Model) -> Outcome:
        """Predicts, scores and learns, or keeps the sample until its label comes."""
        if self.class_name is None:
            return model.step(self.sample)
        target = one_hot(model, self.sample.session, self.class_name)
        return model.step(replace(self.sample, target=target))


@dataclass(frozen=True)
class LabelArrived(Event[Outcome]):
    """The target of a waiting sample, as an array or as the name of its class."""

    session: str
    sample_id: str
    target: NDArray[np.float32] | str

    def apply(self, model: Model) -> Outcome:
        """Learns from the waiting sample."""
        target = self.target
        if isinstance(target, str):
            target = one_hot(model, self.session, target)
        return model.label(self.session, self.sample_id, target)


@dataclass(frozen=True)
class AppliedDecision:
    """A structure decision that was applied.

    Attributes:
        decision: With its moves as they were made.
        event: Number of events of the model after it.
    """

    decision: StructureDecision
    event: int


@dataclass(frozen=True)
class StructureDecided(Event[AppliedDecision]):
    """A structure check has ended."""

    decision: StructureDecision

    def apply(self, model: Model) -> AppliedDecision:
        """Makes the moves."""
        moves = model.apply(self.decision)
        return AppliedDecision(replace(self.decision, moves=moves), model.event)


def one_hot(model: Model, session: str, class_name: str) -> NDArray[np.float32]:
    """Target of a class, length = number of the session's outputs.

    Raises:
        InvalidRequest: the model predicts no classes, or the session has no such class.
        UnknownName: there is no such session.
    """
    if model.spec.readout.kind != "softmax":
        raise InvalidRequest(
            f"target: got the class name {class_name!r}, expected values: "
            f"model {model.spec.name!r} has a {model.spec.readout.kind} readout"
        )
    if session not in model.sessions:
        raise UnknownName(
            f"session: got {session!r}, expected one that model {model.spec.name!r} has opened: "
            f"{', '.join(model.sessions) or 'none yet'}"
        )
    outputs = model.sessions[session]
    if class_name not in outputs:
        raise InvalidRequest(
            f"target: got the class name {class_name!r}, expected one of {', '.join(outputs)}"
        )
    target = np.zeros(len(outputs), dtype=np.float32)
    target[outputs.index(class_name)] = 1.0
    return target
