"""The log on disk: what was written comes back, and what was damaged is refused, never replayed."""

from __future__ import annotations

import errno
import struct
import subprocess
import sys
from pathlib import Path

import lmdb
import log_flips
import msgpack
import pytest
from raft_harness import HardState, history, record_after

from replicante import limits
from replicante.errors import (
    CorruptData,
    FatalError,
    StartRefused,
    StorageFull,
    UnsupportedFormat,
)
from replicante.raft.log import WriteSet
from replicante.raft.log_store import LmdbLog, LogHeader
from replicante.raft.records import encode_record

HEADER = LogHeader(
    cluster_name="test",
    cluster_id="",
    peer_id="a",
    incarnation="0" * 32,
    generation=0,
    created_wall_ms=1,
)


def opened(path):
    return LmdbLog(path / "log", map_bytes=64 * limits.MIB)


def rows(records):
    return tuple((record.index, encode_record(record)) for record in records)


def written(path, terms=(1, 1, 2), *, hard=HardState(term=2, voted_for="a", boot=3)):  # noqa: B008
    """A closed log of genesis and one entry for each term."""
    records = history("abc", terms)
    store = opened(path)
    store.write_header(HEADER)
    store.write(WriteSet(None, rows(records), hard))
    store.close()
    return records


def change(path, table, edit):
    """Edits rows behind the store's back, as a broken disk or a person would."""
    with lmdb.open(str(path / "log"), map_size=64 * limits.MIB, max_dbs=2) as environment:
        database = environment.open_db(table)
        with environment.begin(write=True, db=database) as txn:
            edit(txn)


def key(index):
    return index.to_bytes(8, "big")


def refused(path, *words):
    store = opened(path)
    with pytest.raises(CorruptData) as caught:
        store.load()
    store.close()
    assert all(word in caught.value.message for word in words), caught.value.message
    assert caught.value.hints, "a refusal says the way out"
    return caught.value


def test_what_was_written_comes_back(tmp_path):
    records = written(tmp_path)
    store = opened(tmp_path)
    loaded = store.load()
    assert (loaded.first_index, loaded.last) == (1, records[-1])
    assert loaded.hard == HardState(term=2, voted_for="a", boot=3)
    assert loaded.term_runs == [(1, 0), (2, 1), (4, 2)]
    assert loaded.tail == records
    assert store.read(2, 4) == records[1:3]
    assert store.header() == HEADER
    store.close()


def test_a_new_log_has_no_header_and_no_entries(tmp_path):
    store = opened(tmp_path)
    assert store.header() is None and store.load() is None
    store.close()


def test_one_write_cuts_then_adds(tmp_path):
    records = written(tmp_path)
    other = record_after(records[1], term=5)
    store = opened(tmp_path)
    store.write(WriteSet(3, rows([other]), HardState(term=5)))
    assert store.load().tail == [*records[:2], other]
    store.close()


def test_the_tail_in_memory_is_bounded_by_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "LOG_TAIL_BYTES_MAX", 120)
    records = written(tmp_path)
    store = opened(tmp_path)
    loaded = store.load()
    assert loaded.tail == records[-2:]
    assert loaded.term_runs == [(1, 0), (2, 1), (4, 2)]
    store.close()


def test_a_flipped_bit_in_any_stored_record_is_refused(tmp_path):
    written(tmp_path)
    for index in (1, 2, 4):

        def flip(txn, index=index):
            stored = bytearray(txn.get(key(index)))
            stored[-1] ^= 1
            txn.put(key(index), bytes(stored))

        change(tmp_path, b"entries", flip)
        assert refused(tmp_path, "checksum").details["index"] == index
        change(tmp_path, b"entries", flip)


def test_a_missing_record_is_refused(tmp_path):
    written(tmp_path)
    change(tmp_path, b"entries", lambda txn: txn.delete(key(2)))
    refused(tmp_path, "entry 2 is missing")


def test_a_missing_first_record_is_refused(tmp_path):
    written(tmp_path)
    change(tmp_path, b"entries", lambda txn: txn.delete(key(1)))
    refused(tmp_path, "chain")


