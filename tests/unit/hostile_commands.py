"""Commands of every kind that the gate has to refuse."""

from __future__ import annotations

from typing import Any

from command_drawer import ACTION_IDS, NS

from replicante.ids import Stamp
from replicante.limits import (
    CLAIM_JOBS_MAX,
    FINALISERS_MAX,
    JOB_REASON_BYTES_MAX,
    LABELS_MAX,
    RECORD_CHANGES_MAX,
    REQUEST_BYTES_MAX,
    VALUE_BYTES_MAX,
)
from replicante.model.action_requests import ActionOn
from replicante.model.change import ChangeCode, RecordKind
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
from replicante.state.envelope import Envelope
from replicante.state.expect import Expect
from replicante.state.fences import Fence, FenceOn
from replicante.state.lease_commands import (
    LeaseAcquire,
    LeaseForceRelease,
    LeaseRelease,
    LeaseRenew,
)
from replicante.state.object_commands import DeleteObject, PutObject
from replicante.state.quarantine_commands import NoteQuarantine
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
    RecordChange,
    RecordCycle,
    RequestWork,
)


def hostile_commands(*, queue: str = "q", job: int = 5, token: int = 7) -> list[Command]:
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
        SetFeatureLevel(2),
        SetFeatureLevel(-1),
        SetEventRetention(-1, 0, 0),
        NoteQuarantine("", "i", 1),
        NoteQuarantine("p", lone, 1),
        NoteQuarantine("p", "i", 0),
        NoteQuarantine("p", "i", 1, (("b", "d"), ("a", "d"))),
        NoteQuarantine("p", "i", 1, (("a", ""),)),
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
        *_of_portions(queue, job),
        *_of_batches(queue, job, token),
        *_of_records(fence),
        *_of_sizes(queue),
    ]


def _of_portions(queue: str, job: int) -> list[Command]:
    return [
        QueueRedrive(queue, 0),
        QueueRedrive(queue, 0, (job, job)),
        QueueRedrive(queue, 0, (-1,)),
        QueueRedrive(queue, 0, (job,), job),
        QueueRedrive(queue, 1, (), 1 << 64),
        QueuePurge(queue, 1, True, "\ud800"),
        QueuePurge(queue, 1, True, "why", 0),
    ]


def _of_batches(queue: str, job: int, token: int) -> list[Command]:
    return [
        Batch(()),
        Batch((KvDelete(b"k"),) * 1_001),
        Batch((QueueAck(queue, job, token, (KvDelete(b"k"),)),)),
        Batch((QueueNack(queue, job, 0),)),
        Batch((KvDelete(b"k"), LeaseRenew("l", 5, 1))),
    ]


def _of_records(fence: Fence) -> list[Command]:
    code, empty = ChangeCode.NODE_SYNC_NEW, encode_value({})
    outside = RecordChange(RecordKind.NODE, (NS, "s", "n1"), None, empty, code)
    inside = RecordChange(RecordKind.NODE, (NS, "r", "n1"), None, empty, code)
    return [
        RecordCycle(fence, (outside,)),
        RecordCycle(fence, (inside,) * (RECORD_CHANGES_MAX + 1)),
        # The names fit as the key of an object, and not with the stamp of an index.
        DropRecords("\x00" * 128, "\x00" * 128),
        CreateAction(ActionOn.NODE, ("\x00" * 128,) * 3, empty, True),
    ]


def _of_sizes(queue: str) -> list[Command]:
    one, empty = encode_value(1), encode_value({})
    large = encode_value("x" * VALUE_BYTES_MAX)
    many = tuple(f"{number:03}" for number in range(FINALISERS_MAX + LABELS_MAX + 1))
    labels = tuple((name, "v") for name in many)

    def declared(**fields: Any) -> PutObject:
        return PutObject(ObjectKind.NAMESPACE, (NS,), empty, **fields)

    return [
        KvPut(b"k", large),
        KvTxn((Compare(b"k", CompareKind.REVISION_LESS),), ()),
        KvTxn((Compare(b"k", CompareKind.ABSENT, 1),), ()),
        declared(finalisers=many),
        declared(finalisers=("b", "a")),
        declared(finalisers=("",)),
        declared(labels=labels),
        declared(labels=(("b", "v"), ("a", "v"))),
        declared(labels=(("\x00", "v"),)),
        QueueEnqueue(queue, (NewJob(body=large, attempts_max=1),)),
        QueueNack(queue, 1, 1, 0, "x" * (JOB_REASON_BYTES_MAX + 1)),
        PutConsumer("c", 1, Expect(1 << 63)),
        QueueClaim(queue, CLAIM_JOBS_MAX + 1, 3_000, "w"),
        LeaseAcquire("l", 5_000, one),
    ]


def hostile_envelopes() -> list[Envelope]:
    """What is around the command breaks a rule, or its size does."""
    fine = KvDelete(b"k")
    large = KvPut(b"k", encode_value("x" * (REQUEST_BYTES_MAX - 20)))
    return [
        Envelope(request_id="", command=Batch((large, large))),
        Envelope(request_id="r" * 1_000, command=fine),
        Envelope(request_id="", command=fine, actor="\ud800"),
        Envelope(request_id="", command=fine, idempotency_key=""),
        Envelope(request_id="", command=fine, first_attempt_ms=1),
        Envelope(request_id="", command=fine, idempotency_key="k", first_attempt_ms=-1),
    ]
