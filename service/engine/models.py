"""The models of a process by name: those of the settings, and those made while it runs."""

import gc
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from scatonline.config import ModelSpec
from scatonline.errors import ConfigError, DuplicateName
from service.engine.engine import Engine
from service.engine.events import StateReplaced
from service.engine.export import renamed, unpacked
from service.engine.notices import Exists, Notice, Notices
from service.errors import (
    CorruptRecord,
    InvalidRequest,
    NotReady,
    OverLimit,
    StorageError,
    UnknownModel,
)
from service.storage.checkpoints import CHECKPOINTS, Checkpoint, now_s
from service.storage.folder import sync_folder, write_durably
from service.storage.sealed import sealed, unsealed

_CREATED = "created.json"
# No name of a model begins with a dot.
_LEAVING = ".deleted"
Build = Callable[[ModelSpec, Checkpoint | None], Engine]
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Entry:
    engine: Engine
    in_settings: bool


class Models:
    """Makes, finds and deletes engines; safe from any thread.

    Args:
        folder: Holds one folder per model.
        limit: Most models at a time.
        build: Makes the engine of a specification, from a checkpoint where one is given.
        forget: Called with the name of a model that is gone.
        notices: Whom to tell.
    """

    def __init__(
        self,
        folder: Path,
        limit: int,
        build: Build,
        forget: Callable[[str], object],
        notices: Notices,
    ) -> None:
        self._folder = folder
        self._limit = limit
        self._build = build
        self._forget = forget
        self._notices = notices
        self._entries: dict[str, _Entry] = {}
        self._closed = False
        self._changing = threading.Lock()

    @property
    def engines(self) -> Mapping[str, Engine]:
        """Name → engine, as it is now."""
        return {name: entry.engine for name, entry in self._entries.items()}

    def __contains__(self, name: str) -> bool:
        """Whether a model of that name is served."""
        return name in self._entries

    def engine(self, name: str) -> Engine:
        """The engine of a model.

        Raises:
            UnknownModel: naming those that there are.
        """
        return self._entry(name).engine

    def in_settings(self, name: str) -> bool:
        """Whether a model stands in the settings.

        Raises:
            UnknownModel: there is none.
        """
        return self._entry(name).in_settings

    def open(self, configured: tuple[ModelSpec, ...]) -> None:
        """Builds the models of the settings, then those that earlier processes were asked to make.

        Raises:
            StorageError: a folder cannot be used.
        """
        shutil.rmtree(self._folder / _LEAVING, ignore_errors=True)
        for spec in configured:
            self._add(_Entry(self._build(spec, None), in_settings=True))
        for note in sorted(self._folder.glob(f"*/{_CREATED}")):
            if note.parent.name not in self._entries and not _given_up(note):
                self._add(_Entry(self._build(_read(note)[0], None), in_settings=False))

    def start(self) -> None:
        """Starts every writer."""
        for entry in self._entries.values():
            entry.engine.start()

    def close(self) -> list[Engine]:
        """Takes no change any more; gives the engines, to be drained."""
        with self._changing:
            self._closed = True
        return [entry.engine for entry in self._entries.values()]

    def create(self, spec: ModelSpec, begin: Checkpoint | None = None) -> Engine:
        """Makes a model that later processes serve too; takes seconds.

        Args:
            spec: Its specification.
            begin: Where it starts.

        Raises:
            DuplicateName: there is one of that name.
            OverLimit: there are as many as may be.
            StorageError: the disk refuses; nothing is left behind.
            StateVersionError: `begin` is of another specification.
        """
        with self._changing:
            self._require_open()
            if spec.name in self._entries:
                raise DuplicateName(
                    f"model {spec.name!r} exists: take another name, or delete it first"
                )
            if len(self._entries) >= self._limit:
                raise OverLimit(
                    f"{len(self._entries)} models are served, expected fewer than {self._limit}: "
                    "delete one, or raise limits.models"
                )
            folder = self._folder / spec.name
            if folder.exists():
                raise DuplicateName(
                    f"model {spec.name!r} is not served, but there is a folder of that name in the "
                    "storage: put the model in the settings, or move the folder away"
                )
            try:
                _note(folder, spec, imported=begin is not None)
                engine = self._build(spec, begin)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                self._forget(spec.name)
                raise
            self._add(_Entry(engine, in_settings=False))
            engine.start()
        self._tell(spec.name, engine.report.event, exists=True)
        return engine

    def delete(self, name: str, confirm: str) -> None:
        """Ends a model and removes everything stored of it.

        Raises:
            UnknownModel: there is none.
            InvalidRequest: `confirm` is not its name.
            NotReady: it stands in the settings.
            StorageError: its folder cannot be removed.
        """
        with self._changing:
            self._require_open()
            entry = self._entry(name)
            if confirm != name:
                raise InvalidRequest(
                    f"confirm: got {confirm!r}, expected the name of the model: {name!r}"
                )
            if entry.in_settings:
                raise NotReady(
                    f"model {name!r} stands in the settings, and would be made anew at the next "
                    "start: take it out there"
                )
            self._entries = {k: v for k, v in self._entries.items() if k != name}
            entry.engine.hurry()
            entry.engine.drain()
            self._remove(self._folder / name)
            self._forget(name)
        event = entry.engine.report.event
        self._tell(name, event, exists=False)
        # Its parts know one another, so they stay until someone looks; Python does not see that
        # arrays hang on them.
        del entry
        gc.collect()

    def import_(
        self, content: bytes, name: str, replace: bool
    ) -> tuple[Engine, StateReplaced | None]:
        """Makes a model from an exported one, or reads the state for one that there is.

        Args:
            content: The file.
            name: Name of the model; empty: that of the exported one.
            replace: Whether a model of that name may be replaced.

        Returns:
            Its engine; and the event that replaces its state, to be submitted, where it was there.

        Raises:
            InvalidRequest: the file is damaged or something else.
            DuplicateName: there is a model of that name, and it is not to be replaced.
            StateVersionError: the state is of another format or specification.
            OverLimit, StorageError: as :meth:`create`.
        """
        try:
            checkpoint = unpacked(content)
        except CorruptRecord as error:
            raise InvalidRequest(str(error)) from error
        name = name or checkpoint.spec["name"]
        if replace and name in self._entries:
            return self.engine(name), StateReplaced.by(renamed(checkpoint, name), "import")
        checkpoint = renamed(checkpoint, name)
        return self.create(ModelSpec.from_dict(checkpoint.spec), checkpoint), None

    def _entry(self, name: str) -> _Entry:
        entry = self._entries.get(name)
        if entry is None:
            known = ", ".join(sorted(self._entries)) or "none yet"
            raise UnknownModel(f"model: got {name!r}, expected one of {known}")
        return entry

    def _add(self, entry: _Entry) -> None:
        # Replaced as a whole: readers never see it change.
        self._entries = {**self._entries, entry.engine.name: entry}

    def _require_open(self) -> None:
        if self._closed:
            raise NotReady("the service is stopping; models cannot be made or deleted")

    def _remove(self, folder: Path) -> None:
        """A crash on the way leaves nothing that the next start would take for a model."""
        leaving = self._folder / _LEAVING
        try:
            leaving.mkdir(exist_ok=True)
            folder.rename(leaving / folder.name)
            sync_folder(self._folder)
            shutil.rmtree(leaving)
        except OSError as error:
            raise StorageError(f"{folder}: cannot be removed: {error.strerror}") from error

    def _tell(self, name: str, event: int, *, exists: bool) -> None:
        _log.info("model_created" if exists else "model_deleted", model=name)
        self._notices.tell(Notice(name, event, now_s(), Exists(exists)))


def _note(folder: Path, spec: ModelSpec, *, imported: bool) -> None:
    content: dict[str, Any] = {"specification": spec.to_dict(), "imported": imported}
    try:
        folder.mkdir(parents=True)
        write_durably(folder / _CREATED, sealed(content))
        sync_folder(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written: {error.strerror}") from error


def _read(note: Path) -> tuple[ModelSpec, bool]:
    """Specification of a model, and whether it was imported."""
    try:
        content = unsealed(note)
    except CorruptRecord as error:
        raise CorruptRecord(
            f"{error}. Put the folder back from a copy, or move it away to do without the model"
        ) from error
    try:
        return ModelSpec.from_dict(content["specification"]), content["imported"]
    except (KeyError, TypeError, ConfigError) as error:
        raise StorageError(
            f"{note}: no specification of this version: {error}; another version wrote it"
        ) from error


def _given_up(note: Path) -> bool:
    """Removes an import that a crash ended before its state was stored; nobody was told of it."""
    _, imported = _read(note)
    if not imported or any(note.parent.glob(CHECKPOINTS)):
        return False
    shutil.rmtree(note.parent)
    _log.warning("import_given_up", folder=str(note.parent))
    return True
