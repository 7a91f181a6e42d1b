from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicante.errors import Invalid
from replicante.ids import stamp_index
from replicante.limits import CONSUMER_SILENCE_MS_MAX, CONSUMERS_MAX
from replicante.model.codec import load_value
from replicante.state import invariants, queries, sweeps, tables
from replicante.state.commands import SetEventRetention
from replicante.state.consumer_commands import DeleteConsumer, PutConsumer
from replicante.state.consumers import consumer_get, consumer_key, consumer_list, read_consumer_row
from replicante.state.digest import digest_rows
from replicante.state.expect import Expect
from replicante.state.outcome import Applied, RejectCode, Rejected
from replicante.testing.builders import CheckedState, LoneState, envelope_bytes, kv_put

FOR_EVER = 1 << 40


def edge(state):
    return queries.events_edge(state.store)


def consumer(state, name="c"):
    return consumer_get(state.store, name, now=queries.counters(state.store))


def events(state, code):
    page = queries.events_after(state.store, edge(state).floor, limit=1_000)
    return [event for event in page.items if event.code == code]


def write_events(state, count=5):
    for i in range(count):
        state.do(kv_put(f"k{i}", i))


def keep(state, count):
    state.do(SetEventRetention(count, FOR_EVER, FOR_EVER))


def refused(state, command, code):
    """The refusal; nothing was changed and nothing emitted."""
    before, head = consumer_list(state.store, now=queries.counters(state.store)), edge(state).head
    outcome = state.do(command)
    assert isinstance(outcome, Rejected)
    assert outcome.code is code
    assert consumer_list(state.store, now=queries.counters(state.store)) == before
    assert edge(state).head == head
    return outcome


def test_a_new_consumer_begins_at_the_head_and_says_so_in_an_event():
    state = CheckedState()
    write_events(state)
    head = edge(state).head
    outcome = state.do(PutConsumer("c"), request_id="r")
    assert outcome == Applied(outcome.revision, is_created=True)
    assert consumer(state).position == head
    assert consumer(state).revision == outcome.revision
    (event,) = events(state, "EVENT_CONSUMER_CREATED")
    assert (event.key, event.request_id) == ("c", "r")
    assert load_value(event.payload).keys() == {"position", "revision"}


def test_a_move_writes_the_place_and_emits_nothing():
    state = CheckedState()
    write_events(state)
    state.do(PutConsumer("c", edge(state).floor))
    assert consumer(state).lag_count == 6
    head = edge(state).head
    moved = state.do(PutConsumer("c", head))
    assert not moved.is_created
    assert edge(state).head == head
    assert consumer(state).lag_count == 0
    state.do(PutConsumer("c", 1))
    assert consumer(state).lag_count == 6, "a consumer may go back while the events are there"


def test_a_position_beyond_the_last_event_counts_as_that_event():
    state = CheckedState()
    write_events(state)
    head = edge(state).head
    state.do(PutConsumer("c", 1 << 60))
    assert consumer(state).position == head


def test_a_put_without_a_position_only_says_that_it_is_alive():
    state = CheckedState()
    write_events(state)
    state.do(PutConsumer("c", 7))
    state.advance(5_000)
    state.tick()
    assert consumer(state).silent_ms == 5_000
    state.do(PutConsumer("c"))
    assert (consumer(state).position, consumer(state).silent_ms) == (7, 0)


def test_conditions_are_held():
    state = CheckedState()
    write_events(state)
    missing = Rejected(RejectCode.REVISION_MISMATCH, {"revision": None})
    assert state.do(PutConsumer("c", None, Expect.present())) == missing
    made = state.do(PutConsumer("c", None, Expect.absent()))
    refused(state, PutConsumer("c", None, Expect.absent()), RejectCode.REVISION_MISMATCH)
    moved = state.do(PutConsumer("c", None, Expect.at(made.revision)))
    refused(state, PutConsumer("c", 0, Expect.at(made.revision)), RejectCode.REVISION_MISMATCH)
    refused(state, DeleteConsumer("c", Expect.at(made.revision)), RejectCode.REVISION_MISMATCH)
    assert state.do(DeleteConsumer("c", Expect.at(moved.revision))).is_removed
    refused(state, DeleteConsumer("c"), RejectCode.NOT_FOUND)


