from __future__ import annotations

import pytest

from replicante.limits import REQUESTS_KEPT_MAX
from replicante.model.codec import encode_value
from replicante.model.objects import ObjectKind
from replicante.state import invariants, queries, tables
from replicante.state.commands import SetEventRetention
from replicante.testing.builders import (
    BuiltEntry,
    BuiltHeader,
    LoneState,
    envelope_bytes,
    kv_delete,
    kv_put,
    put_namespace,
)


def full_state():
    state = LoneState()
    for i in range(4):
        state.do(kv_put(f"k{i}", i), idempotency_key=f"r{i}")
    state.do(kv_delete("k0"))
    state.do(put_namespace("a", finalisers=("x",)))
    state.do(SetEventRetention(5, 1 << 40, 1 << 40))
    state.do(kv_put("k9", 9))
    return state


def broken(state):
    return list(invariants.violations(state.store))


def change_counters(state, **changes):
    now = queries.counters(state.store)
    for name, value in changes.items():
        setattr(now, name, value)
    state.store.put(tables.COUNTERS_KEY, now.to_row())


def first_event(state):
    return next(state.store.scan(tables.EVENTS, b"\x06"))


def test_a_sound_state_has_no_violation():
    assert broken(full_state()) == []
    assert broken(LoneState()) == []
    invariants.assert_holds(full_state().store)


def test_a_violation_is_an_assertion():
    state = full_state()
    state.store.put(b"\x7f", b"")
    with pytest.raises(AssertionError, match="unknown table 7f"):
        invariants.assert_holds(state.store)


@pytest.mark.parametrize(
    ("key", "word"),
    [
        (b"\x01other", "unknown row"),
        (b"\xfe\xff", "unknown table"),
        (b"\x00", "unknown table"),
        (tables.kv_key(b"x"), "cannot be read"),
        (tables.request_key("x"), "cannot be read"),
        (tables.event_key(1), "cannot be read"),
        (tables.object_key(ObjectKind.NAMESPACE, ("b",)), "cannot be read"),
        (tables.request_clock_key(1, "x"), "clock rows"),
    ],
)
def test_a_foreign_row_is_found(key, word):
    state = full_state()
    state.store.put(key, b"")
    assert any(word in sentence for sentence in broken(state))


@pytest.mark.parametrize(
    "changes",
    [
        {"events_seq": 7},
        {"events_chain": bytes(16)},
        {"events_head": 5},
        {"events_floor": 1 << 62},
        {"events_floor_chain": bytes(16)},
        {"events_count": 4},
        {"events_bytes": 1},
        {"requests_count": 3},
        {"requests_count": REQUESTS_KEPT_MAX + 1},
        {"requests_horizon_ms": 1 << 40},
        {"requests_horizon_ms": 1_001},
        {"kv_count": 3},
        {"kv_bytes": 3},
        {"objects_count": 0},
        {"feature_level": 2},
        {"feature_level": 0},
        {"clock_ms": 5},
        {"index": 1},
    ],
    ids=str,
)
def test_a_wrong_counter_is_found(changes):
    state = full_state()
    change_counters(state, **changes)
    assert broken(state)


def test_counters_that_cannot_be_read_are_found():
    state = full_state()
    state.store.put(tables.COUNTERS_KEY, b"\x91\x09")
    assert "cannot be read" in broken(state)[0]


def test_an_event_that_was_changed_is_found():
    state = full_state()
    key, row = first_event(state)
    state.store.put(key, row[:-1] + bytes((row[-1] ^ 1,)))
    assert any("chain" in sentence for sentence in broken(state))


def test_an_event_that_is_missing_is_found():
    state = full_state()
    key, _ = first_event(state)
    state.store.delete(key)
    assert any("seq" in sentence for sentence in broken(state))


def test_an_event_under_another_id_is_found():
    state = full_state()
    key, row = first_event(state)
    state.store.delete(key)
    state.store.put(tables.event_key(int.from_bytes(key[1:], "big") + 1), row)
    assert any("another id" in sentence for sentence in broken(state))


def test_two_rows_with_one_revision_are_found():
    state = full_state()
    state.store.put(tables.kv_key(b"k1"), state.store.get(tables.kv_key(b"k2")))
    assert any("shares its revision" in sentence for sentence in broken(state))


@pytest.mark.parametrize("revision", [0, 1 << 60])
def test_a_revision_of_no_entry_is_found(revision):
    state = full_state()
    row = tables.kv_row(revision=revision, value=encode_value(1))
    state.store.put(tables.kv_key(b"k1"), row)
    assert any("applied entry" in sentence for sentence in broken(state))


def test_a_value_that_is_not_canonical_is_found():
    state = full_state()
    row = tables.kv_row(revision=1 << 16, value=b"\xcc\x01")
    state.store.put(tables.kv_key(b"k1"), row)
    assert any("canonical" in sentence for sentence in broken(state))


def namespace_row(**changes):
    spec = encode_value({"id": "a", "settings": {}, "status": "Active", "tls": {}})
    fields = {
        "revision": 6 << 16,
        "created": 6 << 16,
        "is_deleting": False,
        "finalisers": ("x",),
        "spec": spec,
    }
    return tables.object_row(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"is_deleting": True, "finalisers": ()}, "nothing holds it"),
        ({"created": 1 << 40}, "created after"),
        ({"created": 0}, "created after"),
        ({"spec": b"\xcc\x01"}, "canonical"),
        ({"spec": encode_value({})}, "cannot be read"),
        ({"spec": put_namespace("b").spec}, "names another"),
    ],
)
def test_a_wrong_namespace_is_found(changes, word):
    state = full_state()
    state.store.put(tables.object_key(ObjectKind.NAMESPACE, ("a",)), namespace_row(**changes))
    assert any(word in sentence for sentence in broken(state))


def test_a_request_that_will_never_be_forgotten_is_found():
    state = full_state()
    record = queries.request_outcome(state.store, "r0")
    state.store.delete(tables.request_clock_key(record.recorded_ms, "r0"))
    assert any("never be forgotten" in sentence for sentence in broken(state))


def test_a_replayed_state_is_sound_too():
    state = LoneState()
    entry = BuiltEntry(header=BuiltHeader(index=5), commands=(envelope_bytes(kv_put("a", 1)),))
    state.replay(entry)
    assert broken(state) == []
