"""Applies committed entries to the state machine: sessions first, then the machine. Called by
driver, in log order.

Any exception out of a state machine ends the peer with the entry's index: every peer meets the
same entry, so skipping or repeating it would split the histories.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass

from replicante.errors import FatalError, ReplicanteError, SessionEnded
from replicante.ids import make_stamp
from replicante.raft.records import CommandItem, OpenItem, Record, decode_items
from replicante.raft.sessions import SessionTable
from replicante.raft.state_machine import (
    DurableStateMachine,
    Entry,
    EntryHeader,
    EntryKind,
    StateMachine,
)


@dataclass(frozen=True, slots=True)
class CommandApplied:
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


class MachineHost:
    def __init__(self, machine: DurableStateMachine) -> None:
        self.machine = machine
        self.sessions = SessionTable(machine.sessions)

    def apply(self, record: Record) -> list[Applied]:
        """Everything that this entry decided, in order. Raises FatalError for any failure of
        the machine."""
        try:
            return self._apply(record)
        except FatalError:
            raise
        except Exception as error:  # the supervisor of apply: whatever it is, the peer ends
            raise FatalError(
                f"the state machine failed at entry {record.index}: {type(error).__name__}: "
                f"{error}",
                hints=(
                    "every peer will stop at this entry: it is a bug in the state machine",
                    "keep the data directories and report the entry",
                ),
                index=record.index,
            ) from error

    def _apply(self, record: Record) -> list[Applied]:
        items = decode_items(record.payload) if record.kind is EntryKind.COMMANDS else []
        applied: list[Applied] = []
        self.machine.begin(record.header())
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


class InMemoryMachine:
    """Fits a `StateMachine` of three functions into a `DurableStateMachine`: nothing is durable
    but the log.

    At start the whole log is replayed. (Snapshots, which shorten this, come with log trimming.)
    """

    def __init__(self, machine: StateMachine) -> None:
        self._machine = machine
        self._header: EntryHeader | None = None
        self._ordinal = 0
        self._sessions: dict[bytes, bytes] = {}
        self.applied_index = 0
        self.durable_index = 0
        self.is_full = False
        self.is_disk_full = False

    @property
    def sessions(self) -> MutableMapping[bytes, bytes]:
        return self._sessions

    def begin(self, header: EntryHeader) -> None:
        self._header = header
        self._ordinal = 0

    def apply(self, command: bytes) -> bytes:
        assert self._header is not None
        entry = Entry(
            index=self._header.index,
            ordinal=self._ordinal,
            term=self._header.term,
            clock_ms=self._header.clock_ms,
            wall_ms=self._header.wall_ms,
            data=command,
        )
        self._ordinal += 1
        return self._machine.apply(entry)

    def end(self) -> None:
        assert self._header is not None
        self.applied_index = self._header.index
        self._header = None

    def deadline_ms(self) -> int | None:
        return None

    def request_flush(self) -> None:
        """There is nothing to flush."""

    def flush(self) -> None:
        """There is nothing to flush."""

    def close(self) -> None:
        """There is nothing to close."""
