"""Snapshots between peers: who needs one, what of it is on its way, what has arrived (ADR 0019).

Called by the shell of a peer after each step. Decides; touches files through `SnapshotFiles` alone.
The shell does what takes long: makes the outgoing file when `wants_file`, replaces state and log
when `arrived` is set.

Rules: a snapshot is taken from the leader of the present term only; one that is not ahead of the
own state is answered as installed and ignored; nothing here moves a commit index, a term or a vote.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from replicante import limits
from replicante.raft import messages as m
from replicante.raft.engine import Engine
from replicante.raft.log import Base
from replicante.raft.replication import needs_snapshot
from replicante.raft.snapshot_digest import new_digest
from replicante.raft.state_machine import DurableStateMachine


class SnapshotFiles(Protocol):
    """One outgoing and one incoming file; every call is on the loop and takes a slice at most."""

    def read(self, offset: int, count: int) -> bytes: ...

    def discard(self) -> None: ...

    def begin(self) -> None: ...

    def append(self, data: bytes) -> None: ...

    def finish(self) -> Path: ...

    def drop(self) -> None: ...


class InstallationLog(Protocol):
    """A log backend that knows how far an installation has come; all of it is durable at once."""

    def marker(self) -> Base | None: ...

    def drop_marker(self) -> None: ...

    def reset_to(self, base: Base) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    base: Base
    size_bytes: int
    digest: bytes


@dataclass(slots=True)
class _Transfer:
    """To one follower."""

    acked: int = 0
    sent: int = 0
    moved_ms: int = 0


def finish_installation(log: InstallationLog, machine: DurableStateMachine) -> None:
    """Ends what an earlier process began: forward when the state was replaced, else back."""
    base = log.marker()
    if base is None:
        return
    if machine.applied_index == base.index:
        log.reset_to(base)
    else:
        log.drop_marker()


class SnapshotDesk:
    def __init__(self, files: SnapshotFiles, *, patience_ms: int) -> None:
        """patience_ms: after so long without an answer, what was sent is sent again."""
        self._files = files
        self._patience_ms = patience_ms
        self._outgoing: Snapshot | None = None
        self._transfers: dict[str, _Transfer] = {}
        self._used_ms = 0
        self._failed_ms: int | None = None
        self._incoming: _Incoming | None = None
        self.is_making = False
        self.wants_file = False
        """The shell is to make the outgoing file now, then call `made` or `failed`."""
        self.arrived: tuple[Base, Path] | None = None
        """A whole snapshot: the shell is to install it now, then call `installed`."""

    def step(
        self,
        engine: Engine,
        *,
        chunks: Iterable[tuple[str, m.SnapshotChunk]],
        acks: Iterable[tuple[str, m.SnapshotAck]],
        applied_index: int,
        is_state_trusted: bool,
        now_ms: int,
    ) -> list[tuple[str, m.Message]]:
        """What to send now. chunks, acks: those of the step that was just made. is_state_trusted:
        a state that may be wrong is not handed on (ADR 0044)."""
        out: list[tuple[str, m.Message]] = []
        for key, chunk in chunks:
            out += self._take(key, chunk, engine, applied_index=applied_index)
        for key, ack in acks:
            self._hear(key, ack, engine, now_ms=now_ms)
        if engine.is_leader and is_state_trusted:
            self._serve(engine, out, now_ms=now_ms)
        else:
            self._transfers.clear()
        self._forget(engine, now_ms=now_ms)
        return out

    @property
    def held_index(self) -> int | None:
        """Entries after it are needed by whoever takes the snapshot."""
        is_used = self._outgoing is not None and bool(self._transfers)
        return self._outgoing.base.index if is_used and self._outgoing is not None else None

    def made(self, snapshot: Snapshot) -> None:
        """The outgoing file is complete."""
        self.is_making = False
        self._outgoing = snapshot
        self._transfers.clear()

    def failed(self, now_ms: int) -> None:
        self.is_making = False
        self._failed_ms = now_ms

    def installed(self, engine: Engine, base: Base) -> list[tuple[str, m.Message]]:
        self.arrived = self._incoming = None
        self._files.drop()
        return _answer(engine, base.index, offset=0, is_installed=True)

    def refused(self) -> None:
        """What arrived could not be installed, and changed nothing: it is asked for again."""
        self.arrived = self._incoming = None
        self._files.drop()

    # --- sending -----------------------------------------------------------------------------

    def _serve(self, engine: Engine, out: list[tuple[str, m.Message]], *, now_ms: int) -> None:
        wanting = [
            key
            for key, progress in engine.progress.items()
            if key in engine.connected and needs_snapshot(progress, engine.log)
        ]
        for key in [key for key in self._transfers if key not in wanting]:
            del self._transfers[key]
        outgoing = self._outgoing
        if not wanting or self.is_making or self.wants_file:
            return
        if outgoing is None or outgoing.base.index < engine.log.first_index:
            is_too_soon = (
                self._failed_ms is not None and now_ms - self._failed_ms < limits.SNAPSHOT_RETRY_MS
            )
            self.wants_file = not is_too_soon
            return
        self._used_ms = now_ms
        for key in wanting:
            transfer = self._transfers.setdefault(key, _Transfer(moved_ms=now_ms))
            if now_ms - transfer.moved_ms > self._patience_ms:
                transfer.sent, transfer.moved_ms = transfer.acked, now_ms
            self._send(key, transfer, outgoing, engine, out)

    def _send(
        self,
        key: str,
        transfer: _Transfer,
        outgoing: Snapshot,
        engine: Engine,
        out: list[tuple[str, m.Message]],
    ) -> None:
        base = outgoing.base
        while (
            transfer.sent < outgoing.size_bytes
            and transfer.sent - transfer.acked < limits.SNAPSHOT_WINDOW_BYTES
        ):
            data = self._files.read(transfer.sent, limits.SNAPSHOT_CHUNK_BYTES)
            chunk = m.SnapshotChunk(
                term=engine.term,
                index=base.index,
                index_term=base.term,
                clock_ms=base.clock_ms,
                chain=base.chain,
                configuration_index=base.configuration_index,
                configuration=base.configuration,
                size_bytes=outgoing.size_bytes,
                digest=outgoing.digest,
                offset=transfer.sent,
                data=data,
            )
            out.append((key, chunk))
            transfer.sent += len(data)

    def _hear(self, key: str, ack: m.SnapshotAck, engine: Engine, *, now_ms: int) -> None:
        progress = engine.progress.get(key)
        if progress is not None and ack.is_installed and ack.index <= engine.log.last_index:
            progress.installed(ack.index, now_ms=now_ms)
            self._transfers.pop(key, None)
            return
        transfer = self._transfers.get(key)
        if transfer is None or self._outgoing is None or ack.index != self._outgoing.base.index:
            return
        if ack.offset != transfer.acked:
            transfer.moved_ms = now_ms
        if ack.offset < transfer.acked:
            transfer.sent = ack.offset  # it began anew, or what had arrived was damaged
        transfer.acked = min(ack.offset, self._outgoing.size_bytes)
        transfer.sent = max(transfer.sent, transfer.acked)

    def _forget(self, engine: Engine, *, now_ms: int) -> None:
        """A file that nobody takes makes room."""
        if self._outgoing is None or self._transfers:
            return
        is_old = self._outgoing.base.index < engine.log.first_index
        if is_old or now_ms - self._used_ms > limits.SNAPSHOT_IDLE_MS_MAX:
            self._outgoing = None
            self._files.discard()

    # --- receiving ---------------------------------------------------------------------------

    def _take(
        self, key: str, chunk: m.SnapshotChunk, engine: Engine, *, applied_index: int
    ) -> list[tuple[str, m.Message]]:
        if key != engine.leader_key or chunk.term != engine.term:
            return []  # a later message of this step was of a later term
        if chunk.index <= applied_index:
            return _answer(engine, chunk.index, offset=0, is_installed=True)
        if self.arrived is not None:
            return []
        incoming = self._incoming
        if incoming is None or not incoming.is_same(chunk):
            incoming = self._incoming = _Incoming(chunk)
            self._files.begin()
        if chunk.offset == incoming.offset and not incoming.is_complete:
            self._files.append(chunk.data)
            incoming.add(chunk.data)
        if incoming.is_complete:
            if incoming.is_sound:
                self.arrived = (incoming.base, self._files.finish())
                return []
            self._incoming = None
            self._files.drop()
            return _answer(engine, chunk.index, offset=0)
        return _answer(engine, chunk.index, offset=incoming.offset)


class _Incoming:
    """A snapshot that is arriving, part by part."""

    def __init__(self, chunk: m.SnapshotChunk) -> None:
        self.base = Base(
            index=chunk.index,
            term=chunk.index_term,
            clock_ms=chunk.clock_ms,
            chain=chunk.chain,
            configuration_index=chunk.configuration_index,
            configuration=chunk.configuration,
        )
        self.offset = 0
        self._size_bytes = chunk.size_bytes
        self._digest = chunk.digest
        self._hash = new_digest()

    def is_same(self, chunk: m.SnapshotChunk) -> bool:
        return (chunk.index, chunk.digest) == (self.base.index, self._digest)

    def add(self, data: bytes) -> None:
        self._hash.update(data)
        self.offset += len(data)

    @property
    def is_complete(self) -> bool:
        return self.offset >= self._size_bytes

    @property
    def is_sound(self) -> bool:
        return self.offset == self._size_bytes and self._hash.digest() == self._digest


def _answer(
    engine: Engine, index: int, *, offset: int, is_installed: bool = False
) -> list[tuple[str, m.Message]]:
    """To the leader, if there is one still."""
    if engine.leader_key is None:
        return []
    ack = m.SnapshotAck(term=engine.term, index=index, offset=offset, is_installed=is_installed)
    return [(engine.leader_key, ack)]
