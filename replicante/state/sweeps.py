"""Removes what is due, a bounded part with each entry: leases, jobs, requests, old events. Pure.

Called by `machine` before and after the commands of every entry. Nothing that a command can see
depends on how far a sweep has come: an expired record is expired for every command, swept or not.
So these records are no deadlines: an idle cluster writes nothing for them.

Leases are swept in `before_commands`, with an event each, and do count as deadlines: their end is a
fact that others wait for. The records that go with them are swept there and after the commands.
"""

from __future__ import annotations

from replicante.limits import (
    CLAIM_BYTES_MAX,
    CONSUMER_HELD_BYTES_MAX,
    CONSUMER_SILENCE_MS_MAX,
    EXPIRE_BATCH_MAX,
    IDEMPOTENCY_WINDOW_MS,
)
from replicante.state import apply_consumers, apply_leases, dedupe, queue_moves
from replicante.state.apply_consumers import ExpiryReason
from replicante.state.eventlog import Event, read_event
from replicante.state.sweep_room import SweepRoom
from replicante.state.tables import CHAIN_BYTES, event_key
from replicante.state.writer import Writer


class Sweeps:
    """Keeps in memory when the oldest record of each kind is due, so that an entry with nothing
    due reads no rows. These figures are read off the rows at start: no state of their own."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._oldest_request_ms = dedupe.oldest_recorded_ms(writer)
        self._oldest_event_ms = _clock_ms(_oldest_event(writer))
        self._is_behind_requests = False
        self._is_behind_events = False
        self._lease_room = _room()
        """For leases, and for the records and claims that go with them, in this entry."""

    @property
    def is_behind(self) -> bool:
        """More was due than one entry may sweep: the leader ticks again at once."""
        times = self._writer.leases
        return self._is_behind_requests or self._is_behind_events or times.has_ended

    def deadline_ms(self) -> int | None:
        """Cluster time at which the leader shall tick."""
        if self.is_behind:
            return self._writer.counters.clock_ms
        times_ms = (self._writer.leases.earliest_ms, self._writer.queue_times.earliest_ms)
        return min((due_ms for due_ms in times_ms if due_ms is not None), default=None)

    def before_commands(self) -> None:
        self._lease_room = _room()
        times = self._writer.leases
        if times.earliest_ms is not None or times.has_ended:
            self._sweep_leases()
        clock_ms = self._writer.counters.clock_ms
        due_ms = self._writer.queue_times.earliest_ms
        if due_ms is not None and due_ms <= clock_ms:
            # Of its own: the claims of leases that end one after another must not delay it.
            queue_moves.sweep_due(self._writer, _room())
            self._writer.queue_times.settle(self._writer)
        self._sweep_consumers()
        oldest_ms = self._oldest_request_ms
        self._is_behind_requests = False
        if oldest_ms is not None and oldest_ms + IDEMPOTENCY_WINDOW_MS <= clock_ms:
            self._is_behind_requests = dedupe.forget_due(self._writer)
            self._oldest_request_ms = dedupe.oldest_recorded_ms(self._writer)

    def note_request(self) -> None:
        """A request was recorded."""
        if self._oldest_request_ms is None:
            self._oldest_request_ms = self._writer.counters.clock_ms

    def after_commands(self) -> None:
        times = self._writer.leases
        if times.earliest_ms is not None or times.has_ended:
            self._drop_records()
            times.settle(self._writer)
        self._writer.queue_times.settle(self._writer)
        self._writer.queue_rows.settle(put=self._writer.put, delete=self._writer.delete)
        if dedupe.forget_beyond_bound(self._writer):
            self._oldest_request_ms = dedupe.oldest_recorded_ms(self._writer)
        if self._oldest_event_ms is None and self._writer.entry_events_count:
            self._oldest_event_ms = self._writer.counters.clock_ms
        self._is_behind_events = False
        if self._has_surplus_events():
            self._trim_events()
            oldest = _oldest_event(self._writer)
            self._oldest_event_ms = _clock_ms(oldest)
            self._is_behind_events = self._has_surplus_events() and self._may_go(oldest)

    def _sweep_consumers(self) -> None:
        """All that are due: there are fewer than one entry may sweep."""
        consumers, clock_ms = self._writer.consumers, self._writer.counters.clock_ms
        oldest_ms = consumers.oldest_seen_ms
        if oldest_ms is not None and oldest_ms + CONSUMER_SILENCE_MS_MAX <= clock_ms:
            for name in consumers.silent_since(clock_ms - CONSUMER_SILENCE_MS_MAX):
                apply_consumers.expire(self._writer, name, ExpiryReason.SILENCE)

    def _may_go(self, oldest: Event | None) -> bool:
        """Whether the next entry can go on trimming at this event. A consumer that stands at the
        floor and holds too much expires here, one with each entry."""
        lowest = self._writer.consumers.lowest
        if oldest is None or lowest is None or oldest.id <= lowest[0]:
            return True
        if self._writer.counters.events_bytes <= CONSUMER_HELD_BYTES_MAX:
            return False
        apply_consumers.expire(self._writer, lowest[1], ExpiryReason.BYTES)
        return True

    def _sweep_leases(self) -> None:
        times = self._writer.leases
        earliest_ms = times.earliest_ms
        if earliest_ms is not None and earliest_ms <= self._writer.counters.clock_ms:
            room = self._lease_room
            room.records_left -= apply_leases.expire_due(self._writer, count_max=room.records_left)
            times.settle(self._writer)
        self._drop_records()

    def _drop_records(self) -> None:
        if self._writer.leases.has_ended and self._lease_room.is_left:
            apply_leases.drop_records(self._writer, self._lease_room)

    def _has_surplus_events(self) -> bool:
        counters, retention = self._writer.counters, self._writer.retention
        oldest_ms = self._oldest_event_ms
        return oldest_ms is not None and (
            counters.events_count > retention.count_max
            or counters.events_bytes > retention.bytes_max
            or oldest_ms + retention.age_ms_max <= counters.clock_ms
        )

    def _trim_events(self) -> None:
        """Removes the oldest events, at most EXPIRE_BATCH_MAX more than this entry has added, so
        that the log shrinks under any load. Events of this entry stay: their readers have not
        been woken yet; so do those that a consumer has not read."""
        writer = self._writer
        counters, retention = writer.counters, writer.retention
        start, end = event_key(counters.events_floor + 1), event_key(writer.entry_first_stamp)
        lowest = writer.consumers.lowest
        if lowest is not None:
            end = min(end, event_key(lowest[0] + 1))
        if start >= end:
            return
        count_max = EXPIRE_BATCH_MAX + writer.entry_events_count
        removed: list[bytes] = []
        count, size = counters.events_count, counters.events_bytes
        for key, row in writer.scan(start, end):
            event = read_event(row)
            is_surplus = (
                count > retention.count_max
                or size > retention.bytes_max
                or event.clock_ms + retention.age_ms_max <= counters.clock_ms
            )
            if not is_surplus or len(removed) == count_max:
                break
            removed.append(key)
            count -= 1
            size -= len(key) + len(row)
            counters.events_floor = event.id
            counters.events_floor_chain = row[:CHAIN_BYTES]
        counters.events_count, counters.events_bytes = count, size
        for key in removed:
            writer.delete(key)


def _room() -> SweepRoom:
    return SweepRoom(records_left=EXPIRE_BATCH_MAX, bytes_left=CLAIM_BYTES_MAX)


def _clock_ms(event: Event | None) -> int | None:
    return None if event is None else event.clock_ms


def _oldest_event(writer: Writer) -> Event | None:
    """The oldest that is kept; None when none is."""
    counters = writer.counters
    if counters.events_count == 0:
        return None
    start, end = event_key(counters.events_floor + 1), event_key(counters.events_head + 1)
    for _, row in writer.scan(start, end):
        return read_event(row)
    raise AssertionError("the counter says that there are events, the table has none")
