"""What an entry does apart from its commands: the facts of Raft become events. Pure; called by
machine.begin.

This room does not know `raft`: it takes anything that has the fields of a header. The numbers of
the kinds are those of raft.state_machine.EntryKind; a test compares them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Protocol

from replicante.errors import FatalError, Invalid
from replicante.model.codec import encode_value
from replicante.state.eventlog import EventCode
from replicante.state.writer import Writer


class EntryKind(enum.IntEnum):
    GENESIS = 1
    TERM_STARTED = 2
    CONFIGURATION = 3
    COMMANDS = 4
    SKIPPED = 5
    RECOVERED = 6


class Header(Protocol):
    """What apply must know of a log entry; read during begin only."""

    @property
    def index(self) -> int: ...

    @property
    def term(self) -> int: ...

    @property
    def clock_ms(self) -> int: ...

    @property
    def wall_ms(self) -> int: ...

    @property
    def kind(self) -> int: ...

    @property
    def detail(self) -> Mapping[str, Any]: ...


_CODES = {
    EntryKind.GENESIS: EventCode.RAFT_GENESIS,
    EntryKind.TERM_STARTED: EventCode.RAFT_TERM_STARTED,
    EntryKind.CONFIGURATION: EventCode.RAFT_CONFIGURATION_CHANGED,
    EntryKind.SKIPPED: EventCode.RAFT_ENTRY_SKIPPED,
}


def announce(writer: Writer, header: Header) -> None:
    """Emits the event of an entry that is no plain list of commands: its detail, and its term. A
    plain one has none; what begins a generation has told of itself before (`generations`).

    Raises FatalError for a kind or a detail that this version does not know.
    """
    if header.kind == EntryKind.RECOVERED:
        return
    code = _CODES.get(EntryKind(header.kind)) if header.kind in _KINDS else None
    if code is None:
        raise FatalError(f"entry {header.index} is of the unknown kind {header.kind}")
    try:
        payload = encode_value({**header.detail, "term": header.term})
    except Invalid as exc:
        raise FatalError(f"entry {header.index} has a detail that cannot be stored") from exc
    writer.emit(code, payload)


_KINDS = frozenset(EntryKind)
