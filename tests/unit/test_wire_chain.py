"""The chain of the event log can be made again from what a peer answers, and from nothing else."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicante.api.event_lines import wire_event
from replicante.client.log_check import fault_between
from replicante.limits import INTEGER_MAX, INTEGER_MIN
from replicante.state import queries
from replicante.testing.builders import LoneState, kv_delete, kv_put, put_namespace
from replicante.wire.chain import BEFORE_FIRST, next_chain
from replicante.wire.events import Event

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(INTEGER_MIN, INTEGER_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def as_read(state: LoneState) -> list[Event]:
    """Through JSON, as a client gets them."""
    page = queries.events_after(state.store, 0, limit=1_000)
    return [
        msgspec.json.decode(msgspec.json.encode(wire_event(event)), type=Event)
        for event in page.items
    ]


@given(st.lists(values, min_size=1, max_size=5), st.text(max_size=20))
def test_every_chain_is_made_again_whatever_users_stored(stored, key):
    state = LoneState()
    for value in stored:
        state.advance(7)
        state.do(kv_put(key or "k", value), request_id="r-1")
    state.do(put_namespace("n1"))
    state.do(kv_delete(key or "k"))
    chain = BEFORE_FIRST
    for event in as_read(state):
        chain = next_chain(chain, event)
        assert chain == event.chain


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 3},
        {"code": "KV_DELETED"},
        {"key": "other"},
        {"key": None},
        {"ns": "n"},
        {"cluster": "c"},
        {"clock_ms": 1},
        {"time": "2023-11-14T22:13:20.001Z"},
        {"payload": {"value": 2}},
        {"cause": {"actor": "somebody", "request_id": ""}},
        {"chain": "0" * 32},
        {"chain": "no hex"},
        {"time": "yesterday"},
        {"id": "x"},
    ],
)
def test_no_field_can_be_changed_unseen(change):
    state = LoneState()
    state.do(kv_put("a", 1))
    state.do(kv_put("b", 1))
    first, second = as_read(state)
    assert fault_between(None, first) is None
    assert fault_between(first, second) is None
    assert fault_between(first, msgspec.structs.replace(second, **change)) is not None


def test_an_event_that_was_left_out_or_comes_twice_is_seen():
    state = LoneState()
    for i in range(3):
        state.do(kv_put("a", i))
    first, second, third = as_read(state)
    for before, event in ((first, third), (second, second), (second, first)):
        assert fault_between(before, event) is not None
    assert fault_between(None, second) is None, "where reading begins, only the first is judged"


def test_a_time_that_no_calendar_has_is_not_judged():
    state = LoneState()
    state.do(kv_put("a", 1))
    late = LoneState()
    late.wall_ms = 1 << 60
    late.do(kv_put("a", 1))
    assert fault_between(None, as_read(late)[0]) is None
