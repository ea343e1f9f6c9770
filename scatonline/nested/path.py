"""What happened on the way: one round after the other, JSON-safe."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from scatonline.structure import GroupCar, Move


@dataclass(frozen=True)
class Round:
    """One descent of θ, and the structure move after it.

    Attributes:
        number: From 0, where banks are as the specification makes them.
        explained: Held-out explained variance after the descent.
        accuracy: Held-out accuracy of classes.
        left_out: Explained variance of fitted samples that were left out, which is what descends.
        gain: Held-out explained variance beyond the best round before, mean over samples.
        gain_se: Its standard error.
        kept: False where held-out samples got worse: what this round changed was undone.
        ridge: λ of least left-out error.
        filters: Number of filters of each layer and scale, as ``"1/j0"``.
        columns: Number of columns.
        steps: Gradient steps taken.
        tie: Which filters moved together.
        losses: Left-out error of every step's batch.
        judged: Held-out explained variance at every look of the descent.
        drift: Of every layer: mean over filters of 1 − correlation with the filter as it was made.
        values: Natural parameters of every filter, by id.
        moves: Structure moves after this round.
        reason: Why these moves, or why none.
        cars: Of every filter, in the check that decided.
    """

    number: int
    explained: float
    accuracy: float | None
    left_out: float
    gain: float
    gain_se: float
    kept: bool
    ridge: float
    filters: Mapping[str, int]
    columns: int
    steps: int
    tie: str
    losses: tuple[float, ...]
    judged: tuple[float, ...]
    drift: tuple[float, ...]
    values: Mapping[str, Mapping[str, float]]
    moves: tuple[Move, ...] = ()
    reason: str = ""
    cars: tuple[GroupCar, ...] = ()

    @property
    def total_filters(self) -> int:
        """Filters of all layers."""
        return sum(self.filters.values())


@dataclass(frozen=True)
class Path:
    """The whole path.

    Attributes:
        rounds: In order.
        chosen: Number of the round whose banks were taken.
        ended: Why it went no farther.
        samples: Fitted to and held out, copies not counted.
    """

    rounds: tuple[Round, ...]
    chosen: int
    ended: str
    samples: tuple[int, int]

    @property
    def moves(self) -> tuple[Move, ...]:
        """Moves that lead to the chosen round."""
        return tuple(move for r in self.rounds[: self.chosen] for move in r.moves)

    def to_dict(self) -> dict[str, Any]:
        """As plain dicts, lists and numbers."""
        return asdict(self)
