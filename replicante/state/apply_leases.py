"""What the lease commands do, and how leases end. Pure; called by machine.apply and `sweeps`.

Life of a grant: acquired → renewed any number of times → released, released by force, or run out.
Its token is the stamp of the grant, so a later grant of any lease has a greater one. A renewal is
no fact about who holds the lease: it writes the deadline and emits nothing.

Records bound to a grant are not there for anybody from its end on; their rows go with the sweep,
an event each, in the same entry when there are few.
"""

from __future__ import annotations

from itertools import islice

from msgspec.structs import replace

from replicante.ids import Stamp, format_stamp
from replicante.model.codec import encode_value, join_map
from replicante.state import apply_kv, leases, queue_moves, tables
from replicante.state.eventlog import EventCode
from replicante.state.lease_commands import (
    LeaseAcquire,
    LeaseForceRelease,
    LeaseRelease,
    LeaseRenew,
)
from replicante.state.outcome import Applied, RejectCode, Rejected
from replicante.state.queue_tables import lease_claim_prefix
from replicante.state.sweep_room import SweepRoom
from replicante.state.tables import LeaseRow
from replicante.state.writer import Writer
from replicante.storage.keys import decode_key, prefix_range


def acquire(writer: Writer, command: LeaseAcquire) -> Applied | Rejected:
    clock_ms = writer.counters.clock_ms
    raw = writer.get(tables.lease_key(command.name))
    if raw is not None:
        before = tables.read_lease_row(raw)
        if before.deadline_ms > clock_ms:
            left_ms = before.deadline_ms - clock_ms
            return Rejected(RejectCode.LEASE_HELD, {"token": before.token, "left_ms": left_ms})
        _end(writer, command.name, before, EventCode.LEASE_EXPIRED)
    token = writer.stamp()
    row = LeaseRow(
        token=token,
        duration_ms=command.duration_ms,
        deadline_ms=clock_ms + command.duration_ms,
        acquired_ms=clock_ms,
        owner=command.owner,
    )
    _write(writer, command.name, row)
    writer.put(tables.lease_token_key(token), command.name.encode())
    payload = join_map(
        {
            "duration_ms": encode_value(command.duration_ms),
            "owner": command.owner,
            "token": encode_value(format_stamp(token)),
        }
    )
    writer.emit(EventCode.LEASE_ACQUIRED, payload, key=command.name)
    return Applied(Stamp(token), is_created=True)


def renew(writer: Writer, command: LeaseRenew) -> Applied | Rejected:
    before = _held_with(writer, command.name, command.token)
    if isinstance(before, Rejected):
        return before
    revision = writer.stamp()
    duration_ms = command.duration_ms or before.duration_ms
    _forget_deadline(writer, command.name, before)
    row = LeaseRow(
        token=before.token,
        duration_ms=duration_ms,
        deadline_ms=writer.counters.clock_ms + duration_ms,
        acquired_ms=before.acquired_ms,
        owner=before.owner,
    )
    _write(writer, command.name, row)
    return Applied(Stamp(revision))


def release(writer: Writer, command: LeaseRelease) -> Applied | Rejected:
    before = _held_with(writer, command.name, command.token)
    if isinstance(before, Rejected):
        return before
    return _end(writer, command.name, before, EventCode.LEASE_RELEASED)


def force_release(writer: Writer, command: LeaseForceRelease) -> Applied | Rejected:
    clock_ms = writer.counters.clock_ms
    before = leases.held(writer, command.name, clock_ms=clock_ms)
    if before is None:
        return Rejected(RejectCode.NOT_FOUND)
    code = EventCode.LEASE_FORCE_RELEASED
    return _end(writer, command.name, before, code, reason=command.reason)


def cut_short(writer: Writer, name: str) -> None:
    """A lease that goes on is over now, by its deadline; the next sweep removes it."""
    raw = writer.get(tables.lease_key(name))
    assert raw is not None, "a deadline belongs to a lease"
    before = tables.read_lease_row(raw)
    _forget_deadline(writer, name, before)
    _write(writer, name, replace(before, deadline_ms=writer.counters.clock_ms))


def expire_due(writer: Writer, *, count_max: int) -> int:
    """Ends the leases that are due, in the order of their deadlines; how many."""
    clock_ms = writer.counters.clock_ms
    start, _ = prefix_range(tables.LEASES_BY_DEADLINE)
    end = tables.lease_deadline_key(clock_ms + 1, "")
    due = [decode_key(key, int, str)[1] for key, _ in islice(writer.scan(start, end), count_max)]
    for name in due:
        raw = writer.get(tables.lease_key(name))
        assert raw is not None, "a deadline belongs to a lease"
        _end(writer, name, tables.read_lease_row(raw), EventCode.LEASE_EXPIRED)
    return len(due)


def drop_records(writer: Writer, room: SweepRoom) -> None:
    """Removes what grants which are over have left behind, while there is room. A grant of which
    something is left stays among those that are over."""
    ended = islice(writer.scan(*prefix_range(tables.LEASES_ENDED)), room.records_left)
    for token in [decode_key(key, int)[0] for key, _ in ended]:
        bound = writer.scan(*prefix_range(tables.lease_record_key(token, b"")))
        for record_key in [key for key, _ in islice(bound, room.records_left)]:
            apply_kv.drop_bound(writer, decode_key(record_key, int, bytes)[1])
            room.note()
        queue_moves.return_claims(writer, token, room)
        if _is_left(writer, token):
            return
        writer.delete(tables.lease_ended_key(token))
    writer.leases.note_dropped(writer)


def _is_left(writer: Writer, token: int) -> bool:
    """Records that are bound to the grant, or claims."""
    records, claims = tables.lease_record_key(token, b""), lease_claim_prefix(token)
    return leases.has_rows(writer, records) or leases.has_rows(writer, claims)


def _held_with(writer: Writer, name: str, token: int) -> LeaseRow | Rejected:
    row = leases.held(writer, name, clock_ms=writer.counters.clock_ms)
    if row is None or row.token != token:
        holder = None if row is None else row.token
        return Rejected(RejectCode.STALE_TOKEN, {"held": holder})
    return row


def _write(writer: Writer, name: str, row: LeaseRow) -> None:
    writer.put(tables.lease_key(name), tables.lease_row(row))
    writer.put(tables.lease_deadline_key(row.deadline_ms, name), b"")
    writer.leases.note_deadline(row.deadline_ms)


def _forget_deadline(writer: Writer, name: str, row: LeaseRow) -> None:
    writer.delete(tables.lease_deadline_key(row.deadline_ms, name))
    writer.leases.note_end(row.deadline_ms)


def _end(
    writer: Writer, name: str, row: LeaseRow, code: EventCode, *, reason: str | None = None
) -> Applied:
    revision = writer.stamp()
    writer.delete(tables.lease_key(name))
    writer.delete(tables.lease_token_key(row.token))
    _forget_deadline(writer, name, row)
    if _is_left(writer, row.token):
        writer.put(tables.lease_ended_key(row.token), b"")
        writer.leases.has_ended = True
    fields = {"owner": row.owner}
    if reason is not None:
        fields["reason"] = encode_value(reason)
    fields["revision"] = encode_value(format_stamp(revision))
    fields["token"] = encode_value(format_stamp(row.token))
    if code is EventCode.LEASE_EXPIRED:
        writer.emit_unasked(code, join_map(fields), key=name)
    else:
        writer.emit(code, join_map(fields), key=name)
    return Applied(Stamp(revision), is_removed=True)
