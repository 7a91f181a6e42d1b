"""The log on disk: one LMDB environment, written durably once per step (ADR 0002, ADR 0015).
IO.

`peer` opens it, `log.Log` calls `read` on the loop and `write` on the commit thread, never both
at once for one transaction. Rule: every record is verified when it is read; what does not match
is never replayed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lmdb

from replicante.disk_room import is_for_want_of_room
from replicante.errors import (
    CorruptData,
    DiskFull,
    FatalError,
    StartRefused,
    StorageFull,
    UnsupportedFormat,
)
from replicante.lmdb_commits import note_failed_commit
from replicante.raft import log_tables
from replicante.raft.lmdb_file import (
    delete_below,
    find_damage,
    keep_names,
    not_opened,
    was_cut_off_at_birth,
)
from replicante.raft.log import Base, HardState, WriteSet
from replicante.raft.log_loading import LoadedLog, load_records
from replicante.raft.log_reserve import DiskReserve
from replicante.raft.log_tables import BadTables
from replicante.raft.records import CHAIN_ZERO, BadRecord, Record, decode_record, encode_record

FORMAT_VERSION = 1
MAGIC = "replicante-log"

_KEY = struct.Struct(">Q")
_WAY_OUT = (
    "this copy is damaged: move the directory away and let the peer join again, empty",
    "if every peer is damaged, keep all directories and restore from a backup",
)
_CUT_OFF = (
    "a first start that was cut off leaves such a file, but nothing else beside it: a peer that"
    " never was a member begins in an empty directory"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHeader:
    """Who this log belongs to; checked at every start."""

    cluster_name: str
    cluster_id: str
    """Empty until genesis."""
    peer_id: str
    incarnation: str
    generation: int
    created_wall_ms: int
    birth_lock: bytes = b""
    """The genesis payload that this directory agreed on before birth; never changed."""
    lineage: str = ""
    """Chain of the entry that this generation began with; empty in generation 0."""


class LmdbLog:
    """A `LogBackend`; also holds the header, which exists before the first entry does."""

    def __init__(self, path: Path, *, map_bytes: int, reserve_bytes: int = 0) -> None:
        """reserve_bytes: of the disk and of the map, for terms, trims and installations alone.

        Raises CorruptData, UnsupportedFormat, DiskFull, StorageFull, StartRefused.
        """
        self._path = path
        self._map_bytes = map_bytes
        self._reserve_bytes = reserve_bytes
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartRefused(
                f"{path} cannot be used: {error.strerror}",
                hints=("give a directory that this user may write",),
            ) from error
        self._is_open = False
        damage = find_damage(path)
        if damage is not None:
            is_cut_off = was_cut_off_at_birth(path / "data.mdb")
            hints = (*_WAY_OUT, _CUT_OFF) if is_cut_off else _WAY_OUT
            raise CorruptData(f"{path} is damaged: {damage}", hints=hints)
        self._open()
        keep_names(path, path.parent)
        self._reserve = DiskReserve(path, size_bytes=reserve_bytes)
        self._reserve.make()

    def _open(self, *, with_reserve: bool = False) -> None:
        reserve_bytes = 0 if with_reserve else self._reserve_bytes
        try:
            self._env = lmdb.open(
                str(self._path),
                map_size=self._map_bytes - reserve_bytes,
                max_dbs=2,
                max_readers=8,
                readahead=False,
                sync=True,
                metasync=True,
                writemap=False,
                mode=0o600,
            )
        except lmdb.Error as error:
            raise self._unopened(error) from error
        try:
            self._meta, self._entries = log_tables.open_tables(self._env)
        except (lmdb.Error, BadTables) as error:
            self._env.close()
            raise self._unopened(error) from error
        self._is_open = True

    def _unopened(self, error: lmdb.Error | BadTables) -> DiskFull | StorageFull | StartRefused:
        if isinstance(error, BadTables):
            return self._damaged(error)
        if isinstance(error, lmdb.MapFullError):
            return self._bound_reached()
        if is_for_want_of_room(self._path, error.code):
            return DiskFull(f"no room to open {self._path}: {error}")
        return not_opened(self._path, error, map_bytes=self._map_bytes, way_out=_WAY_OUT)

    def close(self) -> None:
        self._is_open = False
        self._env.close()

    # --- header ------------------------------------------------------------------------------

    def header(self) -> LogHeader | None:
        """None in a directory that was never used, which holds nothing at all."""
        fields = self._read_row(log_tables.HEADER_ROW)
        if fields is not None and fields.pop("magic", None) != MAGIC:
            raise CorruptData(f"{self._path} is not a log of Replicante", hints=_WAY_OUT)
        version = FORMAT_VERSION if fields is None else fields.pop("format", None)
        if version != FORMAT_VERSION:
            raise UnsupportedFormat(
                f"{self._path} has log format {version}; this program reads {FORMAT_VERSION}",
                hints=("run the version of Replicante that wrote it",),
            )
        with self._reading() as txn:
            tables = (self._meta, self._entries)
            log_tables.check_rows(txn, tables, has_header=fields is not None)
        if fields is None:
            return None
        try:
            return LogHeader(**fields)
        except TypeError as error:
            raise CorruptData(f"the header of {self._path} is incomplete: {error}") from error

    def write_header(
        self, header: LogHeader, *, records: tuple[tuple[int, bytes], ...] = ()
    ) -> None:
        """Durable when it returns; with `records` in the same transaction (genesis)."""
        row = {"magic": MAGIC, "format": FORMAT_VERSION, **asdict(header)}
        self._transact({log_tables.HEADER_ROW: row}, None, records)

    # --- LogBackend --------------------------------------------------------------------------

    def write(self, writes: WriteSet) -> None:
        rows: dict[bytes, dict[str, Any] | None] = {}
        if writes.hard is not None:
            rows[log_tables.HARD_ROW] = asdict(writes.hard)
        if writes.base is not None:
            rows[log_tables.BASE_ROW] = asdict(writes.base)
        trim_to = None if writes.base is None else writes.base.index
        try:
            self._transact(rows, writes.truncate_from, writes.records, trim_to=trim_to)
        except (DiskFull, StorageFull):
            if writes.base is None or not writes.records:
                raise
            for _ in range(2):  # LMDB uses pages again that the commit before the last one freed
                self._transact(rows, None, (), trim_to=trim_to)
            self._transact(rows, writes.truncate_from, writes.records, trim_to=trim_to)

    def write_marker(self, base: Base) -> None:
        """The state is about to be replaced by the one as of `base`; durable when it returns."""
        self._transact({log_tables.INSTALLING_ROW: asdict(base)}, None, ())

    def marker(self) -> Base | None:
        """Of an installation that this process, or one before it, began and did not end."""
        return self._read_base(log_tables.INSTALLING_ROW)

    def drop_marker(self) -> None:
        self._transact({log_tables.INSTALLING_ROW: None}, None, ())

    def reset_to(self, base: Base) -> bool:
        """The log begins at `base`, in one transaction that also ends the installation. What
        follows stays only when it follows that very entry: True when it does."""
        rows = {log_tables.BASE_ROW: asdict(base), log_tables.INSTALLING_ROW: None}
        keeps_tail = self.holds(base)
        if keeps_tail:
            self._transact(rows, None, (), trim_to=base.index)
        else:
            record = (base.index, encode_record(base.record()))
            self._transact(rows, 0, (record,), may_use_reserve=True)
        return keeps_tail

    def holds(self, base: Base) -> bool:
        with self._reading() as txn:
            stored = txn.get(_KEY.pack(base.index), db=self._entries)
        return stored is not None and self._decode(base.index, stored, None).chain == base.chain

    def read(self, low: int, high: int) -> list[Record]:
        records: list[Record] = []
        with self._reading() as txn:
            for index in range(low, high):
                stored = txn.get(_KEY.pack(index), db=self._entries)
                if stored is None:
                    raise self._missing(index)
                records.append(self._decode(index, stored, None))
        return records

    def load(self) -> LoadedLog | None:
        """Verifies every record and the chain; None before genesis. Raises CorruptData with the
        way out."""
        hard, base = self.hard_state(), self.base()
        loaded = load_records(self._scan(base), hard=hard, base=base)
        if loaded is None:
            if base is not None:
                raise self._missing(base.index)
            return None
        if loaded.last.term > hard.term:
            raise CorruptData(
                f"{self._path} has entries of term {loaded.last.term} and a promise for term"
                f" {hard.term} only: what it promised since is lost",
                hints=_WAY_OUT,
            )
        return loaded

    @property
    def is_trimmed(self) -> bool:
        """Its first entry is not the first of the cluster."""
        return self.base() is not None

    def verified(self) -> Iterator[Record]:
        """Every entry in order, as `load` verifies them. Raises CorruptData where it breaks."""
        return self._scan(self.base())

    def hard_state(self) -> HardState:
        fields = self._read_row(log_tables.HARD_ROW)
        try:
            return HardState(**fields) if fields is not None else HardState()
        except TypeError as error:
            raise CorruptData(f"the hard state in {self._path} is incomplete: {error}") from error

    def base(self) -> Base | None:
        """Of a log that was trimmed."""
        return self._read_base(log_tables.BASE_ROW)

    # --- below -------------------------------------------------------------------------------

    def _scan(self, base: Base | None) -> Iterator[Record]:
        """Every record in order, each proved to follow the one before it, the first to be the one
        that the log was trimmed to."""
        chain: bytes | None = CHAIN_ZERO if base is None else None
        expected: int | None = None if base is None else base.index
        with self._reading() as txn:
            for key, stored in txn.cursor(db=self._entries):
                if len(key) != _KEY.size:
                    raise CorruptData(f"{key!r} in {self._path} is no index", hints=_WAY_OUT)
                (index,) = _KEY.unpack(key)
                if expected is not None and index != expected:
                    raise self._missing(expected)
                record = self._decode(index, stored, chain)
                if base is not None and index == base.index and record.chain != base.chain:
                    raise self._missing(index)
                chain, expected = record.chain, index + 1
                yield record

    @contextmanager
    def _reading(self) -> Iterator[lmdb.Transaction[bytes]]:
        try:
            with self._env.begin(buffers=False) as txn:
                yield txn
        except lmdb.Error as error:
            raise CorruptData(f"{self._path} cannot be read: {error}", hints=_WAY_OUT) from error
        except BadTables as error:
            raise self._damaged(error) from error

    def _damaged(self, how: BadTables) -> CorruptData:
        return CorruptData(f"{self._path} is damaged: {how}", hints=_WAY_OUT)

    def _missing(self, index: int) -> CorruptData:
        return CorruptData(f"entry {index} is missing in {self._path}", hints=_WAY_OUT, index=index)

    def _read_base(self, name: bytes) -> Base | None:
        fields = self._read_row(name)
        try:
            return Base(**fields) if fields is not None else None
        except TypeError as error:
            what = f"row {name.decode()} in {self._path}"
            raise CorruptData(f"{what} is incomplete: {error}", hints=_WAY_OUT) from error

    def _decode(self, index: int, stored: bytes, chain_before: bytes | None) -> Record:
        try:
            return decode_record(index, stored, chain_before=chain_before)
        except BadRecord as error:
            raise CorruptData(
                f"entry {index} in {self._path}: {error}", hints=_WAY_OUT, index=index
            ) from error

    def _read_row(self, name: bytes) -> dict[str, Any] | None:
        with self._reading() as txn:
            stored = txn.get(name, db=self._meta)
            return None if stored is None else log_tables.decode_row(name, stored)

    def _transact(
        self,
        rows: Mapping[bytes, dict[str, Any] | None],
        truncate_from: int | None,
        records: tuple[tuple[int, bytes], ...],
        *,
        trim_to: int | None = None,
        may_use_reserve: bool = False,
    ) -> None:
        """may_use_reserve: also where there are records, because they make room or are few."""
        try:
            self._transact_once(rows, truncate_from, records, trim_to=trim_to)
        except (DiskFull, StorageFull) as error:
            if not self._reserve_bytes or (records and not may_use_reserve):
                raise
            self._reserve.release()
            is_map_full = isinstance(error, StorageFull)
            if is_map_full:
                self._reopen(with_reserve=True)
            self._transact_once(rows, truncate_from, records, trim_to=trim_to)
            if is_map_full:
                self._reopen()
        else:
            self._reserve.make()

    def _reopen(self, *, with_reserve: bool = False) -> None:
        self.close()
        self._open(with_reserve=with_reserve)

    def _transact_once(
        self,
        rows: Mapping[bytes, dict[str, Any] | None],
        truncate_from: int | None,
        records: tuple[tuple[int, bytes], ...],
        *,
        trim_to: int | None,
    ) -> None:
        if not self._is_open:
            self._open()  # found no room last time
        try:
            with self._env.begin(write=True) as txn:
                for name, fields in rows.items():
                    if fields is None:
                        txn.delete(name, db=self._meta)
                        continue
                    txn.put(name, log_tables.encode_row(name, fields), db=self._meta)
                if truncate_from is not None:
                    self._truncate(txn, truncate_from)
                for index, stored in records:
                    txn.put(_KEY.pack(index), stored, db=self._entries)
                if trim_to is not None:
                    delete_below(txn, self._entries, _KEY.pack(trim_to))
        except lmdb.Error as error:
            note_failed_commit(self._path / "data.mdb")
            self._fail(error)

    def _truncate(self, txn: lmdb.Transaction, index: int) -> None:
        with txn.cursor(db=self._entries) as cursor:
            found = cursor.set_range(_KEY.pack(index))
            while found:
                found = cursor.delete()

    def _fail(self, error: lmdb.Error) -> None:
        """An aborted transaction for want of room may be repeated in a reopened environment;
        nothing else may."""
        is_map_full = isinstance(error, lmdb.MapFullError)
        if not is_map_full and not is_for_want_of_room(self._path, error.code):
            raise FatalError(f"the log in {self._path} cannot be written: {error}") from error
        self._reopen()
        if is_map_full:
            raise self._bound_reached() from error
        raise DiskFull(
            f"no room to write the log in {self._path}: {error}",
            hints=("make room on this disk; writing resumes by itself",),
        ) from error

    def _bound_reached(self) -> StorageFull:
        return StorageFull(
            f"the log in {self._path} has reached its bound of {self._map_bytes} bytes",
            hints=("raise storage.log_map_bytes and start this peer again; nothing is lost",),
        )
