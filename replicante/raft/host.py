"""Applies committed entries to the state machine: sessions first, then the machine. Called by
driver, in log order.

Any exception out of a state machine ends the peer with the entry's index: every peer meets the
same entry, so skipping or repeating it would split the histories.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from replicante.errors import FatalError, ReplicanteError, SessionEnded
from replicante.ids import make_stamp
from replicante.raft.membership import read_configuration
from replicante.raft.records import CommandItem, OpenItem, Record, decode_items
from replicante.raft.sessions import SessionTable
from replicante.raft.state_machine import DurableStateMachine, EntryKind


class CommandApplied(msgspec.Struct, frozen=True):
    """A command met its fate; `outcome` None: it was applied before and its outcome was too
    long to remember."""

    session: int
    sequence: int
    outcome: bytes | None
    index: int


@dataclass(frozen=True, slots=True)
class CommandRefused:
    """The session was unknown or had ended: the command was not applied, now or ever under this
    name."""

    session: int
    sequence: int
    error: type[ReplicanteError]


@dataclass(frozen=True, slots=True)
class SessionOpened:
    session: int
    peer_id: str
    incarnation: str
    boot: int


Applied = CommandApplied | CommandRefused | SessionOpened


def _stopped_at(record: Record, why: str, *, hints: tuple[str, ...] = ()) -> FatalError:
    return FatalError(
        f"entry {record.index} of term {record.term} cannot be applied: {why}",
        hints=(
            *hints,
            "every peer will stop at this entry: it is a bug in the state machine",
            "keep the data directories and report the entry",
        ),
        index=record.index,
    )


class MachineHost:
    def __init__(self, machine: DurableStateMachine) -> None:
        self.machine = machine
        self.sessions = SessionTable(machine.sessions)

    def restored(self) -> None:
        """The machine jumped to another state: the sessions are those of that state."""
        self.sessions = SessionTable(self.machine.sessions)

    def apply(self, record: Record) -> list[Applied]:
        """Everything that this entry decided, in order. Raises FatalError for any failure of
        the machine."""
        try:
            return self._apply(record)
        except FatalError as error:
            raise _stopped_at(record, error.message, hints=error.hints) from error
        except Exception as error:  # the supervisor of apply: whatever it is, the peer ends
            raise _stopped_at(record, f"{type(error).__name__}: {error}") from error

    def _apply(self, record: Record) -> list[Applied]:
        items = decode_items(record.payload) if record.kind is EntryKind.COMMANDS else []
        applied: list[Applied] = []
        self.machine.begin(record.header())
        if record.kind is EntryKind.RECOVERED:
            self.sessions.end_all()
        if record.kind is EntryKind.CONFIGURATION:
            members = read_configuration(record.payload).members
            self.sessions.keep({(member.peer_id, member.incarnation) for member in members})
        for ordinal, item in enumerate(items):
            if isinstance(item, CommandItem):
                fate = self._apply_command(record.index, item)
                if fate is not None:
                    applied.append(fate)
            else:
                applied += self._open_session(make_stamp(record.index, ordinal), item)
        self.sessions.write()
        self.machine.end()
        return applied

    def _apply_command(self, index: int, item: CommandItem) -> Applied | None:
        session = self.sessions.find(item.session)
        if session is None:
            return CommandRefused(item.session, item.sequence, SessionEnded)
        self.sessions.touch(session)
        if session.has_applied(item.sequence):
            if item.sequence <= session.floor:
                # its owner knew the outcome, or gave it up, before it sent this floor
                return None
            outcome = session.outcomes[item.sequence]
            return CommandApplied(item.session, item.sequence, outcome, index)
        session.raise_floor(item.floor)
        if not session.may_apply(item.sequence):
            return None  # no proposer of this version sends it; it stays new, and unanswered
        outcome = self.machine.apply(item.data)
        session.remember(item.sequence, outcome)
        return CommandApplied(item.session, item.sequence, outcome, index)

    def _open_session(self, stamp: int, item: OpenItem) -> list[Applied]:
        self.sessions.open(
            session_id=stamp, peer_id=item.peer_id, incarnation=item.incarnation, boot=item.boot
        )
        session = self.sessions.of_peer(item.peer_id)
        assert session is not None
        return [
            SessionOpened(session.session_id, session.peer_id, session.incarnation, session.boot)
        ]
