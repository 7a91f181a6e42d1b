"""Exactly-once for forwarded proposals: sessions, their floors and remembered outcomes (ADR
0014; thesis §6.3). Pure.

Part of the replicated state: called by `host` while an entry is applied, in the order of the
log, on every peer. Works over any mapping of bytes, so that a machine on disk keeps it in its
own transaction.

One session a peer: a process opens it with its boot counter, a later process of the same data
directory ends it. A sequence at or below the floor, or with a remembered outcome, was applied;
it is never applied again.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Set
from dataclasses import dataclass, field

import msgpack

from replicante import limits


@dataclass(slots=True)
class Session:
    session_id: int
    """Stamp of the opening item; 0 is never one."""
    peer_id: str
    incarnation: str
    boot: int
    floor: int = 0
    """The owner has, or gave up, everything up to here."""
    outcomes: dict[int, bytes | None] = field(default_factory=dict)
    """sequence → outcome; None when it was longer than SESSION_OUTCOME_BYTES_MAX."""

    def raise_floor(self, floor: int) -> None:
        if floor <= self.floor:
            return
        self.floor = floor
        for sequence in [s for s in self.outcomes if s <= floor]:
            del self.outcomes[sequence]

    def has_applied(self, sequence: int) -> bool:
        return sequence <= self.floor or sequence in self.outcomes

    def may_apply(self, sequence: int) -> bool:
        """Whether a new command lies in the window above the floor. Its owner keeps to it; one
        beyond it is left alone on every peer, since apply must be total."""
        return self.floor < sequence <= self.floor + limits.SESSION_OUTCOMES_MAX

    def remember(self, sequence: int, outcome: bytes) -> None:
        assert len(self.outcomes) < limits.SESSION_OUTCOMES_MAX, "all of them lie in the window"
        is_small = len(outcome) <= limits.SESSION_OUTCOME_BYTES_MAX
        self.outcomes[sequence] = outcome if is_small else None


class SessionTable:
    """All sessions; rows change only between the begin and the end of an entry."""

    def __init__(self, rows: MutableMapping[bytes, bytes]) -> None:
        self._rows = rows
        self._by_id: dict[int, Session] = {}
        self._by_peer: dict[str, Session] = {}
        self._dirty: dict[str, Session] = {}
        for stored in rows.values():
            self._enter(_decode(stored))

    def find(self, session_id: int) -> Session | None:
        return self._by_id.get(session_id)

    def of_peer(self, peer_id: str) -> Session | None:
        return self._by_peer.get(peer_id)

    def open(self, *, session_id: int, peer_id: str, incarnation: str, boot: int) -> bool:
        """False when this opening is old: a repeat, or that of a process which a later one
        replaced."""
        present = self._by_peer.get(peer_id)
        if present is not None:
            if present.incarnation == incarnation and boot <= present.boot:
                return False
            del self._by_id[present.session_id]
        session = Session(session_id, peer_id, incarnation, boot)
        self._enter(session)
        self.touch(session)
        return True

    def end_all(self) -> None:
        """No process of a generation before is left that could use one."""
        for key in list(self._rows):
            del self._rows[key]
        self._by_id.clear()
        self._by_peer.clear()

    def keep(self, owners: Set[tuple[str, str]]) -> None:
        """Ends the session of everybody else. owners: (peer id, incarnation) of the members; who
        is none any more proposes nothing, and what of it is still on its way is refused."""
        for session in list(self._by_peer.values()):
            if (session.peer_id, session.incarnation) not in owners:
                del self._by_peer[session.peer_id], self._by_id[session.session_id]
                self._dirty.pop(session.peer_id, None)
                self._rows.pop(session.peer_id.encode(), None)

    def touch(self, session: Session) -> None:
        self._dirty[session.peer_id] = session

    def write(self) -> None:
        """Stores what changed in this entry; called before the machine's `end`."""
        for peer_id, session in self._dirty.items():
            self._rows[peer_id.encode()] = _encode(session)
        self._dirty.clear()

    def _enter(self, session: Session) -> None:
        self._by_id[session.session_id] = session
        self._by_peer[session.peer_id] = session


def _encode(session: Session) -> bytes:
    packed: bytes = msgpack.packb(
        (
            session.session_id,
            session.peer_id,
            session.incarnation,
            session.boot,
            session.floor,
            tuple(session.outcomes.items()),
        )
    )
    return packed


def _decode(stored: bytes) -> Session:
    session_id, peer_id, incarnation, boot, floor, outcomes = msgpack.unpackb(
        stored, use_list=False
    )
    return Session(session_id, peer_id, incarnation, boot, floor, dict(outcomes))