def test_a_record_of_another_history_is_refused(tmp_path):
    written(tmp_path)
    foreign = history("abd", (1, 1, 2))
    change(tmp_path, b"entries", lambda txn: txn.put(key(3), encode_record(foreign[2])))
    refused(tmp_path, "entry 3", "chain")


def test_a_row_that_is_no_entry_is_refused(tmp_path):
    written(tmp_path)
    change(tmp_path, b"entries", lambda txn: txn.put(b"stray", b"row"))
    refused(tmp_path, "no index")


def test_a_damaged_record_is_refused_when_it_is_read_later_too(tmp_path):
    written(tmp_path)
    change(tmp_path, b"entries", lambda txn: txn.put(key(2), b"torn"))
    store = opened(tmp_path)
    with pytest.raises(CorruptData):
        store.read(2, 3)
    with pytest.raises(CorruptData, match="entry 9 is missing"):
        store.read(9, 10)
    store.close()


def test_a_damaged_promise_is_refused(tmp_path):
    written(tmp_path)

    def flip(txn):
        stored = bytearray(txn.get(b"hard"))
        stored[-1] ^= 1
        txn.put(b"hard", bytes(stored))

    change(tmp_path, b"meta", flip)
    refused(tmp_path, "hard", "checksum")
    for torn in (b"", b"abc"):
        change(tmp_path, b"meta", lambda txn, torn=torn: txn.put(b"hard", torn))
        refused(tmp_path, "hard", "checksum")


def test_a_lost_promise_is_refused_because_the_peer_would_vote_again(tmp_path):
    written(tmp_path)
    change(tmp_path, b"meta", lambda txn: txn.delete(b"hard"))
    refused(tmp_path, "term 2", "lost")


def test_an_older_promise_than_the_log_is_refused(tmp_path):
    written(tmp_path, hard=HardState(term=1))
    refused(tmp_path, "term 2", "lost")


def test_another_format_is_refused_by_its_number(tmp_path):
    store = opened(tmp_path)
    store._transact({b"header": {"magic": "replicante-log", "format": 2}}, None, ())
    with pytest.raises(UnsupportedFormat, match="format 2"):
        store.header()
    store._transact({b"header": {"magic": "something", "format": 1}}, None, ())
    with pytest.raises(CorruptData):
        store.header()
    store._transact({b"header": {"magic": "replicante-log", "format": 1}}, None, ())
    with pytest.raises(CorruptData):
        store.header()
    store.close()


