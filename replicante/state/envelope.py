"""What travels around a command, and the gate that it passes before it is proposed. Pure.

`admit` is called by `api` and workers on the accepting peer; `unpack_envelope` by `machine`
on every peer and by `admit` itself: what apply cannot read is never proposed. ADR 0004.

Bytes: msgpack array [version, request_id, actor, idempotency, command, padding]; idempotency is nil
or [key, first_attempt_ms or nil, fingerprint]; padding is nil or zeros that nobody reads.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgpack
import msgspec

from replicante.errors import BodyTooLarge, FatalError, Invalid
from replicante.limits import (
    ACTOR_BYTES_MAX,
    COMMAND_BYTES_MAX,
    COMMAND_BYTES_PER_STAMP,
    FINALISERS_MAX,
    IDEMPOTENCY_KEY_BYTES_MAX,
    INTEGER_MAX,
    KV_KEY_BYTES_MAX,
    LABELS_MAX,
    NAME_BYTES_MAX,
    REQUEST_BYTES_MAX,
    REQUEST_ID_BYTES_MAX,
    REQUEST_OPERATIONS_MAX,
    STAMPS_FREE_PER_COMMAND,
    VALUE_BYTES_MAX,
)
from replicante.model.labels import is_label_name, is_label_value
from replicante.model.objects import SCOPE_NAMES
from replicante.state.action_commands import CreateAction, MoveAction
from replicante.state.admission import (
    check_canonical,
    check_count,
    check_name,
    check_positive,
    check_scope,
    check_size,
    check_text,
)
from replicante.state.admission_records import check_action, check_record
from replicante.state.command_bytes import pack_command, unpack_command
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
    stamps_max,
)
from replicante.state.comparisons import Compare, CompareKind, takes_revision
from replicante.state.consumer_commands import ConsumerCommand, DeleteConsumer, PutConsumer
from replicante.state.expect import Expect
from replicante.state.lease_admission import check_lease_command
from replicante.state.lease_commands import (
    LeaseAcquire,
    LeaseForceRelease,
    LeaseRelease,
    LeaseRenew,
)
from replicante.state.levels import LEVEL_MAX
from replicante.state.object_commands import DeleteObject, PutObject
from replicante.state.quarantine_commands import NoteQuarantine, check_quarantine
from replicante.state.queue_admission import check_queue_command
from replicante.state.queue_commands import QueueAck, QueueEnqueue, QueueExtend, QueueNack
from replicante.state.record_commands import (
    ConfirmDiscovery,
    DropRecords,
    RecordCycle,
    RequestWork,
)

VERSION: Final = 1
FINGERPRINT_BYTES: Final = 16


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A command with what is to be known about its request."""

    request_id: str
    """Appears as the cause of the events; "" when nobody asked. At most REQUEST_ID_BYTES_MAX."""
    command: Command
    actor: str = ""
    """Who asked, as authentication knows it; "" when nobody is known. At most ACTOR_BYTES_MAX."""
    idempotency_key: str | None = None
    """What the client sent to make repeats harmless; None: the outcome is not recorded."""
    first_attempt_ms: int | None = None
    """Cluster time of the first attempt with this key, never later than it was; None: this is the
    first attempt. With it, a repeat that comes too late is refused instead of applied again."""


class Unpacked(msgspec.Struct, frozen=True):
    """An envelope as apply sees it."""

    request_id: str
    actor: str
    idempotency: tuple[str, int | None, bytes] | None
    """Key, cluster time of the first attempt, fingerprint of the command."""
    command: Command


def admit(envelope: Envelope) -> bytes:
    """The canonical bytes of the envelope, after every bound was checked and the bytes were read
    back with apply's own decoder.

    Raises Invalid (with the path of the fault and the limit) or BodyTooLarge.
    """
    check_text(envelope.request_id, "request_id", bytes_max=REQUEST_ID_BYTES_MAX)
    check_text(envelope.actor, "actor", bytes_max=ACTOR_BYTES_MAX)
    _check_command(envelope.command)
    packed_command = pack_command(envelope.command)
    command_bytes: bytes = msgpack.packb(packed_command)
    if len(command_bytes) > REQUEST_BYTES_MAX:
        raise BodyTooLarge(
            f"the request is {len(command_bytes)} bytes; the limit is {REQUEST_BYTES_MAX}",
            limit=REQUEST_BYTES_MAX,
        )
    fields = [
        VERSION,
        envelope.request_id,
        envelope.actor,
        _idempotency(envelope, command_bytes),
        packed_command,
    ]
    encoded: bytes = msgpack.packb([*fields, None])
    missing = bytes_least(envelope.command) - len(encoded)
    if missing > 0:
        encoded = msgpack.packb([*fields, bytes(missing)])
    assert len(encoded) <= COMMAND_BYTES_MAX, "the envelope adds less than its allowance"
    unpacked = unpack_envelope(encoded)
    assert unpacked.command == envelope.command, "apply reads what was asked"
    return encoded


