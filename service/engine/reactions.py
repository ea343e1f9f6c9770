"""What the world is told of a model: counters, the log, and notices to whoever watches."""

import time
from collections.abc import Callable
from typing import Any

import structlog

from scatonline.drift import FilterReport
from scatonline.errors import UnknownName
from scatonline.model import Model
from service.engine.events import (
    AppliedDecision,
    Event,
    LabelArrived,
    LearningSet,
    SampleArrived,
    SessionOpened,
    StateReplaced,
)
from service.engine.inbox import Change
from service.engine.notices import (
    CheckpointWritten,
    Frozen,
    Notice,
    Notices,
    RolledBack,
    StorageReady,
    What,
)
from service.engine.served import Served
from service.telemetry import ModelInstruments

_log = structlog.get_logger(__name__)


class Reactions:
    """Tells what happens to one model.

    Args:
        name: Name of the model.
        instruments: Its instruments.
        notices: Whom to tell.
        on_storage: Called when the disk takes nothing, or takes something again.

    Attributes:
        repeated: Requests answered from memory since the process started.
        orphans: Labels of samples that never came, since the process started.
    """

    def __init__(
        self,
        name: str,
        instruments: ModelInstruments,
        notices: Notices,
        on_storage: Callable[[], object],
    ) -> None:
        self.repeated = self.orphans = 0
        self._name = name
        self._instruments = instruments
        self._notices = notices
        self._on_storage = on_storage
        self._seen = (0, 0)
        self._missing = 0

    def begin(self, served: Served) -> None:
        """Takes note of what had happened before."""
        self._seen = _reactions(served.model)
        self._missing = served.sequences.missing
        self._instruments.frozen.set(served.model.frozen)

    def applied(self, event: Event[Any], result: object, served: Served) -> bool:
        """An event was applied; True if it changed more than a sample does."""
        model = served.model
        if isinstance(event, SampleArrived):
            self._instruments.samples.inc()
            self._count_missing(served)
        elif isinstance(event, LabelArrived):
            self._instruments.labels.inc()
        elif isinstance(event, SessionOpened):
            _log.info(
                "session_opened",
                model=self._name,
                session=event.session,
                outputs=len(event.outputs),
                event_number=model.event,
            )
        self._tell_own(model)
        if isinstance(result, AppliedDecision):
            return self._decided(result)
        if isinstance(event, LearningSet):
            self._instruments.frozen.set(event.frozen)
            _log.info(
                "learning_frozen" if event.frozen else "learning_resumed",
                model=self._name,
                event_number=model.event,
            )
            self._tell(model.event, Frozen(event.frozen))
        if isinstance(event, StateReplaced):
            self._replaced(event, served)
            return True
        return False

    def refused(self, change: Change[Any], error: Exception) -> None:
        """A change was refused; counts labels of samples that never came."""
        if isinstance(change.event, LabelArrived) and isinstance(error, UnknownName):
            self.orphans += 1
            self._instruments.orphan_labels.inc()

    def repeated_request(self) -> None:
        """A request was answered as before."""
        self.repeated += 1
        self._instruments.repeated_requests.inc()

    def drifted(self, event: int, report: FilterReport) -> None:
        """A filter has moved far."""
        _log.info(
            "filter_drifted", model=self._name, filter=report.id, event_number=event, **report.drift
        )
        self._tell(event, report)

    def storage(self, ready: bool, event: int) -> None:
        """The disk takes nothing, or takes something again."""
        self._instruments.storage_ready.set(ready)
        (_log.info if ready else _log.error)(
            "storage_ready" if ready else "storage_full", model=self._name
        )
        self._tell(event, StorageReady(ready))
        self._on_storage()

    def checkpointed(self, event: int) -> None:
        """A checkpoint was written; called in another thread than the rest."""
        self._tell(event, CheckpointWritten(event))

    def _decided(self, applied: AppliedDecision) -> bool:
        for move in applied.decision.moves:
            self._instruments.moves[move.kind].inc()
        _log.info(
            "structure_decided",
            model=self._name,
            session=applied.decision.session,
            moves=[f"{move.kind} {move.filter_id}" for move in applied.decision.moves],
            reason=applied.decision.reason,
            event_number=applied.event,
        )
        self._tell(applied.event, applied)
        return bool(applied.decision.moves)

    def _replaced(self, event: StateReplaced, served: Served) -> None:
        self.begin(served)
        if event.origin == "rollback":
            self._instruments.rollbacks.inc()
        _log.warning(
            "state_replaced",
            model=self._name,
            origin=event.origin,
            of_event=event.event,
            event_number=served.model.event,
        )
        self._tell(served.model.event, RolledBack(event.event))

    def _count_missing(self, served: Served) -> None:
        before, self._missing = self._missing, served.sequences.missing
        if self._missing > before:
            self._instruments.missing_samples.inc(self._missing - before)

    def _tell_own(self, model: Model) -> None:
        """Counts, logs and tells what the model did by itself at the last event."""
        before, self._seen = self._seen, _reactions(model)
        if self._seen[0] > before[0] and model.alarms:
            alarm = model.alarms[-1]
            self._instruments.loss_changes.inc()
            _log.info(
                "loss_changed",
                model=self._name,
                session=alarm.session,
                detector=alarm.detector,
                event_number=alarm.event,
            )
            self._tell(alarm.event, alarm)
        if self._seen[1] > before[1]:
            retreat = model.retreats[-1]
            self._instruments.retreats.inc()
            _log.warning(
                "filters_given_up",
                model=self._name,
                worse_by=retreat.worse,
                se=retreat.se,
                event_number=retreat.event,
            )
            self._tell(retreat.event, retreat)

    def _tell(self, event: int, what: What) -> None:
        missed = self._notices.tell(Notice(self._name, event, time.time(), what))
        if missed:
            self._instruments.watch_missed.inc(missed)


def _reactions(model: Model) -> tuple[int, int]:
    """Changes found and retreats made so far."""
    return model.watch.found, model.learner.retreats
