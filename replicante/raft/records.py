"""How one log entry looks on disk, and how a block of commands looks inside it (ADR 0015).
Pure.

Called by `log` (append, load), `driver` (build) and `host` (apply). The payload bytes travel
unchanged in append messages. Rule: nothing here is ever changed in place; another layout is
another RECORD_VERSION.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import msgspec

from replicante.raft.state_machine import EntryHeader, EntryKind

RECORD_VERSION = 1
CHAIN_BYTES = 16
CHAIN_ZERO = bytes(CHAIN_BYTES)
"""Chain before the first entry."""

_HEAD = struct.Struct(">BBQQQ16s")
_CRC = struct.Struct(">I")
_CHAINED = struct.Struct(">QBBQQQ")
_INDEX = struct.Struct(">Q")


class BadRecord(Exception):
    """Stored bytes are not a record, or not the record that belongs at this place of the log."""


class Record(msgspec.Struct, frozen=True):
    """One log entry. `chain` is a running blake2b-128 over everything from the first entry up
    to this one."""

    index: int
    term: int
    kind: EntryKind
    clock_ms: int
    wall_ms: int
    payload: bytes
    chain: bytes

    @property
    def size_bytes(self) -> int:
        return _HEAD.size + _CRC.size + len(self.payload)

    @property
    def is_configuration(self) -> bool:
        return self.kind in (EntryKind.GENESIS, EntryKind.CONFIGURATION, EntryKind.RECOVERED)

    def header(self) -> EntryHeader:
        detail = {} if self.kind is EntryKind.COMMANDS else decode_detail(self.payload)
        return EntryHeader(
            index=self.index,
            term=self.term,
            clock_ms=self.clock_ms,
            wall_ms=self.wall_ms,
            kind=self.kind,
            detail=detail,
        )


def make_record(
    *,
    index: int,
    term: int,
    kind: EntryKind,
    clock_ms: int,
    wall_ms: int,
    payload: bytes,
    chain_before: bytes,
) -> Record:
    fields = _CHAINED.pack(index, RECORD_VERSION, kind, term, clock_ms, wall_ms)
    chain = hashlib.blake2b(chain_before + fields + payload, digest_size=CHAIN_BYTES).digest()
    return Record(index, term, kind, clock_ms, wall_ms, payload, chain)


def encode_record(record: Record) -> bytes:
    head = _HEAD.pack(
        RECORD_VERSION, record.kind, record.term, record.clock_ms, record.wall_ms, record.chain
    )
    crc = zlib.crc32(record.payload, zlib.crc32(head, zlib.crc32(_INDEX.pack(record.index))))
    return b"".join((head, _CRC.pack(crc), record.payload))


def decode_record(index: int, stored: bytes, *, chain_before: bytes | None) -> Record:
    """The record at `index`; with `chain_before` also proved to follow the record before it.

    Raises BadRecord with the reason. A bit flip, a torn write and a record of another place all
    show here.
    """
    head_bytes = _HEAD.size + _CRC.size
    if len(stored) < head_bytes:
        raise BadRecord(f"{len(stored)} bytes are too few for a record")
    version, kind_number, term, clock_ms, wall_ms, chain = _HEAD.unpack_from(stored)
    if version != RECORD_VERSION:
        raise BadRecord(f"record version {version}; this program reads {RECORD_VERSION}")
    (crc,) = _CRC.unpack_from(stored, _HEAD.size)
    payload = stored[head_bytes:]
    head = stored[: _HEAD.size]
    if zlib.crc32(payload, zlib.crc32(head, zlib.crc32(_INDEX.pack(index)))) != crc:
        raise BadRecord("checksum mismatch")
    try:
        kind = EntryKind(kind_number)
    except ValueError:
        raise BadRecord(f"unknown entry kind {kind_number}") from None
    record = Record(index, term, kind, clock_ms, wall_ms, payload, chain)
    if chain_before is not None:
        expected = make_record(
            index=index,
            term=term,
            kind=kind,
            clock_ms=clock_ms,
            wall_ms=wall_ms,
            payload=payload,
            chain_before=chain_before,
        )
        if expected.chain != chain:
            raise BadRecord("chain mismatch: the record does not follow the one before it")
    return record


# --- what a COMMANDS payload holds ----------------------------------------------------------

_ITEM_COMMAND = 0
_ITEM_OPEN = 1


class CommandItem(msgspec.Struct, frozen=True):
    """A proposal: command `sequence` of a session; its owner has the answers of all up to
    `floor`."""

    session: int
    sequence: int
    floor: int
    data: bytes


@dataclass(frozen=True, slots=True)
class OpenItem:
    """A peer process asks for a session; a higher boot of the same peer ends the older session
    (ADR 0014)."""

    peer_id: str
    incarnation: str
    boot: int


Item = CommandItem | OpenItem


def encode_items(items: Sequence[Item]) -> bytes:
    rows: list[tuple[Any, ...]] = []
    for item in items:
        if isinstance(item, CommandItem):
            rows.append((_ITEM_COMMAND, item.session, item.sequence, item.floor, item.data))
        else:
            rows.append((_ITEM_OPEN, item.peer_id, item.incarnation, item.boot))
    packed: bytes = msgpack.packb(rows)
    return packed


def decode_items(payload: bytes) -> list[Item]:
    """Raises BadRecord: an entry that passed its checksum and does not decode is a bug, and
    stops the peer."""
    items: list[Item] = []
    try:
        for row in msgpack.unpackb(payload, use_list=False):
            if row[0] == _ITEM_COMMAND:
                items.append(CommandItem(*row[1:]))
            elif row[0] == _ITEM_OPEN:
                items.append(OpenItem(*row[1:]))
            else:
                raise BadRecord(f"unknown item {row[0]!r}")
    except (ValueError, TypeError, LookupError, msgpack.UnpackException) as error:
        raise BadRecord(f"items do not decode: {error}") from error
    return items


def encode_detail(detail: dict[str, Any]) -> bytes:
    packed: bytes = msgpack.packb(detail)
    return packed


def decode_detail(payload: bytes) -> dict[str, Any]:
    try:
        detail = msgpack.unpackb(payload)
    except (ValueError, msgpack.UnpackException) as error:
        raise BadRecord(f"detail does not decode: {error}") from error
    if not isinstance(detail, dict):
        raise BadRecord("detail is not a map")
    return detail
