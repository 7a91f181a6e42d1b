from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicante.ids import format_stamp
from replicante.limits import EVENT_VALUE_BYTES_MAX, KV_KEY_BYTES_MAX
from replicante.model.codec import encode_value, is_canonical, load_value
from replicante.state import queries
from replicante.state.commands import Batch, KvPut
from replicante.state.expect import Expect
from replicante.state.outcome import Applied, RejectCode, Rejected
from replicante.testing.builders import CheckedState, LoneState, kv_delete, kv_put

KEYS = st.text(st.sampled_from("a\x00\x01\xff~é𐀀"), min_size=1, max_size=6)


def events_of(state):
    return queries.events_after(state.store, 0, limit=1_000).items


def value_of(state, key):
    record = queries.kv_get(state.store, key.encode())
    return None if record is None else load_value(record.value)


def test_a_put_can_be_read():
    state = CheckedState()
    outcome = state.do(kv_put("a", {"x": [1, None]}))
    record = queries.kv_get(state.store, b"a")
    assert outcome == Applied(record.revision, is_created=True)
    assert load_value(record.value) == {"x": [1, None]}


def test_a_replacement_is_not_created_and_has_a_greater_revision():
    state = CheckedState()
    first = state.do(kv_put("a", 1))
    second = state.do(kv_put("a", 2))
    assert not second.is_created
    assert second.revision > first.revision
    assert value_of(state, "a") == 2


def test_the_same_value_again_is_a_write():
    state = CheckedState()
    first = state.do(kv_put("a", 1))
    assert state.do(kv_put("a", 1)).revision > first.revision
    assert len(events_of(state)) == 2


def test_a_put_event_tells_revision_previous_and_value():
    state = CheckedState()
    first = state.do(kv_put("a", 1))
    second = state.do(kv_put("a", [2]))
    new, replaced = events_of(state)
    assert (new.code, new.key, new.ns, new.cluster) == ("KV_PUT", "a", None, None)
    assert new.payload_value() == {
        "previous": None,
        "revision": format_stamp(first.revision),
        "value": 1,
    }
    assert replaced.payload_value() == {
        "previous": format_stamp(first.revision),
        "revision": format_stamp(second.revision),
        "value": [2],
    }


def test_a_large_value_is_named_by_size_in_its_event():
    state = CheckedState()
    largest = "x" * (EVENT_VALUE_BYTES_MAX - 3)
    state.do(kv_put("a", largest))
    state.do(kv_put("a", largest + "x"))
    told, named = (event.payload_value() for event in events_of(state))
    assert told["value"] == largest
    assert "value" not in named
    assert named["value_bytes"] == EVENT_VALUE_BYTES_MAX + 1


@given(st.integers(0, 70), st.booleans())
def test_payloads_are_canonical(size, is_replaced):
    state = LoneState()
    state.do(kv_put("a", "x" * size * 100))
    if is_replaced:
        state.do(kv_put("a", "x" * size))
    state.do(kv_delete("a"))
    for event in events_of(state):
        assert is_canonical(event.payload)


def test_the_deepest_value_is_stored_and_told():
    value = 0
    for _ in range(32):
        value = [value]
    state = CheckedState()
    state.do(kv_put("a", value))
    assert events_of(state)[0].payload_value()["value"] == value


def test_a_deletion_removes_and_tells():
    state = CheckedState()
    put = state.do(kv_put("a", 1))
    removed = state.do(kv_delete("a"))
    assert removed == Applied(removed.revision, is_removed=True)
    assert queries.kv_get(state.store, b"a") is None
    event = events_of(state)[-1]
    assert (event.code, event.key) == ("KV_DELETED", "a")
    assert event.payload_value() == {
        "previous": format_stamp(put.revision),
        "revision": format_stamp(removed.revision),
    }


def test_deleting_nothing_is_not_found():
    state = CheckedState()
    assert state.do(kv_delete("a")) == Rejected(RejectCode.NOT_FOUND)
    assert events_of(state) == ()


@pytest.mark.parametrize("command", [kv_put, lambda key, _, **kw: kv_delete(key, **kw)])
def test_expectations_decide(command):
    state = CheckedState()
    refused = Rejected(RejectCode.REVISION_MISMATCH, {"revision": None})
    assert state.do(command("a", 1, expect=Expect.present())) == refused
    assert state.do(command("a", 1, expect=Expect.at(1))) == refused
    revision = state.do(kv_put("a", 0, expect=Expect.absent())).revision
    refused = Rejected(RejectCode.REVISION_MISMATCH, {"revision": revision})
    assert state.do(command("a", 1, expect=Expect.absent())) == refused
    assert state.do(command("a", 1, expect=Expect.at(revision - 1))) == refused
    assert state.do(command("a", 1, expect=Expect.at(revision))).is_changed
    state.do(kv_put("a", 0))
    assert state.do(command("a", 1, expect=Expect.present())).is_changed


