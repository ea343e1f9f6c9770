"""A journal's segments as they are found at a start: read whole, or refused.

Only where everything else is as it was written, what a crash left half-written at the end is cut
off; it was never answered, and is kept beside all the same.
"""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import structlog

from service.errors import CorruptRecord
from service.storage.folder import sync_folder, write_durably
from service.storage.records import SKIP, START, Position, Torn, read_preamble, read_records

ENDING = ".records"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Segment:
    """A file of records, and the place that they follow."""

    path: Path
    after: Position


@dataclass
class Survey:
    """What a folder holds.

    Attributes:
        segments: In their order.
        position: The place after the newest record.
        batch: Number of the newest flush.
        skipped: Numbers of the records that are not to be applied.
    """

    segments: list[Segment] = field(default_factory=list)
    position: Position = START
    batch: int = 0
    skipped: set[int] = field(default_factory=set)

    def add(self, path: Path, file: BinaryIO) -> None:
        """Reads one more segment.

        Raises:
            Torn: it ends in a write that was cut short; all before that is added.
            CorruptRecord: it has changed, or does not follow the one before it.
        """
        after = read_preamble(path, file)
        if self.segments and after != self.position:
            raise CorruptRecord(
                f"{path}: follows record {after.number}, expected {self.position.number}: a "
                "segment is missing or has changed"
            )
        self.segments.append(Segment(path, after))
        self.position = after
        for record in read_records(path, file, after):
            self.position, self.batch = record.position, record.batch
            if record.kind == SKIP:
                self.skipped.add(int(record.body))


def surveyed(folder: Path) -> Survey:
    """Reads every segment of a folder once.

    Raises:
        CorruptRecord: something has changed since it was written. Nothing was touched.
        OSError: a file cannot be read or cut.
    """
    survey, torn = Survey(), None
    paths = sorted(folder.glob(f"*{ENDING}"))
    for path in paths:
        with path.open("rb") as file:
            try:
                survey.add(path, file)
            except Torn as found:
                if path is not paths[-1]:
                    raise CorruptRecord(
                        f"{path}: byte {found.begin}: ends in the middle of a record"
                    ) from None
                torn = found
    if torn is not None:
        _set_aside(paths[-1], torn.begin)
    return survey


def _set_aside(path: Path, begin: int) -> None:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    aside = path.with_name(f"{path.name}.torn-{stamp}")
    with path.open("r+b") as file:
        file.seek(begin)
        torn = file.read()
        if torn:
            write_durably(aside, torn)
        if begin:
            file.truncate(begin)
            os.fsync(file.fileno())
    if begin == 0:
        path.unlink()
    sync_folder(path.parent)
    _log.warning("journal_cut", file=str(path), at=begin, bytes=len(torn), kept=str(aside))
