"""Everything that can change the replicated state, as values. Pure.

Built by `api` and workers, admitted by `envelope`, carried out by `machine` on every peer; their
bytes are in `command_bytes`. Kinds that have a file of their own (`*_commands.py`) bring their
structs here.
"""

from __future__ import annotations

from typing import Final

import msgspec

from replicante.limits import RECORDS_DROPPED_MAX
from replicante.model.objects import ObjectKind
from replicante.state.action_commands import ActionCommand
from replicante.state.comparisons import Compare
from replicante.state.consumer_commands import ConsumerCommand
from replicante.state.expect import Expect
from replicante.state.lease_commands import (
    LeaseAcquire,
    LeaseCommand,
    LeaseRelease,
    LeaseRenew,
)
from replicante.state.object_commands import DeleteObject, PutObject
from replicante.state.quarantine_commands import NoteQuarantine
from replicante.state.queue_commands import (
    QueueAck,
    QueueClaim,
    QueueCommand,
    QueueEnqueue,
    QueueExtend,
    QueueNack,
    QueueRedrive,
)
from replicante.state.record_commands import (
    DropRecords,
    RecordCommand,
    RecordCycle,
)


class KvPut(msgspec.Struct, frozen=True):
    """Writes one record; always a new revision, also when the value is the same."""

    key: bytes
    """1 to KV_KEY_BYTES_MAX bytes of valid UTF-8."""
    value: bytes
    """Canonical bytes of `model.codec.encode_value`, at most VALUE_BYTES_MAX."""
    expect: Expect | None = None
    lease: int | None = None
    """Token of a lease that is held: the record vanishes when that grant ends. A put without it
    makes the record stay."""


class KvDelete(msgspec.Struct, frozen=True):
    """Removes one record; Rejected not_found when there is none."""

    key: bytes
    expect: Expect | None = None


class SetFeatureLevel(msgspec.Struct, frozen=True):
    """Raises the feature level of all peers. Proposed only after every voter and learner said
    that it supports the level: a peer that does not stops."""

    level: int


class SetEventRetention(msgspec.Struct, frozen=True):
    """How much of the event log is kept; the oldest events beyond any bound are removed, a
    bounded number with each entry."""

    count_max: int
    bytes_max: int
    age_ms_max: int
    """By the cluster clock, which stands still while no leader serves."""


Operation = KvPut | KvDelete | PutObject | DeleteObject | QueueEnqueue
"""What an acknowledgement may hold; a QueueEnqueue of one job."""
BatchedCommand = (
    Operation
    | LeaseAcquire
    | LeaseRenew
    | LeaseRelease
    | QueueAck
    | QueueNack
    | QueueExtend
    | ConsumerCommand
)
"""What a batch may hold: whatever has one outcome. A QueueAck holds nothing there."""


class KvGet(msgspec.Struct, frozen=True):
    """Reads one record within a transaction, after the operations before it."""

    key: bytes


TxnOperation = KvPut | KvDelete | KvGet
"""None of them has an `expect`: a transaction compares."""


class KvTxn(msgspec.Struct, frozen=True):
    """Carries out `then` when every comparison holds, else `otherwise`: all of one or nothing. To
    delete what is not there is no failure here."""

    compares: tuple[Compare, ...]
    then: tuple[TxnOperation, ...]
    otherwise: tuple[TxnOperation, ...] = ()
    """Together with compares and then 1 to REQUEST_OPERATIONS_MAX."""


class Batch(msgspec.Struct, frozen=True):
    """Operations applied in order in one entry; each stands alone and has its own outcome."""

    operations: tuple[BatchedCommand, ...]
    """1 to REQUEST_OPERATIONS_MAX."""


Command = (
    Operation
    | Batch
    | KvTxn
    | LeaseCommand
    | ConsumerCommand
    | QueueCommand
    | ActionCommand
    | RecordCommand
    | SetFeatureLevel
    | SetEventRetention
    | NoteQuarantine
)

STAMPS_PER_OPERATION_MAX: Final = 4
"""A deletion that completes at once: two writes (Deleting, gone) and their two events. So is a put
over a record whose lease ended, and a grant of a lease that ran out."""
STAMPS_OF_LAST_CHILD: Final = 2
"""What an object that goes may take along: the namespace that is Deleting and had nothing else."""
STAMPS_PER_JOB: Final = 2
"""Its id or the token of its claim, and the event."""


def stamps_max(command: Command) -> int:
    """How many ordinals of its entry the command can use at most."""
    if isinstance(command, Batch):
        return sum(map(stamps_max, command.operations))
    if isinstance(command, KvTxn):
        return STAMPS_PER_OPERATION_MAX * max(len(command.then), len(command.otherwise))
    if isinstance(command, RecordCycle):
        return 2 * (len(command.changes) + len(command.specs))
    if isinstance(command, DropRecords):
        return 2 * RECORDS_DROPPED_MAX + STAMPS_PER_OPERATION_MAX
    if isinstance(command, DeleteObject) and command.kind is not ObjectKind.NAMESPACE:
        return STAMPS_PER_OPERATION_MAX + STAMPS_OF_LAST_CHILD
    if isinstance(command, QueueEnqueue):
        return STAMPS_PER_JOB * len(command.jobs)
    if isinstance(command, QueueClaim):
        return STAMPS_PER_JOB * command.count
    if isinstance(command, QueueRedrive):
        return max(command.count, len(command.jobs))
    if isinstance(command, QueueAck):
        return STAMPS_PER_JOB + sum(map(stamps_max, command.operations))
    return STAMPS_PER_OPERATION_MAX
