"""The tables of a log's environment and the rows of `meta`: found as they were made, or damaged
(ADR 0015). IO; called by log_store.

Rule: nothing is made anew where something may have been lost. LMDB makes a table that it does not
find, and what is not found under its name was never there: a flipped bit in a name would make a new
peer of one that forgot its promises.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import lmdb
import msgpack

HEADER_ROW = b"header"
HARD_ROW = b"hard"
BASE_ROW = b"base"
INSTALLING_ROW = b"installing"
_ROWS = frozenset((HEADER_ROW, HARD_ROW, BASE_ROW, INSTALLING_ROW))
"""Of this format: whoever adds one gives the format another number."""
_META, _ENTRIES = b"meta", b"entries"
_CRC = struct.Struct(">I")

Tables = tuple[lmdb._Database, lmdb._Database]


class BadTables(Exception):
    """What is wrong with names of tables or rows, or with what a row holds."""


def open_tables(environment: lmdb.Environment) -> Tables:
    """`meta` and `entries`; made together in a new environment. An earlier program made one after
    the other, so the first, empty, may be alone. Raises BadTables, lmdb.Error."""
    with environment.begin(buffers=False) as txn:
        names = {bytes(name) for name, _ in txn.cursor()}
    if not names or (names == {_META} and _is_empty(environment, _META)):
        with environment.begin(write=True) as txn:
            return environment.open_db(_META, txn=txn), environment.open_db(_ENTRIES, txn=txn)
    if not names >= {_META, _ENTRIES}:  # a later format may have more
        raise BadTables(f"its tables are {_listed(names)}")
    tables = (
        environment.open_db(_META, create=False),
        environment.open_db(_ENTRIES, create=False),
    )
    if any(any(table.flags().values()) for table in tables):
        raise BadTables("its tables are ordered in another way")  # no name is found in them
    return tables


def _is_empty(environment: lmdb.Environment, name: bytes) -> bool:
    table = environment.open_db(name, create=False)
    with environment.begin() as txn:
        return txn.stat(db=table)["entries"] == 0


def check_rows(txn: lmdb.Transaction[bytes], tables: Tables, *, has_header: bool) -> None:
    """Of an environment of this format. Each row may be missing; under another name it is damaged,
    and so is whatever has no header. Raises BadTables."""
    meta, entries = tables
    names = {bytes(name) for name, _ in txn.cursor(db=meta)}
    if names - _ROWS:
        raise BadTables(f"it has rows {_listed(names)}")
    if not has_header and (names or txn.stat(db=entries)["entries"]):
        raise BadTables("it has no header, and is not new")


def encode_row(name: bytes, fields: dict[str, Any]) -> bytes:
    body: bytes = msgpack.packb(fields)
    return _CRC.pack(zlib.crc32(body, zlib.crc32(name))) + body


def decode_row(name: bytes, stored: bytes) -> dict[str, Any]:
    """Raises BadTables."""
    crc, body = stored[: _CRC.size], stored[_CRC.size :]
    if crc != _CRC.pack(zlib.crc32(body, zlib.crc32(name))):
        raise BadTables(f"row {name.decode()} does not match its checksum")
    fields = msgpack.unpackb(body)
    assert isinstance(fields, dict)
    return fields


def _listed(names: set[bytes]) -> str:
    return ", ".join(repr(name) for name in sorted(names))