def test_a_file_that_was_cut_short_is_refused(tmp_path):
    store = opened(tmp_path)
    records = history("abc", [1] * 200)
    store.write(WriteSet(None, rows(records), HardState(term=1)))
    store.close()
    data = tmp_path / "log" / "data.mdb"
    with data.open("r+b") as file:
        file.truncate(data.stat().st_size // 2)
    with pytest.raises(CorruptData, match="is damaged"):
        opened(tmp_path)


def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(tmp_path):
    """Also in pages that hold no record: LMDB trusts them, and ends the process or leaves out the
    end of the log without a word."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("log_flips.py")), str(tmp_path), "400", "7"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    last = done.stderr[-300:]
    assert done.returncode == 0, last
    told = [line.partition(" ")[2] for line in done.stdout.splitlines()]
    assert told == ["refused", "the same"], done.stdout


def test_an_end_of_the_log_that_its_pages_do_not_lead_to_is_missed(tmp_path):
    """One that was acknowledged, perhaps."""
    log_flips.fill(tmp_path / "log")
    data = tmp_path / "log" / "data.mdb"
    content = bytearray(data.read_bytes())
    branches = [at for at in range(8_192, len(content), 4_096) if content[at + 10] == 0x01]
    for at in branches:
        (lower,) = struct.unpack_from("=H", content, at + 12)
        struct.pack_into("=H", content, at + 12, lower - 2)  # one child less, the last
    assert branches
    data.write_bytes(content)
    with pytest.raises(CorruptData, match="is damaged"):
        opened(tmp_path)


def test_a_file_that_is_no_log_is_refused(tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "data.mdb").write_bytes(bytes(10_000))
    with pytest.raises(CorruptData, match="cannot be opened"):
        opened(tmp_path)


def test_a_log_that_only_cannot_be_opened_here_is_not_called_damaged(tmp_path):
    """Who is told so wipes it, and after an upgrade every peer would be."""
    opened(tmp_path).close()
    with pytest.raises(StartRefused, match="address space") as refused:
        LmdbLog(tmp_path / "log", map_bytes=1 << 60)
    assert not isinstance(refused.value, CorruptData)
    data = tmp_path / "log" / "data.mdb"
    content = bytearray(data.read_bytes())
    for version in (0, 2):
        for page in (0, 4096):
            content[page + 20] = version  # in both of LMDB's meta pages
        data.write_bytes(content)
        with pytest.raises(UnsupportedFormat, match="another version of LMDB"):
            opened(tmp_path)
    data.unlink()
    data.mkdir()
    with pytest.raises(StartRefused, match="Is a directory") as refused:
        opened(tmp_path)
    assert not isinstance(refused.value, CorruptData)


def test_header_and_genesis_become_durable_together(tmp_path):
    store = opened(tmp_path)
    store.write_header(HEADER, records=rows(history("abc", [])))
    store.close()
    store = opened(tmp_path)
    assert store.load().last.index == 1 and store.header() == HEADER
    store.close()


def test_a_full_map_leaves_the_log_as_it_was_and_the_same_write_succeeds_later(tmp_path):
    store = LmdbLog(tmp_path / "log", map_bytes=256 * limits.KIB)
    records = history("abc", [])
    store.write(WriteSet(None, rows(records), HardState(term=1)))
    large = record_after(records[-1], term=1, payload=bytes(512 * limits.KIB))
    writes = WriteSet(None, rows([large]), HardState(term=2))
    for _ in range(2):
        with pytest.raises(StorageFull):
            store.write(writes)
    loaded = store.load()
    assert (loaded.last.index, loaded.hard) == (1, HardState(term=1))
    store._map_bytes = 4 * limits.MIB
    with pytest.raises(StorageFull):
        store.write(writes)
    store.write(writes)
    assert store.load().last == large
    store.close()


def test_a_log_that_cannot_be_reopened_for_want_of_room_is_tried_again(tmp_path, monkeypatch):
    store = LmdbLog(tmp_path / "log", map_bytes=256 * limits.KIB)
    records = history("abc", [])
    store.write(WriteSet(None, rows(records), HardState(term=1)))
    large = record_after(records[-1], term=1, payload=bytes(512 * limits.KIB))
    writes = WriteSet(None, rows([large]), None)
    open_lmdb = lmdb.open

    def no_room(*arguments, **options):
        raise lmdb.MapFullError("no room")

    monkeypatch.setattr(lmdb, "open", no_room)
    for _ in range(3):
        with pytest.raises(StorageFull):
            store.write(writes)
    monkeypatch.setattr(lmdb, "open", open_lmdb)
    store._map_bytes = 4 * limits.MIB
    store.write(writes)
    assert store.load().last == large
    store.close()


def test_any_other_failed_write_is_final(tmp_path, monkeypatch):
    store = opened(tmp_path)

    def fail(txn, index):
        error = lmdb.Error("mdb_txn_commit: Input/output error")
        error.code = errno.EIO
        raise error

    monkeypatch.setattr(store, "_truncate", fail)
    with pytest.raises(FatalError):
        store.write(WriteSet(1, (), None))
    store.close()


def test_rows_of_the_log_are_plain_maps(tmp_path):
    """What `replicante recover` and people with other tools read."""
    written(tmp_path)
    found = {}
    change(tmp_path, b"meta", lambda txn: found.update(txn.cursor()))
    assert msgpack.unpackb(found[b"hard"][4:]) == {"term": 2, "voted_for": "a", "boot": 3}
