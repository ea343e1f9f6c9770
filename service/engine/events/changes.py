"""Events that change what samples are checked against: sessions, structure, learning, the state."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from scatonline import state
from scatonline.structure import StructureDecision
from service.engine.events.event import Arrays, Event, Values
from service.engine.export import packed, unpacked
from service.engine.served import Served
from service.errors import OverLimit
from service.storage.checkpoints import Checkpoint


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
            raise OverLimit(
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

    @classmethod
    def by(cls, checkpoint: Checkpoint, origin: str) -> Self:
        """Replaced by the state of a checkpoint."""
        return cls(packed(checkpoint), origin, checkpoint.event)

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
