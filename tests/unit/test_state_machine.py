from __future__ import annotations

import msgpack
import pytest

from replicante.errors import CorruptData, FatalError, PeerStopping, UnsupportedFormat
from replicante.ids import make_index, make_stamp
from replicante.limits import DIGEST_INTERVAL_ENTRIES, DIGESTS_KEPT, EVENTS_KEPT_COUNT_DEFAULT
from replicante.raft.state_machine import DurableStateMachine, EntryHeader
from replicante.raft.state_machine import EntryKind as RaftEntryKind
from replicante.state import levels, queries
from replicante.state.apply_entry import EntryKind
from replicante.state.commands import Batch, SetEventRetention, SetFeatureLevel
from replicante.state.digest import digest_rows, format_digest, row_hash
from replicante.state.expect import Expect
from replicante.state.machine import ReplicatedState
from replicante.state.outcome import Applied, RejectCode, Rejected, decode_outcome
from replicante.storage.lmdb_store import LmdbStore
from replicante.storage.memory import MemoryStore
from replicante.testing.builders import (
    WALL_MS,
    BuiltHeader,
    CheckedState,
    LoneState,
    envelope_bytes,
    kv_delete,
    kv_put,
    put_namespace,
)


def codes(state):
    return [event.code for event in queries.events_after(state.store, 0, limit=1_000).items]


def last_event(state):
    return queries.events_after(state.store, 0, limit=1_000).items[-1]


def test_the_machine_is_what_raft_asks_for():
    assert isinstance(LoneState().machine, DurableStateMachine)


def test_entry_kinds_have_the_numbers_of_raft():
    assert {kind.name: int(kind) for kind in EntryKind} == {
        kind.name: int(kind) for kind in RaftEntryKind
    }


def test_a_header_of_raft_is_understood():
    machine = LoneState().machine
    header = EntryHeader(
        index=1,
        term=3,
        clock_ms=1,
        wall_ms=2,
        kind=RaftEntryKind.TERM_STARTED,
        detail={"leader": "p1"},
    )
    machine.begin(header)
    machine.end()
    assert machine.applied_index == 1


@pytest.mark.parametrize(
    ("kind", "detail", "code"),
    [
        (
            EntryKind.GENESIS,
            {"cluster": "c", "cluster_id": "ab", "voters": [["p1", "i1"]]},
            "RAFT_GENESIS",
        ),
        (EntryKind.TERM_STARTED, {"leader": "p1"}, "RAFT_TERM_STARTED"),
        (
            EntryKind.CONFIGURATION,
            {"voters": ["p1"], "learners": []},
            "RAFT_CONFIGURATION_CHANGED",
        ),
        (EntryKind.SKIPPED, {"reason": "poison"}, "RAFT_ENTRY_SKIPPED"),
    ],
)
def test_facts_of_raft_are_events(kind, detail, code):
    state = CheckedState()
    state.jumps = False
    state.append(kind, detail=detail, term=7)
    event = last_event(state)
    assert (event.code, event.payload_value()) == (code, {**detail, "term": 7})
    assert (event.id, event.seq, event.wall_ms) == (make_stamp(1, 0), 1, WALL_MS)
    assert event.cause is None


def test_an_entry_without_commands_is_no_event():
    state = CheckedState()
    state.tick()
    assert (codes(state), state.applied_index) == ([], 1)


def test_an_unknown_kind_stops_the_peer():
    machine = LoneState().machine
    with pytest.raises(FatalError, match="unknown kind"):
        machine.begin(BuiltHeader(index=1, kind=99))


def test_a_detail_that_cannot_be_stored_stops_the_peer():
    machine = LoneState().machine
    header = BuiltHeader(index=1, kind=EntryKind.SKIPPED, detail={"reason": b"raw"})
    with pytest.raises(FatalError, match="detail"):
        machine.begin(header)


def test_the_cluster_clock_never_goes_back():
    state = CheckedState()
    state.clock_ms = 5_000
    state.tick()
    state.clock_ms = 4_000
    state.do(kv_put("a", 1))
    assert state.machine.clock_ms == 5_000
    assert last_event(state).clock_ms == 5_000


@pytest.mark.parametrize("index", [0, 3, 4])
def test_an_entry_is_applied_once_and_in_order(index):
    state = LoneState()
    for _ in range(4):
        state.tick()
    with pytest.raises(FatalError):
        state.machine.begin(BuiltHeader(index=index))


def test_indexes_may_leap_to_another_generation():
    state = CheckedState()
    first = state.do(kv_put("a", 1))
    second = CheckedState(state.store, generation=1).do(kv_put("a", 2))
    assert second.revision > first.revision
    assert second.revision == make_stamp(make_index(1, 1), 0)


def test_whoever_asks_a_state_that_was_closed_is_told_that_the_peer_stops():
    state = ReplicatedState(MemoryStore(row_hash=row_hash))
    state.close()
    for ask in (state.view, state.digest_at_applied):
        with pytest.raises(PeerStopping):
            ask()


