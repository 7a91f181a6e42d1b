"""One LMDB environment with rows and a header, and the meaning of its errors. IO; used by
lmdb_store (reads, on the loop) and lmdb_flusher (writes, on its thread).

Database `rows` holds the rows, database `meta` the header row and, when a digest is kept, the
digest row and the row of the last digests by index. Each is checksummed, because LMDB has no
checksums: a wrong applied index would replay or skip entries without anybody noticing.

Rules: durable commits only (sync and metasync on, no writemap); opened at the full map bound,
because growing the map kills open readers; values are copied out (no memoryviews).
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import lmdb
import lmdb.verify

from replicante.disk_room import is_for_want_of_room
from replicante.errors import (
    CorruptData,
    FatalError,
    StartRefused,
    UnsupportedFormat,
    WrongIdentity,
)
from replicante.limits import ROW_KEY_BYTES_MAX
from replicante.lmdb_commits import find_commit_damage, note_failed_commit
from replicante.storage.kv import DIGEST_BITS

MAGIC = b"RPLCSTAT"
FORMAT = 1
HEADER_KEY = b"header"
DIGEST_KEY = b"digest"
DIGESTS_KEY = b"digests"
IDENTITY_BYTES_MAX = 256
REMOVE_HINT = (
    "Move this directory away and let the peer rejoin as a new member; the other peers have "
    "its data."
)

_FIXED = struct.Struct(">8sHQH")
_CHECKSUM = struct.Struct(">I")
_DIGEST_AT = struct.Struct(f">Q{DIGEST_BITS // 8}s")


class NoRoom(Exception):
    """The transaction was aborted because the disk, the quota or the map is full."""

    def __init__(self, *, is_map_full: bool) -> None:
        super().__init__("the map is full" if is_map_full else "the disk is full")
        self.is_map_full = is_map_full


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    identity: bytes
    applied_index: int

    def encode(self) -> bytes:
        fixed = _FIXED.pack(MAGIC, FORMAT, self.applied_index, len(self.identity))
        return _with_checksum(fixed + self.identity)


def decode_header(row: bytes | None) -> tuple[Header | None, int | None]:
    """(header, format): no format for bytes that are no header, no header for one of another
    format or one that does not match its checksum."""
    if row is None or row[: len(MAGIC)] != MAGIC or len(row) < _FIXED.size:
        return None, None
    _, version, applied_index, identity_bytes = _FIXED.unpack_from(row)
    body = _without_checksum(row)
    if version != FORMAT or body is None or len(body) != _FIXED.size + identity_bytes:
        return None, version
    return Header(identity=body[_FIXED.size :], applied_index=applied_index), version


class LmdbEnvironment:
    """Open from the constructor to `close`. `header` is what the last reader of it found."""

    def __init__(self, path: Path, *, map_bytes: int, identity: bytes) -> None:
        """Raises a StartRefused that says what to do when the directory cannot be used."""
        assert len(identity) <= IDENTITY_BYTES_MAX
        self.path = path
        self.map_bytes = map_bytes
        self.identity = identity
        self.bytes_used = 0
        """Pages of the row tree at the last commit."""
        self.header = Header(identity=identity, applied_index=0)
        self._left = b""
        self._open()

    def _open(self) -> None:
        damage = find_commit_damage(self.path / "data.mdb", left=self._left)
        if damage is not None:
            raise self._corrupt(damage)
        try:
            self._environment = lmdb.open(
                str(self.path),
                map_size=self.map_bytes,
                max_dbs=2,
                readahead=False,
                writemap=False,
                sync=True,
                metasync=True,
                mode=0o600,
            )
        except (lmdb.Error, OSError) as exc:
            raise self._refusal(exc) from exc
        try:
            self._check_file()
            self._open_databases()
        except (lmdb.Error, OSError) as exc:
            self._environment.close()
            raise self._refusal(exc) from exc
        except StartRefused:
            self._environment.close()
            raise

    def reopen(self) -> None:
        """After a failed commit: the header on disk decides what is durable. No transaction is
        open meanwhile. Raises a StartRefused as the constructor does."""
        self._environment.close()
        self._open()

    def close(self) -> None:
        self._environment.close()

    def successor(self) -> LmdbEnvironment:
        """Of this one, after `close`: whatever the directory holds now."""
        return LmdbEnvironment(self.path, map_bytes=self.map_bytes, identity=self.identity)

    def copy_to(self, descriptor: int) -> None:
        """A compact copy of the last commit, as one file. May be called on any thread; what is
        written meanwhile is not in it. Raises lmdb.Error."""
        self._environment.copyfd(descriptor, compact=True)

    def begin_read(self) -> lmdb.Transaction[bytes]:
        try:
            return self._environment.begin(db=self._rows, buffers=False)
        except lmdb.Error as exc:
            raise self.unreadable(exc) from exc

    def scan(
        self, txn: lmdb.Transaction[bytes], start: bytes, end: bytes, *, is_reversed: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows on disk with start ≤ key < end, as `txn` sees them."""
        try:
            cursor = txn.cursor(db=self._rows)
            if not is_reversed and _seek_from(cursor, start):
                for row in cursor.iternext():
                    if row[0] >= end:
                        return
                    yield row
            elif is_reversed and _seek_below(cursor, end):
                for row in cursor.iterprev():
                    if row[0] < start:
                        return
                    yield row
        except lmdb.Error as exc:
            raise self.unreadable(exc) from exc

    def unreadable(self, exc: lmdb.Error) -> FatalError:
        return FatalError(
            f"The state in {self.path} cannot be read: {exc}.",
            hints=(REMOVE_HINT,),
            path=str(self.path),
        )

    def write(self, change: Callable[[RowWriter], None], *, applied_index: int) -> None:
        """Runs `change` and commits it durably together with `applied_index`.

        Called on the flusher's thread, and once at birth. Raises NoRoom when nothing was
        written for want of room, lmdb.Error on any other failure; what `change` raises aborts.
        """
        try:
            with self._environment.begin(write=True, buffers=False) as txn:
                change(RowWriter(txn, self._rows, self._meta))
                header = Header(identity=self.identity, applied_index=applied_index)
                txn.put(HEADER_KEY, header.encode(), db=self._meta)
                bytes_used = self._count_bytes(txn)
        except lmdb.MapFullError as exc:
            raise NoRoom(is_map_full=True) from exc
        except lmdb.Error as exc:
            self._left = note_failed_commit(self.path / "data.mdb")
            if is_for_want_of_room(self.path, exc.code):
                raise NoRoom(is_map_full=False) from exc
            raise
        self.bytes_used = bytes_used

    def _open_databases(self) -> None:
        with self._environment.begin() as txn:
            is_new = txn.stat()["entries"] == 0
        if is_new:
            self._create()
            return
        with self._environment.begin() as txn:
            names = {name for name, _ in txn.cursor()}
        if names != {b"rows", b"meta"}:
            raise self._corrupt("it holds another program's data")
        self._rows = self._environment.open_db(b"rows", create=False)
        self._meta = self._environment.open_db(b"meta", create=False)
        with self._environment.begin() as txn:
            self.header = self._decode_header(txn.get(HEADER_KEY, db=self._meta))
            self.bytes_used = self._count_bytes(txn)
        if self.header.identity != self.identity:
            raise WrongIdentity(
                f"The state in {self.path} belongs to {_readable(self.header.identity)}, and "
                f"this peer is {_readable(self.identity)}.",
                hints=("Start this peer with its own data directory, or with an empty one.",),
                path=str(self.path),
                found=_readable(self.header.identity),
                expected=_readable(self.identity),
            )

    def _create(self) -> None:
        """Databases and header come to be in one transaction: a crash leaves all or nothing."""
        header = Header(identity=self.identity, applied_index=0)
        with self._environment.begin(write=True) as txn:
            self._rows = self._environment.open_db(b"rows", txn=txn)
            self._meta = self._environment.open_db(b"meta", txn=txn)
            txn.put(HEADER_KEY, header.encode(), db=self._meta)
        self.header = header
        # A durable file under a name that a power cut may forget would not be durable.
        for directory in (self.path, self.path.parent):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def read_digest(self) -> int | None:
        """The digest at header.applied_index; None when none is kept."""
        with self._environment.begin() as txn:
            row = txn.get(DIGEST_KEY, db=self._meta)
        if row is None:
            return None
        body = _without_checksum(row)
        if body is None or len(body) != DIGEST_BITS // 8:
            raise self._corrupt("its digest row does not match its checksum")
        return int.from_bytes(body, "big")

    def read_digests(self) -> tuple[tuple[int, int], ...]:
        """(index, digest at it) as the flusher kept them, oldest first."""
        with self._environment.begin() as txn:
            row = txn.get(DIGESTS_KEY, db=self._meta)
        if row is None:
            return ()
        body = _without_checksum(row)
        if body is None or len(body) % _DIGEST_AT.size:
            raise self._corrupt("its row of digests does not match its checksum")
        return tuple((at, int.from_bytes(it, "big")) for at, it in _DIGEST_AT.iter_unpack(body))

    def _check_file(self) -> None:
        """A page beyond the end of the file would kill this process by SIGBUS when it is read.

        LMDB may leave pages at the end unwritten that it allocated and freed in one
        transaction, so a short file alone proves nothing: then every page is walked.
        """
        expected = (self._environment.info()["last_pgno"] + 1) * self._environment.stat()["psize"]
        if (self.path / "data.mdb").stat().st_size >= expected:
            return
        try:
            problems = lmdb.verify.verify(str(self.path))  # type: ignore[no-untyped-call]
        except lmdb.verify.VerifyError as exc:
            raise self._corrupt(str(exc)) from exc
        if problems:
            raise self._corrupt(f"it is cut short: {problems[0]}")

    def _decode_header(self, row: bytes | None) -> Header:
        header, version = decode_header(row)
        if version is None:
            raise self._corrupt("it has no header")
        if version != FORMAT:
            raise UnsupportedFormat(
                f"The state in {self.path} has format {version}; this version of Replicante "
                f"knows format {FORMAT}.",
                hints=("Start the version of Replicante that wrote it, or a newer one.",),
                path=str(self.path),
                found=version,
                supported=FORMAT,
            )
        if header is None:
            raise self._corrupt("its header does not match its checksum")
        return header

    def _count_bytes(self, txn: lmdb.Transaction[bytes]) -> int:
        pages = txn.stat(db=self._rows)
        count = pages["branch_pages"] + pages["leaf_pages"] + pages["overflow_pages"]
        return count * pages["psize"]

    def _corrupt(self, what: str) -> CorruptData:
        return CorruptData(
            f"The state in {self.path} is damaged: {what}.",
            hints=(REMOVE_HINT,),
            path=str(self.path),
        )

    def _refusal(self, exc: lmdb.Error | OSError) -> StartRefused:
        """What an error of LMDB means to the person who starts this peer."""
        code = exc.errno if isinstance(exc, OSError) else exc.code
        # A newer format is refused by the package before LMDB sees it, without a code of LMDB.
        is_refused_by_package = isinstance(exc, lmdb.Error) and not code
        if isinstance(exc, lmdb.VersionMismatchError) or is_refused_by_package:
            return UnsupportedFormat(
                f"The file {self.path}/data.mdb was written by another version of LMDB.",
                hints=("Start the version of Replicante that wrote it.",),
                path=str(self.path),
            )
        if code == errno.ENOMEM:
            return StartRefused(
                f"The state in {self.path} needs {self.map_bytes} bytes of address space, and "
                "this process may not have them.",
                hints=("Lower the storage bound in the configuration, or raise `ulimit -v`.",),
                path=str(self.path),
            )
        if code is not None and code > 0:
            return StartRefused(
                f"The state in {self.path} cannot be opened: {os.strerror(code)}.",
                hints=("Make room, or give this user the right to read and write it.",),
                path=str(self.path),
            )
        return self._corrupt(str(exc).removeprefix(f"{self.path}: "))


