"""What has to be over when a generation has begun, read off a copy of its first state.

Called by sim_recovery. It reads rows, not what the product says of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from replicante.ids import stamp_index
from replicante.raft.records import Record
from replicante.raft.state_machine import DurableStateMachine
from replicante.state import invariants, queries
from replicante.state import queue_tables as t
from replicante.state.eventlog import Event, EventCode, read_event
from replicante.state.queue_tables import JobState
from replicante.state.tables import EVENTS, LEASES_BY_DEADLINE
from replicante.storage.keys import decode_key, prefix_range
from replicante.storage.kv import View
from replicante.testing.sim_checks import Violation
from replicante.testing.sim_states import StateHome


def held_count(home: StateHome) -> int:
    """Leases and claims whose time is not over; registers have none."""
    if home.state is None:
        return 0
    with home.state.view() as view:
        return sum(1 for _ in _held(view))


def check_ended(home: StateHome, machine: DurableStateMachine, first: Record) -> None:
    """first: the entry that the generation began with, applied to this state alone. Raises
    Violation."""
    if machine.sessions:
        raise Violation("sessions end with their generation", f"{len(machine.sessions)} live on")
    if home.state is None:
        return
    with home.state.view() as view:
        for what in _held(view):
            raise Violation("what is held ends with its generation", f"{what} lives on")
        for broken in invariants.violations(view):
            raise Violation("the state is sound", broken)
        told = {event.code for event in events_of(view) if stamp_index(event.id) == first.index}
        if EventCode.RAFT_RECOVERED not in told:
            raise Violation("a generation is told of", f"entry {first.index} tells {told}")


def events_of(view: View) -> Iterator[Event]:
    for _, row in view.scan(*prefix_range(EVENTS)):
        yield read_event(row)


def _held(view: View) -> Iterator[str]:
    clock_ms = queries.counters(view).clock_ms
    for key, _ in view.scan(*prefix_range(LEASES_BY_DEADLINE)):
        deadline_ms, name = decode_key(key, int, str)
        if deadline_ms > clock_ms:
            yield f"the lease {name}"
    for key, _ in view.scan(*prefix_range(t.DUE)):
        due_ms, queue, job = decode_key(key, int, str, int)
        row = view.get(t.job_key(queue, job))
        assert row is not None, "what is due is a job"
        if due_ms > clock_ms and t.read_job_row(row).state is JobState.CLAIMED:
            yield f"the claim of job {job} of {queue}"