def unpack_envelope(encoded: bytes) -> Unpacked:
    """Apply's own decoder.  Raises FatalError for bytes that `admit` never makes."""
    try:
        version, request_id, actor, idempotency, command, _ = msgpack.unpackb(encoded)
        if version != VERSION:
            raise ValueError(f"envelope version {version}")
        if type(request_id) is not str or type(actor) is not str:
            raise TypeError("request id and actor are text")
        if idempotency is not None:
            idempotency = _read_idempotency(idempotency)
    except (ValueError, TypeError, msgpack.UnpackException) as exc:
        raise FatalError(f"cannot read a command envelope of {len(encoded)} bytes") from exc
    return Unpacked(request_id, actor, idempotency, unpack_command(command))


def _read_idempotency(packed: Any) -> tuple[str, int | None, bytes]:
    key, first_attempt_ms, fingerprint = packed
    if type(key) is not str or type(fingerprint) is not bytes:
        raise TypeError("an Idempotency-Key is text, a fingerprint is bytes")
    if first_attempt_ms is not None and type(first_attempt_ms) is not int:
        raise TypeError("a first attempt is a number")
    return key, first_attempt_ms, fingerprint


def bytes_least(command: Command) -> int:
    """Size below which an envelope is padded: the ordinals that an entry's commands can use are
    bounded by its size in bytes, which `raft` bounds without knowing what an ordinal is."""
    beyond = stamps_max(command) - STAMPS_FREE_PER_COMMAND
    return max(0, beyond * COMMAND_BYTES_PER_STAMP)


def fingerprint_of(command_bytes: bytes) -> bytes:
    """Tells two commands apart that came with one Idempotency-Key."""
    return hashlib.blake2b(command_bytes, digest_size=FINGERPRINT_BYTES).digest()


def _idempotency(envelope: Envelope, command_bytes: bytes) -> list[Any] | None:
    key, first_ms = envelope.idempotency_key, envelope.first_attempt_ms
    if key is None:
        if first_ms is not None:
            raise Invalid("only an Idempotency-Key has a first attempt", path="first_attempt_ms")
        return None
    if not key:
        raise Invalid("an Idempotency-Key is not empty", path="idempotency_key")
    check_text(key, "idempotency_key", bytes_max=IDEMPOTENCY_KEY_BYTES_MAX)
    if first_ms is not None:
        check_count(first_ms, "first_attempt_ms")
    return [key, first_ms, fingerprint_of(command_bytes)]


def _check_command(command: Command) -> None:
    match command:
        case Batch(operations):
            count = len(operations)
            if not 1 <= count <= REQUEST_OPERATIONS_MAX:
                raise Invalid(
                    f"a batch holds 1 to {REQUEST_OPERATIONS_MAX} operations, not {count}",
                    path="operations",
                    limit=REQUEST_OPERATIONS_MAX,
                )
            for i, operation in enumerate(operations):
                _check_batched(operation, f"operations[{i}].")
        case SetFeatureLevel(level):
            if not 1 <= level <= LEVEL_MAX:
                raise Invalid(f"this peer supports feature levels 1 to {LEVEL_MAX}", path="level")
        case SetEventRetention(count_max, bytes_max, age_ms_max):
            check_count(count_max, "count_max")
            check_count(bytes_max, "bytes_max")
            check_count(age_ms_max, "age_ms_max")
        case KvTxn():
            _check_txn(command)
        case NoteQuarantine():
            check_quarantine(command)
        case LeaseAcquire() | LeaseRenew() | LeaseRelease() | LeaseForceRelease():
            check_lease_command(command)
        case PutConsumer() | DeleteConsumer():
            _check_consumer(command)
        case CreateAction() | MoveAction():
            check_action(command)
        case RecordCycle() | DropRecords() | RequestWork() | ConfirmDiscovery():
            check_record(command)
        case QueueAck(operations=operations):
            check_queue_command(command)
            for i, operation in enumerate(operations):
                _check_carried(operation, f"operations[{i}].")
        case KvPut() | KvDelete() | PutObject() | DeleteObject():
            _check_operation(command, "")
        case _:
            check_queue_command(command)


def _check_batched(command: BatchedCommand, where: str) -> None:
    match command:
        case LeaseAcquire() | LeaseRenew() | LeaseRelease():
            check_lease_command(command, where)
        case QueueAck() | QueueNack() | QueueExtend():
            check_queue_command(command, where)
            if isinstance(command, QueueAck) and command.operations:
                raise Invalid("an ack in a batch carries nothing", path=f"{where}operations")
        case PutConsumer() | DeleteConsumer():
            _check_consumer(command, where)
        case _:
            _check_operation(command, where)


