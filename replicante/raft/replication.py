"""What a leader knows of each follower, and what it may send next. Pure; called by engine.

Flow control (thesis §10.2): one unanswered append while probing for the place where the logs
agree, then a window of APPEND_INFLIGHT_MAX. Match only grows, and only by acknowledgements of
the leader's own term.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from replicante import limits
from replicante.raft.log import Log
from replicante.raft.messages import Append, AppendAck, WireRecord


@dataclass(slots=True)
class Progress:
    """One follower in one term of this leader. Invariant: match_index < next_index."""

    next_index: int
    match_index: int = 0
    is_probing: bool = True
    in_flight: deque[int] = field(default_factory=deque)
    """Last index of each unanswered append."""
    told_commit_index: int = 0
    """Newest commit index that it was sent together with the proof that it holds the entry."""
    echoed_round: int = 0
    last_ack_ms: int = 0
    last_move_ms: int = 0
    """When entries were last sent to it or acknowledged by it; heartbeats do not count."""

    @property
    def has_room(self) -> bool:
        return len(self.in_flight) < (1 if self.is_probing else limits.APPEND_INFLIGHT_MAX)

    def sent(self, last_index: int, *, now_ms: int) -> None:
        self.next_index = last_index + 1
        self.in_flight.append(last_index)
        self.last_move_ms = now_ms

    def rewind(self, *, last_index: int) -> None:
        """What was sent and not acknowledged may be lost: begin again behind the match.

        Where no match is known, with the leader's last entry: its refusal tells where the logs
        agree, while going back to the first entry would send the whole log again.
        """
        self.next_index = self.match_index + 1 if self.match_index else last_index
        self.is_probing = True
        self.told_commit_index = 0
        self.in_flight.clear()

    def installed(self, index: int, *, now_ms: int) -> None:
        """Its state, and so its log, holds everything up to `index` durably."""
        self.match_index = max(self.match_index, index)
        self.next_index = max(self.next_index, index + 1)
        self.in_flight.clear()
        self.is_probing = True
        self.last_ack_ms = self.last_move_ms = now_ms

    def is_stuck(self, *, now_ms: int, patience_ms: int) -> bool:
        return bool(self.in_flight) and now_ms - self.last_move_ms > patience_ms

    def acknowledged(self, ack: AppendAck, *, log: Log, now_ms: int) -> None:
        """ack: of this leader's term. Afterwards next_index is where to go on."""
        self.last_ack_ms = now_ms
        self.echoed_round = max(self.echoed_round, ack.round)
        if ack.is_success:
            if ack.match_index > log.last_index:
                return  # claims what this leader never sent; nothing is concluded from it
            self.match_index = max(self.match_index, ack.match_index)
            self.next_index = max(self.next_index, self.match_index + 1)
            while self.in_flight and self.in_flight[0] <= self.match_index:
                self.in_flight.popleft()
                self.is_probing = False
                self.last_move_ms = now_ms
        else:
            agreed = log.newest_at_most(index=ack.hint_index, term=ack.hint_term)
            self.in_flight.clear()
            self.is_probing = True
            self.next_index = max(self.match_index + 1, min(self.next_index, agreed + 1))


def next_entries(progress: Progress, log: Log) -> tuple[int, int, list[WireRecord], bytes] | None:
    """(prev_index, prev_term, entries, chain of the last) to send next; None when nothing is
    left or may be sent."""
    if progress.next_index > log.last_index or not progress.has_room:
        return None
    if not log.can_send_from(progress.next_index):
        return None  # it needs a snapshot, see `needs_snapshot`
    prev_index = progress.next_index - 1
    prev_term = log.term_at(prev_index)
    assert prev_term is not None, "the entry before is known"
    records = log.read(
        progress.next_index,
        count_max=limits.APPEND_ENTRIES_MAX,
        bytes_max=limits.APPEND_BYTES_MAX,
    )
    wire = [
        WireRecord(
            term=record.term,
            kind=int(record.kind),
            clock_ms=record.clock_ms,
            wall_ms=record.wall_ms,
            payload=record.payload,
        )
        for record in records
    ]
    return prev_index, prev_term, wire, records[-1].chain


def needs_snapshot(progress: Progress, log: Log) -> bool:
    """What it lacks was trimmed here."""
    return progress.next_index <= log.last_index and not log.can_send_from(progress.next_index)


def forget_rounds(times_ms: dict[int, int], *, below: int) -> None:
    """times_ms: round → instant, ascending. Drops what no later echo names, and keeps a bound."""
    while times_ms:
        oldest = next(iter(times_ms))
        if oldest >= below and len(times_ms) <= limits.ROUNDS_KEPT_MAX:
            return
        del times_ms[oldest]


def refusal_hint(log: Log, append: Append) -> tuple[int, int]:
    """(index, term) of the newest place where the leader's log and this one may agree.

    Below the refused place, the newest entry here whose term is at most the leader's there: a
    whole run of a term that the leader never had is stepped over in one round trip.
    """
    index = log.newest_at_most(index=append.prev_index, term=append.prev_term)
    return index, log.term_at(index) or 0
