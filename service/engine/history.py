"""Structure moves of a model, remembered across restarts, and what its checks did."""

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from scatonline.structure import Move, StructureDecision
from service.engine.events import AppliedDecision

REMEMBERED = 1000


class History:
    """What the checks of one model found.

    Attributes:
        moves: Newest moves, oldest first, at most `REMEMBERED`; part of every checkpoint.
        checks: Checks that ended since the process started.
        failures: Those of them that failed.
        last_decision: Newest decision since the process started, with its moves as made.
    """

    def __init__(self, record: Mapping[str, Any] | None = None) -> None:
        earlier = (record or {}).get("moves", ())
        self.moves: deque[Move] = deque((Move(**move) for move in earlier), maxlen=REMEMBERED)
        self.checks = 0
        self.failures = 0
        self.last_decision: StructureDecision | None = None

    def decided(self, applied: AppliedDecision) -> None:
        """Remembers a decision that was applied."""
        self.checks += 1
        self.moves.extend(applied.decision.moves)
        self.last_decision = applied.decision

    def failed(self) -> None:
        """Counts a check that ended in an error."""
        self.checks += 1
        self.failures += 1

    def record(self) -> dict[str, Any]:
        """The part that a checkpoint keeps, JSON-safe."""
        return {"moves": [asdict(move) for move in self.moves]}
