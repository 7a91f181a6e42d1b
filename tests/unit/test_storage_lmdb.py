"""The LMDB store: what is read at each stage of a flush, and what the flush costs the loop."""

from __future__ import annotations

import threading
import zlib

import pytest
from storage_builders import ALL, Gate, open_store

from replicante.limits import FLUSH_SLICE_ROWS_MAX, MEMTABLE_RUN_KEYS_MAX, MIB
from replicante.storage import lmdb_flusher
from replicante.storage.lmdb_store import LmdbStore
from replicante.storage.memtable import PORTION_KEYS, Memtable, scan_layers


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path)
    yield store
    store.close()


def test_rows_read_the_same_at_every_stage_of_a_flush(store, monkeypatch):
    gate = Gate(store, monkeypatch)
    model = {b"k%d" % number: b"1" for number in range(20)}
    for key, value in model.items():
        store.put(key, value)
    store.end_entry(1)

    def check():
        expected = sorted(model.items())
        assert list(store.scan(*ALL)) == expected
        assert list(store.scan(*ALL, is_reversed=True)) == expected[::-1]
        assert [store.get(key) for key in (b"k0", b"k1", b"new")] == [
            model.get(key) for key in (b"k0", b"k1", b"new")
        ]
        with store.view() as view:
            assert list(view.scan(*ALL)) == expected

    store.request_flush()
    gate.wait_until_entered()
    check()  # handed over, nothing written
    del model[b"k0"]
    model |= {b"k1": b"2", b"new": b"2"}
    store.delete(b"k0")
    store.put(b"k1", b"2")
    store.put(b"new", b"2")
    store.end_entry(2)
    store.request_flush()  # absorbed
    check()
    gate.let_through()
    assert store.durable_index == 1
    check()  # durable, not taken over yet
    store.end_entry(3)
    check()  # taken over
    store.request_flush()
    gate.wait_until_entered()
    gate.let_through()
    assert store.durable_index == 3
    store.end_entry(4)
    check()


def test_a_view_and_a_scan_are_over_once_a_flush_is_taken_over(store, monkeypatch):
    gate = Gate(store, monkeypatch)
    for number in range(10):
        store.put(b"k%d" % number, b"1")
    store.end_entry(1)
    view, rows = store.view(), store.scan(*ALL)
    next(rows)
    store.request_flush()
    gate.wait_until_entered()
    assert view.get(b"k1") == b"1"  # a freeze alone changes nothing
    gate.let_through()
    assert view.get(b"k1") == b"1"
    store.end_entry(2)
    for read in (lambda: view.get(b"k1"), lambda: next(rows)):
        with pytest.raises(AssertionError):
            read()


def test_many_keys_are_sorted_in_runs_and_come_out_in_order(store):
    count = 5 * MEMTABLE_RUN_KEYS_MAX
    # Multiplying by an odd number permutes: no key twice, no order in which they come.
    places = [number * 40_503 % (1 << 16) for number in range(count)]
    expected = sorted(b"%c%05d" % (b"ab"[place % 2], place) for place in places)
    for index, place in enumerate(places, start=1):
        store.put(b"%c%05d" % (b"ab"[place % 2], place), b"")
        store.end_entry(index)
        if index == count // 2:
            store.request_flush()
    assert [key for key, _ in store.scan(*ALL)] == expected
    assert [key for key, _ in store.scan(*ALL, is_reversed=True)] == expected[::-1]
    store.flush()
    assert [key for key, _ in store.scan(*ALL)] == expected
    assert [key for key, _ in store.scan(b"b", b"c")] == [k for k in expected if k[:1] == b"b"]


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_scan_goes_on_in_order_while_rows_come_and_go(store, is_reversed):
    """Portions of a run begin at keys: a run that grows meanwhile neither repeats nor loses one."""
    kept = [b"k%06d" % (10 * number) for number in range(10 * PORTION_KEYS)]
    for key in kept:
        store.put(key, b"")
    store.end_entry(1)
    found = []
    for number, (key, _) in enumerate(store.scan(*ALL, is_reversed=is_reversed)):
        found.append(key)
        store.put(b"k%06d" % (10 * (number * 7 % len(kept)) + 5), b"")
        next(store.scan(*ALL))  # sorts what is new into the runs
    assert [key for key in found if key[-1:] == b"0"] == (kept[::-1] if is_reversed else kept)
    assert found == sorted(set(found), reverse=is_reversed)


