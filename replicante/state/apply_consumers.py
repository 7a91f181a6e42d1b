"""What the consumer commands do, and how consumers expire. Pure; called by machine.apply and
`sweeps`. ADR 0025.

Life of a consumer: made → moved any number of times → deleted, or expired and then deleted. To move
writes the position and emits nothing: an event for each would be read by the consumer itself, which
would move again, for ever.
"""

from __future__ import annotations

import enum

from replicante.ids import Stamp, format_stamp
from replicante.limits import CONSUMERS_MAX
from replicante.model.codec import encode_value
from replicante.state.consumer_commands import DeleteConsumer, PutConsumer
from replicante.state.consumers import ConsumerRow, consumer_key, read_consumer_row
from replicante.state.eventlog import EventCode
from replicante.state.expectations import unmet
from replicante.state.forks import fork_of
from replicante.state.outcome import Applied, RejectCode, Rejected
from replicante.state.writer import Writer


class ExpiryReason(enum.StrEnum):
    """`reason` in the payload of EVENT_CONSUMER_EXPIRED."""

    SILENCE = "silence"
    BYTES = "bytes"


def put(writer: Writer, command: PutConsumer) -> Applied | Rejected:
    counters = writer.counters
    before = _read(writer, command.name)
    if command.expect is not None:
        refusal = unmet(command.expect, None if before is None else before.revision)
        if refusal is not None:
            return refusal
    edge = {"floor": counters.events_floor, "head": counters.events_head}
    if before is not None and before.is_expired:
        return Rejected(RejectCode.CONSUMER_EXPIRED, edge)
    fork = None if command.position is None else fork_of(writer, command.position)
    if fork is not None:
        lost = {"last_common": fork.last_event, "first_new": fork.first_event}
        return Rejected(RejectCode.HISTORY_FORKED, {**lost, **edge})
    if command.position is not None:
        position = min(command.position, counters.events_head)
    else:
        position = counters.events_head if before is None else before.position
    if position < counters.events_floor:
        return Rejected(RejectCode.HISTORY_GONE, edge)
    if before is None and writer.consumers.count >= CONSUMERS_MAX:
        return Rejected(RejectCode.TOO_MANY_CONSUMERS, {"limit": CONSUMERS_MAX})
    revision = writer.stamp()
    row = ConsumerRow(position=position, revision=revision, seen_ms=counters.clock_ms)
    _write(writer, command.name, row)
    if before is None:
        writer.consumers.count += 1
        payload = {"position": format_stamp(position), "revision": format_stamp(revision)}
        code = EventCode.EVENT_CONSUMER_CREATED
        writer.emit(code, encode_value(payload), key=command.name)
    return Applied(Stamp(revision), is_created=before is None)


def delete(writer: Writer, command: DeleteConsumer) -> Applied | Rejected:
    before = _read(writer, command.name)
    if command.expect is not None:
        refusal = unmet(command.expect, None if before is None else before.revision)
        if refusal is not None:
            return refusal
    if before is None:
        return Rejected(RejectCode.NOT_FOUND)
    revision = writer.stamp()
    writer.delete(consumer_key(command.name))
    writer.consumers.note(command.name, None)
    writer.consumers.count -= 1
    payload = {"position": format_stamp(before.position), "revision": format_stamp(revision)}
    writer.emit(EventCode.EVENT_CONSUMER_DELETED, encode_value(payload), key=command.name)
    return Applied(Stamp(revision), is_removed=True)


def expire(writer: Writer, name: str, reason: ExpiryReason) -> None:
    """It holds nothing any more; its row stays."""
    before = _read(writer, name)
    assert before is not None and not before.is_expired, "only a live consumer expires"
    revision = writer.stamp()
    row = ConsumerRow(
        position=before.position, revision=revision, seen_ms=before.seen_ms, is_expired=True
    )
    _write(writer, name, row)
    payload = {
        "position": format_stamp(before.position),
        "reason": reason.value,
        "revision": format_stamp(revision),
        "silent_ms": writer.counters.clock_ms - before.seen_ms,
    }
    writer.emit_unasked(EventCode.EVENT_CONSUMER_EXPIRED, encode_value(payload), key=name)


def _read(writer: Writer, name: str) -> ConsumerRow | None:
    row = writer.get(consumer_key(name))
    return None if row is None else read_consumer_row(row)


def _write(writer: Writer, name: str, row: ConsumerRow) -> None:
    writer.put(consumer_key(name), row.to_row())
    writer.consumers.note(name, row)
