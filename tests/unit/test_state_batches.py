"""What a batch may hold beside writes: leases and claims, each on its own."""

from __future__ import annotations

import pytest

from replicante.errors import FatalError, Invalid
from replicante.model.codec import encode_value
from replicante.state.command_bytes import Tag, pack_command, unpack_command
from replicante.state.commands import Batch, KvPut
from replicante.state.consumer_commands import DeleteConsumer, PutConsumer
from replicante.state.envelope import Envelope, admit
from replicante.state.expect import Expect
from replicante.state.lease_commands import LeaseAcquire, LeaseRelease, LeaseRenew
from replicante.state.outcome import Applied, RejectCode, Rejected
from replicante.state.queue_commands import (
    NewJob,
    QueueAck,
    QueueClaim,
    QueueEnqueue,
    QueueExtend,
    QueueNack,
)
from replicante.state.tables import kv_key
from replicante.testing.builders import CheckedState, kv_put

JOB = NewJob(body=encode_value(1), attempts_max=3)


@pytest.mark.parametrize("tag", [Tag.QUEUE_CLAIM, Tag.LEASE_FORCE_RELEASE, Tag.BATCH, Tag.KV_TXN])
def test_a_batch_holds_no_command_that_has_more_than_one_outcome_or_is_an_operators(tag):
    with pytest.raises(FatalError):
        unpack_command([int(Tag.BATCH), [[int(tag)]]])


def test_an_acknowledgement_in_a_batch_carries_nothing():
    ack = QueueAck("q", 5, 7, (kv_put("k", 1),))
    with pytest.raises(Invalid) as caught:
        admit(Envelope(request_id="", command=Batch((ack,))))
    assert caught.value.path == "operations[0].operations"
    with pytest.raises(FatalError):
        unpack_command(pack_command(Batch((ack,))))


def test_consumers_of_a_batch_move_beside_the_writes_that_they_allow():
    state = CheckedState()
    made = state.do(Batch((kv_put("a", 1), PutConsumer("c"), PutConsumer("c", 1 << 40))))
    assert [one.is_created for one in made.outcomes] == [True, True, False]
    again = Batch((PutConsumer("c", None, Expect.absent()), kv_put("b", 1), DeleteConsumer("no")))
    refused, done, missing = state.do(again).outcomes
    assert (refused.code, missing.code) == (RejectCode.REVISION_MISMATCH, RejectCode.NOT_FOUND)
    assert isinstance(done, Applied)
    gone = state.do(Batch((DeleteConsumer("c"), DeleteConsumer("c"))))
    assert [type(one) for one in gone.outcomes] == [Applied, Rejected]


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (PutConsumer(""), "operations[0].name"),
        (DeleteConsumer("c" * 129), "operations[0].name"),
    ],
)
def test_a_consumer_of_a_batch_is_refused_by_its_path(command, path):
    with pytest.raises(Invalid) as caught:
        admit(Envelope(request_id="", command=Batch((command,))))
    assert caught.value.path == path


def test_acknowledgements_of_a_batch_stand_alone_and_see_each_other():
    state = CheckedState()
    state.do(QueueEnqueue("q", (JOB, JOB, JOB)))
    one, two, three = state.do(QueueClaim("q", 3, 30_000, "w")).jobs
    done = state.do(
        Batch(
            (
                QueueAck("q", one.job, one.token),
                QueueAck("q", one.job, one.token),
                QueueNack("q", two.job, two.token),
                QueueExtend("q", three.job, three.token, 60_000),
            )
        )
    ).outcomes
    assert [type(it) for it in done] == [Applied, Rejected, Applied, Applied]
    assert done[1].code is RejectCode.STALE_TOKEN
    assert [it.job for it in state.do(QueueClaim("q", 3, 30_000, "w")).jobs] == [two.job]


def test_a_batch_takes_renews_and_gives_back_leases():
    state = CheckedState()
    owner = encode_value({})
    taken, held = state.do(
        Batch((LeaseAcquire("l", 5_000, owner), LeaseAcquire("l", 5_000, owner)))
    ).outcomes
    assert held.code is RejectCode.LEASE_HELD
    renewed, bound, released, late = state.do(
        Batch(
            (
                LeaseRenew("l", taken.revision),
                KvPut(b"k", owner, None, taken.revision),
                LeaseRelease("l", taken.revision),
                LeaseRenew("l", taken.revision),
            )
        )
    ).outcomes
    assert [type(it) for it in (renewed, bound, released)] == [Applied] * 3
    assert late.code is RejectCode.STALE_TOKEN
    assert state.store.get(kv_key(b"k")) is None, "it went with the lease"
