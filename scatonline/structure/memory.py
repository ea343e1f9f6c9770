"""What the structure search remembers between its checks."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from scatonline.structure.decision import GroupCar, Move, RecentDrop, group_car, move


@dataclass
class StructureState:
    """What the structure search remembers between checks.

    Only ``learned`` is ever changed in place.

    Attributes:
        look: Number of the next look, from 1; α is spent over looks.
        version: Moves made so far.
        learned: Samples learned by the whole model.
        checked_at: ``learned`` at the last check.
        moved_at: ``learned`` at the last move, −1 before one.
        cars: Last CAR of every filter.
        born: Event that made a filter, for those added later.
        recent_drops: (filter, ``learned`` when it went).
        moves: The newest moves, oldest first.
    """

    look: int = 1
    version: int = 0
    learned: int = 0
    checked_at: int = 0
    moved_at: int = -1
    cars: tuple[GroupCar, ...] = ()
    born: Mapping[str, int] = field(default_factory=dict)
    recent_drops: tuple[tuple[RecentDrop, int], ...] = ()
    moves: tuple[Move, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain dicts, lists and numbers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "StructureState":
        """Inverse of :meth:`to_dict`, also after JSON."""
        drops = tuple(
            (RecentDrop(d["layer"], d["scale"], tuple(d["values"])), at)
            for d, at in values["recent_drops"]
        )
        cars = tuple(group_car(car) for car in values["cars"])
        moves = tuple(move(m) for m in values["moves"])
        return cls(**{**values, "cars": cars, "recent_drops": drops, "moves": moves})