def _check_operation(operation: Operation, where: str) -> None:
    """where: beginning of the path of a fault, as `operations[3].`"""
    if isinstance(operation, QueueEnqueue):
        check_queue_command(operation, where)
        if len(operation.jobs) != 1:
            raise Invalid("an operation enqueues one job", path=f"{where}jobs")
        return
    if operation.expect is not None:
        _check_expect(operation.expect, f"{where}expect")
    match operation:
        case KvPut(key, value, _, lease):
            _check_kv_key(key, f"{where}key")
            if lease is not None:
                check_positive(lease, f"{where}lease", what="the token of a lease")
            check_size(value, f"{where}value", bytes_max=VALUE_BYTES_MAX)
            check_canonical(value, f"{where}value")
        case KvDelete(key):
            _check_kv_key(key, f"{where}key")
        case PutObject(kind, scope, spec, finalisers, _, labels):
            check_scope(scope, f"{where}scope", count=len(SCOPE_NAMES[kind]))
            check_size(spec, f"{where}spec", bytes_max=VALUE_BYTES_MAX)
            check_canonical(spec, f"{where}spec")
            _check_finalisers(finalisers, f"{where}metadata.finalisers")
            _check_labels(labels, f"{where}metadata.labels")
        case DeleteObject(kind, scope):
            check_scope(scope, f"{where}scope", count=len(SCOPE_NAMES[kind]))


def _check_carried(operation: Operation, where: str) -> None:
    """What comes with an acknowledgement has no condition: the job would be gone and the effect
    would not be there."""
    if not isinstance(operation, QueueEnqueue) and operation.expect is not None:
        raise Invalid("what comes with an ack has no condition", path=f"{where}if_match")
    _check_operation(operation, where)


def _check_txn(command: KvTxn) -> None:
    count = len(command.compares) + len(command.then) + len(command.otherwise)
    if not 1 <= count <= REQUEST_OPERATIONS_MAX:
        raise Invalid(
            f"a transaction holds 1 to {REQUEST_OPERATIONS_MAX} comparisons and operations, not"
            f" {count}",
            limit=REQUEST_OPERATIONS_MAX,
        )
    for i, compare in enumerate(command.compares):
        _check_compare(compare, f"compares[{i}].")
    for i, operation in enumerate(command.then):
        _check_txn_operation(operation, f"then[{i}].")
    for i, operation in enumerate(command.otherwise):
        _check_txn_operation(operation, f"otherwise[{i}].")


def _check_compare(compare: Compare, where: str) -> None:
    _check_kv_key(compare.key, f"{where}key")
    kind, operand = compare.kind, compare.operand
    if takes_revision(kind):
        if not isinstance(operand, int):
            raise Invalid("a revision is needed", path=f"{where}revision")
        check_positive(operand, f"{where}revision", what="a revision")
    elif kind is CompareKind.VALUE_EQUALS:
        if not isinstance(operand, bytes):
            raise Invalid("a value is needed", path=f"{where}value")
        check_size(operand, f"{where}value", bytes_max=VALUE_BYTES_MAX)
        check_canonical(operand, f"{where}value")
    elif operand is not None:
        raise Invalid("absent and present take no operand", path=where.rstrip("."))


def _check_txn_operation(operation: TxnOperation, where: str) -> None:
    if isinstance(operation, KvGet):
        _check_kv_key(operation.key, f"{where}key")
        return
    if operation.expect is not None:
        raise Invalid("a transaction compares before it begins", path=f"{where}expect")
    _check_operation(operation, where)


def _check_consumer(command: ConsumerCommand, where: str = "") -> None:
    check_name(command.name, f"{where}name")
    if command.expect is not None:
        _check_expect(command.expect, f"{where}expect")
    if isinstance(command, PutConsumer) and command.position is not None:
        check_count(command.position, "position")


def _check_kv_key(key: bytes, path: str) -> None:
    if not 1 <= len(key) <= KV_KEY_BYTES_MAX:
        raise Invalid(
            f"a key is 1 to {KV_KEY_BYTES_MAX} bytes, not {len(key)}",
            path=path,
            limit=KV_KEY_BYTES_MAX,
        )
    try:
        key.decode()
    except UnicodeDecodeError:
        raise Invalid("a key is valid UTF-8", path=path) from None


def _check_finalisers(names: tuple[str, ...], path: str) -> None:
    if len(names) > FINALISERS_MAX:
        raise Invalid(f"at most {FINALISERS_MAX} finalisers", path=path, limit=FINALISERS_MAX)
    if list(names) != sorted(set(names)):
        raise Invalid("finalisers are sorted and each is named once", path=path)
    for i, name in enumerate(names):
        if not name:
            raise Invalid("a name is not empty", path=f"{path}[{i}]")
        check_text(name, f"{path}[{i}]", bytes_max=NAME_BYTES_MAX)


def _check_labels(labels: tuple[tuple[str, str], ...], path: str) -> None:
    if len(labels) > LABELS_MAX:
        raise Invalid(f"at most {LABELS_MAX} labels", path=path, limit=LABELS_MAX)
    if list(labels) != sorted(dict(labels).items()):
        raise Invalid("labels are sorted and each is named once", path=path)
    for name, value in labels:
        if not is_label_name(name) or not is_label_value(value):
            raise Invalid("no label", path=path)


def _check_expect(expect: Expect, path: str) -> None:
    if expect.code > INTEGER_MAX:
        raise Invalid("a revision fits into 63 bits", path=path)
