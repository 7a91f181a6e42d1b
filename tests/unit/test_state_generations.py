"""What ends when a generation begins, and what readers of the history before are told."""

from __future__ import annotations

import pytest

from replicante.errors import HistoryForked
from replicante.ids import format_stamp, generation_of, make_index, make_stamp, stamp_index
from replicante.limits import EXPIRE_BATCH_MAX
from replicante.model.codec import encode_value
from replicante.state import lease_queries, queries
from replicante.state.consumer_commands import PutConsumer
from replicante.state.eventlog import read_event
from replicante.state.forks import fork_of
from replicante.state.lease_commands import LeaseAcquire, LeaseRenew
from replicante.state.outcome import Applied, RejectCode, Rejected
from replicante.state.queue_commands import NewJob, QueueAck, QueueClaim, QueueEnqueue
from replicante.state.tables import EVENTS
from replicante.storage.keys import prefix_range
from replicante.testing.builders import LoneState, kv_put

DETAIL = {"voters": [["p1", "disk", "127.0.0.1:1"]], "recovery": {"how": "forced"}}
FIRST = make_index(1, 1)


def recover(state: LoneState, generation: int = 1) -> None:
    state.recover(generation, detail=DETAIL)


def told(state: LoneState, *, after: int = 0) -> list:
    events = [read_event(row) for _, row in state.store.scan(*prefix_range(EVENTS))]
    return [event for event in events if event.id > after]


def acquire(state: LoneState, name: str, *, duration_ms: int = 60_000) -> int:
    return state.do(LeaseAcquire(name, duration_ms, encode_value({}))).revision


def job(body: str, *, delay_ms: int = 0) -> NewJob:
    return NewJob(body=encode_value(body), delay_ms=delay_ms, attempts_max=5)


def claimed_job(state: LoneState) -> tuple[int, int]:
    state.do(QueueEnqueue("work", (job("body"),)))
    (found,) = state.do(QueueClaim("work", 1, 60_000, "worker", None)).jobs
    return found.job, found.token


def test_leases_and_claims_are_over_at_once_for_everybody():
    state = LoneState()
    token = acquire(state, "lock")
    claimed, token_of_claim = claimed_job(state)
    recover(state)
    assert lease_queries.lease_get(state.store, "lock") is None
    assert state.do(LeaseRenew("lock", token, None)) == Rejected(
        RejectCode.STALE_TOKEN, {"held": None}
    )
    assert state.do(QueueAck("work", claimed, token_of_claim, ())).code is RejectCode.STALE_TOKEN
    assert acquire(state, "lock") > token
    (again,) = state.do(QueueClaim("work", 1, 60_000, "worker", None)).jobs
    assert (again.job, again.attempt) == (claimed, 2)


def test_each_end_is_an_event_after_the_one_that_tells_of_the_recovery():
    state = LoneState()
    acquire(state, "lock")
    claimed_job(state)
    before = queries.events_edge(state.store).head
    recover(state)
    events = told(state, after=before)
    assert events[0].code == "RAFT_RECOVERED"
    assert sorted(it.code for it in events[1:]) == ["JOB_RETURNED", "LEASE_EXPIRED"]
    payload = events[0].payload_value()
    assert payload["ended"] == {"claims": 1, "leases": 1, "sessions": 0}
    assert payload["recovery"] == {"how": "forced"}
    assert events[0].id == make_stamp(FIRST, 0)


def test_more_leases_than_one_entry_sweeps_go_with_the_next_entries():
    state = LoneState()
    for number in range(EXPIRE_BATCH_MAX + 5):
        acquire(state, f"lock-{number:05}")
    recover(state)
    assert state.machine.deadline_ms() == state.machine.clock_ms, "the leader ticks at once"
    assert sum(it.code == "LEASE_EXPIRED" for it in told(state)) == EXPIRE_BATCH_MAX
    assert lease_queries.lease_list(state.store).items == ()
    state.do(kv_put("any", 1))
    assert sum(it.code == "LEASE_EXPIRED" for it in told(state)) == EXPIRE_BATCH_MAX + 5


def test_delayed_jobs_and_what_had_run_out_stay_as_they_were():
    state = LoneState()
    state.do(QueueEnqueue("work", (job("later", delay_ms=60_000),)))
    recover(state)
    assert state.do(QueueClaim("work", 1, 60_000, "worker", None)).jobs == ()
    assert told(state)[-1].payload_value()["ended"]["claims"] == 0


def test_a_reader_of_the_lost_part_is_told_between_which_events_nothing_is_left():
    state = LoneState()
    state.do(kv_put("a", 1))
    last = queries.events_edge(state.store).head
    lost = make_stamp(stamp_index(last) + 1, 0)
    recover(state)
    state.do(kv_put("b", 2))
    for stamp in (lost, make_stamp(FIRST - 1, 7)):
        with pytest.raises(HistoryForked) as caught:
            queries.events_after(state.store, stamp)
        assert caught.value.details["last_common"] == format_stamp(last)
        assert caught.value.details["first_new"] == format_stamp(make_stamp(FIRST, 0))
    found = queries.events_after(state.store, last).items
    assert [it.code for it in found] == ["RAFT_RECOVERED", "KV_PUT"]
    assert generation_of(stamp_index(found[-1].id)) == 1


def test_a_consumer_cannot_be_put_where_history_is_lost():
    state = LoneState()
    state.do(kv_put("a", 1))
    last = queries.events_edge(state.store).head
    recover(state)
    lost = make_stamp(stamp_index(last) + 1, 0)
    refused = state.do(PutConsumer("reader", lost, None))
    assert refused.code is RejectCode.HISTORY_FORKED
    assert refused.details["last_common"] == last
    assert isinstance(state.do(PutConsumer("reader", last, None)), Applied)


def test_every_recovery_is_remembered():
    state = LoneState()
    state.do(kv_put("a", 1))
    recover(state)
    second = make_index(4, 1)
    recover(state, 4)  # a backup may be older than recoveries of its cluster
    assert fork_of(state.store, make_stamp(FIRST - 1, 0)).first_index == FIRST
    assert fork_of(state.store, make_stamp(FIRST, 3)) is None
    assert fork_of(state.store, make_stamp(make_index(2, 9), 0)).first_index == second
    assert fork_of(state.store, make_stamp(second, 0)) is None