def test_two_puts_in_one_entry_never_share_a_revision():
    state = CheckedState()
    state.propose_together([envelope_bytes(PutConsumer("a")), envelope_bytes(PutConsumer("b"))])
    assert consumer(state, "a").revision != consumer(state, "b").revision


def test_events_are_kept_for_the_consumer_that_is_furthest_behind():
    state = CheckedState()
    write_events(state)
    place = queries.events_after(state.store, 0, limit=3).next
    state.do(PutConsumer("slow", place))
    state.do(PutConsumer("fast"))
    keep(state, 1)
    assert edge(state).floor == place
    assert state.machine.deadline_ms() is None, "the leader does not tick while nothing may go"
    page = queries.events_after(state.store, consumer(state, "slow").position)
    assert page.items[0].seq == 4
    state.do(DeleteConsumer("slow"))
    assert edge(state).floor == consumer(state, "fast").position
    state.do(DeleteConsumer("fast"))
    state.tick()
    assert edge(state).count == 1


def test_a_consumer_that_moves_lets_the_log_go():
    state = CheckedState()
    write_events(state)
    state.do(PutConsumer("c", 0))
    keep(state, 1)
    assert edge(state).floor == 0
    state.do(PutConsumer("c", edge(state).head))
    assert edge(state).count == 1


def test_a_position_below_the_floor_is_refused_with_the_floor():
    state = CheckedState()
    write_events(state)
    keep(state, 1)
    state.tick()
    outcome = refused(state, PutConsumer("c", 1), RejectCode.HISTORY_GONE)
    assert outcome.details == {"floor": edge(state).floor, "head": edge(state).head}
    state.do(PutConsumer("c"))
    refused(state, PutConsumer("c", 1), RejectCode.HISTORY_GONE)


def test_silence_ends_a_consumer_and_whoever_comes_back_is_told():
    state = CheckedState()
    write_events(state)
    state.do(PutConsumer("c", 0))
    state.do(PutConsumer("other"))
    keep(state, 1)
    state.advance(CONSUMER_SILENCE_MS_MAX - 1)
    state.do(PutConsumer("other"), request_id="r", actor="ann")
    assert edge(state).floor == 0
    state.advance(1)
    refused_now = state.do(PutConsumer("c"))
    assert refused_now.code is RejectCode.CONSUMER_EXPIRED, "in the very entry that is too late"
    assert edge(state).floor > 0
    assert consumer(state).is_expired
    assert not consumer(state, "other").is_expired
    (event,) = events(state, "EVENT_CONSUMER_EXPIRED")
    assert (event.key, event.request_id, event.actor) == ("c", "", "")
    assert load_value(event.payload)["reason"] == "silence"
    assert load_value(event.payload)["silent_ms"] == CONSUMER_SILENCE_MS_MAX
    refused(state, PutConsumer("c", edge(state).head), RejectCode.CONSUMER_EXPIRED)
    state.do(DeleteConsumer("c"))
    assert state.do(PutConsumer("c")).is_created


def test_a_consumer_that_holds_too_much_expires(monkeypatch):
    monkeypatch.setattr(sweeps, "CONSUMER_HELD_BYTES_MAX", 2_000)
    state = CheckedState()
    state.do(PutConsumer("c", 0))
    state.do(PutConsumer("ahead"))
    keep(state, 3)
    while not consumer(state).is_expired:
        assert edge(state).floor == 0
        state.do(PutConsumer("ahead", edge(state).head))
        state.do(kv_put("k", "x" * 100), request_id="r")
        assert edge(state).bytes < 3_000
    (event,) = events(state, "EVENT_CONSUMER_EXPIRED")
    assert (load_value(event.payload)["reason"], event.request_id) == ("bytes", "")
    assert state.machine.deadline_ms() == state.clock_ms, "there is more to trim now"
    state.tick()
    assert edge(state).floor > 0
    assert not consumer(state, "ahead").is_expired


def test_the_number_of_consumers_is_bounded_and_expired_ones_count():
    state = LoneState()
    for i in range(CONSUMERS_MAX):
        state.do(PutConsumer(f"c{i}"))
    refused(state, PutConsumer("more"), RejectCode.TOO_MANY_CONSUMERS)
    state.advance(CONSUMER_SILENCE_MS_MAX)
    refused_now = state.do(PutConsumer("more"))
    assert refused_now.code is RejectCode.TOO_MANY_CONSUMERS
    assert len(events(state, "EVENT_CONSUMER_EXPIRED")) == CONSUMERS_MAX, "all in one entry"
    state.do(DeleteConsumer("c7"))
    assert state.do(PutConsumer("more")).is_created


