"""What the kv commands do. Pure; called by machine.apply on every peer.

A put always writes, also the same value again: the new revision tells watchers and holders of an
old revision that somebody was here.

A record bound to a lease is not there once the lease is over, though its row may wait for the
sweep: the command that writes over such a row removes it first, with its event.
"""

from __future__ import annotations

from typing import Final

from replicante.ids import Stamp, format_stamp
from replicante.limits import EVENT_VALUE_BYTES_MAX
from replicante.model.codec import encode_value, join_map
from replicante.state import leases
from replicante.state.commands import KvDelete, KvPut
from replicante.state.eventlog import EventCode
from replicante.state.expectations import unmet
from replicante.state.outcome import Applied, RejectCode, Rejected
from replicante.state.tables import KV, KV_PLAIN, kv_lease, kv_revision, kv_row, lease_record_key
from replicante.state.writer import Writer

_PUT: Final = EventCode.KV_PUT
"""To look a member of an enum up costs as much as a call."""
# The payload of KV_PUT by hand, because every write pays for it: a map of three, its keys sorted.
# A stamp is text of 19 digits there, as everywhere in JSON.
_PREVIOUS_NONE: Final = b"\x83\xa8previous\xc0\xa8revision\xb3%019d\xa5value"
_PREVIOUS: Final = b"\x83\xa8previous\xb3%019d\xa8revision\xb3%019d\xa5value"


def put(writer: Writer, command: KvPut) -> Applied | Rejected:
    key, value, lease = command.key, command.value, command.lease
    row_key = KV + key
    stored = writer.get(row_key)
    before = stored
    if stored is not None and stored[0] != KV_PLAIN:
        before = leases.present_row(writer, stored, clock_ms=writer.counters.clock_ms)
    previous = None if before is None else kv_revision(before)
    if command.expect is not None and (refusal := unmet(command.expect, previous)):
        return refusal
    if lease is not None and (refusal := not_held(writer, lease)):
        return refusal
    if stored is not None and stored[0] != KV_PLAIN:
        if before is None:
            drop_bound(writer, key)
        else:
            _unbind(writer, key, before)
    revision = writer.stamp()
    row = kv_row(revision=revision, value=value, lease=lease)
    writer.put(row_key, row)
    if lease is not None:
        writer.put(lease_record_key(lease, key), b"")
    counters = writer.counters
    if before is None:
        counters.kv_count += 1
        counters.kv_bytes += len(row_key) + len(row)
    else:
        counters.kv_bytes += len(row) - len(before)
    payload = _put_payload(revision, previous, value, lease)
    writer.emit(_PUT, payload, key=key.decode())
    return Applied(Stamp(revision), before is None)


def delete(writer: Writer, command: KvDelete) -> Applied | Rejected:
    before = present(writer, command.key)
    if before is None:
        refusal = None if command.expect is None else unmet(command.expect, None)
        return refusal or Rejected(RejectCode.NOT_FOUND)
    previous = kv_revision(before)
    if command.expect is not None and (refusal := unmet(command.expect, previous)):
        return refusal
    _unbind(writer, command.key, before)
    revision = _remove(writer, command.key, before)
    payload = b"\x82\xa8previous\xb3%019d\xa8revision\xb3%019d" % (previous, revision)
    writer.emit(EventCode.KV_DELETED, payload, key=command.key.decode())
    return Applied(Stamp(revision), is_removed=True)


def present(writer: Writer, key: bytes) -> bytes | None:
    """The row of a record that is there for commands."""
    return leases.present_row(writer, writer.get(KV + key), clock_ms=writer.counters.clock_ms)


def not_held(writer: Writer, lease: int) -> Rejected | None:
    """The refusal to bind a record to this token."""
    if leases.is_held_with(writer, lease, clock_ms=writer.counters.clock_ms):
        return None
    return Rejected(RejectCode.STALE_TOKEN, {"held": None})


def drop_bound(writer: Writer, key: bytes) -> None:
    """Removes a record whose lease is over; does nothing when there is no row at all."""
    row = writer.get(KV + key)
    if row is None:
        return
    lease = kv_lease(row)
    assert lease is not None, "only a lease takes its records with it"
    writer.delete(lease_record_key(lease, key))
    revision = _remove(writer, key, row)
    payload = {
        "lease": format_stamp(lease),
        "previous": format_stamp(kv_revision(row)),
        "revision": format_stamp(revision),
    }
    writer.emit_unasked(EventCode.KV_DELETED, encode_value(payload), key=key.decode())


def _unbind(writer: Writer, key: bytes, row: bytes) -> None:
    lease = kv_lease(row)
    if lease is not None:
        writer.delete(lease_record_key(lease, key))


def _remove(writer: Writer, key: bytes, row: bytes) -> int:
    """The revision of the removal."""
    revision = writer.stamp()
    row_key = KV + key
    writer.delete(row_key)
    writer.counters.kv_count -= 1
    writer.counters.kv_bytes -= len(row_key) + len(row)
    return revision


def _put_payload(revision: int, previous: int | None, value: bytes, lease: int | None) -> bytes:
    is_large = len(value) > EVENT_VALUE_BYTES_MAX
    if lease is None and not is_large:
        if previous is None:
            return _PREVIOUS_NONE % revision + value
        return _PREVIOUS % (previous, revision) + value
    fields = {} if lease is None else {"lease": b"\xb3%019d" % lease}
    fields["previous"] = b"\xc0" if previous is None else b"\xb3%019d" % previous
    fields["revision"] = b"\xb3%019d" % revision
    if is_large:
        fields["value_bytes"] = encode_value(len(value))
    else:
        fields["value"] = value
    return join_map(fields)
