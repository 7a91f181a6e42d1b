from __future__ import annotations

import pytest

from replicante.ids import format_stamp
from replicante.model.codec import encode_value
from replicante.state import invariants, lease_queries, queries, sweeps, tables
from replicante.state.commands import Batch, KvPut
from replicante.state.expect import Expect
from replicante.state.lease_commands import (
    LeaseAcquire,
    LeaseForceRelease,
    LeaseRelease,
    LeaseRenew,
)
from replicante.state.outcome import Applied, RejectCode, Rejected, decode_outcome
from replicante.testing.builders import CheckedState, LoneState, envelope_bytes, kv_delete, kv_put

OWNER = encode_value({"host": "a"})
S10 = 10_000


def acquire(name="l", duration_ms=S10, owner=OWNER):
    return LeaseAcquire(name, duration_ms, owner)


def bound(key, lease, value=1):
    return KvPut(key.encode(), encode_value(value), None, lease)


def events_of(state):
    return queries.events_after(state.store, 0, limit=1_000, scan_max=10_000).items


def codes_of(state):
    return [event.code for event in events_of(state)]


def granted(state, **fields):
    outcome = state.do(acquire(**fields))
    assert isinstance(outcome, Applied)
    return outcome.revision


def test_a_grant_gives_a_token_and_an_event():
    state = CheckedState()
    token = granted(state)
    found = lease_queries.lease_get(state.store, "l")
    assert (found.token, found.owner, found.duration_ms) == (token, OWNER, S10)
    assert found.deadline_ms == state.clock_ms + S10
    (event,) = events_of(state)
    assert (event.code, event.key) == ("LEASE_ACQUIRED", "l")
    assert event.payload_value() == {
        "duration_ms": S10,
        "owner": {"host": "a"},
        "token": format_stamp(token),
    }


def test_a_held_lease_is_not_granted_again_not_even_to_its_holder():
    state = CheckedState()
    token = granted(state)
    state.advance(1_000)
    expected = Rejected(RejectCode.LEASE_HELD, {"token": token, "left_ms": 9_000})
    assert state.do(acquire()) == expected
    assert codes_of(state) == ["LEASE_ACQUIRED"]


def test_a_later_token_is_greater_also_within_one_entry():
    state = CheckedState()
    commands = [acquire("a"), acquire("b"), acquire("a")]
    outcomes = [
        decode_outcome(one) for one in state.propose_together([envelope_bytes(c) for c in commands])
    ]
    assert outcomes[0].revision < outcomes[1].revision
    assert outcomes[2].code == RejectCode.LEASE_HELD


def test_a_released_lease_is_free():
    state = CheckedState()
    token = granted(state)
    assert state.do(LeaseRelease("l", token)).is_removed
    assert lease_queries.lease_get(state.store, "l") is None
    assert granted(state) > token
    assert codes_of(state) == ["LEASE_ACQUIRED", "LEASE_RELEASED", "LEASE_ACQUIRED"]


@pytest.mark.parametrize("command", [LeaseRenew, LeaseRelease])
def test_an_old_token_is_refused_with_the_one_that_holds(command):
    state = CheckedState()
    old = granted(state)
    state.do(LeaseRelease("l", old))
    assert state.do(command("l", old)) == Rejected(RejectCode.STALE_TOKEN, {"held": None})
    new = granted(state)
    assert state.do(command("l", old)) == Rejected(RejectCode.STALE_TOKEN, {"held": new})


def test_a_renewal_keeps_the_token_and_begins_anew():
    state = CheckedState()
    token = granted(state)
    state.advance(9_999)
    assert isinstance(state.do(LeaseRenew("l", token)), Applied)
    state.advance(9_999)
    assert isinstance(state.do(LeaseRenew("l", token, 2_000)), Applied)
    found = lease_queries.lease_get(state.store, "l")
    assert (found.token, found.duration_ms) == (token, 2_000)
    assert found.deadline_ms == state.clock_ms + 2_000
    assert codes_of(state) == ["LEASE_ACQUIRED"]


