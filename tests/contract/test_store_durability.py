"""What every Store keeps over a power cut, and the digests that prove it."""

from __future__ import annotations

import pytest
from store_disks import DISKS_WITH_DIGESTS, EVERY_DISK, numbered, rows_of, toy_hash, write

from replicante.limits import DIGEST_INTERVAL_ENTRIES, DIGESTS_KEPT, MEMTABLE_BYTES_MAX, MIB


@pytest.fixture(params=EVERY_DISK)
def disk(request):
    disk = request.param()
    yield disk
    disk.remove()


@pytest.fixture
def store(disk):
    store = disk.open()
    yield store
    store.close()


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
    places = [number * 40_503 % (1 << 16) for number in range(24_000)]
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


def digest_of(rows):
    return sum(toy_hash(key, value) for key, value in rows.items()) % (1 << 128)


@pytest.mark.parametrize("disk", DISKS_WITH_DIGESTS, indirect=True)
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
    assert store.digests == tuple(expected), "digests survive the process, and a power cut"
    index = 4 * DIGEST_INTERVAL_ENTRIES
    model[b"k1"] = b"after"
    write(store, index, {b"k1": b"after"})
    store.flush()
    assert store.digests == (*expected, (index, digest_of(model)))
    store.close()


@pytest.mark.parametrize("disk", DISKS_WITH_DIGESTS, indirect=True)
def test_a_digest_appears_when_it_is_durable_and_only_the_last_are_kept(store):
    for step in range(1, DIGESTS_KEPT + 3):
        write(store, step * DIGEST_INTERVAL_ENTRIES, {b"a": b"%d" % step})
    assert store.digests == ()
    store.flush()
    indexes = [index for index, _ in store.digests]
    last = DIGESTS_KEPT + 2
    assert indexes == [step * DIGEST_INTERVAL_ENTRIES for step in range(3, last + 1)]


@pytest.mark.parametrize("disk", DISKS_WITH_DIGESTS, indirect=True)
def test_a_power_cut_takes_no_digest_that_was_durable_and_leaves_none_that_was_not(disk):
    store = disk.open()
    for step in (1, 2):
        write(store, step * DIGEST_INTERVAL_ENTRIES, {b"a": b"%d" % step})
    store.flush()
    durable = store.digests
    write(store, 3 * DIGEST_INTERVAL_ENTRIES, {b"a": b"3"})
    store = disk.power_cut(store)
    assert len(durable) == 2
    assert store.digests == durable
    for step in range(3, DIGESTS_KEPT + 3):
        write(store, step * DIGEST_INTERVAL_ENTRIES, {b"a": b"%d" % step})
    store.flush()
    assert len(store.digests) == DIGESTS_KEPT
    assert store.digests[-1] == (
        (DIGESTS_KEPT + 2) * DIGEST_INTERVAL_ENTRIES,
        digest_of({b"a": b"%d" % (DIGESTS_KEPT + 2)}),
    )
    store.close()
