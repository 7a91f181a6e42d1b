"""What the kv commands do. Pure; called by machine.apply on every peer.

A put always writes, also the same value again: the new revision tells watchers and holders of an
old revision that somebody was here.
"""

from __future__ import annotations

from typing import Final

from replicante.ids import Stamp
from replicante.limits import EVENT_VALUE_BYTES_MAX
from replicante.model.codec import encode_value, join_map
from replicante.state.commands import KvDelete, KvPut
from replicante.state.eventlog import EventCode
from replicante.state.expectations import unmet
from replicante.state.outcome import Applied, RejectCode, Rejected
from replicante.state.tables import KV, kv_revision, kv_row
from replicante.state.writer import Writer

# The payload of KV_PUT by hand, because every write pays for it: a map of three, its keys sorted.
# A stamp is text of 19 digits there, as everywhere in JSON.
_PREVIOUS_NONE: Final = b"\x83\xa8previous\xc0\xa8revision\xb3%019d\xa5value"
_PREVIOUS: Final = b"\x83\xa8previous\xb3%019d\xa8revision\xb3%019d\xa5value"


def put(writer: Writer, command: KvPut) -> Applied | Rejected:
    row_key = KV + command.key
    before = writer.get(row_key)
    previous = None if before is None else kv_revision(before)
    if command.expect is not None and (refusal := unmet(command.expect, previous)):
        return refusal
    revision = writer.stamp()
    row = kv_row(revision=revision, value=command.value)
    writer.put(row_key, row)
    counters = writer.counters
    if before is None:
        counters.kv_count += 1
        counters.kv_bytes += len(row_key) + len(row)
    else:
        counters.kv_bytes += len(row) - len(before)
    writer.emit(
        EventCode.KV_PUT,
        _put_payload(revision, previous, command.value),
        key=command.key.decode(),
    )
    return Applied(Stamp(revision), before is None)


def delete(writer: Writer, command: KvDelete) -> Applied | Rejected:
    row_key = KV + command.key
    before = writer.get(row_key)
    if before is None:
        refusal = None if command.expect is None else unmet(command.expect, None)
        return refusal or Rejected(RejectCode.NOT_FOUND)
    previous = kv_revision(before)
    if command.expect is not None and (refusal := unmet(command.expect, previous)):
        return refusal
    revision = writer.stamp()
    writer.delete(row_key)
    writer.counters.kv_count -= 1
    writer.counters.kv_bytes -= len(row_key) + len(before)
    payload = b"\x82\xa8previous\xb3%019d\xa8revision\xb3%019d" % (previous, revision)
    writer.emit(EventCode.KV_DELETED, payload, key=command.key.decode())
    return Applied(Stamp(revision), is_removed=True)


def _put_payload(revision: int, previous: int | None, value: bytes) -> bytes:
    if len(value) > EVENT_VALUE_BYTES_MAX:
        return join_map(
            {
                "previous": b"\xc0" if previous is None else b"\xb3%019d" % previous,
                "revision": b"\xb3%019d" % revision,
                "value_bytes": encode_value(len(value)),
            }
        )
    if previous is None:
        return _PREVIOUS_NONE % revision + value
    return _PREVIOUS % (previous, revision) + value
