"""What of a queue command is refused before it is proposed, and how its bytes look for ever."""

from __future__ import annotations

import pytest

from replicante.errors import BodyTooLarge, FatalError, Invalid
from replicante.limits import CLAIM_BYTES_MAX, JOB_BODY_BYTES_MAX, JOB_REASON_BYTES_MAX
from replicante.model.codec import encode_value
from replicante.state import apply_queue, queue_queries
from replicante.state.command_bytes import unpack_command
from replicante.state.commands import Batch, KvPut
from replicante.state.expect import Expect
from replicante.state.queue_commands import (
    NewJob,
    QueueAck,
    QueueClaim,
    QueueEnqueue,
    QueueExtend,
    QueueNack,
    QueuePause,
    QueuePurge,
    QueueRedrive,
)
from replicante.state.queue_tables import job_row
from replicante.testing.builders import CheckedState, envelope_bytes, kv_put

S30 = 30_000


def job(body=1, *, attempts_max=3, **fields) -> NewJob:
    return NewJob(body=encode_value(body), attempts_max=attempts_max, **fields)


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (QueueEnqueue("", (job(),)), "queue"),
        (QueueEnqueue("q", ()), "jobs"),
        (QueueEnqueue("q" * 129, (job(),)), "queue"),
        (QueueEnqueue("q", (job(priority=101),)), "priority"),
        (QueueEnqueue("q", (job(), job(delay_ms=1 << 50))), "[1].delay"),
        (QueueEnqueue("q", (job(attempts_max=0),)), "max_attempts"),
        (QueueEnqueue("q", (job(group=""),)), "group"),
        (QueueEnqueue("\0" * 128, (job(dedup="\0" * 128),)), "dedup"),
        (QueueEnqueue("q", (NewJob(body=b"\xc1", attempts_max=1),)), "body"),
        (QueueClaim("q", 0, S30, "w"), "max"),
        (QueueClaim("q", 101, S30, "w"), "max"),
        (QueueClaim("q", 1, 10, "w"), "visibility_timeout"),
        (QueueClaim("q", 1, S30, "w" * 200), "worker"),
        (QueueClaim("q", 1, S30, "w", 0), "lease"),
        (QueueNack("q", 1, 1, -1), "delay"),
        (QueueNack("q", 1, 1, 0, "r" * 2_000), "reason"),
        (QueueExtend("q", 1, 1, 1), "visibility_timeout"),
        (QueuePause("q", ""), "reason"),
        (QueueRedrive("q", 0), "count"),
        (QueueRedrive("q", 0, (5, 5)), "ids"),
        (QueuePurge("q", 1_001, False, "r"), "count"),
        (QueuePurge("q", 1, False, ""), "reason"),
        (
            QueueAck("q", 1, 1, (KvPut(b"k", encode_value(1), Expect.absent()),)),
            "operations[0].if_match",
        ),
        (QueueAck("q", 1, 1, (kv_put("", 1),)), "operations[0].key"),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_its_path(command, path):
    with pytest.raises(Invalid) as refused:
        envelope_bytes(command)
    assert refused.value.path == path


def test_a_body_beyond_the_bound_is_refused():
    with pytest.raises(BodyTooLarge):
        envelope_bytes(QueueEnqueue("q", (job("x" * (JOB_BODY_BYTES_MAX + 1)),)))


@pytest.mark.parametrize(
    "packed",
    [
        [30, "q", [[b"\xc0", 0, 101, None, None, 1]]],
        [30, "q", [["text", 0, 0, None, None, 1]]],
        [30, "", [[b"\xc0", 0, 0, None, None, 1]]],
        [31, "q", 0, 1, "w", None],
        [31, "q", 1, 1, "w", 0],
        [32, "q", 1, 1, None],
        [32, "q", 1, 1, [[31, "q", 1, 1, "w", None]]],
        [32, "q", 1, 1, [[30, "q", []]]],
        [33, "q", 1, 1, -1, ""],
        [34, "q", 1, 0, None],
        [35, "q", None],
        [36],
        [37, "q", 1, [0]],
        [38, "q", 1, 1, "why"],
    ],
)
def test_bytes_that_admission_never_makes_stop_the_peer(packed):
    with pytest.raises(FatalError):
        unpack_command(packed)


def test_a_batch_enqueues_beside_other_operations():
    state = CheckedState()
    outcome = state.do(Batch((kv_put("k", 1), QueueEnqueue("q", (job(),)))))
    assert [one.is_created for one in outcome.outcomes] == [True, True]


def large(count, body_bytes):
    """Jobs whose stored bodies have this size, in as many commands as that takes."""
    body = "x" * (body_bytes - 5)
    return [QueueEnqueue("q", (job(body),)) for _ in range(count)]


def test_a_claim_ends_at_what_an_answer_holds_and_the_rest_stays_ready():
    state = CheckedState()
    fitting = CLAIM_BYTES_MAX // JOB_BODY_BYTES_MAX
    for command in large(2 * fitting + 1, JOB_BODY_BYTES_MAX):
        state.do(command)
    claims = [state.do(QueueClaim("q", 100, S30, "w")).jobs for _ in range(4)]
    assert [len(jobs) for jobs in claims] == [fitting, fitting, 1, 0]
    ids = [one.job for jobs in claims for one in jobs]
    assert ids == sorted(set(ids))


