"""What apply remembers of queues saves work and decides nothing: forgotten or not, claims agree."""

from __future__ import annotations

import pytest

from replicante.limits import QUEUES_MEASURED_MAX, READY_STARTS_MAX
from replicante.model.codec import encode_value
from replicante.state import queue_tables as t
from replicante.state.queue_commands import NewJob, QueueAck, QueueClaim, QueueEnqueue, QueueNack
from replicante.state.queue_rows import ReadyStarts
from replicante.state.queue_tally import OTHER_QUEUES, JobMove, QueueTally
from replicante.storage.memory import MemoryStore
from replicante.testing.builders import CheckedState, LoneState, envelope_bytes


class CountingStore(MemoryStore):
    """Knows how often rows of queues were written."""

    def __init__(self) -> None:
        super().__init__()
        self.queue_rows_written = 0

    def put(self, key, value):
        self.queue_rows_written += key[:1] == t.QUEUES
        super().put(key, value)


def job(priority=0, *, delay_ms=0) -> NewJob:
    return NewJob(body=encode_value(1), attempts_max=9, priority=priority, delay_ms=delay_ms)


def send(state, *jobs, queue="q"):
    return [one.job for one in state.do(QueueEnqueue(queue, jobs)).jobs]


def claim(state, count=1, *, queue="q"):
    return list(state.do(QueueClaim(queue, count, 30_000, "w")).jobs)


def test_what_becomes_ready_before_the_place_of_the_last_claim_is_claimed_next():
    state = CheckedState()
    first, second, _ = send(state, job(), job(), job())
    taken = claim(state, 2)
    assert [one.job for one in taken] == [first, second]
    (urgent,) = send(state, job(priority=9))
    assert [one.job for one in claim(state)] == [urgent]
    state.do(QueueNack("q", first, taken[0].token, 0, ""))
    assert [one.job for one in claim(state)] == [first]


def test_a_delay_that_ends_after_an_empty_claim_is_found():
    state = CheckedState()
    (late,) = send(state, job(priority=9, delay_ms=1_000))
    assert claim(state) == []
    state.advance(1_000)
    assert [one.job for one in claim(state)] == [late]


def test_a_start_lies_behind_what_is_gone_and_never_behind_what_is_ready():
    starts = ReadyStarts()
    keys = [t.ready_key("q", 0, number) for number in (1, 2, 3)]
    starts.note_gone("q", until=keys[1] + b"\x00")
    start, end = starts.range("q")
    assert keys[1] < start <= keys[2] < end
    starts.note_ready("q", keys[0])
    assert starts.range("q") == (keys[0], end)


def test_the_scan_of_a_claim_begins_behind_the_claims_before_it(monkeypatch):
    """A store on disk keeps what was deleted as marks until it is flushed: a claim that began at
    the front would step over all of them."""
    state = LoneState()
    send(state, *(job() for _ in range(50)))
    begun = []
    scan = state.machine._writer.scan
    monkeypatch.setattr(
        state.machine._writer, "scan", lambda start, end: begun.append(start) or scan(start, end)
    )
    taken = [claim(state)[0].job for _ in range(50)]
    starts = [start for start in begun if start[:1] == t.READY]
    assert starts[1:] == [t.ready_key("q", 0, number) + b"\x00" for number in taken[:-1]]


def test_beyond_the_bound_the_oldest_place_is_forgotten_and_claims_still_find_all():
    starts = ReadyStarts()
    for number in range(READY_STARTS_MAX + 1):
        starts.note_gone(f"q{number}", until=t.ready_key(f"q{number}", 0, 7))
    assert starts.range("q0")[0] == t.ready_prefix("q0")
    assert starts.range("q1")[0] == t.ready_key("q1", 0, 7)


def test_the_row_of_a_queue_is_written_once_an_entry():
    state = LoneState(store := CountingStore())
    send(state, *(job() for _ in range(20)))
    before = store.queue_rows_written
    claims = [envelope_bytes(QueueClaim("q", 1, 30_000, "w")) for _ in range(20)]
    state.propose_together(claims)
    assert store.queue_rows_written == before + 1


@pytest.mark.parametrize("count", [1, 7])
def test_a_queue_that_fills_and_empties_within_an_entry_leaves_no_row(count):
    state = CheckedState()
    ids = send(state, *(job() for _ in range(count)))
    taken = claim(state, count)
    state.propose_together(
        [envelope_bytes(QueueEnqueue("q", (job(),)))]
        + [envelope_bytes(QueueAck("q", one.job, one.token, ())) for one in taken]
    )
    (left,) = claim(state)
    assert left.job not in ids
    state.do(QueueAck("q", left.job, left.token, ()))
    assert state.store.get(t.queue_key("q")) is None


def test_what_became_of_jobs_is_counted_for_a_bounded_number_of_queues():
    tally = QueueTally()
    for number in range(QUEUES_MEASURED_MAX + 2):
        tally.note(f"q{number}", JobMove.ACKED)
    tally.note("q0", JobMove.ACKED)
    counts = tally.counts
    assert len(counts) == QUEUES_MEASURED_MAX + 1
    assert counts["q0", "acked"] == 2
    assert counts[OTHER_QUEUES, "acked"] == 2


def test_a_claim_that_runs_out_counts_as_returned_and_the_last_as_a_dead_letter():
    state = CheckedState()
    state.do(QueueEnqueue("q", (NewJob(body=encode_value(1), attempts_max=1),)))
    claim(state)
    state.advance(30_000)
    state.tick()
    moves = {move: count for (_, move), count in state.machine.job_moves().items()}
    assert moves == {"enqueued": 1, "claimed": 1, "returned": 1, "dead_lettered": 1}
