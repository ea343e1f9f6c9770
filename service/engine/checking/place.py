"""What every place to run structure checks does."""

import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from scatonline.structure import StructureCheck, StructureDecision


@dataclass(frozen=True)
class Finding:
    """What came of a check.

    Attributes:
        decision: What it decided.
        seconds: How long it computed.
    """

    decision: StructureDecision
    seconds: float


class CheckPlace(Protocol):
    """Runs checks beside whoever starts them; safe from any thread."""

    def start(self, check: StructureCheck) -> "Future[Finding]":
        """Starts a check, or has it wait for its turn.

        Args:
            check: Not to be touched any more.

        Returns:
            What comes of it, or the error that it ended in; ready in a thread of the place's own.
        """

    def give_up(self, finding: "Future[Finding]") -> None:
        """Ends a check that :meth:`start` gave, where that is possible; nobody will look at it."""


def found(check: StructureCheck) -> Finding:
    """Runs a check here and now."""
    started_s = time.perf_counter()
    decision = check.run()
    return Finding(decision, time.perf_counter() - started_s)