class RowWriter:
    """The rows and the digest inside one write transaction; on the flusher's thread."""

    def __init__(
        self, txn: lmdb.Transaction[bytes], rows: lmdb._Database, meta: lmdb._Database
    ) -> None:
        self._txn = txn
        self._cursor = txn.cursor(db=rows)
        self._rows = rows
        self._meta = meta

    def put_many(self, rows: list[tuple[bytes, bytes]]) -> None:
        self._cursor.putmulti(rows)

    def replace(self, key: bytes, value: bytes) -> bytes | None:
        """The value that the row had."""
        return self._cursor.replace(key, value)

    def remove(self, key: bytes) -> bytes | None:
        """The value that the row had."""
        return self._txn.pop(key, db=self._rows)

    def set_digest(self, digest: int | None) -> None:
        """None: whoever opens the store with a RowHash makes the digest anew."""
        if digest is None:
            self._txn.delete(DIGEST_KEY, db=self._meta)
        else:
            body = digest.to_bytes(DIGEST_BITS // 8, "big")
            self._txn.put(DIGEST_KEY, _with_checksum(body), db=self._meta)

    def set_digests(self, digests: Sequence[tuple[int, int]]) -> None:
        """digests: (index, digest at it), oldest first."""
        packed = (_DIGEST_AT.pack(at, it.to_bytes(DIGEST_BITS // 8, "big")) for at, it in digests)
        self._txn.put(DIGESTS_KEY, _with_checksum(b"".join(packed)), db=self._meta)


def _seek_from(cursor: lmdb.Cursor[bytes], start: bytes) -> bool:
    """Puts the cursor on the first row from `start`; False when there is none."""
    if not start:
        return cursor.first()  # LMDB knows no empty key
    # No key is longer than LMDB's bound, so of a longer start only the beginning can be equal.
    bound = start[:ROW_KEY_BYTES_MAX]
    if not cursor.set_range(bound):
        return False
    return cursor.key() >= start or cursor.next()


def _seek_below(cursor: lmdb.Cursor[bytes], end: bytes) -> bool:
    """Puts the cursor on the last row below `end`; False when there is none."""
    if not end:
        return False
    bound = end[:ROW_KEY_BYTES_MAX]
    if not cursor.set_range(bound):
        return cursor.last()
    return cursor.key() < end or cursor.prev()


def _with_checksum(body: bytes) -> bytes:
    return body + _CHECKSUM.pack(zlib.crc32(body))


def _without_checksum(row: bytes) -> bytes | None:
    body, checksum = row[: -_CHECKSUM.size], row[-_CHECKSUM.size :]
    return body if checksum == _CHECKSUM.pack(zlib.crc32(body)) else None


def _readable(identity: bytes) -> str:
    return identity.decode("utf-8", "backslashreplace")