@pytest.mark.parametrize("is_reversed", [False, True])
def test_who_stops_early_does_not_pay_for_the_rest(is_reversed):
    class Run(list):
        taken = 0

        def __getitem__(self, place):
            found = super().__getitem__(place)
            self.taken += len(found) if isinstance(place, slice) else 0
            return found

    odd, even = (Run(b"k%06d" % n for n in range(rest, 20_000, 2)) for rest in (1, 0))
    layers = [Memtable(index=1), Memtable(index=0)]
    for layer, run in zip(layers, (odd, even), strict=True):
        layer.rows = dict.fromkeys(run, b"")
        layer._runs = {ord("k"): [run]}
    rows = scan_layers(layers, iter(()), start=b"k", end=b"l", is_reversed=is_reversed)
    first = [next(rows)[0] for _ in range(3)]
    assert first == sorted(odd + even, reverse=is_reversed)[:3]
    assert odd.taken + even.taken <= 2 * PORTION_KEYS


def test_a_writer_that_never_waits_cannot_starve_the_flush(store):
    rows = 40 * FLUSH_SLICE_ROWS_MAX
    for number in range(rows):
        store.put(b"k%d" % number, b"")
    store.end_entry(1)
    store.request_flush()
    entries = 0
    while store._flusher.is_writing:
        entries += 1
        store.put(b"busy", b"")
        store.end_entry(1 + entries)
        # Unaided, the thread writes a slice in tens of thousands of such entries.
        assert entries < 2_000
    store.flush()


def test_the_thread_is_made_for_the_first_flush_and_ends_with_the_store(tmp_path):
    def names():
        return [thread.name for thread in threading.enumerate()]

    store = open_store(tmp_path)
    store.put(b"a", b"1")
    store.end_entry(1)
    assert lmdb_flusher.THREAD_NAME not in names()
    store.flush()
    assert names().count(lmdb_flusher.THREAD_NAME) == 1
    store.close()
    assert lmdb_flusher.THREAD_NAME not in names()


def test_closing_in_the_middle_of_a_flush_leaves_one_index_or_the_other(tmp_path, monkeypatch):
    store = open_store(tmp_path)
    for index in (1, 2):
        for number in range(10_000):
            store.put(b"k%d" % number, b"%d" % index)
        store.end_entry(index)
        if index == 1:
            store.flush()
    store.request_flush()
    store.close()
    store = open_store(tmp_path)
    assert {value for _, value in store.scan(*ALL)} == {b"%d" % store.applied_index}
    store.close()


def test_a_digest_is_made_anew_after_a_flush_that_kept_none(tmp_path):
    def row_hash(key, value):
        return zlib.crc32(value, zlib.crc32(key))

    def open_hashed():
        return LmdbStore.open(tmp_path, identity=b"p1", map_bytes=MIB, row_hash=row_hash)

    def digest_at(store, index):
        store.end_entry(index)
        store.flush()
        return store.digests[-1]

    store = open_hashed()
    store.put(b"a", b"1")
    store.put(b"b", b"1")
    digest_at(store, 1024)
    store.close()
    store = open_store(tmp_path)  # a tool
    store.put(b"a", b"2")
    store.delete(b"b")
    store.end_entry(1025)
    store.flush()
    store.close()
    store = open_hashed()
    assert digest_at(store, 2048) == (2048, row_hash(b"a", b"2"))
    store.close()
