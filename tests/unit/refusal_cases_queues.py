"""The cases of `refusal_cases` that need a queue; for test_state_refusals.py."""

from __future__ import annotations

from unittest import mock

from refusal_cases import ONE, case

from replicante.model.objects import ObjectKind
from replicante.state import apply_queue
from replicante.state.object_commands import DeleteObject
from replicante.state.outcome import RejectCode
from replicante.state.queue_commands import (
    NewJob,
    QueueAck,
    QueueClaim,
    QueueEnqueue,
    QueueNack,
    QueueRedrive,
)
from replicante.testing.builders import (
    CheckedState,
    put_namespace,
)


def claimed(state: CheckedState) -> tuple[int, int]:
    """(job, token)"""
    state.do(QueueEnqueue("q", (NewJob(body=ONE, attempts_max=3),)))
    (found,) = state.do(QueueClaim("q", 1, 5_000, "w")).jobs
    return found.job, found.token


@case(RejectCode.BATCH_TOO_LARGE)
def giving_back_behind_as_much_as_a_batch_may(state):
    """Without what stands before it in the batch, which is done."""
    state.do(QueueEnqueue("q", (NewJob(body=ONE, attempts_max=3),)))
    (claimed,) = state.do(QueueClaim("q", 1, 30_000, "w")).jobs
    with mock.patch.object(apply_queue, "CLAIM_BYTES_MAX", 0):
        return state.do(QueueNack("q", claimed.job, claimed.token))


@case(RejectCode.STALE_TOKEN)
def claim_under_a_lease_that_nobody_holds(state):
    return state.do(QueueClaim("q", 1, 5_000, "w", 7))


@case(RejectCode.STALE_TOKEN)
def acknowledgement_of_no_job(state):
    return state.do(QueueAck("q", 7, 7))


@case(RejectCode.BEING_DELETED)
def acknowledgement_that_declares_what_it_deletes(state):
    job, token = claimed(state)
    declare, delete = put_namespace("n"), DeleteObject(ObjectKind.NAMESPACE, ("n",))
    return state.do(QueueAck("q", job, token, (declare, delete, declare)))


@case(RejectCode.STALE_TOKEN)
def rejection_with_the_token_of_another_claim(state):
    job, token = claimed(state)
    return state.do(QueueNack("q", job, token + 1))


@case(RejectCode.NOT_FOUND)
def redrive_of_a_job_that_is_not_dead(state):
    job, _ = claimed(state)
    return state.do(QueueRedrive("q", 0, (job,)))