def test_one_job_is_claimed_whatever_its_size(monkeypatch):
    monkeypatch.setattr(apply_queue, "CLAIM_BYTES_MAX", 10)
    state = CheckedState()
    for command in large(2, 100):
        state.do(command)
    assert [len(state.do(QueueClaim("q", 100, S30, "w")).jobs) for _ in range(3)] == [1, 1, 0]


def dead(state):
    """All jobs of the queue are dead letters then."""
    while jobs := state.do(QueueClaim("q", 100, S30, "w")).jobs:
        for one in jobs:
            state.do(QueueNack("q", one.job, one.token))


@pytest.mark.parametrize("verb", ["redrive", "redrive ids", "purge"])
def test_what_is_moved_at_once_is_bounded_by_its_size(verb, monkeypatch):
    """A row is written anew with its body: hundreds of large ones would hold up every peer."""
    state = CheckedState()
    ids = []
    for _ in range(5):
        (added,) = state.do(QueueEnqueue("q", (job("x" * 95, attempts_max=1),))).jobs
        ids.append(added.job)
    if verb != "purge":
        dead(state)
    chosen = tuple(ids) if verb == "redrive ids" else ()
    # A purge counts whole rows, which it reads on its way.
    for bytes_max, expected in ((10, (1, 4)), (350 if verb == "purge" else 250, (2, 2))):
        monkeypatch.setattr(apply_queue, "CLAIM_BYTES_MAX", bytes_max)
        order = (
            QueuePurge("q", 100, False, "old")
            if verb == "purge"
            else QueueRedrive("q", 100, chosen)
        )
        moved = state.do(order)
        assert (moved.count, moved.left_count) == expected
        assert (moved.next is None) == (verb == "redrive ids")
        chosen = chosen[moved.count :]


def test_a_page_of_queues_ends_after_so_many_looks(monkeypatch):
    monkeypatch.setattr(queue_queries, "QUEUE_LOOKS_MAX", 6)
    state = CheckedState()
    for name in "abcd":
        state.do(QueueEnqueue(name, tuple(job(priority=n) for n in range(3))))
    page = queue_queries.queue_list(state.store, limit=100)
    assert ([it.name for it in page.items], page.next) == (["a", "b"], "b")
    page = queue_queries.queue_list(state.store, after="b", limit=100)
    assert ([it.name for it in page.items], page.next) == (["c", "d"], None)


def test_a_survey_of_queues_counts_all_and_says_how_many_ages_it_left_out(monkeypatch):
    monkeypatch.setattr(queue_queries, "QUEUE_LOOKS_MAX", 6)
    monkeypatch.setattr(queue_queries, "QUEUES_COUNTED_MAX", 2)
    state = CheckedState()
    for name in "abdefgh":
        state.do(QueueEnqueue(name, tuple(job(priority=n) for n in range(3))))
    state.do(QueueEnqueue("c", (job(delay_ms=S30),)))
    state.advance(1)
    survey = queue_queries.queue_survey(state.store, limit=5)
    assert [(it.name, it.row.waiting_count) for it in survey.items] == [
        ("a", 3),
        ("b", 3),
        ("c", 1),
        ("d", 3),
        ("e", 3),
    ]
    assert [it.oldest_ready_ms is None for it in survey.items] == [False, False, True, True, True]
    assert (survey.ages_left_out_count, survey.left_out_count) == (2, 2)
    assert queue_queries.queue_survey(state.store, limit=9).left_out_count == 0


def test_a_page_of_jobs_ends_after_so_many_rows_of_others(monkeypatch):
    monkeypatch.setattr(queue_queries, "JOBS_LOOKED_AT_MAX", 2)
    state = CheckedState()
    for _ in range(4):
        state.do(QueueEnqueue("q", (job(attempts_max=1),)))
    dead(state)
    state.do(QueueEnqueue("q", (job("last"),)))
    pages = [queue_queries.job_list(state.store, "q")]
    while pages[-1].next is not None:
        pages.append(queue_queries.job_list(state.store, "q", after=pages[-1].next))
    assert [len(page.items) for page in pages] == [0, 0, 1]


def test_a_page_of_dead_letters_counts_what_is_told_of_them(monkeypatch):
    monkeypatch.setattr(queue_queries, "PAGE_BYTES_MAX", 10_000)
    state = CheckedState()
    state.do(QueueEnqueue("q", tuple(job() for _ in range(10))))
    for _ in range(3):
        for one in state.do(QueueClaim("q", 100, S30, "w")).jobs:
            state.do(QueueNack("q", one.job, one.token, 0, "r" * JOB_REASON_BYTES_MAX))
    after, pages = 0, []
    while after is not None:
        page = queue_queries.job_list(state.store, "q", is_dead=True, after=after)
        pages.append(page.items)
        after = page.next
    assert [len(items) for items in pages] == [3, 3, 3, 1]
    assert all(sum(len(job_row(it.row)) for it in items) <= 10_000 for items in pages)
