"""Snapshots between peers: who needs one, what of it is on its way, what has arrived (ADR 0019).

Called by the shell of a peer after each step. Decides; touches files through `SnapshotFiles` alone.
The shell does what takes long: makes the outgoing file when `wants_file`, replaces state and log
when `arrived` is set.

Rules: a snapshot is taken from the leader of the present term only; one that is not ahead of the
own state is answered as installed and ignored; nothing here moves a commit index, a term or a vote.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from replicante import limits
from replicante.raft import messages as m
from replicante.raft.engine import Engine
from replicante.raft.log import Base
from replicante.raft.replication import needs_snapshot
from replicante.raft.snapshot_pace import SnapshotPace


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyName:
    """Two copies of one name are the same bytes, whoever sends them."""

    index: int
    term: int
    """Of the entry at `index`, as `chain` is."""
    chain: bytes
    size_bytes: int
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The beginning of a copy that is here already."""

    offset: int
    digest: hashlib.blake2b
    """Of everything before the offset."""


class SnapshotFiles(Protocol):
    """One outgoing and one incoming file; every call is on the loop and takes a slice at most.

    What `append` takes becomes durable by itself, behind the loop's back. Those about the incoming
    file raise OSError when it cannot be kept, `read` and `discard` when the outgoing one fails.
    """

    @property
    def is_looking(self) -> bool:
        """Whether it is still being found out what an earlier process received."""
        ...

    @property
    def found_index(self) -> int | None:
        """Of the copy whose beginning an earlier process received; None when there is none."""
        ...

    @property
    def unsynced_bytes(self) -> int:
        """Of the incoming file: taken, and not durable yet."""
        ...

    def read(self, offset: int, count: int) -> bytes:
        """Of the outgoing file: something, at any offset below its size."""
        ...

    def discard(self) -> None: ...

    def begin(self, name: CopyName) -> Kept:
        """What an earlier process received of this very copy; of any other, nothing stays."""
        ...

    def append(self, data: bytes) -> None: ...

    def finish(self) -> Path: ...

    def drop(self) -> None: ...


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