def test_a_lease_runs_out_exactly_at_its_deadline():
    state = CheckedState()
    token = granted(state)
    state.advance(S10 - 1)
    state.tick()
    assert lease_queries.lease_get(state.store, "l").token == token
    state.advance(1)
    state.tick()
    assert lease_queries.lease_get(state.store, "l") is None
    last = events_of(state)[-1]
    assert (last.code, last.key, last.cause) == ("LEASE_EXPIRED", "l", None)
    assert last.payload_value()["token"] == format_stamp(token)


def test_what_ran_out_is_over_for_every_command_though_it_was_not_swept(monkeypatch):
    monkeypatch.setattr(sweeps, "EXPIRE_BATCH_MAX", 1)
    state = CheckedState()
    tokens = {name: granted(state, name=name) for name in "abcd"}
    state.do(bound("k", tokens["d"]))
    state.advance(S10)
    stale = Rejected(RejectCode.STALE_TOKEN, {"held": None})
    # Each entry sweeps one; the later ones are over all the same.
    assert state.do(LeaseRenew("d", tokens["d"])) == stale
    assert lease_queries.lease_get(state.store, "d") is None
    assert queries.kv_get(state.store, b"k") is None
    assert queries.kv_range(state.store).items == ()
    assert lease_queries.lease_list(state.store).items == ()
    assert state.do(kv_delete("k")) == Rejected(RejectCode.NOT_FOUND)
    assert state.do(bound("x", tokens["d"])) == stale


def test_a_grant_over_one_that_ran_out_tells_of_both(monkeypatch):
    monkeypatch.setattr(sweeps, "EXPIRE_BATCH_MAX", 0)
    state = CheckedState()
    old = granted(state)
    state.do(bound("k", old))
    state.advance(S10)
    new = state.do(acquire(), actor="ann").revision
    assert new > old
    expired, acquired = events_of(state)[-2:]
    assert (expired.code, expired.cause) == ("LEASE_EXPIRED", None)
    assert (acquired.code, acquired.actor) == ("LEASE_ACQUIRED", "ann")
    assert state.do(kv_put("k", 2, expect=Expect.absent())).is_created
    assert codes_of(state)[-2:] == ["KV_DELETED", "KV_PUT"]


def test_force_takes_the_lease_with_a_reason():
    state = CheckedState()
    token = granted(state)
    assert state.do(LeaseForceRelease("l", "stuck"), actor="ann").is_removed
    last = events_of(state)[-1]
    assert (last.code, last.actor) == ("LEASE_FORCE_RELEASED", "ann")
    payload = last.payload_value()
    assert (payload["reason"], payload["token"], payload["owner"]) == (
        "stuck",
        format_stamp(token),
        {"host": "a"},
    )
    assert state.do(LeaseRenew("l", token)).code == RejectCode.STALE_TOKEN


def test_force_finds_nothing_where_nobody_holds():
    state = CheckedState()
    assert state.do(LeaseForceRelease("l", "x")) == Rejected(RejectCode.NOT_FOUND)
    granted(state)
    state.advance(S10)
    assert state.do(LeaseForceRelease("l", "x")) == Rejected(RejectCode.NOT_FOUND)


@pytest.mark.parametrize("how", ["release", "force", "expire"])
def test_bound_records_vanish_with_their_lease_in_the_same_entry(how):
    state = CheckedState()
    token = granted(state)
    state.do(bound("a", token))
    state.do(bound("b", token, value="x" * 5_000))
    state.do(kv_put("c", 1))
    record = queries.kv_get(state.store, b"a")
    assert record.lease == token
    if how == "release":
        state.do(LeaseRelease("l", token), actor="ann")
    elif how == "force":
        state.do(LeaseForceRelease("l", "x"))
    else:
        state.advance(S10)
        state.tick()
    assert [one.key for one in queries.kv_range(state.store).items] == [b"c"]
    gone = events_of(state)[-2:]
    assert [(event.code, event.key, event.cause) for event in gone] == [
        ("KV_DELETED", "a", None),
        ("KV_DELETED", "b", None),
    ]
    payload = gone[0].payload_value()
    assert payload["lease"] == format_stamp(token)
    assert payload["previous"] == format_stamp(record.revision)
    assert queries.counters(state.store).kv_count == 1


