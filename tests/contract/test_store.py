"""What every Store shows to its readers, the same tests for the ones in memory and on LMDB."""

from __future__ import annotations

import pytest
from store_disks import ALL, EVERY_DISK, numbered, rows_of, write

from replicante.limits import MIB, ROW_KEY_BYTES_MAX
from replicante.storage.keys import ABOVE_ALL_KEYS


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