def test_calls_out_of_turn_stop_the_peer():
    machine = LoneState().machine
    for call in (lambda: machine.apply(envelope_bytes(kv_put("a", 1))), machine.end):
        with pytest.raises(FatalError):
            call()
    machine.begin(BuiltHeader(index=1))
    with pytest.raises(FatalError, match="inside entry 1"):
        machine.begin(BuiltHeader(index=2))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc1",
        b"garbage",
        msgpack.packb([1, "r", "", None, [200, 1], None]),
        msgpack.packb([9, "r", "", None, [2, b"k", None], None]),
    ],
)
def test_bytes_that_admission_never_makes_stop_the_peer(raw):
    machine = LoneState().machine
    machine.begin(BuiltHeader(index=1))
    with pytest.raises(FatalError):
        machine.apply(raw)


def test_every_write_and_event_of_an_entry_has_a_stamp_of_its_own():
    state = CheckedState()
    commands = [envelope_bytes(kv_put(f"k{i}", i)) for i in range(3)]
    commands.append(envelope_bytes(Batch((kv_put("k0", 9), kv_delete("k1")))))
    outcomes = [decode_outcome(raw) for raw in state.propose_together(commands)]
    revisions = [one.revision for one in outcomes[:3]]
    revisions += [one.revision for one in outcomes[3].outcomes]
    events = [event.id for event in queries.events_after(state.store, 0).items]
    stamps = sorted(revisions + events)
    assert stamps == [make_stamp(1, ordinal) for ordinal in range(10)]


def test_compare_and_set_sees_what_the_same_entry_wrote_before():
    state = CheckedState()
    first, second, third = state.propose_together(
        [
            envelope_bytes(kv_put("a", 1)),
            envelope_bytes(kv_put("a", 2, expect=Expect.at(make_stamp(1, 0)))),
            envelope_bytes(kv_put("a", 3, expect=Expect.at(make_stamp(1, 0)))),
        ]
    )
    assert decode_outcome(first) == Applied(make_stamp(1, 0), is_created=True)
    second_revision = decode_outcome(second).revision
    assert decode_outcome(third) == Rejected(
        RejectCode.REVISION_MISMATCH, {"revision": second_revision}
    )


def test_operations_of_a_batch_stand_alone_and_see_each_other():
    state = CheckedState()
    outcome = state.do(
        Batch(
            (
                kv_put("a", 1, expect=Expect.absent()),
                kv_put("a", 2, expect=Expect.absent()),
                kv_delete("b"),
                put_namespace("ns"),
                kv_delete("a"),
            )
        )
    )
    created, refused, absent, namespace, removed = outcome.outcomes
    assert created.is_created
    assert refused == Rejected(RejectCode.REVISION_MISMATCH, {"revision": created.revision})
    assert absent == Rejected(RejectCode.NOT_FOUND)
    assert namespace.is_created
    assert removed.is_removed
    assert codes(state) == ["KV_PUT", "NAMESPACE_APPLY", "KV_DELETED"]


def test_a_rejected_command_changes_nothing_but_the_clock():
    state = CheckedState()
    state.do(kv_put("a", 1))
    before = dict(state.store.scan(b"\x02", b"\xff"))
    assert isinstance(state.do(kv_put("a", 2, expect=Expect.absent())), Rejected)
    assert isinstance(state.do(kv_delete("b")), Rejected)
    assert dict(state.store.scan(b"\x02", b"\xff")) == before


def test_events_name_their_cause():
    state = CheckedState()
    state.do(kv_put("a", 1), request_id="r-9", actor="ann")
    assert last_event(state).cause == {"request_id": "r-9", "actor": "ann"}


def test_a_machine_goes_on_where_the_last_one_stopped():
    state = CheckedState()
    state.do(SetEventRetention(1_000, 10**9, 10**9))
    state.do(kv_put("a", 1))
    again = CheckedState(state.store)
    again.advance(5)
    again.do(kv_put("a", 2))
    summary = queries.summary(again.store)
    assert (summary.events.seq, summary.kv_count) == (3, 1)
    assert summary.retention.count_max == 1_000
    assert again.applied_index == 3


def test_rows_of_another_entry_are_refused_at_start():
    store = MemoryStore()
    LoneState(store).do(kv_put("a", 1))
    store.end_entry(2)
    with pytest.raises(CorruptData):
        ReplicatedState(store)


def test_a_state_of_a_later_version_is_refused_at_start(monkeypatch):
    state = CheckedState()
    monkeypatch.setattr(levels, "LEVEL_MAX", 2)
    monkeypatch.setattr("replicante.state.envelope.LEVEL_MAX", 2)
    assert isinstance(state.do(SetFeatureLevel(2)), Applied)
    monkeypatch.undo()
    with pytest.raises(UnsupportedFormat):
        ReplicatedState(state.store)


