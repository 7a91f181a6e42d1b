"""Builders of entries and envelopes, and a state machine that runs without Raft. Pure; for tests
of every room above `state`, and for trying things out.

    state = LoneState()
    outcome = state.do(KvPut(b"a", encode_value(1)))
    assert queries.kv_get(state.store, b"a").revision == outcome.revision
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from replicante.ids import make_index
from replicante.model.codec import Value, encode_value
from replicante.model.objects import read_declaration
from replicante.state import invariants
from replicante.state.apply_entry import EntryKind
from replicante.state.commands import Command, KvDelete, KvPut
from replicante.state.digest import row_hash
from replicante.state.envelope import Envelope, admit
from replicante.state.expect import Expect
from replicante.state.machine import ReplicatedState
from replicante.state.object_commands import PutObject
from replicante.state.outcome import Outcome, decode_outcome
from replicante.storage.kv import Store
from replicante.storage.memory import MemoryStore

WALL_MS = 1_700_000_000_000
CLOCK_MS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltHeader:
    """Has the shape of raft's EntryHeader."""

    index: int = 1
    term: int = 1
    clock_ms: int = CLOCK_MS
    wall_ms: int = WALL_MS
    kind: EntryKind = EntryKind.COMMANDS
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltEntry:
    header: BuiltHeader
    commands: tuple[bytes, ...] = ()


def kv_put(key: str, value: Value, *, expect: Expect | None = None) -> KvPut:
    return KvPut(key.encode(), encode_value(value), expect)


def kv_delete(key: str, *, expect: Expect | None = None) -> KvDelete:
    return KvDelete(key.encode(), expect)


def namespace_document(
    name: str, *, spec: dict[str, Value] | None = None, finalisers: Sequence[str] = ()
) -> dict[str, Value]:
    """What a user would apply."""
    return {
        "apiVersion": "replicante.io/v0",
        "kind": "Namespace",
        "metadata": {"name": name, "finalisers": list(finalisers)},
        "spec": spec or {},
    }


def put_namespace(
    name: str,
    *,
    spec: dict[str, Value] | None = None,
    finalisers: Sequence[str] = (),
    expect: Expect | None = None,
) -> PutObject:
    document = namespace_document(name, spec=spec, finalisers=finalisers)
    return put_object(document, expect=expect)


def put_object(document: dict[str, Value], *, expect: Expect | None = None) -> PutObject:
    declared = read_declaration(document)
    return PutObject(
        declared.kind,
        declared.scope,
        encode_value(declared.spec),
        declared.finalisers,
        expect,
        tuple(declared.labels.items()),
    )


def cluster_document(
    name: str,
    *,
    ns: str = "default",
    spec: dict[str, Value] | None = None,
    labels: dict[str, str] | None = None,
) -> dict[str, Value]:
    """A ClusterSpec as a user would apply it."""
    return {
        "apiVersion": "replicante.io/v0",
        "kind": "ClusterSpec",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"ns_id": ns, "cluster_id": name, **(spec or {})},
    }


def platform_document(name: str, *, ns: str = "default") -> dict[str, Value]:
    return {
        "apiVersion": "replicante.io/v0",
        "kind": "Platform",
        "metadata": {"name": name},
        "spec": {"ns_id": ns, "name": name, "transport": {"static": {"clusters": []}}},
    }


def naction_document(
    *, cluster: str, node: str, ns: str = "default", spec: dict[str, Value] | None = None
) -> dict[str, Value]:
    return {
        "apiVersion": "replicante.io/v0",
        "kind": "NAction",
        "spec": {
            "ns_id": ns,
            "cluster_id": cluster,
            "node_id": node,
            "action": "agent.replicante.io/test.success",
            **(spec or {}),
        },
    }


def envelope_bytes(
    command: Command,
    *,
    request_id: str = "test",
    actor: str = "",
    idempotency_key: str | None = None,
    first_attempt_ms: int | None = None,
) -> bytes:
    return admit(
        Envelope(
            request_id=request_id,
            command=command,
            actor=actor,
            idempotency_key=idempotency_key,
            first_attempt_ms=first_attempt_ms,
        )
    )


def _jump_ms(index: int) -> int:
    """The wall clock of whoever leads jumps by up to an hour with each entry, back and forth:
    nothing may depend on it."""
    return index * 2_654_435_761 % 7_200_001 - 3_600_000


class LoneState:
    """The machine alone: every proposal is an entry of its own, the clock moves when told to."""

    def __init__(self, store: Store | None = None, *, generation: int = 0) -> None:
        """store: may hold what another machine left in it."""
        self.store: Store = MemoryStore(row_hash=row_hash) if store is None else store
        self.machine = ReplicatedState(self.store)
        self.clock_ms = max(CLOCK_MS, self.machine.clock_ms)
        self.wall_ms = WALL_MS
        self.jumps = True
        """False for a test that names the time of an event."""
        self._next_index = max(make_index(generation, 1), self.machine.applied_index + 1)

    @property
    def applied_index(self) -> int:
        return self.machine.applied_index

    def advance(self, ms: int) -> None:
        """Later entries carry a clock that is so much later; nothing is written."""
        self.clock_ms += ms
        self.wall_ms += ms

    def propose(self, command: bytes) -> tuple[bytes, int]:
        """command: bytes of an envelope. Result: bytes of the outcome, and the entry's index."""
        (outcome,) = self.propose_together([command])
        return outcome, self.applied_index

    def propose_together(self, commands: Sequence[bytes]) -> list[bytes]:
        """Several commands in one entry; with none it is a tick."""
        return self.append(EntryKind.COMMANDS, commands=commands)

    def recover(self, generation: int, *, detail: dict[str, Any] | None = None) -> None:
        """The first entry of a later generation."""
        self._next_index = make_index(generation, 1)
        self.append(EntryKind.RECOVERED, detail=detail)

    def append(
        self,
        kind: EntryKind,
        *,
        detail: dict[str, Any] | None = None,
        commands: Sequence[bytes] = (),
        term: int = 1,
    ) -> list[bytes]:
        header = BuiltHeader(
            index=self._next_index,
            term=term,
            clock_ms=self.clock_ms,
            wall_ms=self.wall_ms + _jump_ms(self._next_index) * self.jumps,
            kind=kind,
            detail=detail or {},
        )
        return self.replay(BuiltEntry(header=header, commands=tuple(commands)))

    def replay(self, entry: BuiltEntry) -> list[bytes]:
        self.machine.begin(entry.header)
        outcomes = [self.machine.apply(command) for command in entry.commands]
        self.machine.end()
        self._next_index = entry.header.index + 1
        return outcomes

    def tick(self) -> None:
        self.propose_together([])

    def do(self, command: Command, **envelope: Any) -> Outcome:
        """The decoded outcome of a command in an envelope; envelope: as envelope_bytes takes."""
        return decode_outcome(self.propose(envelope_bytes(command, **envelope))[0])


class CheckedState(LoneState):
    """Asserts every invariant after every entry: for small states."""

    def replay(self, entry: BuiltEntry) -> list[bytes]:
        outcomes = super().replay(entry)
        with self.machine.view() as view:
            invariants.assert_holds(view)
        return outcomes
