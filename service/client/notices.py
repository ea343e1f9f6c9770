"""What a watch tells: something that happened to a model."""

from dataclasses import dataclass

from service.client.results import Decision, Drift


@dataclass(frozen=True)
class LossChanged:
    """The loss of a session rose more than by chance, as this detector found."""

    session: str
    detector: str


@dataclass(frozen=True)
class FiltersGivenUp:
    """Learned filters were worse than those of the start: mean difference of losses, its error."""

    worse: float
    standard_error: float


@dataclass(frozen=True)
class FilterDrifted:
    """A filter has moved far from where it was made."""

    filter_id: str
    drift: Drift


@dataclass(frozen=True)
class LearningFrozen:
    """Learning was frozen (True) or resumed (False)."""

    frozen: bool


@dataclass(frozen=True)
class RolledBack:
    """The model went back to the state of this event."""

    to_event: int


@dataclass(frozen=True)
class StorageReady:
    """The disk takes records again (True) or takes none (False)."""

    ready: bool


@dataclass(frozen=True)
class CheckpointWritten:
    """A checkpoint of this event was written."""

    event: int


@dataclass(frozen=True)
class ModelExists:
    """The model was made (True) or deleted (False)."""

    exists: bool


What = (
    Decision
    | LossChanged
    | FiltersGivenUp
    | FilterDrifted
    | LearningFrozen
    | RolledBack
    | StorageReady
    | CheckpointWritten
    | ModelExists
)


@dataclass(frozen=True)
class Notice:
    """Something that happened to a model.

    Attributes:
        model: Name of the model.
        event: Number of events of the model when it happened.
        time_s: Seconds since the Unix epoch, on the service's clock.
        missed: Notices that were left out just before, since this watch did not keep up.
        after_outage: The connection was lost before this notice; what happened meanwhile is not
            told, :meth:`Client.status` says how things stand.
        what: What happened; None: something that only a newer client knows.
    """

    model: str
    event: int
    time_s: float
    missed: int
    after_outage: bool
    what: What | None
