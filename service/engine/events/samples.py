"""Samples and their labels."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from scatonline.errors import UnknownName
from scatonline.model import Model
from scatonline.sample import Outcome, Sample
from service.engine.answers import Request, digest
from service.engine.events.event import Arrays, Event, Values
from service.engine.served import Served
from service.errors import InvalidRequest


@dataclass(frozen=True)
class SampleArrived(Event[Outcome]):
    """A sample to predict, score and learn from.

    Attributes:
        sample: The sample.
        class_name: Its class, where the target came as a name.
        sequence: Its number in the session, where the sender counts.
        early: Its sender is to be answered before it was learned from; not part of its record.
    """

    kind: ClassVar[str] = "sample"
    sample: Sample
    class_name: str | None = None
    sequence: int | None = None
    early: bool = False

    def apply(self, served: Served) -> Outcome:
        """Predicts, scores and learns, or keeps the sample until its label comes."""
        return self._step(served, None)

    def apply_telling(self, served: Served, expected: Callable[[Outcome], object]) -> Outcome:
        """As :meth:`apply`; tells the outcome before anything is learned."""
        return self._step(served, expected)

    def _step(self, served: Served, expected: Callable[[Outcome], object] | None) -> Outcome:
        outcome = served.model.step(self._complete(served.model), expected)
        served.sequences.note(self.sample.session, self.sequence)
        return outcome

    def check(self, served: Served) -> None:
        """Refuses a sample that does not fit."""
        served.model.check(self._complete(served.model))

    def request(self) -> Request:
        """Known by its session and id, told apart by input and target."""
        sample = self.sample
        said = digest(sample.input, sample.target, self.class_name)
        return Request(self.kind, sample.session, sample.id, said)

    def record(self) -> tuple[Values, Arrays]:
        """Everything that it says."""
        sample = self.sample
        values = {
            "id": sample.id,
            "session": sample.session,
            "device_time_s": sample.device_time_s,
            "host_time_s": sample.host_time_s,
            "arrived_s": sample.arrived_s,
            "class_name": self.class_name,
            "sequence": self.sequence,
        }
        return values, _present(input=sample.input, target=sample.target)

    @classmethod
    def from_record(cls, values: Values, arrays: Arrays) -> Self:
        """Everything that it says."""
        sample = Sample(
            id=values["id"],
            session=values["session"],
            input=arrays["input"],
            target=arrays.get("target"),
            device_time_s=values["device_time_s"],
            host_time_s=values["host_time_s"],
            arrived_s=values["arrived_s"],
        )
        return cls(sample, values["class_name"], values["sequence"])

    def _complete(self, model: Model) -> Sample:
        if self.class_name is None:
            return self.sample
        target = one_hot(model, self.sample.session, self.class_name)
        return replace(self.sample, target=target)


@dataclass(frozen=True)
class LabelArrived(Event[Outcome]):
    """The target of a waiting sample, as an array or as the name of its class."""

    kind: ClassVar[str] = "label"
    session: str
    sample_id: str
    target: NDArray[np.float32] | str
    arrived_s: float | None = None

    def apply(self, served: Served) -> Outcome:
        """Learns from the waiting sample, or holds its label back."""
        target = self._values(served.model)
        return served.model.label(self.session, self.sample_id, target, self.arrived_s)

    def check(self, served: Served) -> None:
        """Refuses a label that does not fit."""
        model = served.model
        model.check_label(self.session, self.sample_id, self._values(model))

    def request(self) -> Request:
        """Known by its session and sample, told apart by its target."""
        return Request(self.kind, self.session, self.sample_id, digest(self.target))

    def record(self) -> tuple[Values, Arrays]:
        """Everything that it says."""
        named = self.target if isinstance(self.target, str) else None
        values = {
            "session": self.session,
            "sample_id": self.sample_id,
            "arrived_s": self.arrived_s,
            "class_name": named,
        }
        return values, {} if isinstance(self.target, str) else {"target": self.target}

    @classmethod
    def from_record(cls, values: Values, arrays: Arrays) -> Self:
        """Everything that it says."""
        target = values["class_name"]
        return cls(
            session=values["session"],
            sample_id=values["sample_id"],
            target=arrays["target"] if target is None else target,
            arrived_s=values["arrived_s"],
        )

    def _values(self, model: Model) -> NDArray[np.float32]:
        if isinstance(self.target, str):
            return one_hot(model, self.session, self.target)
        return self.target


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


def _present(**arrays: NDArray[Any] | None) -> Arrays:
    return {name: array for name, array in arrays.items() if array is not None}
