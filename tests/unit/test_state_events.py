from __future__ import annotations

from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicante.errors import FatalError, HistoryGone
from replicante.ids import format_stamp, make_stamp, stamp_index
from replicante.state import queries, sweeps, tables
from replicante.state.commands import Batch, SetEventRetention
from replicante.state.eventlog import EventCode, EventFilter, read_event
from replicante.testing.builders import (
    CheckedState,
    EntryKind,
    kv_delete,
    kv_put,
    put_namespace,
)

BYTES = AGE = 1 << 40


def put_many(state, count):
    for i in range(count):
        state.do(kv_put(f"k{i}", i))


def seqs(page):
    return [event.seq for event in page.items]


def test_codes_are_never_renamed():
    assert sorted(EventCode) == [
        "CLUSTER_DISCOVERY_SYNTHETIC",
        "CLUSTER_SPEC_APPLY",
        "CLUSTER_SPEC_DELETED",
        "CLUSTER_SPEC_DELETE_REQUESTED",
        "DISCOVER_REQUESTED",
        "EVENT_CONSUMER_CREATED",
        "EVENT_CONSUMER_DELETED",
        "EVENT_CONSUMER_EXPIRED",
        "EVENT_RETENTION_SET",
        "FEATURE_LEVEL_RAISED",
        "JOB_ACKED",
        "JOB_CLAIMED",
        "JOB_DEAD",
        "JOB_ENQUEUED",
        "JOB_REDRIVEN",
        "JOB_RETURNED",
        "KV_DELETED",
        "KV_PUT",
        "LEASE_ACQUIRED",
        "LEASE_EXPIRED",
        "LEASE_FORCE_RELEASED",
        "LEASE_RELEASED",
        "NAMESPACE_APPLY",
        "NAMESPACE_DELETED",
        "NAMESPACE_DELETE_REQUESTED",
        "ORCHESTRATE_REQUESTED",
        "PLATFORM_APPLY",
        "PLATFORM_DELETED",
        "PLATFORM_DELETE_REQUESTED",
        "QUEUE_PAUSED",
        "QUEUE_PURGED",
        "QUEUE_RESUMED",
        "RAFT_CONFIGURATION_CHANGED",
        "RAFT_ENTRY_SKIPPED",
        "RAFT_GENESIS",
        "RAFT_PEER_QUARANTINED",
        "RAFT_RECOVERED",
        "RAFT_TERM_STARTED",
    ]


def test_seq_has_no_gaps_and_ids_rise():
    state = CheckedState()
    put_many(state, 3)
    state.do(Batch((kv_put("a", 1), kv_delete("zz"), kv_delete("a"))))
    page = queries.events_after(state.store, 0)
    assert seqs(page) == [1, 2, 3, 4, 5]
    ids = [event.id for event in page.items]
    assert ids == sorted(set(ids))
    assert [stamp_index(event.id) for event in page.items] == [1, 2, 3, 4, 4]
    assert [event.index for event in page.items] == [1, 2, 3, 4, 4]


def test_the_chain_can_be_recomputed_from_the_rows():
    state = CheckedState()
    put_many(state, 3)
    chain = bytes(16)
    for _, row in state.store.scan(b"\x05", b"\x06"):
        chain = blake2b(chain + row[16:], digest_size=16).digest()
        assert read_event(row).chain == chain
    assert queries.events_edge(state.store).chain == chain


def test_the_chain_tells_two_histories_apart():
    left, right = CheckedState(), CheckedState()
    left.do(kv_put("a", 1))
    right.do(kv_put("a", 2))
    for state in (left, right):
        state.do(kv_put("b", 1))
    assert queries.events_edge(left.store).chain != queries.events_edge(right.store).chain


def test_an_empty_log_has_an_edge_and_a_page():
    state = CheckedState()
    page = queries.events_after(state.store, 0)
    assert (page.items, page.next, page.is_more, page.floor, page.head) == ((), 0, False, 0, 0)


def test_a_reader_beyond_the_head_gets_an_empty_page():
    state = CheckedState()
    put_many(state, 2)
    after = make_stamp(1_000, 0)
    page = queries.events_after(state.store, after)
    assert (page.items, page.next, page.is_more) == ((), after, False)
    assert queries.events_after(state.store, (1 << 63) - 1).items == ()