class SnapshotDesk:
    def __init__(
        self,
        files: SnapshotFiles,
        *,
        patience_ms: int,
        rate_bytes: int = limits.SNAPSHOT_RATE_BYTES_DEFAULT,
    ) -> None:
        """patience_ms: after so long without an answer, what was sent is sent again. rate_bytes:
        what may leave in a second."""
        self._files = files
        self._patience_ms = patience_ms
        self._pace = SnapshotPace(rate_bytes)
        self._outgoing: Snapshot | None = None
        self._transfers: dict[str, _Transfer] = {}
        self._used_ms = 0
        self._failed_ms: int | None = None
        self._is_awaited = False
        """Somebody's link ended while it took the file; it is expected back."""
        self._incoming: _Incoming | None = None
        self._owes_answer = False
        self.is_making = False
        self.wants_file = False
        """The shell is to make the outgoing file now, then call `made` or `failed`."""
        self.arrived: tuple[Base, Path] | None = None
        """A whole snapshot: the shell is to install it now, then call `installed`."""
        self.resumed: tuple[int, int] | None = None
        """(index, offset) of a snapshot that goes on where an earlier process was: told once."""
        self.unreadable: OSError | None = None
        """What the outgoing file met while it was sent; another one is made. Told once."""

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
        if self._incoming is not None or self._files.found_index is not None:
            out += self._go_on(engine, applied_index=applied_index)
        for key, ack in acks:
            self._hear(key, ack, engine, now_ms=now_ms)
        if engine.is_leader and is_state_trusted:
            self._serve(engine, out, now_ms=now_ms)
        else:
            self._transfers.clear()
            self._is_awaited = False
        if self._outgoing is not None and not self._transfers:
            self._forget(self._outgoing, engine, now_ms=now_ms)
        return out

    @property
    def held_index(self) -> int | None:
        """Entries after it are needed by whoever takes the snapshot."""
        is_used = bool(self._transfers) or self._is_awaited
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
            # It may be restarting, and goes on where it was: the log keeps what it will need then.
            self._is_awaited |= key in engine.progress and key not in engine.connected
        if self.is_making:
            self._used_ms = now_ms  # who is away when it is made finds it for a while
        outgoing = self._outgoing
        if not wanting or self.is_making or self.wants_file:
            return
        if outgoing is not None and outgoing.base.index < engine.log.first_index:
            # Now: once the next one is being made, the file is that one's.
            self._drop_file()
            outgoing = None
        if outgoing is None:
            is_too_soon = (
                self._failed_ms is not None and now_ms - self._failed_ms < limits.SNAPSHOT_RETRY_MS
            )
            self.wants_file = not is_too_soon
            return
        self._used_ms = now_ms
        self._pace.fill(now_ms)
        try:
            for key in wanting:
                transfer = self._transfers.setdefault(key, _Transfer(moved_ms=now_ms))
                if now_ms - transfer.moved_ms > self._patience_ms:
                    # Something in any case: who had all of it may have had to drop it.
                    transfer.sent = min(transfer.acked, outgoing.size_bytes - 1)
                    transfer.moved_ms = now_ms
                self._send(key, transfer, outgoing, engine, out)
        except OSError as error:
            self.unreadable = error
            self._drop_file()
            self.failed(now_ms)

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
            and self._pace.has_room
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
            self._pace.sent(len(data))

    def _hear(self, key: str, ack: m.SnapshotAck, engine: Engine, *, now_ms: int) -> None:
        progress = engine.progress.get(key)
        if progress is not None and ack.is_installed and ack.index <= engine.log.last_index:
            progress.installed(ack.index, now_ms=now_ms)
            self._transfers.pop(key, None)
            self._is_awaited = False
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

    def _forget(self, outgoing: Snapshot, engine: Engine, *, now_ms: int) -> None:
        """A file that nobody takes makes room."""
        is_old = outgoing.base.index < engine.log.first_index
        if is_old or now_ms - self._used_ms > limits.SNAPSHOT_IDLE_MS_MAX:
            self._is_awaited = False
            self._drop_file()

    def _drop_file(self) -> None:
        self._outgoing = None
        with contextlib.suppress(OSError):  # who makes the next one meets it too, and says so
            self._files.discard()

    # --- receiving ---------------------------------------------------------------------------

    def _take(
        self, key: str, chunk: m.SnapshotChunk, engine: Engine, *, applied_index: int
    ) -> list[tuple[str, m.Message]]:
        if key != engine.leader_key or chunk.term != engine.term:
            return []  # a later message of this step was of a later term
        if chunk.index <= applied_index:
            return _answer(engine, chunk.index, offset=0, is_installed=True)
        if self.arrived is not None or self._files.is_looking:
            return []  # what is needed of it is sent again
        incoming = self._incoming
        if incoming is None or not incoming.is_same(chunk):
            kept = self._files.begin(_name_of(chunk))
            incoming = self._incoming = _Incoming(chunk, kept)
            self.resumed = (chunk.index, kept.offset) if kept.offset else None
        has_room = self._files.unsynced_bytes < 2 * limits.SNAPSHOT_UNSYNCED_BYTES_MAX
        if chunk.offset == incoming.offset and not incoming.is_complete and has_room:
            self._files.append(chunk.data)
            incoming.add(chunk.data)
        self._owes_answer = True
        return []

    def _go_on(self, engine: Engine, *, applied_index: int) -> list[tuple[str, m.Message]]:
        """One answer for all parts of a step. A sender gets none before the disk has followed: so
        its pace is the disk's, and the log's own commits never wait behind a gigabyte."""
        incoming, files = self._incoming, self._files
        index = files.found_index if incoming is None else incoming.base.index
        if index is None:
            return []
        if index <= applied_index:  # entries came first
            self.refused()
            return []
        is_behind = files.unsynced_bytes > limits.SNAPSHOT_UNSYNCED_BYTES_MAX
        if self.arrived is not None or incoming is None or is_behind:
            return []
        if incoming.is_complete and not files.unsynced_bytes:
            if incoming.is_sound:
                self.arrived = (incoming.base, files.finish())
                return []
            self.refused()
            return _answer(engine, index, offset=0)
        if not self._owes_answer:
            return []
        self._owes_answer = False
        return _answer(engine, index, offset=incoming.offset)


class _Incoming:
    """A snapshot that is arriving, part by part."""

    def __init__(self, chunk: m.SnapshotChunk, kept: Kept) -> None:
        self.base = Base(
            index=chunk.index,
            term=chunk.index_term,
            clock_ms=chunk.clock_ms,
            chain=chunk.chain,
            configuration_index=chunk.configuration_index,
            configuration=chunk.configuration,
        )
        self.offset = kept.offset
        self._name = _name_of(chunk)
        self._digest = kept.digest

    def is_same(self, chunk: m.SnapshotChunk) -> bool:
        return _name_of(chunk) == self._name

    def add(self, data: bytes) -> None:
        self._digest.update(data)
        self.offset += len(data)

    @property
    def is_complete(self) -> bool:
        return self.offset >= self._name.size_bytes

    @property
    def is_sound(self) -> bool:
        is_whole = self.offset == self._name.size_bytes
        return is_whole and self._digest.digest() == self._name.digest


def _name_of(chunk: m.SnapshotChunk) -> CopyName:
    return CopyName(
        index=chunk.index,
        term=chunk.index_term,
        chain=chunk.chain,
        size_bytes=chunk.size_bytes,
        digest=chunk.digest,
    )


def _answer(
    engine: Engine, index: int, *, offset: int, is_installed: bool = False
) -> list[tuple[str, m.Message]]:
    """To the leader, if there is one still."""
    if engine.leader_key is None:
        return []
    ack = m.SnapshotAck(term=engine.term, index=index, offset=offset, is_installed=is_installed)
    return [(engine.leader_key, ack)]
