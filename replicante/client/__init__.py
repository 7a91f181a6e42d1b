"""The SDK: async first, a thin sync skin in `sync`; imports only `wire` and the leaves.

    async with Client(["http://127.0.0.1:16016", "http://127.0.0.1:16017"]) as client:
        item = await client.kv.put("greeting", "hello")
        async for event in client.events.follow(after=item.revision):
            ...

Errors are those of `replicante.errors`.
"""

from __future__ import annotations

from replicante.client.call import Call, Reply
from replicante.client.client import DEFAULT_ENDPOINTS, Client
from replicante.client.elections import Election, Leader
from replicante.client.locks import Lock
from replicante.client.notes import Note, NoteKind
from replicante.client.options import (
    ALL_EVENTS,
    DEFAULT_WRITE,
    LINEARIZABLE,
    STALE,
    EventFilter,
    Read,
    Write,
)
from replicante.client.worker import Job, Worker
from replicante.wire.batch import (
    BatchAck,
    BatchConsumerDelete,
    BatchConsumerPut,
    BatchEnqueue,
    BatchExtend,
    BatchKvDelete,
    BatchKvPut,
    BatchLeaseAcquire,
    BatchLeaseRelease,
    BatchLeaseRenew,
    BatchNack,
    BatchObjectApply,
    BatchObjectDelete,
)
from replicante.wire.headers import Consistency
from replicante.wire.queues import JobBody
from replicante.wire.txn import (
    TxnAbsent,
    TxnDelete,
    TxnGet,
    TxnPresent,
    TxnPut,
    TxnRevisionEquals,
    TxnRevisionGreater,
    TxnRevisionLess,
    TxnValueEquals,
)

__all__ = [
    "ALL_EVENTS",
    "DEFAULT_ENDPOINTS",
    "DEFAULT_WRITE",
    "LINEARIZABLE",
    "STALE",
    "BatchAck",
    "BatchConsumerDelete",
    "BatchConsumerPut",
    "BatchEnqueue",
    "BatchExtend",
    "BatchKvDelete",
    "BatchKvPut",
    "BatchLeaseAcquire",
    "BatchLeaseRelease",
    "BatchLeaseRenew",
    "BatchNack",
    "BatchObjectApply",
    "BatchObjectDelete",
    "Call",
    "Client",
    "Consistency",
    "Election",
    "EventFilter",
    "Job",
    "JobBody",
    "Leader",
    "Lock",
    "Note",
    "NoteKind",
    "Read",
    "Reply",
    "TxnAbsent",
    "TxnDelete",
    "TxnGet",
    "TxnPresent",
    "TxnPut",
    "TxnRevisionEquals",
    "TxnRevisionGreater",
    "TxnRevisionLess",
    "TxnValueEquals",
    "Worker",
    "Write",
]
