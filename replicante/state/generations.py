"""What ends when a generation begins. Pure; called by machine.begin.

The entry that begins a generation is applied by the first start of a recovered directory, never
while a peer serves, so it may touch every lease and every claim at once. It moves their deadlines
to the present: from then on they are over for everybody, and the sweeps remove them as always, an
event each, a bounded number with each entry. Sessions of `raft` are ended by its host.
"""

from __future__ import annotations

from replicante.errors import FatalError, Invalid
from replicante.model.codec import encode_value
from replicante.state import apply_leases, queue_moves
from replicante.state import queue_tables as t
from replicante.state.apply_entry import Header
from replicante.state.eventlog import EventCode
from replicante.state.forks import Fork, forks, pack_forks
from replicante.state.queue_tables import JobState
from replicante.state.tables import FORKS_KEY, LEASES_BY_DEADLINE, SESSIONS, lease_deadline_key
from replicante.state.writer import Writer
from replicante.storage.keys import decode_key, prefix_range


def begin(writer: Writer, header: Header) -> None:
    """The first thing that a RECOVERED entry does. Raises FatalError for a detail that cannot be
    stored."""
    counters = writer.counters
    fork = Fork(
        last_index=counters.index,
        first_index=header.index,
        last_event=counters.events_head,
        first_event=writer.entry_first_stamp,
    )
    writer.put(FORKS_KEY, pack_forks((*forks(writer), fork)))
    sessions = sum(1 for _ in writer.scan(*prefix_range(SESSIONS)))
    ended = {"claims": _end_claims(writer), "leases": _end_leases(writer), "sessions": sessions}
    try:
        payload = encode_value({**header.detail, "ended": ended, "term": header.term})
    except Invalid as exc:
        raise FatalError(f"entry {header.index} has a detail that cannot be stored") from exc
    writer.emit(EventCode.RAFT_RECOVERED, payload)


def _end_leases(writer: Writer) -> int:
    clock_ms = writer.counters.clock_ms
    _, end = prefix_range(LEASES_BY_DEADLINE)
    held = [
        decode_key(key, int, str)[1]
        for key, _ in writer.scan(lease_deadline_key(clock_ms + 1, ""), end)
    ]
    for name in held:
        apply_leases.cut_short(writer, name)
    return len(held)


def _end_claims(writer: Writer) -> int:
    clock_ms = writer.counters.clock_ms
    start, end = t.due_key(clock_ms + 1, "", 0), prefix_range(t.DUE)[1]
    count = 0
    for _, queue, job in [decode_key(key, int, str, int) for key, _ in writer.scan(start, end)]:
        row = queue_moves.read_job(writer, queue, job)
        assert row is not None, "what is due is a job"
        if row.state is JobState.CLAIMED:
            queue_moves.cut_short(writer, queue, job, row)
            count += 1
    return count
