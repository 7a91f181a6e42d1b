"""The bytes of commands: tags, arrays, and apply's own decoder. Pure.

Called by `envelope`, which packs on the peer that was asked and unpacks on every peer.

A command on the wire is a msgpack array [tag, field, …] in the order of the struct's fields.
Rules: a tag is never reused; fields are only ever added at the end, with a default, and only
under a new feature level. Whatever an older peer cannot read stops it loudly.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Final

from replicante.errors import FatalError
from replicante.limits import KV_KEY_BYTES_MAX
from replicante.state import (
    action_commands,
    consumer_commands,
    lease_commands,
    object_commands,
    quarantine_commands,
    queue_commands,
    record_commands,
)
from replicante.state.action_commands import CreateAction, MoveAction
from replicante.state.commands import (
    Batch,
    BatchedCommand,
    Command,
    KvDelete,
    KvGet,
    KvPut,
    KvTxn,
    Operation,
    SetEventRetention,
    SetFeatureLevel,
    TxnOperation,
)
from replicante.state.comparisons import Compare, pack_compare, unpack_compare
from replicante.state.consumer_commands import DeleteConsumer, PutConsumer
from replicante.state.expect import pack_expect, unpack_expect
from replicante.state.lease_commands import (
    LeaseAcquire,
    LeaseForceRelease,
    LeaseRelease,
    LeaseRenew,
)
from replicante.state.object_commands import DeleteObject, PutObject
from replicante.state.quarantine_commands import NoteQuarantine
from replicante.state.queue_commands import (
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


class Tag(enum.IntEnum):
    """First element of a packed command. Stored in logs: never reused, never renumbered."""

    KV_PUT = 1
    KV_DELETE = 2
    PUT_OBJECT = 3
    DELETE_OBJECT = 4
    BATCH = 5
    SET_FEATURE_LEVEL = 6
    SET_EVENT_RETENTION = 7
    KV_TXN = 8
    KV_GET = 9
    """Only inside KV_TXN."""
    LEASE_ACQUIRE = 10
    LEASE_RENEW = 11
    LEASE_RELEASE = 12
    LEASE_FORCE_RELEASE = 13
    PUT_CONSUMER = 20
    DELETE_CONSUMER = 21
    CREATE_ACTION = 40
    MOVE_ACTION = 41
    RECORD_CYCLE = 42
    DROP_RECORDS = 43
    QUEUE_ENQUEUE = 30
    QUEUE_CLAIM = 31
    QUEUE_ACK = 32
    QUEUE_NACK = 33
    QUEUE_EXTEND = 34
    QUEUE_PAUSE = 35
    QUEUE_RESUME = 36
    QUEUE_REDRIVE = 37
    QUEUE_PURGE = 38
    REQUEST_WORK = 44
    CONFIRM_DISCOVERY = 45
    NOTE_QUARANTINE = 50


def pack_command(command: Command) -> list[Any]:
    """The array of plain values that stands for the command in an envelope."""
    match command:
        case KvPut(key, value, expect, lease):
            packed_put = [int(Tag.KV_PUT), key, value, pack_expect(expect)]
            return packed_put if lease is None else [*packed_put, lease]
        case KvDelete(key, expect):
            return [int(Tag.KV_DELETE), key, pack_expect(expect)]
        case PutObject():
            return [int(Tag.PUT_OBJECT), *object_commands.pack_object_fields(command)]
        case DeleteObject():
            return [int(Tag.DELETE_OBJECT), *object_commands.pack_object_fields(command)]
        case Batch(operations):
            return [int(Tag.BATCH), [pack_command(operation) for operation in operations]]
        case SetFeatureLevel(level):
            return [int(Tag.SET_FEATURE_LEVEL), level]
        case SetEventRetention(count_max, bytes_max, age_ms_max):
            return [int(Tag.SET_EVENT_RETENTION), count_max, bytes_max, age_ms_max]
        case NoteQuarantine():
            fields = quarantine_commands.pack_note_fields(command)
            return [int(Tag.NOTE_QUARANTINE), *fields]
        case KvTxn(compares, then, otherwise):
            return [
                int(Tag.KV_TXN),
                [pack_compare(compare) for compare in compares],
                [_pack_txn_operation(operation) for operation in then],
                [_pack_txn_operation(operation) for operation in otherwise],
            ]
        case CreateAction() | MoveAction():
            tag = Tag.CREATE_ACTION if isinstance(command, CreateAction) else Tag.MOVE_ACTION
            return [int(tag), *action_commands.pack_action_fields(command)]
        case RecordCycle() | DropRecords() | RequestWork() | ConfirmDiscovery():
            tag = _RECORD_TAGS[type(command)]
            return [int(tag), *record_commands.pack_record_fields(command)]
        case PutConsumer() | DeleteConsumer():
            tag = Tag.PUT_CONSUMER if isinstance(command, PutConsumer) else Tag.DELETE_CONSUMER
            return [int(tag), *consumer_commands.pack_consumer_fields(command)]
        case LeaseAcquire() | LeaseRenew() | LeaseRelease() | LeaseForceRelease():
            tag = _LEASE_TAGS[type(command)]
            return [int(tag), *lease_commands.pack_lease_fields(command)]
        case _:
            tag = _QUEUE_TAGS[type(command)]
            carried = command.operations if isinstance(command, QueueAck) else ()
            packed_carried = [pack_command(operation) for operation in carried]
            fields = queue_commands.pack_queue_fields(command, operations=packed_carried)
            return [int(tag), *fields]


def unpack_command(packed: list[Any]) -> Command:
    """The command of an array; apply's own decoder.

    Raises FatalError for anything that `pack_command` never makes: an unknown tag, a wrong number
    or type of fields. This peer is then too old, or the bytes are broken; it must stop.
    """
    try:
        command = _UNPACKERS[packed[0]](packed)
    except (TypeError, ValueError, LookupError, AttributeError) as exc:
        raise FatalError(f"cannot read a command: {_shape(packed)}") from exc
    return command


def _unpack_kv_put(packed: list[Any]) -> KvPut:
    lease = None
    if len(packed) == 4:
        _, key, value, expect = packed
    else:
        _, key, value, expect, lease = packed
        if type(lease) is not int or lease <= 0:
            raise ValueError("a lease is named by its token")
    if type(value) is not bytes:
        raise TypeError("a value is bytes")
    _check_key(key)
    return KvPut(key, value, None if expect is None else unpack_expect(expect), lease)


def _unpack_kv_delete(packed: list[Any]) -> KvDelete:
    _, key, expect = packed
    _check_key(key)
    return KvDelete(key, unpack_expect(expect))


def _unpack_batch(packed: list[Any]) -> Batch:
    _, operations = packed
    return Batch(tuple([_unpack_batched(operation) for operation in operations]))


def _pack_txn_operation(operation: TxnOperation) -> list[Any]:
    if isinstance(operation, KvGet):
        return [int(Tag.KV_GET), operation.key]
    return pack_command(operation)


def _unpack_txn(packed: list[Any]) -> KvTxn:
    _, compares, then, otherwise = packed
    return KvTxn(
        tuple(_unpack_compare(compare) for compare in compares),
        tuple(_unpack_txn_operation(operation) for operation in then),
        tuple(_unpack_txn_operation(operation) for operation in otherwise),
    )


def _unpack_compare(packed: list[Any]) -> Compare:
    compare = unpack_compare(packed)
    _check_key(compare.key)
    return compare


def _unpack_txn_operation(packed: list[Any]) -> TxnOperation:
    if packed[0] == Tag.KV_GET:
        _, key = packed
        _check_key(key)
        return KvGet(key)
    if packed[0] == Tag.KV_PUT:
        return _unpack_kv_put(packed)
    if packed[0] != Tag.KV_DELETE:
        raise ValueError("a transaction holds puts, deletes and gets")
    return _unpack_kv_delete(packed)


def _unpack_batched(packed: list[Any]) -> BatchedCommand:
    if packed[0] not in _BATCHED_TAGS:
        return _unpack_operation(packed)
    command = unpack_command(packed)
    assert isinstance(command, BatchedCommand)
    if isinstance(command, QueueAck) and command.operations:
        raise ValueError("an acknowledgement in a batch holds nothing")
    return command


def _unpack_operation(packed: list[Any]) -> Operation:
    if packed[0] not in _OPERATION_TAGS:
        raise ValueError("only operations are carried")
    operation = unpack_command(packed)
    assert isinstance(operation, Operation)
    if isinstance(operation, QueueEnqueue) and len(operation.jobs) != 1:
        raise ValueError("an operation enqueues one job")
    return operation


def _unpack_queue_ack(packed: list[Any]) -> QueueAck:
    queue, job, token, operations = queue_commands.unpack_ack_fields(packed)
    return QueueAck(queue, job, token, tuple(_unpack_operation(one) for one in operations))


def _unpack_set_feature_level(packed: list[Any]) -> SetFeatureLevel:
    _, level = packed
    return SetFeatureLevel(_unpack_count(level))


def _unpack_set_event_retention(packed: list[Any]) -> SetEventRetention:
    _, count_max, bytes_max, age_ms_max = packed
    return SetEventRetention(
        _unpack_count(count_max), _unpack_count(bytes_max), _unpack_count(age_ms_max)
    )


_UNPACKERS: Final[dict[int, Callable[[list[Any]], Command]]] = {
    Tag.KV_PUT: _unpack_kv_put,
    Tag.KV_DELETE: _unpack_kv_delete,
    Tag.PUT_OBJECT: object_commands.unpack_put,
    Tag.DELETE_OBJECT: object_commands.unpack_delete,
    Tag.BATCH: _unpack_batch,
    Tag.SET_FEATURE_LEVEL: _unpack_set_feature_level,
    Tag.SET_EVENT_RETENTION: _unpack_set_event_retention,
    Tag.KV_TXN: _unpack_txn,
    Tag.LEASE_ACQUIRE: lease_commands.unpack_acquire,
    Tag.LEASE_RENEW: lease_commands.unpack_renew,
    Tag.LEASE_RELEASE: lease_commands.unpack_release,
    Tag.LEASE_FORCE_RELEASE: lease_commands.unpack_force_release,
    Tag.PUT_CONSUMER: consumer_commands.unpack_put,
    Tag.DELETE_CONSUMER: consumer_commands.unpack_delete,
    Tag.CREATE_ACTION: action_commands.unpack_create,
    Tag.MOVE_ACTION: action_commands.unpack_move,
    Tag.RECORD_CYCLE: record_commands.unpack_cycle,
    Tag.DROP_RECORDS: record_commands.unpack_drop,
    Tag.QUEUE_ENQUEUE: queue_commands.unpack_enqueue,
    Tag.QUEUE_CLAIM: queue_commands.unpack_claim,
    Tag.QUEUE_ACK: _unpack_queue_ack,
    Tag.QUEUE_NACK: queue_commands.unpack_nack,
    Tag.QUEUE_EXTEND: queue_commands.unpack_extend,
    Tag.QUEUE_PAUSE: queue_commands.unpack_pause,
    Tag.QUEUE_RESUME: queue_commands.unpack_resume,
    Tag.QUEUE_REDRIVE: queue_commands.unpack_redrive,
    Tag.QUEUE_PURGE: queue_commands.unpack_purge,
    Tag.REQUEST_WORK: record_commands.unpack_request,
    Tag.CONFIRM_DISCOVERY: record_commands.unpack_confirm,
    Tag.NOTE_QUARANTINE: quarantine_commands.unpack_note,
}
_QUEUE_TAGS: Final = {
    QueueEnqueue: Tag.QUEUE_ENQUEUE,
    QueueClaim: Tag.QUEUE_CLAIM,
    QueueAck: Tag.QUEUE_ACK,
    QueueNack: Tag.QUEUE_NACK,
    QueueExtend: Tag.QUEUE_EXTEND,
    QueuePause: Tag.QUEUE_PAUSE,
    QueueResume: Tag.QUEUE_RESUME,
    QueueRedrive: Tag.QUEUE_REDRIVE,
    QueuePurge: Tag.QUEUE_PURGE,
}
_RECORD_TAGS: Final = {
    RecordCycle: Tag.RECORD_CYCLE,
    DropRecords: Tag.DROP_RECORDS,
    RequestWork: Tag.REQUEST_WORK,
    ConfirmDiscovery: Tag.CONFIRM_DISCOVERY,
}
_LEASE_TAGS: Final = {
    LeaseAcquire: Tag.LEASE_ACQUIRE,
    LeaseRenew: Tag.LEASE_RENEW,
    LeaseRelease: Tag.LEASE_RELEASE,
    LeaseForceRelease: Tag.LEASE_FORCE_RELEASE,
}
_OPERATION_TAGS: Final = frozenset(
    (Tag.KV_PUT, Tag.KV_DELETE, Tag.PUT_OBJECT, Tag.DELETE_OBJECT, Tag.QUEUE_ENQUEUE)
)
_BATCHED_TAGS: Final = frozenset(
    (
        Tag.LEASE_ACQUIRE,
        Tag.LEASE_RENEW,
        Tag.LEASE_RELEASE,
        Tag.QUEUE_ACK,
        Tag.QUEUE_NACK,
        Tag.QUEUE_EXTEND,
        Tag.PUT_CONSUMER,
        Tag.DELETE_CONSUMER,
    )
)
"""Beside operations."""


def _check_key(key: Any) -> None:
    if type(key) is not bytes or not 0 < len(key) <= KV_KEY_BYTES_MAX:
        raise TypeError("a key is bytes")
    key.decode()


def _unpack_count(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise ValueError("a count is an integer from 0")
    return number


def _shape(packed: object) -> str:
    """What a broken command looks like, without its (possibly secret, possibly huge) content."""
    if isinstance(packed, list) and packed and type(packed[0]) is int:
        return f"tag {packed[0]} with {len(packed) - 1} fields"
    return f"a {type(packed).__name__} instead of [tag, field, …]"
