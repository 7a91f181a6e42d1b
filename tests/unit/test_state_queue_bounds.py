"""What of a queue command is refused before it is proposed, and how its bytes look for ever."""

from __future__ import annotations

import pytest

from replicante.errors import BodyTooLarge, FatalError, Invalid
from replicante.limits import JOB_BODY_BYTES_MAX
from replicante.model.codec import encode_value
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