def test_the_feature_level_rises_with_an_event_and_never_falls(monkeypatch):
    monkeypatch.setattr(levels, "LEVEL_MAX", 3)
    monkeypatch.setattr("replicante.state.envelope.LEVEL_MAX", 3)
    state = CheckedState()
    assert queries.summary(state.store).feature_level == 1
    assert isinstance(state.do(SetFeatureLevel(3)), Applied)
    for level in (2, 3):
        refusal = Rejected(RejectCode.FEATURE_LEVEL_NOT_ABOVE, {"level": 3})
        assert state.do(SetFeatureLevel(level)) == refusal
    assert codes(state) == ["FEATURE_LEVEL_RAISED"]
    assert last_event(state).payload_value() == {"before": 1, "after": 3}


def test_a_peer_that_does_not_know_the_level_stops_and_goes_on_in_a_later_version(
    monkeypatch, tmp_path
):
    def started():
        return LoneState(LmdbStore.open(tmp_path / "s", identity=b"t", row_hash=row_hash))

    monkeypatch.setattr("replicante.state.envelope.LEVEL_MAX", 2)
    command = envelope_bytes(SetFeatureLevel(2))
    state = started()
    state.do(kv_put("a", 1))
    before = state.applied_index
    with pytest.raises(FatalError, match="level 2"):
        state.propose(command)
    state.machine.close()
    monkeypatch.setattr(levels, "LEVEL_MAX", 2)
    later = started()
    assert later.applied_index <= before, "the log replays the entry"
    while later.applied_index < before:
        later.do(kv_put("a", 1))
    assert isinstance(later.do(SetFeatureLevel(2)), Applied)
    assert later.machine.feature_level == 2
    later.machine.close()


def test_retention_is_set_with_an_event():
    state = CheckedState()
    assert queries.summary(state.store).retention.count_max == EVENTS_KEPT_COUNT_DEFAULT
    state.do(SetEventRetention(10, 20, 30))
    assert last_event(state).payload_value() == {
        "age_ms_max": 30,
        "bytes_max": 20,
        "count_max": 10,
    }


def test_sessions_live_in_the_transaction_of_the_entry():
    store = MemoryStore(row_hash=row_hash)
    machine = ReplicatedState(store)
    sessions = machine.sessions
    machine.begin(BuiltHeader(index=1))
    sessions[b"s1"] = b"one"
    sessions[b"s2"] = b"two"
    del sessions[b"s1"]
    with pytest.raises(KeyError):
        del sessions[b"s1"]
    machine.end()
    assert dict(sessions) == {b"s2": b"two"}
    assert len(sessions) == 1
    assert b"s2" in sessions and b"s1" not in sessions and "s2" not in sessions
    assert sessions.get(b"s1") is None
    assert sessions.get(b"s1", b"") == b""
    with pytest.raises(KeyError):
        sessions[b"s1"]
    # Nothing was flushed: a power cut takes session and state together.
    assert dict(ReplicatedState(store.crashed_copy()).sessions) == {}


def test_sessions_do_not_change_between_entries():
    sessions = LoneState().machine.sessions
    with pytest.raises(AssertionError):
        sessions[b"s"] = b"x"


def test_an_idle_state_has_no_deadline():
    state = CheckedState()
    state.do(kv_put("a", 1), idempotency_key="k")
    assert state.machine.deadline_ms() is None


def test_digests_appear_at_multiples_of_the_interval():
    state = LoneState()
    expected = []
    for index in range(1, DIGEST_INTERVAL_ENTRIES * (DIGESTS_KEPT + 1) + 3):
        state.do(kv_put(f"k{index % 7}", index))
        if index % DIGEST_INTERVAL_ENTRIES == 0:
            expected.append(state.machine.digest_at_applied())
            state.machine.request_flush()
    assert state.machine.digests() == expected[-DIGESTS_KEPT:]


def test_the_digest_is_of_every_row_in_any_order():
    state = LoneState()
    state.do(kv_put("a", 1))
    rows = dict(state.store.scan(b"", b"\xff" * 512))
    total = sum(row_hash(key, rows[key]) for key in reversed(rows)) % (1 << 128)
    assert digest_rows(state.store) == total
    assert state.machine.digest_at_applied() == (1, format_digest(total))


def test_a_row_hash_tells_key_from_value():
    assert row_hash(b"ab", b"c") != row_hash(b"a", b"bc")
    assert row_hash(b"a", b"") != row_hash(b"", b"a")
    assert row_hash(b"a", b"b").bit_length() <= 128


def test_stamps_beyond_an_entry_stop_the_peer():
    machine = LoneState().machine
    machine.begin(BuiltHeader(index=1))
    # More than the bounds of an entry ever let through.
    batch = envelope_bytes(Batch((kv_put("a", 1),) * 1_000))
    for _ in range(33):
        machine.apply(batch)
    with pytest.raises(FatalError, match="stamps"):
        machine.end()
