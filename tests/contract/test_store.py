"""What every Store promises, the same tests for the one in memory and the one on LMDB."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from replicante.limits import (
    DIGEST_INTERVAL_ENTRIES,
    DIGESTS_KEPT,
    MEMTABLE_BYTES_MAX,
    MIB,
    ROW_KEY_BYTES_MAX,
)
from replicante.storage.keys import ABOVE_ALL_KEYS
from replicante.storage.lmdb_store import LmdbStore
from replicante.storage.memory import MemoryStore

ALL = (b"", ABOVE_ALL_KEYS)


def toy_hash(key: bytes, value: bytes) -> int:
    return int.from_bytes(key + b"=" + value, "big")


class MemoryDisk:
    """Where a store lives over power cuts."""

    def open(self) -> MemoryStore:
        return MemoryStore(row_hash=toy_hash)

    def power_cut(self, store: MemoryStore) -> MemoryStore:
        copy = store.crashed_copy()
        store.close()
        return copy

    def remove(self) -> None:
        pass


class LmdbDisk:
    row_hash = staticmethod(toy_hash)

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="replicante-store-"))

    def open(self) -> LmdbStore:
        return LmdbStore.open(
            self.path / "state", identity=b"p1", map_bytes=1024 * MIB, row_hash=self.row_hash
        )

    def power_cut(self, store: LmdbStore) -> LmdbStore:
        store.close()
        return self.open()

    def remove(self) -> None:
        shutil.rmtree(self.path)


class PlainLmdbDisk(LmdbDisk):
    """Without digests, rows are written another way."""

    row_hash = None


@pytest.fixture(params=[MemoryDisk, LmdbDisk, PlainLmdbDisk], ids=["memory", "lmdb", "plain-lmdb"])
def disk(request):
    disk = request.param()
    yield disk
    disk.remove()


@pytest.fixture
def store(disk):
    store = disk.open()
    yield store
    store.close()


def write(store, index, rows):
    for key, value in rows.items():
        if value is None:
            store.delete(key)
        else:
            store.put(key, value)
    store.end_entry(index)


def rows_of(reader, start=b"", end=ABOVE_ALL_KEYS, *, is_reversed=False):
    return list(reader.scan(start, end, is_reversed=is_reversed))


def numbered(count):
    return {b"k%04d" % number: b"v%d" % number for number in range(count)}


# --- reading ----------------------------------------------------------------------------------


def test_a_new_store_is_empty_and_at_index_zero(store):
    assert (store.applied_index, store.durable_index) == (0, 0)
    assert rows_of(store) == []
    assert store.get(b"k") is None
    assert not store.is_full
    assert not store.is_disk_full


def test_an_entry_reads_its_own_writes(store):
    write(store, 1, {b"a": b"1", b"b": b"2"})
    store.put(b"b", b"3")
    store.put(b"c", b"4")
    store.delete(b"a")
    assert [store.get(key) for key in (b"a", b"b", b"c")] == [None, b"3", b"4"]
    assert rows_of(store) == [(b"b", b"3"), (b"c", b"4")]
    store.end_entry(2)
    assert store.applied_index == 2


def test_deleting_an_absent_row_does_nothing(store):
    store.delete(b"never")
    store.end_entry(1)
    store.flush()
    assert rows_of(store) == []


def test_a_row_may_be_empty_and_is_still_there(store):
    write(store, 1, {b"a": b""})
    assert store.get(b"a") == b""
    store.flush()
    assert rows_of(store) == [(b"a", b"")]


@pytest.mark.parametrize("is_flushed", [False, True])
def test_scans_keep_order_bounds_and_direction(store, is_flushed):
    keys = [b"a", b"a\x00", b"ab", b"b", b"b\xff", b"c", b"\xfe", b"\xff\xff"]
    write(store, 1, {key: key for key in reversed(keys)})
    if is_flushed:
        store.flush()
    assert [key for key, _ in rows_of(store)] == keys
    assert [key for key, _ in rows_of(store, is_reversed=True)] == keys[::-1]
    for low in range(len(keys)):
        for high in range(low, len(keys)):
            expected = keys[low:high]
            assert [key for key, _ in rows_of(store, keys[low], keys[high])] == expected
            found = rows_of(store, keys[low], keys[high], is_reversed=True)
            assert [key for key, _ in found] == expected[::-1]


@pytest.mark.parametrize("is_reversed", [False, True])
@pytest.mark.parametrize("is_flushed", [False, True])
def test_bounds_need_not_be_rows(store, is_flushed, is_reversed):
    write(store, 1, {b"b": b"", b"d": b"", b"f": b""})
    if is_flushed:
        store.flush()

    def between(start, end):
        return sorted(key for key, _ in rows_of(store, start, end, is_reversed=is_reversed))

    assert between(b"a", b"c") == [b"b"]
    assert between(b"c", b"e") == [b"d"]
    assert between(b"d", b"d") == []
    assert between(b"e", b"c") == []
    assert between(b"", b"") == []
    assert between(b"f\x00", ABOVE_ALL_KEYS) == []
    assert between(b"", b"b") == []


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_bound_longer_than_any_key_is_kept_exactly(store, is_reversed):
    longest = b"m" * ROW_KEY_BYTES_MAX
    write(store, 1, {b"a": b"", longest: b"", b"z": b""})
    for _ in range(2):
        beyond = longest + b"m"
        assert [row[0] for row in rows_of(store, b"b", beyond, is_reversed=is_reversed)] == [
            longest
        ]
        assert [row[0] for row in rows_of(store, beyond, b"zz", is_reversed=is_reversed)] == [b"z"]
        store.flush()


def test_a_scan_that_stops_early_leaves_the_store_usable(store):
    write(store, 1, numbered(500))
    store.flush()
    write(store, 2, {b"k0001x": b"new"})
    rows = store.scan(*ALL)
    assert [next(rows)[0] for _ in range(3)] == [b"k0000", b"k0001", b"k0001x"]
    rows.close()
    write(store, 3, {b"k0000": None})
    assert next(store.scan(*ALL))[0] == b"k0001"


def test_writing_between_two_rows_of_a_scan_does_no_harm(store):
    write(store, 1, numbered(300))
    store.flush()
    write(store, 2, {b"k%04dx" % number: b"" for number in range(300)})
    seen = []
    for key, _ in store.scan(*ALL):
        seen.append(key)
        store.delete(key)
        store.put(key + b"y", b"")
    assert seen == sorted(seen)
    assert len(set(seen)) == len(seen) >= 600
    store.end_entry(3)
    assert all(key.endswith(b"y") for key, _ in rows_of(store))


def test_rows_are_merged_over_layers(store):
    write(store, 1, {b"a": b"disk", b"b": b"disk", b"c": b"disk", b"d": b"disk"})
    store.flush()
    write(store, 2, {b"b": b"frozen", b"c": None, b"e": b"frozen"})
    store.request_flush()
    write(store, 3, {b"a": None, b"c": b"active", b"f": b"active"})
    expected = {
        b"b": b"frozen",
        b"c": b"active",
        b"d": b"disk",
        b"e": b"frozen",
        b"f": b"active",
    }
    assert dict(rows_of(store)) == expected
    assert rows_of(store, is_reversed=True) == rows_of(store)[::-1]
    store.flush()
    assert dict(rows_of(store)) == expected


def test_a_deleted_row_stays_deleted_through_flushes(store):
    write(store, 1, {b"a": b"1", b"b": b"2"})
    store.flush()
    write(store, 2, {b"a": None})
    assert store.get(b"a") is None
    store.flush()
    assert store.get(b"a") is None
    write(store, 3, {b"c": b"3"})
    store.flush()
    assert rows_of(store) == [(b"b", b"2"), (b"c", b"3")]


def test_the_longest_key_and_a_value_of_a_mebibyte_fit(disk):
    store = disk.open()
    key, value = b"\xff" * ROW_KEY_BYTES_MAX, bytes(range(256)) * (MIB // 256)
    write(store, 1, {key: value, key[:-1]: b"short"})
    store.flush()
    store = disk.power_cut(store)
    assert store.get(key) == value
    assert rows_of(store, is_reversed=True) == [(key, value), (key[:-1], b"short")]
    store.close()


@pytest.mark.parametrize("key", [b"", b"k" * (ROW_KEY_BYTES_MAX + 1)])
def test_a_key_out_of_bounds_is_our_bug(store, key):
    with pytest.raises(AssertionError):
        store.put(key, b"")


def test_values_are_bytes_never_windows_into_the_store(store):
    write(store, 1, {b"a": b"1"})
    store.flush()
    write(store, 2, {b"b": b"2"})
    assert type(store.get(b"a")) is bytes
    assert {type(part) for row in rows_of(store) for part in row} == {bytes}


# --- views ------------------------------------------------------------------------------------


def test_a_view_shows_ended_entries(store):
    write(store, 1, {b"a": b"1"})
    store.flush()
    write(store, 2, {b"b": b"2"})
    with store.view() as view:
        assert view.applied_index == 2
        assert view.get(b"a") == b"1"
        assert view.get(b"c") is None
        assert rows_of(view) == [(b"a", b"1"), (b"b", b"2")]
        assert rows_of(view, b"b", b"c", is_reversed=True) == [(b"b", b"2")]


def test_two_views_live_side_by_side(store):
    write(store, 1, {b"a": b"1"})
    with store.view() as one, store.view() as two:
        pairs = zip(one.scan(*ALL), two.scan(*ALL), strict=True)
        assert list(pairs) == [((b"a", b"1"), (b"a", b"1"))]
    with store.view() as three:
        assert three.get(b"a") == b"1"


def test_no_view_ever_shows_a_later_write(store):
    write(store, 1, {b"a": b"1"})
    view = store.view()
    rows = view.scan(*ALL)
    next(rows)
    store.put(b"a", b"1")
    for read in (lambda: view.get(b"a"), lambda: rows_of(view), lambda: next(rows)):
        with pytest.raises(AssertionError):
            read()
    store.end_entry(2)
    with pytest.raises(AssertionError):
        view.get(b"a")


def test_a_closed_view_is_over(store):
    with store.view() as view:
        pass
    with pytest.raises(AssertionError):
        view.get(b"a")
    view.close()


def test_there_is_no_view_and_no_flush_inside_an_entry(store):
    store.put(b"a", b"1")
    with pytest.raises(AssertionError):
        store.view()
    with pytest.raises(AssertionError):
        store.request_flush()
    store.end_entry(1)
    store.view().close()


# --- durability -------------------------------------------------------------------------------


def test_indexes_only_rise(store):
    store.end_entry(5)
    for index in (5, 4):
        with pytest.raises(AssertionError):
            store.end_entry(index)
    store.end_entry(1 << 41)
    assert store.applied_index == 1 << 41


def test_what_was_flushed_survives_a_power_cut(disk):
    store = disk.open()
    write(store, 7, numbered(100))
    store.flush()
    assert store.durable_index == store.applied_index == 7
    store = disk.power_cut(store)
    assert store.applied_index == store.durable_index == 7
    assert dict(rows_of(store)) == numbered(100)
    store.close()


def test_a_power_cut_takes_only_what_was_not_flushed(disk):
    store = disk.open()
    write(store, 1, {b"a": b"1", b"b": b"1"})
    write(store, 2, {b"a": b"2"})
    store.flush()
    write(store, 3, {b"a": b"3", b"b": None, b"c": b"3"})
    store.put(b"d", b"half an entry")
    assert store.durable_index == 2
    store = disk.power_cut(store)
    assert store.applied_index == 2
    assert rows_of(store) == [(b"a", b"2"), (b"b", b"1")]
    write(store, 3, {b"a": b"3"})
    store.flush()
    store = disk.power_cut(store)
    assert rows_of(store) == [(b"a", b"3"), (b"b", b"1")]
    store.close()


def test_an_index_without_rows_becomes_durable_too(disk):
    store = disk.open()
    write(store, 1, {b"a": b"1"})
    store.flush()
    store.end_entry(9)
    store.flush()
    store = disk.power_cut(store)
    assert store.applied_index == 9
    store.close()


def test_a_big_entry_of_many_tables_keeps_its_order_over_a_flush(store):
    # Multiplying by an odd number permutes: no key twice, no order in which they come.
    places = [number * 40_503 % (1 << 16) for number in range(12_000)]
    rows = {b"%c%05d" % (b"abc"[place % 3], place): b"%d" % place for place in places}
    write(store, 1, rows)
    for _ in range(2):
        assert rows_of(store) == sorted(rows.items())
        assert rows_of(store, b"b", b"c", is_reversed=True) == sorted(
            (row for row in rows.items() if row[0][:1] == b"b"), reverse=True
        )
        store.flush()


def test_flushing_with_nothing_new_is_harmless(store):
    store.flush()
    store.request_flush()
    write(store, 1, {b"a": b"1"})
    store.flush()
    store.flush()
    assert store.durable_index == 1


def test_the_store_is_full_above_the_bound_and_not_after_a_flush(store):
    value = bytes(MIB)
    for index in range(1, MEMTABLE_BYTES_MAX // MIB):
        write(store, index, {b"k%d" % index: value})
    assert not store.is_full
    write(store, 1000, {b"x": value, b"y": value})
    assert store.is_full
    store.flush()
    assert not store.is_full


def test_closing_twice_is_closing_once(disk):
    store = disk.open()
    write(store, 1, {b"a": b"1"})
    store.close()
    store.close()
    for call in (lambda: store.get(b"a"), lambda: store.end_entry(2), lambda: store.view()):
        with pytest.raises(AssertionError):
            call()


# --- digests ----------------------------------------------------------------------------------


with_digests = pytest.mark.parametrize(
    "disk", [MemoryDisk, LmdbDisk], ids=["memory", "lmdb"], indirect=True
)


def digest_of(rows):
    return sum(toy_hash(key, value) for key, value in rows.items()) % (1 << 128)


@with_digests
def test_digests_are_of_all_rows_at_their_index(disk):
    store = disk.open()
    model, expected = {}, []
    for index in range(1, 3 * DIGEST_INTERVAL_ENTRIES + 10):
        key = b"k%d" % (index % 97)
        if index % 5:
            model[key] = b"%d" % index
        else:
            model.pop(key, None)
        write(store, index, {key: model.get(key)})
        if index % DIGEST_INTERVAL_ENTRIES == 0:
            expected.append((index, digest_of(model)))
        if index % 700 == 0:
            store.request_flush()
    store.flush()
    assert store.digests == tuple(expected)
    last = store.applied_index

    store = disk.power_cut(store)
    assert store.applied_index == last
    assert store.digests == ()
    index = 4 * DIGEST_INTERVAL_ENTRIES
    model[b"k1"] = b"after"
    write(store, index, {b"k1": b"after"})
    store.flush()
    assert store.digests == ((index, digest_of(model)),)
    store.close()


@with_digests
def test_a_digest_appears_when_it_is_durable_and_only_the_last_are_kept(store):
    for step in range(1, DIGESTS_KEPT + 3):
        write(store, step * DIGEST_INTERVAL_ENTRIES, {b"a": b"%d" % step})
    assert store.digests == ()
    store.flush()
    indexes = [index for index, _ in store.digests]
    last = DIGESTS_KEPT + 2
    assert indexes == [step * DIGEST_INTERVAL_ENTRIES for step in range(3, last + 1)]


# --- against a model --------------------------------------------------------------------------

keys = st.one_of(
    st.binary(min_size=1, max_size=3),
    st.sampled_from([b"a", b"a\x00", b"b", b"\xff", b"\x00", b"\xff" * ROW_KEY_BYTES_MAX]),
)
bounds = st.one_of(keys, st.sampled_from([b"", ABOVE_ALL_KEYS]))
values = st.binary(max_size=4)


class StoreMachine(RuleBasedStateMachine):
    """Random writes, flushes, views and power cuts; the model is one dict an index."""

    make_disk = MemoryDisk

    def __init__(self):
        super().__init__()
        self.disk = self.make_disk()
        self.store = self.disk.open()
        self.rows = {}
        self.ended = {0: {}}
        self.index = 0
        self.durable_index = 0
        self.is_in_entry = False

    def teardown(self):
        self.store.close()
        self.disk.remove()

    @rule(rows=st.dictionaries(keys, values, min_size=1, max_size=8))
    def put(self, rows):
        for key, value in rows.items():
            self.store.put(key, value)
        self.rows.update(rows)
        self.is_in_entry = True

    @rule(key=keys)
    def delete(self, key):
        self.store.delete(key)
        self.rows.pop(key, None)
        self.is_in_entry = True

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def delete_a_row(self, data):
        self.delete(data.draw(st.sampled_from(sorted(self.rows))))

    @rule(step=st.integers(1, 3))
    def end_entry(self, step):
        self.index += step
        self.store.end_entry(self.index)
        self.ended[self.index] = dict(self.rows)
        self.is_in_entry = False

    @precondition(lambda self: not self.is_in_entry)
    @rule()
    def request_flush(self):
        self.store.request_flush()

    @precondition(lambda self: not self.is_in_entry)
    @rule()
    def flush(self):
        self.store.flush()
        assert self.store.durable_index == self.index

    @rule()
    def power_cut(self):
        known_durable = self.store.durable_index
        self.store = self.disk.power_cut(self.store)
        self.index = self.store.applied_index
        assert self.index >= known_durable
        self.rows = dict(self.ended[self.index])
        self.ended = {index: rows for index, rows in self.ended.items() if index <= self.index}
        self.is_in_entry = False
        assert rows_of(self.store) == sorted(self.rows.items())

    @rule(start=bounds, end=bounds, is_reversed=st.booleans())
    def scan(self, start, end, is_reversed):
        expected = sorted(row for row in self.rows.items() if start <= row[0] < end)
        found = rows_of(self.store, start, end, is_reversed=is_reversed)
        assert found == (expected[::-1] if is_reversed else expected)

    @precondition(lambda self: not self.is_in_entry)
    @rule(start=bounds, end=bounds, is_reversed=st.booleans(), key=keys)
    def view(self, start, end, is_reversed, key):
        expected = sorted(row for row in self.rows.items() if start <= row[0] < end)
        with self.store.view() as view:
            assert view.applied_index == self.index
            assert view.get(key) == self.rows.get(key)
            found = rows_of(view, start, end, is_reversed=is_reversed)
        assert found == (expected[::-1] if is_reversed else expected)

    @rule(key=keys)
    def get(self, key):
        assert self.store.get(key) == self.rows.get(key)

    @invariant()
    def indexes_agree(self):
        assert self.durable_index <= self.store.durable_index <= self.store.applied_index
        assert self.store.applied_index == self.index
        self.durable_index = min(self.store.durable_index, self.index)


class LmdbStoreMachine(StoreMachine):
    make_disk = LmdbDisk


class PlainLmdbStoreMachine(StoreMachine):
    make_disk = PlainLmdbDisk


short = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestMemoryStoreAgainstModel = StoreMachine.TestCase
TestMemoryStoreAgainstModel.settings = short
TestLmdbStoreAgainstModel = LmdbStoreMachine.TestCase
TestLmdbStoreAgainstModel.settings = short
TestPlainLmdbStoreAgainstModel = PlainLmdbStoreMachine.TestCase
TestPlainLmdbStoreAgainstModel.settings = short