def test_reading_goes_on_where_the_last_page_ended():
    state = CheckedState()
    put_many(state, 5)
    first = queries.events_after(state.store, 0, limit=2)
    assert (seqs(first), first.is_more) == ([1, 2], True)
    second = queries.events_after(state.store, first.next, limit=3)
    assert (seqs(second), second.is_more) == ([3, 4, 5], False)
    assert second.next == second.head
    assert queries.events_after(state.store, second.next).items == ()
    state.do(kv_put("z", 1))
    assert seqs(queries.events_after(state.store, second.next)) == [6]


def test_a_filtered_page_is_bounded_by_what_it_looks_at():
    state = CheckedState()
    put_many(state, 10)
    state.do(put_namespace("a"))
    where = EventFilter(codes=("NAMESPACE_",))
    page = queries.events_after(state.store, 0, where=where, scan_max=4)
    assert (page.items, page.is_more) == ((), True)
    looked = 1
    while page.is_more:
        page = queries.events_after(state.store, page.next, where=where, scan_max=4)
        looked += 1
    assert seqs(page) == [11]
    assert looked == 3


def test_the_bytes_of_what_a_filter_passes_over_end_a_page_that_holds_nothing_too():
    state = CheckedState()
    put_many(state, 10)
    state.do(put_namespace("a"))
    where = EventFilter(codes=("NAMESPACE_",))
    row = len(next(state.store.scan(tables.EVENTS, tables.EVENTS + b"\xff"))[1])
    sizes, after, page = [], 0, None
    while page is None or page.is_more:
        page = queries.events_after(state.store, after, where=where, bytes_max=3 * row)
        sizes.append(len(page.items))
        assert page.next > after
        after = page.next
    assert (set(sizes[:-1]), sizes[-1]) == ({0}, 1)
    assert len(sizes) > 3
    page = queries.events_before(state.store, after, where=where, bytes_max=1)
    assert (page.items, page.is_more) == ((), True)


@given(
    st.integers(0, 12),
    st.integers(1, 13),
    st.integers(1, 13),
    st.integers(1, 3_000),
    st.sampled_from([EventFilter(), EventFilter(key_prefix="k1"), EventFilter(codes=("NO",))]),
)
def test_backwards_is_forwards_reversed_however_it_is_cut(kept, limit, scan_max, bytes_max, where):
    state = CheckedState()
    put_many(state, 12)
    state.do(SetEventRetention(kept, BYTES, AGE))
    edge = queries.events_edge(state.store)
    wanted = queries.events_after(state.store, edge.floor, limit=1_000, where=where).items
    found, before, is_more = [], edge.head + 1, True
    while is_more:
        page = queries.events_before(
            state.store, before, limit=limit, where=where, scan_max=scan_max, bytes_max=bytes_max
        )
        assert edge.floor <= page.next < before
        found += page.items
        before, is_more = page.next, page.is_more
    assert before == edge.floor
    assert tuple(reversed(found)) == wanted
    assert queries.events_before(state.store, edge.floor).items == ()
    if edge.floor:
        with pytest.raises(HistoryGone):
            queries.events_before(state.store, edge.floor - 1)


def test_a_page_is_bounded_by_size_but_holds_one():
    state = CheckedState()
    put_many(state, 3)
    page = queries.events_after(state.store, 0, bytes_max=1)
    assert (seqs(page), page.is_more) == ([1], True)


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        (EventFilter(), [1, 2, 3, 4, 5]),
        (EventFilter(codes=("KV_",)), [2, 3]),
        (EventFilter(codes=("KV_PUT", "NAMESPACE_A")), [2, 3, 4, 5]),
        (EventFilter(codes=("kv",)), []),
        (EventFilter(ns="a"), [4]),
        (EventFilter(ns="a", codes=("KV",)), []),
        (EventFilter(key_prefix="a"), [2, 4]),
        (EventFilter(key_prefix=""), [2, 3, 4, 5]),
        (EventFilter(cluster="c"), []),
    ],
)
def test_filters_choose(where, wanted):
    state = CheckedState()
    state.append(EntryKind.TERM_STARTED, detail={"leader": "p1"})
    state.do(kv_put("a/1", 1))
    state.do(kv_put("b", 1))
    state.do(put_namespace("a"))
    state.do(put_namespace("b"))
    assert seqs(queries.events_after(state.store, 0, where=where)) == wanted


