"""Everything that changes a model. An event is data, and applying it is the only transition.

The state after an event depends on the state before it and the event alone, so a journal of events
replayed from a checkpoint gives the same state.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from scatonline import state
from scatonline.errors import UnknownName
from scatonline.model import Model
from scatonline.sample import Outcome, Sample
from scatonline.structure import StructureDecision
from service.engine.answers import Request, digest
from service.engine.export import unpacked
from service.engine.packing import pack, unpack
from service.engine.served import Served
from service.errors import CorruptRecord, InvalidRequest, Overloaded

T = TypeVar("T")
Values = dict[str, Any]
Arrays = dict[str, NDArray[Any]]


class Event(ABC, Generic[T]):
    """One change of a model; `T` is what whoever asked for it gets back.

    Attributes:
        kind: Name under which it is stored.
        alone: It changes what other events are checked against, so none is stored with it.
    """

    kind: ClassVar[str]
    alone: ClassVar[bool] = False

    @abstractmethod
    def apply(self, served: Served) -> T:
        """Changes the model, or raises and changes nothing."""

    @abstractmethod
    def record(self) -> tuple[Values, Arrays]:
        """As JSON-safe values and arrays."""

    @classmethod
    @abstractmethod
    def from_record(cls, values: Values, arrays: Arrays) -> Self:
        """Inverse of :meth:`record`."""

    def check(self, served: Served) -> None:
        """Raises what :meth:`apply` would raise; changes nothing."""

    def request(self) -> Request | None:
        """What tells whether it has come before; None where coming again does no harm."""
        return None


@dataclass(frozen=True)
class SessionOpened(Event[int]):
    """A recording starts; answered by the model's event number."""

    kind: ClassVar[str] = "session"
    alone: ClassVar[bool] = True
    session: str
    outputs: tuple[str, ...]

    def apply(self, served: Served) -> int:
        """Opens the session."""
        served.model.open_session(self.session, self.outputs)
        return served.model.event

    def check(self, served: Served) -> None:
        """Refuses what cannot be opened, and one session too many."""
        served.model.check_session(self.session, self.outputs)
        known, most = served.model.sessions, served.limits.sessions
        if self.session not in known and len(known) >= most:
            raise Overloaded(
                f"model {served.model.spec.name!r} has {len(known)} sessions, expected at most "
                f"{most}: raise limits.sessions, or take another model"
            )

    def record(self) -> tuple[Values, Arrays]:
        """Session and outputs."""
        return {"session": self.session, "outputs": self.outputs}, {}

    @classmethod
    def from_record(cls, values: Values, arrays: Arrays) -> Self:  # noqa: ARG003
        """Session and outputs."""
        return cls(values["session"], tuple(values["outputs"]))


@dataclass(frozen=True)
class SampleArrived(Event[Outcome]):
    """A sample to predict, score and learn from.

    Attributes:
        sample: The sample.
        class_name: Its class, where the target came as a name.
        sequence: Its number in the session, where the sender counts.
    """

    kind: ClassVar[str] = "sample"
    sample: Sample
    class_name: str | None = None
    sequence: int | None = None

    def apply(self, served: Served) -> Outcome:
        """Predicts, scores and learns, or keeps the sample until its label comes."""
        outcome = served.model.step(self._complete(served.model))
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


@dataclass(frozen=True)
class AppliedDecision:
    """A structure decision that was applied.

    Attributes:
        decision: With its moves as they were made.
        event: Number of events of the model after it.
        outputs: Names of the outputs of its session.
    """

    decision: StructureDecision
    event: int
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class StructureDecided(Event[AppliedDecision]):
    """A structure check has ended."""

    kind: ClassVar[str] = "structure"
    alone: ClassVar[bool] = True
    decision: StructureDecision

    def apply(self, served: Served) -> AppliedDecision:
        """Makes the moves."""
        model = served.model
        moves = model.apply(self.decision)
        outputs = model.sessions.get(self.decision.session, ())
        return AppliedDecision(replace(self.decision, moves=moves), model.event, outputs)

    def record(self) -> tuple[Values, Arrays]:
        """The whole decision."""
        return {"decision": self.decision.to_dict()}, {}

    @classmethod
    def from_record(cls, values: Values, arrays: Arrays) -> Self:  # noqa: ARG003
        """The whole decision."""
        return cls(StructureDecision.from_dict(values["decision"]))


@dataclass(frozen=True)
class LearningSet(Event[int]):
    """Learning is frozen or resumed; answered by the model's event number."""

    kind: ClassVar[str] = "learning"
    alone: ClassVar[bool] = True
    frozen: bool

    def apply(self, served: Served) -> int:
        """Freezes or resumes."""
        served.model.freeze(self.frozen)
        return served.model.event

    def record(self) -> tuple[Values, Arrays]:
        """Whether it is frozen."""
        return {"frozen": self.frozen}, {}

    @classmethod
    def from_record(cls, values: Values, arrays: Arrays) -> Self:  # noqa: ARG003
        """Whether it is frozen."""
        return cls(values["frozen"])


@dataclass(frozen=True)
class StateReplaced(Event[int]):
    """The model becomes another state of equal specification; answered by its event number.

    The state itself is in the record, so that no checkpoint must be kept for the journal's sake.

    Attributes:
        content: The state, as :func:`service.engine.export.packed` makes it.
        origin: `rollback` or `import`.
        event: Number of events that the state had seen.
    """

    kind: ClassVar[str] = "state"
    alone: ClassVar[bool] = True
    content: bytes
    origin: str
    event: int

    def check(self, served: Served) -> None:
        """Refuses a damaged state, and one of another specification."""
        state.require(served.model.spec, unpacked(self.content).meta)

    def apply(self, served: Served) -> int:
        """Takes the state over."""
        served.replace(unpacked(self.content))
        return served.model.event

    def record(self) -> tuple[Values, Arrays]:
        """The whole state."""
        content = np.frombuffer(self.content, dtype=np.uint8)
        return {"origin": self.origin, "event": self.event}, {"content": content}

    @classmethod
    def from_record(cls, values: Values, arrays: Arrays) -> Self:
        """The whole state."""
        return cls(arrays["content"].tobytes(), values["origin"], values["event"])


_KINDS: Mapping[str, type[Event[Any]]] = {
    event.kind: event
    for event in (
        SessionOpened,
        SampleArrived,
        LabelArrived,
        StructureDecided,
        LearningSet,
        StateReplaced,
    )
}


def apply(event: Event[T], served: Served) -> T:
    """Changes the model, and remembers what is answered to a request that may come again.

    Raises:
        As the event's own :meth:`Event.apply`; nothing has changed then.
    """
    result = event.apply(served)
    request = event.request()
    if request is not None and isinstance(result, Outcome):
        served.answers.keep(request, result)
    return result


def encode(event: Event[Any]) -> bytes:
    """An event as a journal keeps it."""
    values, arrays = event.record()
    return pack({"kind": event.kind, **values}, arrays)


def decode(body: bytes) -> Event[Any]:
    """Inverse of :func:`encode`.

    Raises:
        CorruptRecord: it is no event that this version knows.
    """
    values, arrays = unpack(body)
    kind = values.pop("kind", None)
    if kind not in _KINDS:
        raise CorruptRecord(f"a record of the unknown kind {kind!r}: another version wrote it")
    return _KINDS[kind].from_record(values, arrays)


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
