"""The journal of one model: everything that changed it, on disk before it is answered.

::

    <directory>/<model>/journal/
        00000000000000000001.records    segment: records 1 to 4711
        00000000000000004712.records    the one that is being written

Many records share one flush (group commit); what was flushed survives any crash. Segments begin at
checkpoints and go when every kept checkpoint is past them. See :mod:`service.storage.records` for
what lies in a segment, and `docs/decisions/0009` for why it is not a database.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from service.errors import CorruptRecord, StorageBroken, StorageError, StorageFull
from service.storage.failpoints import reach
from service.storage.folder import sync_folder, write_durably
from service.storage.records import (
    EVENT,
    SKIP,
    Position,
    Record,
    pack,
    preamble,
    read_preamble,
    read_records,
)
from service.storage.segments import ENDING, Segment, surveyed

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What a record of an ordinary sample takes, to see whether the disk takes something again.
_PROBE_BYTES = 2**16
_REPAIR = (
    "Put the model's folder back from a copy, or move it away and name it under `start:` to go on "
    "from its newest checkpoint without what came after it"
)


class Journal:
    """Appends records and reads them back; one thread at a time.

    Args:
        folder: Folder of this journal alone; made if it is missing.

    Attributes:
        position: The place after the newest record.
        batch: Number of the newest flush.
        skipped: Numbers of the records that are not to be applied.

    Raises:
        CorruptRecord: something in it has changed since it was written. Nothing was touched.
        StorageError: the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor = -1
        self._size = self._older_bytes = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            sync_folder(folder.parent)
            found = surveyed(folder)
            self.position, self.batch, self.skipped = found.position, found.batch, found.skipped
            self._segments = found.segments
            if self._segments:
                older = self._segments[:-1]
                self._older_bytes = sum(segment.path.stat().st_size for segment in older)
                self._take_up(os.open(self._segments[-1].path, os.O_WRONLY))
            else:
                self._begin_segment()
        except CorruptRecord as error:
            raise CorruptRecord(f"{error}. {_REPAIR}") from error
        except OSError as error:
            raise StorageError(f"{folder}: cannot be used: {error.strerror}") from error

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self._older_bytes + self._size

    @property
    def first(self) -> int:
        """Number of the oldest record that it holds, or would hold."""
        return self._segments[0].after.number + 1

    def append(self, bodies: Sequence[bytes]) -> Position:
        """Writes events and waits until the disk has them: all of them, or none.

        Returns:
            The place after the last one.

        Raises:
            StorageFull: the disk takes nothing more; the journal is as it was.
            StorageBroken: nobody knows what the disk holds; only a new start can tell.
        """
        place = self.write(bodies)
        self.flush()
        return place

    def write(self, bodies: Sequence[bytes]) -> Position:
        """Writes events: all of them, or none. They are durable after :meth:`flush`.

        Returns:
            The place after the last one.

        Raises:
            StorageFull, StorageBroken: as :meth:`append`.
        """
        return self._write([(EVENT, body) for body in bodies])

    def flush(self) -> None:
        """Waits until the disk has what was written; may run in another thread, one at a time.

        Raises:
            StorageBroken: as :meth:`append`.
        """
        try:
            reach("journal.flush")
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise StorageBroken(
                f"{self._folder}: cannot be flushed: {error.strerror}; nobody knows what it holds"
            ) from error
        reach("journal.flushed")

    def skip(self, number: int) -> None:
        """Notes that a record is not to be applied.

        Raises:
            As :meth:`append`.
        """
        self._write([(SKIP, str(number).encode())])
        self.flush()
        self.skipped.add(number)

    def probe(self) -> bool:
        """Whether the disk takes something again."""
        try:
            reach("journal.append")
            os.pwrite(self._descriptor, bytes(_PROBE_BYTES), self._size)
            os.fdatasync(self._descriptor)
        except OSError:
            return False
        finally:
            self._cut_back()
        return True

    def replay(self, after: Position) -> Iterator[Record]:
        """Reads the events that come after a place, without those to be skipped.

        Raises:
            CorruptRecord: the place is not of this journal, or lies outside of it.
            StorageError: a segment cannot be read.
        """
        if not self._segments[0].after.number <= after.number <= self.position.number:
            raise CorruptRecord(
                f"{self._folder}: holds records {self.first} to {self.position.number}, expected "
                f"those after {after.number} of the checkpoint: some are gone. {_REPAIR}"
            )
        for segment, end in zip(self._segments, self._ends(), strict=True):
            if end.number >= after.number:
                yield from self._read_on(segment, after)

    def rotate(self) -> None:
        """Begins a new segment, unless the newest one is empty.

        Raises:
            StorageFull, StorageBroken: as :meth:`append`; the newest segment goes on.
        """
        if self.position == self._segments[-1].after:
            return
        try:
            reach("journal.rotate")
            self._begin_segment()
        except OSError as error:
            raise self._told(error) from error
        reach("journal.rotated")

    def prune(self, number: int) -> None:
        """Removes the segments all of whose records are at or before a number.

        Raises:
            StorageError: one cannot be removed.
        """
        while len(self._segments) > 1 and self._segments[1].after.number <= number:
            try:
                reach("journal.prune")
                size = self._segments[0].path.stat().st_size
                self._segments[0].path.unlink()
                sync_folder(self._folder)
                reach("journal.pruned")
            except OSError as error:
                raise StorageError(
                    f"{self._segments[0].path}: cannot be removed: {error.strerror}"
                ) from error
            del self._segments[0]
            self._older_bytes -= size

    def close(self) -> None:
        """Closes the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, records: Sequence[tuple[int, bytes]]) -> Position:
        place, parts = self.position, []
        for kind, body in records:
            packed, place = pack(place, self.batch + 1, kind, body)
            parts.append(packed)
        content = b"".join(parts)
        try:
            reach("journal.append")
            self._put(content)
        except OSError as error:
            self._cut_back()
            raise self._told(error) from error
        self._size += len(content)
        self.position = place
        self.batch += 1
        return place

    def _put(self, content: bytes) -> None:
        written, left = 0, memoryview(content)
        while left:
            count = os.pwrite(self._descriptor, left, self._size + written)
            written += count
            left = left[count:]

    def _cut_back(self) -> None:
        """Takes back what was written beyond the newest record."""
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError as error:
            raise StorageBroken(
                f"{self._folder}: cannot be cut back: {error.strerror}; nobody knows what it holds"
            ) from error

    def _told(self, error: OSError) -> StorageError:
        if error.errno in _FULL:
            return StorageFull(
                f"the disk takes nothing more ({error.strerror}): nothing of this was stored; make "
                "room on the service's disk and send it again"
            )
        return StorageBroken(f"{self._folder}: cannot be written: {error.strerror}")

    def _begin_segment(self) -> None:
        path = self._folder / f"{self.position.number + 1:020d}{ENDING}"
        # Left by a crash or a full disk before its first record.
        path.unlink(missing_ok=True)
        try:
            write_durably(path, preamble(self.position))
            sync_folder(self._folder)
            self._take_up(os.open(path, os.O_WRONLY))
        except OSError:
            # The one before it goes on: nothing may come after that.
            path.unlink(missing_ok=True)
            raise
        self._segments.append(Segment(path, self.position))

    def _take_up(self, descriptor: int) -> None:
        """Writes on in another file."""
        self.close()
        self._older_bytes += self._size
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size

    def _ends(self) -> list[Position]:
        return [*(segment.after for segment in self._segments[1:]), self.position]

    def _read_on(self, segment: Segment, after: Position) -> Iterator[Record]:
        try:
            with segment.path.open("rb") as file:
                place = read_preamble(segment.path, file)
                self._same(place, after)
                for record in read_records(segment.path, file, place):
                    self._same(record.position, after)
                    number = record.position.number
                    if (
                        number > after.number
                        and record.kind == EVENT
                        and number not in self.skipped
                    ):
                        yield record
                    if number == self.position.number:
                        return
        except OSError as error:
            raise StorageError(f"{segment.path}: cannot be read: {error.strerror}") from error

    def _same(self, place: Position, after: Position) -> None:
        if place.number == after.number and place.chain != after.chain:
            raise CorruptRecord(
                f"{self._folder}: record {place.number} is another one than the checkpoint has "
                "seen: journal and checkpoint are not of one model"
            )