def test_a_put_event_names_the_lease():
    state = CheckedState()
    token = granted(state)
    state.do(bound("a", token))
    assert events_of(state)[-1].payload_value()["lease"] == format_stamp(token)


def test_a_record_put_without_the_lease_stays():
    state = CheckedState()
    token = granted(state)
    state.do(bound("a", token))
    state.do(kv_put("a", 2))
    state.do(LeaseRelease("l", token))
    assert queries.kv_get(state.store, b"a").lease is None


def test_a_record_moves_to_another_lease_or_goes_by_deletion():
    state = CheckedState()
    one, two = granted(state, name="one"), granted(state, name="two")
    state.do(bound("a", one))
    state.do(bound("b", one))
    state.do(bound("a", two))
    state.do(kv_delete("b"))
    state.do(LeaseRelease("one", one))
    assert queries.kv_get(state.store, b"a").lease == two
    state.do(LeaseRelease("two", two))
    assert queries.kv_get(state.store, b"a") is None


def test_the_first_deadline_makes_the_leader_tick():
    state = LoneState()
    assert state.machine.deadline_ms() is None
    late = granted(state, name="late", duration_ms=20_000)
    begun_ms = state.clock_ms
    assert state.machine.deadline_ms() == begun_ms + 20_000
    early = granted(state, name="early")
    assert state.machine.deadline_ms() == begun_ms + S10
    state.advance(5_000)
    state.do(LeaseRenew("early", early))
    assert state.machine.deadline_ms() == begun_ms + 15_000
    assert LoneState(state.store).machine.deadline_ms() == begun_ms + 15_000
    state.do(LeaseRelease("early", early))
    assert state.machine.deadline_ms() == begun_ms + 20_000
    state.do(LeaseRelease("late", late))
    assert state.machine.deadline_ms() is None


def test_many_leases_end_over_several_entries_in_the_order_of_their_deadlines(monkeypatch):
    monkeypatch.setattr(sweeps, "EXPIRE_BATCH_MAX", 2)
    state = CheckedState()
    for i, name in enumerate("edcba"):
        granted(state, name=name, duration_ms=S10 + i)
    state.advance(S10 + 10)
    entries = 0
    while (deadline_ms := state.machine.deadline_ms()) is not None:
        assert deadline_ms <= state.clock_ms
        state.tick()
        entries += 1
    assert entries == 3
    assert [event.key for event in events_of(state) if event.code == "LEASE_EXPIRED"] == list(
        "edcba"
    )


def test_many_bound_records_go_over_several_entries(monkeypatch):
    monkeypatch.setattr(sweeps, "EXPIRE_BATCH_MAX", 2)
    state = CheckedState()
    token = granted(state)
    state.do(Batch(tuple(bound(f"k{i}", token) for i in range(5))))
    state.do(LeaseRelease("l", token))
    assert queries.kv_range(state.store).items == ()
    assert queries.counters(state.store).kv_count == 3
    # What comes between the entries is not disturbed: the key is new.
    assert state.do(kv_put("k4", 9, expect=Expect.absent())).is_created
    reopened = CheckedState(state.store)
    while reopened.machine.deadline_ms() is not None:
        reopened.tick()
    assert [one.key for one in queries.kv_range(state.store).items] == [b"k4"]
    assert queries.counters(state.store).kv_count == 1
    assert next(state.store.scan(tables.LEASES_ENDED, b"\x17"), None) is None


