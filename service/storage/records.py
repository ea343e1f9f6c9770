"""How a journal's records lie in a file, and how damage is told from a write that was cut short.

::

    segment   preamble, record, record, …
    preamble  magic (8 bytes), number of the first record (u64), chain (16), crc32 of these (u32)
    record    length of the body (u32), kind (u32), number (u64), batch (u64), crc32 of these (u32),
              body, chain (16)

Little-endian throughout. A record's chain is the BLAKE2b hash of the chain before it, its header
and its body: a record that was changed, moved or taken out breaks it.

A write that was cut short leaves less than a record says, or zeros. Whatever else does not fit was
written whole once and has changed since: that is damage. The header has a check of its own so that
a changed length cannot pass for a record that was cut short.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from service.errors import CorruptRecord

MAGIC = b"SCATJNL1"
CHAIN_BYTES = 16
_NO_CHAIN = bytes(CHAIN_BYTES)
EVENT, SKIP = 0, 1
_PREAMBLE = struct.Struct(f"<8sQ{CHAIN_BYTES}s")
_HEADER = struct.Struct("<IIQQ")
_CRC = struct.Struct("<I")
PREAMBLE_BYTES = _PREAMBLE.size + _CRC.size
_HEADER_BYTES = _HEADER.size + _CRC.size


@dataclass(frozen=True)
class Position:
    """A place between two records.

    Attributes:
        number: Number of the record before it; 0 at the beginning.
        chain: That record's chain.
    """

    number: int = 0
    chain: bytes = _NO_CHAIN


START = Position()


@dataclass(frozen=True)
class Record:
    """One record as it was read.

    Attributes:
        position: The place after it, which holds its number.
        batch: Number of the flush that it was written with.
        kind: :data:`EVENT`, or :data:`SKIP`: its body is the number of a record not to be applied.
        body: What it says.
        end: Byte of the file at which it ends.
    """

    position: Position
    batch: int
    kind: int
    body: bytes
    end: int


class Torn(Exception):
    """The file ends in a write that was cut short.

    Attributes:
        begin: Byte at which that begins.
    """

    def __init__(self, begin: int) -> None:
        super().__init__(f"torn at byte {begin}")
        self.begin = begin


def preamble(after: Position) -> bytes:
    """First bytes of a segment whose records follow a place."""
    packed = _PREAMBLE.pack(MAGIC, after.number + 1, after.chain)
    return packed + _CRC.pack(zlib.crc32(packed))


def pack(after: Position, batch: int, kind: int, body: bytes) -> tuple[bytes, Position]:
    """A record as it lies in the file, and the place after it."""
    header = _HEADER.pack(len(body), kind, after.number + 1, batch)
    header += _CRC.pack(zlib.crc32(header))
    place = Position(after.number + 1, _chain(after.chain, header, body))
    return header + body + place.chain, place


def read_preamble(path: Path, file: BinaryIO) -> Position:
    """The place that a segment's records follow.

    Raises:
        Torn: the file was cut short before its first record.
        CorruptRecord: it does not begin as a segment does.
    """
    content = file.read(PREAMBLE_BYTES)
    if len(content) < PREAMBLE_BYTES or not any(content):
        raise Torn(0)
    packed, check = content[: _PREAMBLE.size], content[_PREAMBLE.size :]
    magic, first, chain = _PREAMBLE.unpack(packed)
    if _CRC.pack(zlib.crc32(packed)) != check or magic != MAGIC or first == 0:
        raise CorruptRecord(f"{path}: byte 0: the beginning of the segment has changed")
    return Position(first - 1, chain)


def read_records(path: Path, file: BinaryIO, after: Position) -> Iterator[Record]:
    """Every record of a segment whose preamble was read.

    Raises:
        Torn: the last one was cut short.
        CorruptRecord: one has changed since it was written.
    """
    begin = PREAMBLE_BYTES
    while header := file.read(_HEADER_BYTES):
        if len(header) < _HEADER_BYTES or not any(header):
            raise _torn_or_damaged(path, file, begin)
        packed = header[: _HEADER.size]
        length, kind, number, batch = _HEADER.unpack(packed)
        if _CRC.pack(zlib.crc32(packed)) != header[_HEADER.size :]:
            raise CorruptRecord(f"{path}: byte {begin}: the header of a record has changed")
        rest = file.read(length + CHAIN_BYTES)
        body, chain = rest[:length], rest[length:]
        if len(chain) < CHAIN_BYTES or not any(chain):
            raise _torn_or_damaged(path, file, begin)
        place = Position(after.number + 1, _chain(after.chain, header, body))
        if number != place.number or chain != place.chain:
            raise CorruptRecord(
                f"{path}: byte {begin}: record {number} has changed, or what is before it"
            )
        begin += _HEADER_BYTES + length + CHAIN_BYTES
        yield Record(place, batch, kind, body, begin)
        after = place


def _torn_or_damaged(path: Path, file: BinaryIO, begin: int) -> Exception:
    """A record that ends too early, or in zeros, was cut short if nothing comes after it."""
    while rest := file.read(2**20):
        if any(rest):
            return CorruptRecord(f"{path}: byte {begin}: zeros where a record should be")
    return Torn(begin)


def _chain(before: bytes, header: bytes, body: bytes) -> bytes:
    hashed = blake2b(before, digest_size=CHAIN_BYTES)
    hashed.update(header)
    hashed.update(body)
    return hashed.digest()
