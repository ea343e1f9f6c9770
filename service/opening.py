"""From a model's folder to an engine: checkpoints, journal, and where it begins without them."""

from collections.abc import Callable

import structlog
from structlog.contextvars import bound_contextvars

from scatonline.config import ModelSpec
from scatonline.model import Model
from service.calibration import settled
from service.engine import (
    CheckPlace,
    CheckpointSaver,
    Engine,
    EngineLimits,
    Notices,
    Reactions,
    Served,
    ServedLimits,
    WriterLimits,
    recovered,
)
from service.errors import CorruptRecord
from service.settings import Settings
from service.start import starting_point
from service.storage.checkpoints import Checkpoint, CheckpointStore
from service.storage.journal import Journal
from service.telemetry import Instruments

_log = structlog.get_logger(__name__)


class Opener:
    """Opens models.

    Args:
        settings: The service's settings.
        device: Where models live: `cpu`, `cuda` or `cuda:N`.
        instruments: Instruments of the process.
        notices: Whom to tell what happens.
        checks: Where structure checks run.
        on_failure: Called if a writer's thread dies of an unexpected error.
        on_storage: Called when a model's disk takes nothing, or takes something again.
    """

    def __init__(
        self,
        settings: Settings,
        device: str,
        instruments: Instruments,
        notices: Notices,
        *,
        checks: CheckPlace,
        on_failure: Callable[[], object],
        on_storage: Callable[[], object],
    ) -> None:
        self._settings = settings
        self._device = device
        self._instruments = instruments
        self._notices = notices
        self._checks = checks
        self._on_failure = on_failure
        self._on_storage = on_storage

    def open(self, spec: ModelSpec, begin: Checkpoint | None = None) -> Engine:
        """The engine of a model, where its folder says that it was.

        A model without checkpoints begins with `begin`, or with what was fitted for it, or
        untaught, and has a checkpoint from then on.

        Raises:
            CorruptRecord: no checkpoint is whole, or the journal has changed.
            StorageError: the folder cannot be used.
            StateVersionError: the checkpoint belongs to another specification.
            SettingsError: the model's family is to be chosen and there is nothing to choose it
                from, or there is nothing where it is to start from.
        """
        with bound_contextvars(model=spec.name):
            return self._open(spec, begin)

    def _open(self, spec: ModelSpec, begin: Checkpoint | None) -> Engine:
        storage, limits = self._settings.storage, self._settings.limits
        folder = storage.directory / spec.name
        store = CheckpointStore(folder, storage.keep)
        checkpoint, damaged = store.load_newest()
        journal = Journal(folder / "journal")
        own = self._instruments.of_model(spec.name)
        own.checkpoints_damaged.set(damaged)
        if checkpoint is None:
            spec, checkpoint = self._first(spec, begin, store, journal)
        else:
            spec = settled(spec, checkpoint, None, self._device)
        own.checkpoint_event.set(checkpoint.event)
        own.checkpoint_timestamp.set(checkpoint.written_s)
        kept = ServedLimits(limits.sessions, limits.remembered_answers)
        served = recovered(spec, checkpoint, journal, kept, instruments=own, device=self._device)
        own.journal_record.set(journal.position.number)
        own.journal_bytes.set(journal.size)
        reactions = Reactions(spec.name, own, self._notices, self._on_storage)
        reactions.begin(served)
        _log.info(
            "model_ready", model=spec.name, event_number=served.model.event, device=self._device
        )
        saver = CheckpointSaver(
            store,
            journal,
            own,
            every_s=storage.checkpoint_every_s,
            journal_bytes=storage.journal_bytes,
            saved=(checkpoint.position.number, checkpoint.event),
            written=reactions.checkpointed,
        )
        bounds = WriterLimits(
            queue_depth=limits.queue_depth,
            batch=limits.batch,
            linger_s=limits.linger_s,
            report_every_s=self._settings.metrics.refresh_s,
        )
        return Engine(
            served,
            journal,
            saver,
            own,
            reactions=reactions,
            place=self._checks,
            limits=EngineLimits(bounds),
            on_failure=self._on_failure,
        )

    def _first(
        self, spec: ModelSpec, begin: Checkpoint | None, store: CheckpointStore, journal: Journal
    ) -> tuple[ModelSpec, Checkpoint]:
        """The first checkpoint of a model, from which its journal goes on."""
        if journal.position.number:
            raise CorruptRecord(
                f"model {spec.name!r} has a journal of {journal.position.number} records and no "
                "checkpoint that it goes on from: put the folder back from a copy, or move it away "
                "to start the model anew"
            )
        fitted = self._settings.start.get(spec.name)
        if begin is None and fitted is not None:
            begin = starting_point(spec.name, fitted)
        spec = settled(spec, begin, self._settings.calibration.get(spec.name), self._device)
        kept = ServedLimits()
        if begin is None:
            served = Served(Model(spec, self._device), kept)
        else:
            served = Served.restore(spec, begin, kept, self._device)
        checkpoint = served.checkpoint(journal.position)
        store.save(checkpoint)
        return spec, checkpoint