def test_one_event_can_be_got():
    state = CheckedState()
    put_many(state, 2)
    event = queries.events_after(state.store, 0).items[1]
    assert queries.event_get(state.store, event.id) == event
    assert queries.event_get(state.store, event.id + 1) is None


def test_count_bounds_the_log():
    state = CheckedState()
    state.do(SetEventRetention(3, BYTES, AGE))
    put_many(state, 5)
    edge = queries.events_edge(state.store)
    assert (edge.count, edge.seq) == (3, 6)
    page = queries.events_after(state.store, edge.floor)
    assert seqs(page) == [4, 5, 6]


def test_size_bounds_the_log():
    state = CheckedState()
    put_many(state, 5)
    size = queries.events_edge(state.store).bytes
    state.do(SetEventRetention(1_000, size // 2, AGE))
    state.tick()
    assert size // 4 < queries.events_edge(state.store).bytes <= size // 2


def test_age_bounds_the_log():
    state = CheckedState()
    put_many(state, 2)
    state.advance(10)
    state.do(SetEventRetention(1_000, BYTES, 100))
    state.advance(89)
    state.tick()
    assert queries.events_edge(state.store).count == 3
    state.advance(1)
    state.tick()
    assert queries.events_edge(state.store).count == 1
    state.advance(10)
    state.tick()
    edge = queries.events_edge(state.store)
    assert (edge.count, edge.floor) == (0, edge.head)
    put_many(state, 1)
    assert queries.events_edge(state.store).count == 1


def test_below_the_floor_a_reader_is_told_never_left_in_silence():
    state = CheckedState()
    state.do(SetEventRetention(2, BYTES, AGE))
    put_many(state, 5)
    edge = queries.events_edge(state.store)
    for after in (0, edge.floor - 1):
        with pytest.raises(HistoryGone) as caught:
            queries.events_after(state.store, after)
        assert caught.value.details["floor"] == format_stamp(edge.floor)
    assert len(queries.events_after(state.store, edge.floor).items) == 2


def test_events_of_the_present_entry_are_never_trimmed():
    state = CheckedState()
    state.do(SetEventRetention(0, 0, 0))
    state.do(Batch(tuple(kv_put(f"k{i}", i) for i in range(4))))
    assert queries.events_edge(state.store).count == 4
    assert state.machine.deadline_ms() == state.clock_ms
    state.tick()
    assert queries.events_edge(state.store).count == 0
    assert state.machine.deadline_ms() is None


def test_trimming_is_bounded_and_outpaces_new_events(monkeypatch):
    monkeypatch.setattr(sweeps, "EXPIRE_BATCH_MAX", 3)
    state = CheckedState()
    put_many(state, 20)
    counts = []
    state.do(SetEventRetention(2, BYTES, AGE))
    counts.append(queries.events_edge(state.store).count)
    for _ in range(3):
        state.do(Batch((kv_put("a", 1), kv_put("b", 1))))
        counts.append(queries.events_edge(state.store).count)
    # The first entry emitted one event and removed 3 + 1, the others two and removed 3 + 2.
    assert counts == [17, 14, 11, 8]
    assert state.machine.deadline_ms() is not None
    while state.machine.deadline_ms() is not None:
        state.tick()
    assert queries.events_edge(state.store).count == 2


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 5), st.integers(0, 30)), max_size=15))
def test_any_retention_leaves_a_log_without_gaps(steps):
    state = CheckedState()
    for count_max, puts, age in steps:
        state.do(SetEventRetention(count_max, BYTES, 20 + age))
        state.advance(age)
        state.do(Batch(tuple(kv_put(f"k{i}", i) for i in range(puts))))
        edge = queries.events_edge(state.store)
        found = seqs(queries.events_after(state.store, edge.floor, limit=1_000))
        assert found == list(range(edge.seq - edge.count + 1, edge.seq + 1))


def test_a_row_that_is_no_event_is_fatal():
    with pytest.raises(FatalError):
        read_event(bytes(16) + b"\x91\x09")


def test_the_log_starts_below_every_stamp():
    assert tables.event_key(1) < tables.event_key(1 << 40) < tables.event_key((1 << 63) - 1)
