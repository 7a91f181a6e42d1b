"""Decides whether a request with an Idempotency-Key was applied before. Pure.

Called by `machine`, and by `sweeps` to forget the oldest. A record is kept for
IDEMPOTENCY_WINDOW_MS of cluster time, but at most REQUESTS_KEPT_MAX are kept.
`requests_horizon_ms` is the newest cluster time at which a forgotten one was recorded.

A client that says when it first tried (a cluster time that it had seen before) never has a request
applied twice: either the record is there, or its first attempt lies at or below the horizon and is
refused. Proof: an attempt first made at F and applied is recorded at R ≥ F; when it is forgotten,
the horizon becomes at least R, so F ≤ horizon for ever. A client that does not say so is protected
for as long as its record is kept.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from replicante.limits import EXPIRE_BATCH_MAX, IDEMPOTENCY_WINDOW_MS, REQUESTS_KEPT_MAX
from replicante.state.outcome import RejectCode, Rejected, encode_outcome, encode_replayed
from replicante.state.tables import (
    REQUESTS_BY_CLOCK,
    RequestRecord,
    read_request_row,
    request_clock_key,
    request_key,
    request_row,
)
from replicante.state.writer import Writer
from replicante.storage.keys import decode_key, prefix_range

Idempotency = tuple[str, int | None, bytes]
"""Key, cluster time of the first attempt, fingerprint of the command."""

_END: Final = prefix_range(REQUESTS_BY_CLOCK)[1]


def answer_repeat(writer: Writer, idempotency: Idempotency) -> bytes | None:
    """The encoded outcome of a request that must not be applied now; None: apply it."""
    key, first_ms, fingerprint = idempotency
    clock_ms = writer.counters.clock_ms
    record = _live_record(writer, key)
    if record is not None:
        if record.fingerprint == fingerprint:
            return encode_replayed(record.outcome)
        return encode_outcome(Rejected(RejectCode.IDEMPOTENCY_KEY_REUSED))
    if first_ms is None:
        return None
    if first_ms > clock_ms:
        refusal = Rejected(RejectCode.FIRST_ATTEMPT_IN_FUTURE, {"clock_ms": clock_ms})
        return encode_outcome(refusal)
    horizon_ms = max(writer.counters.requests_horizon_ms, clock_ms - IDEMPOTENCY_WINDOW_MS)
    if first_ms <= horizon_ms:
        return encode_outcome(Rejected(RejectCode.OUTCOME_EXPIRED, {"horizon_ms": horizon_ms}))
    return None


def record(writer: Writer, idempotency: Idempotency, *, index: int, outcome: bytes) -> None:
    """Remembers what an applied request did; also a rejection by the state is what it did."""
    key, _, fingerprint = idempotency
    clock_ms = writer.counters.clock_ms
    row_key = request_key(key)
    expired = writer.get(row_key)
    if expired is not None:
        # Out of turn: the horizon stays, since older records may still be there.
        writer.delete(request_clock_key(read_request_row(expired).recorded_ms, key))
        writer.counters.requests_count -= 1
    made = RequestRecord(
        recorded_ms=clock_ms, index=index, fingerprint=fingerprint, outcome=outcome
    )
    writer.put(row_key, request_row(made))
    writer.put(request_clock_key(clock_ms, key), b"")
    writer.counters.requests_count += 1


def forget_due(writer: Writer) -> bool:
    """Forgets records older than the window, at most EXPIRE_BATCH_MAX; True when more are due."""
    last_ms = writer.counters.clock_ms - IDEMPOTENCY_WINDOW_MS
    for recorded_ms, key in _oldest(writer, EXPIRE_BATCH_MAX):
        if recorded_ms > last_ms:
            return False
        _forget(writer, recorded_ms, key)
    oldest = _oldest(writer, 1)
    return bool(oldest) and oldest[0][0] <= last_ms


def forget_beyond_bound(writer: Writer) -> bool:
    """Forgets the oldest records until REQUESTS_KEPT_MAX are left: at most as many as the entry
    added. True when there were any to forget."""
    surplus = writer.counters.requests_count - REQUESTS_KEPT_MAX
    if surplus <= 0:
        return False
    for recorded_ms, key in _oldest(writer, surplus):
        _forget(writer, recorded_ms, key)
    return True


def oldest_recorded_ms(writer: Writer) -> int | None:
    oldest = _oldest(writer, 1)
    return oldest[0][0] if oldest else None


def _live_record(writer: Writer, key: str) -> RequestRecord | None:
    """A record past the window is expired, whether the sweep has come to it or not."""
    row = writer.get(request_key(key))
    if row is None:
        return None
    found = read_request_row(row)
    is_live = found.recorded_ms + IDEMPOTENCY_WINDOW_MS > writer.counters.clock_ms
    return found if is_live else None


def _oldest(writer: Writer, count: int) -> list[tuple[int, str]]:
    """Begins at the horizon: records are forgotten in this order, so nothing lies before it but
    deleted rows, which a scan would have to step over."""
    horizon_ms = max(writer.counters.requests_horizon_ms, 0)
    rows = writer.scan(request_clock_key(horizon_ms, ""), _END)
    return [decode_key(row_key, int, str) for row_key, _ in islice(rows, count)]


def _forget(writer: Writer, recorded_ms: int, key: str) -> None:
    counters = writer.counters
    writer.delete(request_key(key))
    writer.delete(request_clock_key(recorded_ms, key))
    counters.requests_count -= 1
    counters.requests_horizon_ms = max(counters.requests_horizon_ms, recorded_ms)
