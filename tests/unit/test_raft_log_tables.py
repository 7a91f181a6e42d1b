"""Names in a log's environment: a damaged one is refused, and makes no new peer of an old one."""

from __future__ import annotations

from pathlib import Path

import lmdb
import pytest
from raft_harness import Draws, HardState, history

from replicante.clock import SystemClock
from replicante.errors import CorruptData, UnsupportedFormat
from replicante.limits import MIB
from replicante.lmdb_pages import META_BYTES, parse_meta_page, read_tree_page
from replicante.raft.data_dir import open_log
from replicante.raft.log import WriteSet
from replicante.raft.log_store import LmdbLog, LogHeader
from replicante.raft.records import encode_record
from replicante.raft.settings import PeerOptions

PAGE_BYTES = 4_096
OPTIONS = PeerOptions(log_map_bytes=MIB, log_reserve_bytes=0)


def header_of(store: LmdbLog) -> LogHeader | None:
    try:
        return store.header()
    finally:
        store.close()


def opened(path: Path) -> LmdbLog:
    return LmdbLog(path / "log", map_bytes=MIB)


def started(path: Path) -> LogHeader:
    """As a peer opens its log."""
    settings = OPTIONS.of(data_dir=path, peer_id="a", listen="127.0.0.1:1", peers={"a": "x:1"})
    store, header = open_log(settings, clock=SystemClock(), entropy=Draws())
    store.close()
    return header


def written(path: Path) -> Path:
    """A log with every kind of row: its file."""
    started(path)
    store = opened(path)
    records = tuple((it.index, encode_record(it)) for it in history("abc", [0, 0]))
    store.write(WriteSet(None, records, HardState(term=1, voted_for="b", boot=2)))
    base = store.read(1, 2)[0]
    store.close()
    with environment(path) as env, env.begin(write=True) as txn:
        meta = env.open_db(b"meta", txn=txn)
        for name in (b"base", b"installing"):
            txn.put(name, base.chain, db=meta)
    return path / "log" / "data.mdb"


def environment(path: Path) -> lmdb.Environment:
    return lmdb.open(str(path / "log"), map_size=MIB, max_dbs=4)


def place_of(content: bytes, name: bytes) -> int:
    """Of the name of a table, or of a row of `meta`, as of the last commit."""

    def read(offset: int, length: int) -> bytes:
        return content[offset : offset + length]

    metas = (parse_meta_page(it, read(it * PAGE_BYTES, META_BYTES)) for it in (0, 1))
    newest = max(metas, key=lambda it: it.commit)
    page = newest.main.root
    if name not in (b"meta", b"entries"):
        nodes = read_tree_page(read, newest, page)[1]
        (page,) = (it.table().root for it in nodes if it.key == b"meta")
    return content.index(name, page * PAGE_BYTES, (page + 1) * PAGE_BYTES)


def flips(content: bytes, name: bytes):
    """The file with each bit of the name turned, one at a time."""
    begin = place_of(content, name)
    for place in range(begin, begin + len(name)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            yield bytes(flipped)


@pytest.mark.parametrize(
    "name", [b"meta", b"entries", b"header", b"hard", b"base", b"installing"], ids=bytes.decode
)
def test_a_flipped_bit_in_a_name_is_refused_and_the_file_left_as_it_is(tmp_path, name):
    file = written(tmp_path)
    whole = file.read_bytes()
    for flipped in flips(whole, name):
        file.write_bytes(flipped)
        with pytest.raises(CorruptData) as refused:
            started(tmp_path)
        assert refused.value.hints, "a refusal says the way out"
        assert file.read_bytes() == flipped
    file.write_bytes(whole)
    assert header_of(opened(tmp_path)) is not None


def test_the_header_of_a_directory_that_was_never_born_is_missed_too(tmp_path):
    started(tmp_path)
    file = tmp_path / "log" / "data.mdb"
    for flipped in flips(file.read_bytes(), b"header"):
        file.write_bytes(flipped)
        with pytest.raises(CorruptData, match="has rows"):
            started(tmp_path)


@pytest.mark.parametrize("name", [b"meta", b"entries"], ids=bytes.decode)
def test_a_flipped_bit_in_the_record_of_a_table_is_refused_or_changes_nothing(tmp_path, name):
    """One says that its keys are numbers, and then no name is found."""
    file = written(tmp_path)
    header = started(tmp_path)
    content = file.read_bytes()
    begin = place_of(content, name) + len(name)
    for place in range(begin, begin + 48):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            file.write_bytes(flipped)
            try:
                assert started(tmp_path) == header
            except CorruptData:
                continue


@pytest.mark.parametrize("name", [b"meta", b"entries"], ids=bytes.decode)
def test_a_table_in_another_order_is_refused_before_anything_is_read_or_written(tmp_path, name):
    file = written(tmp_path)
    content = file.read_bytes()
    flags = place_of(content, name) + len(name) + 4
    for bit in range(1, 7):  # of the keys and of several values of one key
        flipped = bytearray(content)
        flipped[flags] ^= 1 << bit
        file.write_bytes(flipped)
        with pytest.raises(CorruptData):
            opened(tmp_path)


@pytest.mark.parametrize("name", [b"meta", b"entries"], ids=bytes.decode)
def test_a_table_that_is_gone_is_missed(tmp_path, name):
    written(tmp_path)
    with environment(tmp_path) as env, env.begin(write=True) as txn:
        txn.drop(env.open_db(name, txn=txn))
    with pytest.raises(CorruptData, match="its tables are"):
        started(tmp_path)


def test_entries_without_a_header_are_nobodys_new_log(tmp_path):
    written(tmp_path)
    with environment(tmp_path) as env, env.begin(write=True) as txn:
        txn.drop(env.open_db(b"meta", txn=txn), delete=False)
    with pytest.raises(CorruptData, match="no header"):
        started(tmp_path)


def test_a_first_start_of_an_earlier_program_that_made_one_table_only_begins_again(tmp_path):
    (tmp_path / "log").mkdir()
    with environment(tmp_path) as env:
        env.open_db(b"meta")
    assert started(tmp_path).incarnation
    assert opened(tmp_path) is not None


@pytest.mark.parametrize("is_made", [False, True])
def test_a_first_start_that_was_cut_short_begins_again(tmp_path, is_made):
    """Before its tables were made, or before its header was."""
    (tmp_path / "log").mkdir()
    environment(tmp_path).close()
    if is_made:
        assert header_of(opened(tmp_path)) is None
    assert started(tmp_path) == header_of(opened(tmp_path))


def test_a_later_format_is_named_whatever_else_it_holds(tmp_path):
    written(tmp_path)
    store = opened(tmp_path)
    rows = {b"header": {"magic": "replicante-log", "format": 2}, b"another": {}}
    store._transact(rows, None, ())
    store.close()
    with environment(tmp_path) as env:
        env.open_db(b"more")
    with pytest.raises(UnsupportedFormat, match="format 2"):
        started(tmp_path)
