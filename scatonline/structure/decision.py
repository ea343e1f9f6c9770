"""What a structure check says: every filter's CAR, and the moves it decides, with their numbers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class GroupCar:
    """CAR of one filter over a window: what is lost without all paths through it.

    Attributes:
        filter_id: The filter.
        layer: Its layer, from 1.
        scale: Its scale j.
        car: Loss of held-out explained variance after a refit without it, mean over restarts.
        se: Standard error, from effective samples and restarts.
        upper: Upper confidence bound at the level that this look may spend.
        agreement: Share of restarts that found it harmless.
        accuracy_loss: Loss of held-out accuracy, classes only.
        removable: The bound, the restarts and the limits all allow a removal.
        deviance_loss: Loss of held-out explained deviance, counts only.
        by_output: Loss of each output of the session, which tells who needs the filter: of
            explained variance for values, of explained deviance for counts, of accuracy on that
            class for classes; 0 for an output that did not vary.
    """

    filter_id: str
    layer: int
    scale: int
    car: float
    se: float
    upper: float
    agreement: float
    accuracy_loss: float | None
    removable: bool
    deviance_loss: float | None = None
    by_output: tuple[float, ...] = ()


@dataclass(frozen=True)
class Move:
    """A filter that comes or goes.

    Attributes:
        kind: ``add`` or ``drop``.
        filter_id: The filter.
        layer: Its layer, from 1.
        scale: Its scale j.
        reason: A sentence with the numbers that decided.
        numbers: The same numbers by name.
        event: Event number of the move, 0 until it is applied.
        values: Natural parameters of an added filter.
        mean: Means of its new columns on the window, in column order. Where filters come together,
            the first one's holds the columns of all.
        column_scale: Their scales, likewise.
    """

    kind: str
    filter_id: str
    layer: int
    scale: int
    reason: str
    numbers: dict[str, float]
    event: int = 0
    values: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    column_scale: tuple[float, ...] = ()


@dataclass(frozen=True)
class RecentDrop:
    """A filter that went a short while ago and must not come straight back."""

    layer: int
    scale: int
    values: tuple[float, ...]


@dataclass(frozen=True)
class StructureDecision:
    """Result of one check; applying it is one event.

    Attributes:
        look: Number of this check in the model's life, from 1; α is spent over looks.
        session: Session whose window was looked at.
        samples: Labelled samples in the window.
        n_eff: Effective held-out samples after autocorrelation.
        baseline_score: Held-out explained variance with all filters.
        cars: Every filter.
        moves: In order; empty when nothing is to be done.
        reason: Why these moves, or why none.
        base_event: Structure version (number of moves) that the check looked at.
    """

    look: int
    session: str
    samples: int
    n_eff: float
    baseline_score: float
    cars: tuple[GroupCar, ...]
    moves: tuple[Move, ...]
    reason: str
    base_event: int = field(default=0)

    def to_dict(self) -> dict[str, Any]:
        """As plain dicts, lists and numbers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "StructureDecision":
        """Inverse of :meth:`to_dict`, also after JSON."""
        cars = tuple(group_car(car) for car in values["cars"])
        return cls(**{**values, "cars": cars, "moves": tuple(move(m) for m in values["moves"])})


def group_car(values: Mapping[str, Any]) -> GroupCar:
    """A :class:`GroupCar` from plain values."""
    return GroupCar(**_with_tuples(values))


def move(values: Mapping[str, Any]) -> Move:
    """A :class:`Move` from plain values."""
    return Move(**_with_tuples(values))


def _with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