def test_another_machine_over_the_same_rows_goes_on_the_same():
    state = LoneState()
    write_events(state)
    state.do(PutConsumer("c", 0))
    again = LoneState(state.store)
    keep(again, 1)
    assert edge(again).floor == 0
    again.advance(CONSUMER_SILENCE_MS_MAX)
    again.tick()
    assert consumer(again).is_expired


@pytest.mark.parametrize("name", ["", "x" * 129])
def test_a_name_that_is_none_is_refused_at_admission(name):
    with pytest.raises(Invalid):
        envelope_bytes(PutConsumer(name))
    with pytest.raises(Invalid):
        envelope_bytes(DeleteConsumer(name))
    assert consumer(LoneState(), name) is None


def test_invariants_see_a_live_consumer_below_the_floor():
    state = LoneState()
    write_events(state)
    state.do(PutConsumer("c"))
    keep(state, 1)
    row = read_consumer_row(state.store.get(consumer_key("c")))
    early = type(row)(position=1, revision=row.revision, seen_ms=row.seen_ms)
    state.do(PutConsumer("c", edge(state).head))
    state.store.put(consumer_key("c"), early.to_row())
    found = list(invariants.violations(state.store))
    assert found == ["consumer 'c' is live, and events that it has to read are not kept"]


STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from("abc"), st.none() | st.integers(0, 60)),
    st.tuples(st.just("delete"), st.sampled_from("abc")),
    st.tuples(st.just("write"), st.integers(1, 4)),
    st.tuples(st.just("keep"), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.sampled_from([1, CONSUMER_SILENCE_MS_MAX // 2])),
    st.tuples(st.just("restart")),
)


class Model:
    """What consumers promise, without rows: a place and a time for each name."""

    def __init__(self):
        self.live, self.expired, self.clock_ms = {}, set(), 0

    def expire(self):
        for name, (_, seen_ms) in list(self.live.items()):
            if seen_ms + CONSUMER_SILENCE_MS_MAX <= self.clock_ms:
                del self.live[name]
                self.expired.add(name)

    def put(self, name, position, *, floor, head):
        if name in self.expired:
            return RejectCode.CONSUMER_EXPIRED
        before = self.live.get(name, (head, 0))[0]
        place = before if position is None else min(position, head)
        if place < floor:
            return RejectCode.HISTORY_GONE
        self.live[name] = (place, self.clock_ms)
        return None


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_consumers_do_what_a_small_model_does(steps):
    state, model = CheckedState(), Model()
    for step in steps:
        match step:
            case ("put", name, index):
                model.expire()
                position = None if index is None else index << 16
                # The sweep may emit before the command: its edge is what the command sees.
                state.tick()
                at = edge(state)
                expected = model.put(name, position, floor=at.floor, head=at.head)
                outcome = state.do(PutConsumer(name, position))
                assert (outcome.code if isinstance(outcome, Rejected) else None) is expected
            case ("delete", name):
                model.expire()
                was_there = name in model.live or name in model.expired
                assert isinstance(state.do(DeleteConsumer(name)), Applied) is was_there
                model.live.pop(name, None)
                model.expired.discard(name)
            case ("write", count):
                write_events(state, count)
            case ("keep", count):
                keep(state, count)
            case ("wait", ms):
                state.advance(ms)
                model.clock_ms += ms
                state.tick()
            case ("restart",):
                before = digest_rows(state.store)
                state.machine = type(state.machine)(state.store)
                assert digest_rows(state.store) == before
        model.expire()
        state.tick()
        found = consumer_list(state.store, now=queries.counters(state.store))
        assert {it.name: it.position for it in found if not it.is_expired} == {
            name: place for name, (place, _) in model.live.items()
        }
        assert {it.name for it in found if it.is_expired} == model.expired
        assert all(stamp_index(it.revision) <= state.applied_index for it in found)
        for name, (place, _) in model.live.items():
            seqs = [e.seq for e in queries.events_after(state.store, place, limit=1_000).items]
            lag = next(it.lag_count for it in found if it.name == name)
            assert len(seqs) == lag, "everything after its place is there"


def test_rows_of_consumers_are_known():
    assert tables.CONSUMERS in tables.ALL_TABLES