def test_how_much_an_entry_sweeps_does_not_depend_on_the_entries_before(monkeypatch):
    monkeypatch.setattr(sweeps, "EXPIRE_BATCH_MAX", 2)

    def history():
        """A lease with records begins and ends within one entry, after another one was swept."""
        token = (3 << 16) + 6
        yield [acquire("a")]
        yield []
        yield [
            acquire("l"),
            kv_put("x", 1),
            acquire("m"),
            *(bound(f"k{i}", token) for i in range(3)),
            LeaseRelease("m", token),
        ]

    steady, restarted = LoneState(), LoneState()
    for commands in history():
        for state in (steady, restarted):
            state.advance(S10 // 2 + 1)
            state.propose_together([envelope_bytes(command) for command in commands])
        restarted = LoneState(restarted.store)
        restarted.clock_ms, restarted.wall_ms = steady.clock_ms, steady.wall_ms
    assert steady.machine.digest_at_applied() == restarted.machine.digest_at_applied()
    assert steady.machine.deadline_ms() == restarted.machine.deadline_ms()
    assert queries.counters(steady.store).kv_count == 1 + 3 - 1


def test_leases_are_listed_by_name_in_pages():
    state = CheckedState()
    for name in ("b", "a/2", "a/1", "c"):
        granted(state, name=name)
    page = lease_queries.lease_list(state.store, limit=3)
    assert ([one.name for one in page.items], page.next) == (["a/1", "a/2", "b"], "b")
    page = lease_queries.lease_list(state.store, after=page.next, limit=3)
    assert ([one.name for one in page.items], page.next) == (["c"], None)
    found = lease_queries.lease_list(state.store, prefix="a/").items
    assert [one.name for one in found] == ["a/1", "a/2"]
    assert lease_queries.lease_list(state.store, prefix="x" * 600).items == ()
    assert lease_queries.lease_get(state.store, "x" * 600) is None


def test_a_repeated_acquire_gives_the_same_token():
    state = CheckedState()
    first = state.do(acquire(), idempotency_key="k")
    again = state.do(acquire(), idempotency_key="k")
    assert again.is_replayed
    assert again.revision == first.revision


def test_a_refusal_is_not_remembered_so_that_one_key_may_wait():
    state = CheckedState()
    token = granted(state)
    assert state.do(acquire(), idempotency_key="k").code == RejectCode.LEASE_HELD
    state.do(LeaseRelease("l", token))
    outcome = state.do(acquire(), idempotency_key="k")
    assert outcome.is_created
    assert state.do(acquire(), idempotency_key="k").revision == outcome.revision


def leased_state():
    state = LoneState()
    token = granted(state)
    state.do(bound("k", token))
    return state, token


def test_a_lease_that_would_never_run_out_is_a_violation():
    state, _ = leased_state()
    state.store.delete(tables.lease_deadline_key(state.clock_ms + S10, "l"))
    assert "never run out" in " ".join(invariants.violations(state.store))


def test_a_lease_that_its_token_does_not_find_is_a_violation():
    state, token = leased_state()
    state.store.delete(tables.lease_token_key(token))
    assert "not found by its token" in " ".join(invariants.violations(state.store))


def test_a_bound_record_that_would_stay_is_a_violation():
    state, token = leased_state()
    state.store.delete(tables.lease_record_key(token, b"k"))
    assert "does not know it" in " ".join(invariants.violations(state.store))


def test_a_lease_that_holds_what_is_not_bound_is_a_violation():
    state, token = leased_state()
    state.store.put(tables.lease_record_key(token, b"other"), b"")
    assert "is not bound to it" in " ".join(invariants.violations(state.store))


def test_records_that_nothing_will_remove_are_a_violation():
    state, token = leased_state()
    state.store.delete(tables.lease_key("l"))
    state.store.delete(tables.lease_token_key(token))
    state.store.delete(tables.lease_deadline_key(state.clock_ms + S10, "l"))
    assert "will never go" in " ".join(invariants.violations(state.store))
