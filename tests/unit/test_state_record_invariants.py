"""What `check` finds in the tables of records: rows that are garbled, of nothing, or not found."""

from __future__ import annotations

import pytest
from test_state_records import CLUSTER, ID, Bench, create_action

from replicante.model.action_requests import ActionOn
from replicante.model.change import RecordKind
from replicante.model.codec import encode_value
from replicante.state import invariants, tables
from replicante.state import record_tables as t
from replicante.state.action_commands import ActionVerb, MoveAction
from replicante.state.fences import FenceOn
from replicante.state.record_commands import RecordChange, RecordCycle, RequestWork
from replicante.storage.keys import prefix_range
from replicante.testing.builders import platform_document, put_object

OPEN = "00000000-0000-8000-8000-000000000002"
PLAIN = {
    kind: (*CLUSTER, "a", "b")[: t.NAMES_COUNT[kind]]
    for kind in RecordKind
    if kind not in (RecordKind.NACTION, RecordKind.OACTION)
}


def full():
    """A row in every table of records."""
    bench = Bench()
    bench.state.do(put_object(platform_document("p")))
    bench.state.do(RequestWork(FenceOn.CLUSTER, *CLUSTER))
    for action_id in (ID, OPEN):
        create_action(bench.state, action_id)
    cancel = MoveAction(ActionOn.NODE, (*CLUSTER, "n1", ID), ActionVerb.CANCEL)
    bench.state.do(cancel)
    ordered = {"kind": "a/b", "phase": "PENDING_SCHEDULE"}
    changes = [
        RecordChange(kind, names, None, encode_value({"a": 1}), None)
        for kind, names in PLAIN.items()
    ]
    names = (*CLUSTER, "00000000-0000-8000-8000-000000000003")
    changes.append(RecordChange(RecordKind.OACTION, names, None, encode_value(ordered), None))
    bench.state.do(RecordCycle(bench.fence(), tuple(changes)))
    token = bench.acquire(FenceOn.PLATFORM, "p")
    fence = bench.fence(on=FenceOn.PLATFORM, name="p", token=token)
    bench.state.do(RecordCycle(fence, (), run=encode_value({"is_success": True})))
    return bench.state.store


def broken(store):
    return list(invariants.violations(store))


def first_of(store, table):
    return next(store.scan(*prefix_range(table)))


def test_a_sound_state_with_a_row_in_every_table_has_no_violation():
    store = full()
    assert all(next(store.scan(*prefix_range(it)), None) for it in t.ALL_RECORD_TABLES)
    assert broken(store) == []


@pytest.mark.parametrize("table", t.ALL_RECORD_TABLES, ids=bytes.hex)
@pytest.mark.parametrize("garbage", [b"", b"\xc1", b"\x93\x01\x02\x03", encode_value([1])])
def test_a_garbled_record_is_found(table, garbage):
    store = full()
    key, _ = first_of(store, table)
    store.put(key, garbage)
    assert broken(store)


@pytest.mark.parametrize("table", t.ALL_RECORD_TABLES, ids=bytes.hex)
def test_a_row_of_something_that_is_not_there_is_found(table):
    store = full()
    key, row = first_of(store, table)
    store.put(key.replace(b"default", b"elsewhere"), row)
    assert broken(store)


@pytest.mark.parametrize("table", [t.NACTIONS, t.OACTIONS, t.ACTIONS_OPEN, t.ACTIONS_ENDED])
def test_a_row_that_an_index_or_an_action_needs_is_missed(table):
    store = full()
    key, _ = first_of(store, table)
    store.delete(key)
    assert broken(store)


def test_a_history_that_lost_its_last_step_is_found():
    store = full()
    steps = [key for key, _ in store.scan(*prefix_range(t.NACTION_HISTORY))]
    last = max(key for key in steps if ID.encode() in key)
    store.delete(last)
    (found,) = broken(store)
    assert "its history does not end there" in found


def test_two_records_never_share_a_revision():
    store = full()
    (key, row), other = first_of(store, t.NODES), first_of(store, t.REPORTS)[1]
    assert row != other
    store.put(key, other)
    assert any("shares its revision" in sentence for sentence in broken(store))


@pytest.mark.parametrize("key", [key for key in tables.META_KEYS if key != tables.COUNTERS_KEY])
@pytest.mark.parametrize("garbage", [b"", b"\xc1", encode_value([1, "x", -1, -1]), b"\x92\x01\x05"])
def test_a_garbled_row_of_the_state_itself_is_found(key, garbage):
    store = full()
    store.put(key, garbage)
    assert broken(store)
