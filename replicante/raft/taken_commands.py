"""What a leader took of its followers in its term, and what of it nobody waits for any more.
Pure; called by forwarding.

A follower sends a command again when it may have been lost. While the first copy waits, or is in
the log, another one does nothing but lengthen the wait, which makes more copies: so each command is
taken once in a term. The promise that makes it harmless: what a leader took it appends, or its
leadership ends, and then everything here is forgotten (ADR 0014).

Rule: to forget a command costs one more copy in the log, which sessions tell apart; to remember one
that was dropped would lose it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from replicante import limits
from replicante.raft.membership import Configuration
from replicante.raft.messages import WireCommand
from replicante.raft.records import CommandItem

_REMEMBERED_MAX = 2 * limits.SESSION_OUTCOMES_MAX
"""Of one session, which keeps so many above its floor at most; in any order, twice as many."""


@dataclass(slots=True)
class _Taken:
    key: str
    """Of the member whose commands these are."""
    floor: int = 0
    """The newest that arrived: its owner has, or gave up, everything up to here."""
    sequences: dict[int, None] = field(default_factory=dict)
    """In the order in which they came; all above the floor that was the newest then."""


class TakenCommands:
    def __init__(self) -> None:
        self._term = 0
        self._sessions: dict[int, _Taken] = {}

    def forget(self) -> None:
        """What was taken and not proposed is dropped."""
        self._sessions.clear()

    def take(
        self, key: str, command: WireCommand, *, term: int, configuration: Configuration
    ) -> bool:
        """False for a copy of what was taken in `term` already, and for what its owner does not
        wait for. key: of the sender, a member of `configuration`."""
        if term != self._term:
            self._term = term
            self.forget()
        taken = self._sessions.get(command.session)
        if taken is None:
            self._drop_old(key, command.session, configuration)
            taken = self._sessions[command.session] = _Taken(key)
        sequences = taken.sequences
        if command.floor > taken.floor:
            taken.floor = command.floor
            while sequences and next(iter(sequences)) <= taken.floor:
                del sequences[next(iter(sequences))]
        if command.sequence <= taken.floor or command.sequence in sequences:
            return False
        sequences[command.sequence] = None
        if len(sequences) > _REMEMBERED_MAX:
            del sequences[next(iter(sequences))]
        return True

    def is_given_up(self, command: CommandItem) -> bool:
        """Its owner said later that it waits for it no more."""
        taken = self._sessions.get(command.session)
        return taken is not None and command.sequence <= taken.floor

    def _drop_old(self, key: str, session: int, configuration: Configuration) -> None:
        """A later session of a peer ended those before it; one who left sends no more."""
        self._sessions = {
            number: taken
            for number, taken in self._sessions.items()
            if configuration.find(taken.key) is not None
            and not (taken.key == key and number < session)
        }
