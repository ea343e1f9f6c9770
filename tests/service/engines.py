"""Events and questions that tests of an engine have in common."""

import threading
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from scatonline.sample import Sample
from service.engine import Engine, Event, SampleArrived, Served
from tests.service.running import counts, waveform


@dataclass(frozen=True)
class Pause(Event[None]):
    """Keeps the writer busy until it is released."""

    kind: ClassVar[str] = "pause"
    begun: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def apply(self, served: Served) -> None:  # noqa: ARG002
        self.begun.set()
        assert self.released.wait(30)

    def record(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, {}

    @classmethod
    def from_record(cls, values: dict[str, Any], arrays: dict[str, Any]) -> Self:  # noqa: ARG003
        over = cls()
        over.released.set()
        return over


def arrival(index: int, *, label: bool = True) -> SampleArrived:
    target = counts(index) if label else None
    return SampleArrived(Sample(f"s{index}", "day-1", waveform(index), target))


def status_hash(engine: Engine) -> str | None:
    return engine.status(with_hash=True).result(30).state_hash
