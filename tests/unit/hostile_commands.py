"""Commands of every kind that the gate has to refuse."""

from __future__ import annotations

from command_drawer import ACTION_IDS, NS

from replicante.ids import Stamp
from replicante.model.action_requests import ActionOn
from replicante.model.codec import encode_value
from replicante.model.objects import ObjectKind
from replicante.state.action_commands import ActionVerb, CreateAction, MoveAction
from replicante.state.commands import (
    Batch,
    Command,
    KvDelete,
    KvPut,
    KvTxn,
    SetEventRetention,
    SetFeatureLevel,
)
from replicante.state.comparisons import Compare, CompareKind
from replicante.state.consumer_commands import DeleteConsumer, PutConsumer
from replicante.state.expect import Expect
from replicante.state.fences import Fence, FenceOn
from replicante.state.lease_commands import (
    LeaseAcquire,
    LeaseForceRelease,
    LeaseRelease,
    LeaseRenew,
)
from replicante.state.object_commands import DeleteObject, PutObject
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
    QueueResume,
)
from replicante.state.record_commands import (
    ConfirmDiscovery,
    DropRecords,
    RecordCycle,
    RequestWork,
)


def hostile_commands(*, queue: str, job: int, token: int) -> list[Command]:
    """Each breaks one rule of admission; of every kind of command that has fields to break."""
    one, beyond, lone, long = encode_value(1), 1 << 63, "\ud800", "n" * 129
    names = (NS, "r", ACTION_IDS[0])
    fence = Fence(FenceOn.CLUSTER, NS, "r", token)
    new = NewJob(body=one, attempts_max=1)
    return [
        KvPut(b"\xff", one),
        KvPut(b"k", b"\xcc\x01"),
        KvPut(b"k", one, Expect.at(Stamp(beyond))),
        KvPut(b"k", one, None, -1),
        KvDelete(b""),
        KvTxn((), (), ()),
        KvTxn((Compare(b"k", CompareKind.VALUE_EQUALS, 1),), ()),
        KvTxn((), (KvPut(b"k", one, Expect.absent()),)),
        DeleteObject(ObjectKind.NAMESPACE, (NS, NS)),
        DeleteObject(ObjectKind.CLUSTER_SPEC, (NS, lone)),
        PutObject(ObjectKind.NAMESPACE, (NS,), b"\x81"),
        Batch(()),
        Batch((KvDelete(b"k"),) * 1_001),
        SetFeatureLevel(2),
        SetFeatureLevel(-1),
        SetEventRetention(-1, 0, 0),
        LeaseAcquire("l", 999, encode_value({})),
        LeaseAcquire("l", 5_000, one),
        LeaseRenew("l", 0),
        LeaseRelease("l", beyond),
        LeaseForceRelease("l", ""),
        PutConsumer("", 0),
        PutConsumer("c", -1),
        DeleteConsumer(long),
        CreateAction(ActionOn.NODE, names, one, True),
        MoveAction(ActionOn.NODE, names, ActionVerb.CANCEL),
        RecordCycle(Fence(FenceOn.CLUSTER, NS, "r", 0), ()),
        RecordCycle(fence, (), (("s", encode_value({})),)),
        RecordCycle(fence, (), answers=-1),
        DropRecords(NS, ""),
        RequestWork(FenceOn.CLUSTER, lone, "r"),
        ConfirmDiscovery(NS, "r", ()),
        QueueEnqueue(queue, ()),
        QueueEnqueue(queue, (NewJob(body=b"", attempts_max=1),)),
        QueueEnqueue(queue, (NewJob(body=one, attempts_max=0),)),
        QueueEnqueue(queue, (NewJob(body=one, priority=-(1 << 40), attempts_max=1),)),
        QueueEnqueue("\x00" * 128, (NewJob(body=one, group="\x00" * 128, attempts_max=1),)),
        QueueClaim(queue, 0, 3_000, "w"),
        QueueClaim(queue, 1, 3_000, lone),
        QueueClaim(queue, 1, 3_000, "w", -5),
        QueueAck(queue, -job, token),
        QueueAck(queue, job, 0),
        QueueAck(queue, job, token, (KvDelete(b"k", Expect.present()),)),
        QueueAck(queue, job, token, (QueueEnqueue(queue, (new, new)),)),
        QueueNack(queue, job, token, -1),
        QueueNack(queue, 0, token),
        QueueExtend(queue, job, beyond),
        QueueExtend(queue, job, token, 0),
        QueuePause(queue, ""),
        QueueResume(""),
        QueueRedrive(queue, 0),
        QueueRedrive(queue, 0, (job, job)),
        QueueRedrive(queue, 0, (-1,)),
        QueuePurge(queue, 1, True, lone),
    ]
