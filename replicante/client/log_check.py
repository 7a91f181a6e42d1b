"""Whether events that are read one after another are one log, and nothing was left out. Pure.

Called by `event_export`, `event_verify` and `event_file`.
"""

from __future__ import annotations

from replicante.wire.chain import BEFORE_FIRST, FIRST_SEQ, next_chain
from replicante.wire.events import Event


def fault_between(before: Event | None, event: Event) -> str | None:
    """What is wrong when `event` comes right after `before` in the unfiltered log; None when
    nothing is. before: None is the beginning of what is read, where only the very first event of a
    log can be judged."""
    if before is None:
        if event.seq != FIRST_SEQ:
            return None
        seq, chain = FIRST_SEQ - 1, BEFORE_FIRST
    else:
        seq, chain = before.seq, before.chain
        if event.id <= before.id:
            return f"event {event.id} comes after {before.id}, whose id is not lower"
    if event.seq != seq + 1:
        return f"event {event.id} has seq {event.seq} and comes after seq {seq}"
    try:
        expected = next_chain(chain, event)
    except (ValueError, TypeError, OverflowError):
        return f"event {event.id} cannot have been made by a peer"
    if event.chain != expected:
        return f"event {event.id} is not what its chain says, or follows another event there"
    return None


def order_fault(before: Event | None, event: Event) -> str | None:
    """The same for a filtered log, of which only the order can be judged."""
    if before is None or (event.id > before.id and event.seq > before.seq):
        return None
    return f"event {event.id} (seq {event.seq}) comes after {before.id} (seq {before.seq})"