def test_a_deletion_that_expects_nothing_finds_nothing():
    state = CheckedState()
    assert state.do(kv_delete("a", expect=Expect.absent())) == Rejected(RejectCode.NOT_FOUND)


def test_a_revision_never_comes_back_after_deletion():
    state = CheckedState()
    first = state.do(kv_put("a", 1)).revision
    state.do(kv_delete("a"))
    assert state.do(kv_put("a", 1)).revision > first
    assert isinstance(state.do(kv_put("a", 2, expect=Expect.at(first))), Rejected)


@given(st.lists(KEYS, max_size=12), KEYS, st.integers(1, 4))
def test_pages_together_are_the_whole_range_in_byte_order(keys, prefix, limit):
    state = LoneState()
    if keys:
        state.do(Batch(tuple(kv_put(key, key) for key in keys)))
    wanted = sorted(
        key.encode() for key in set(keys) if key.encode().startswith(prefix.encode()[:2])
    )
    found, after = [], None
    while True:
        page = queries.kv_range(state.store, prefix=prefix.encode()[:2], after=after, limit=limit)
        assert len(page.items) <= limit
        found += [item.key for item in page.items]
        if page.next is None:
            break
        assert page.next == page.items[-1].key
        after = page.next
    assert found == wanted


@given(st.lists(KEYS, max_size=12), KEYS, KEYS, KEYS, st.integers(1, 4))
def test_a_range_between_two_keys_is_what_sorting_says(keys, prefix, low, high, limit):
    state = LoneState()
    if keys:
        state.do(Batch(tuple(kv_put(key, key) for key in keys)))
    start = prefix.encode()[:1]
    for within in ((low.encode(), high.encode()), (low.encode(), None), (b"", high.encode())):
        wanted = [
            key
            for key in sorted(key.encode() for key in set(keys))
            if key.startswith(start) and key >= within[0] and (within[1] is None or key < within[1])
        ]
        found, after = [], None
        while True:
            page = queries.kv_range(
                state.store, prefix=start, within=within, after=after, limit=limit
            )
            found += [item.key for item in page.items]
            if page.next is None:
                break
            after = page.next
        assert found == wanted


def test_a_page_ends_by_size_but_holds_one():
    state = CheckedState()
    state.do(Batch(tuple(kv_put(f"k{i}", "x" * 100) for i in range(4))))
    page = queries.kv_range(state.store, bytes_max=1)
    assert [item.key for item in page.items] == [b"k0"]
    page = queries.kv_range(state.store, after=page.next, bytes_max=250)
    assert [item.key for item in page.items] == [b"k1", b"k2"]


def test_the_last_page_says_so():
    state = CheckedState()
    state.do(Batch((kv_put("a", 1), kv_put("b", 1))))
    assert queries.kv_range(state.store, limit=2).next is None
    assert queries.kv_range(state.store, limit=1).next == b"a"


@pytest.mark.parametrize("key", [b"", b"k" * (KV_KEY_BYTES_MAX + 1), b"k" * 5_000, b"\xff"])
def test_a_key_that_cannot_exist_is_not_there(key):
    state = LoneState()
    state.do(kv_put("k", 1))
    assert queries.kv_get(state.store, key) is None


def test_overlong_bounds_of_a_range_are_answered():
    state = LoneState()
    longest = b"k" * KV_KEY_BYTES_MAX
    state.do(Batch((KvPut(longest, encode_value(1)), kv_put("l", 1))))
    assert queries.kv_range(state.store, prefix=b"k" * 400).items == ()
    page = queries.kv_range(state.store, after=b"k" * 5_000)
    assert [item.key for item in page.items] == [b"l"]
    page = queries.kv_range(state.store, after=b"k" * (KV_KEY_BYTES_MAX - 1))
    assert [item.key for item in page.items] == [longest, b"l"]
    assert queries.kv_range(state.store, prefix=b"a", after=b"z").items == ()
    above = queries.kv_range(state.store, within=(longest + b"k", None))
    assert [item.key for item in above.items] == [b"l"]
    below = queries.kv_range(state.store, within=(b"", longest + b"k" * 200))
    assert [item.key for item in below.items] == [longest]
