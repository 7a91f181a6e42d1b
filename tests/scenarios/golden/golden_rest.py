"""The golden history of what the others leave out: refusals that need much, and effects of an
acknowledgement on objects."""

from __future__ import annotations

from collections.abc import Iterator

from golden_entries import Entry, birth, entry

from replicante.ids import make_stamp
from replicante.limits import CONSUMERS_MAX, TXN_ANSWER_BYTES_MAX
from replicante.model.action_requests import ActionOn
from replicante.model.codec import encode_value
from replicante.model.objects import ObjectKind
from replicante.state.action_commands import CreateAction
from replicante.state.commands import Batch, BatchedCommand, DeleteObject, KvGet, KvTxn
from replicante.state.consumer_commands import DeleteConsumer, PutConsumer
from replicante.state.expect import Expect
from replicante.state.fences import FenceOn
from replicante.state.queue_commands import NewJob, QueueAck, QueueClaim, QueueEnqueue
from replicante.state.record_commands import RequestWork
from replicante.testing.builders import (
    cluster_document,
    envelope_bytes,
    kv_delete,
    kv_put,
    put_namespace,
    put_object,
)


def batched_consumers() -> Iterator[Entry]:
    """Consumers within a batch: made, moved beside the write that they allow, refused, deleted."""

    def act(index: int, *commands: BatchedCommand) -> Entry:
        return entry(index, envelope_bytes(Batch(commands)))

    yield from birth()
    yield act(3, kv_put("a", 1), PutConsumer("c"), PutConsumer("c", make_stamp(3, 1)))
    yield act(
        4,
        kv_put("seen", 1),
        PutConsumer("c", make_stamp(3, 1)),
        PutConsumer("c", None, Expect.absent()),
        DeleteConsumer("none"),
        PutConsumer("d", 0),
    )
    yield act(5, DeleteConsumer("c", Expect.at(1)), DeleteConsumer("c"), DeleteConsumer("c"))


_ID = "00000000-0000-8000-8000-000000000000"


def rest() -> Iterator[Entry]:
    """Work that is asked for; an action under an id that is taken; a transaction that reads too
    much; one consumer too many; an acknowledgement that deletes a key and makes an object."""

    def act(index: int, *commands: object) -> Entry:
        return entry(index, *map(envelope_bytes, commands))

    def create(kind: str) -> CreateAction:
        body = {"kind": kind, "args": None, "metadata": {}, "requester": "CORE_API"}
        return CreateAction(ActionOn.CLUSTER, ("a", "r", _ID), encode_value(body), is_approved=True)

    yield from birth()
    yield act(3, put_namespace("a"), put_object(cluster_document("r", ns="a")))
    yield act(
        4,
        RequestWork(FenceOn.CLUSTER, "a", "r"),
        RequestWork(FenceOn.CLUSTER, "a", "r"),
        RequestWork(FenceOn.PLATFORM, "a", "none"),
    )
    yield act(5, create("a/b"), create("a/b"), create("a/c"))
    large = "x" * (TXN_ANSWER_BYTES_MAX // 100)
    yield act(6, kv_put("large", large), KvTxn((), (KvGet(b"large"),) * 2))
    yield act(7, KvTxn((), (KvGet(b"large"),) * 101))
    yield act(8, *(PutConsumer(f"c{number}") for number in range(CONSUMERS_MAX + 1)))
    yield act(9, QueueEnqueue("q", (NewJob(body=encode_value(1), attempts_max=2),)))
    yield act(10, QueueClaim("q", 1, 30_000, "w"))
    effects = (
        kv_delete("large"),
        put_namespace("b"),
        DeleteObject(ObjectKind.NAMESPACE, ("b",)),
        kv_put("done", 1),
    )
    yield act(11, QueueAck("q", make_stamp(9, 0), make_stamp(10, 0), effects))
