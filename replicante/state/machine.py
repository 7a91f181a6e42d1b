"""The replicated state machine: entries of the log change the tables here, nowhere else. Pure.

Fits `raft.state_machine.DurableStateMachine` by shape; created by `server`, driven by `raft`.
ADR 0004 to 0007; DESIGN.md beside this file.

Rules: the result of `apply` is a function of the tables and the entry alone. A user's mistake is a
Rejected value. Any exception is our bug or a broken disk: the entry is not ended, the peer stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, Final

from replicante.errors import CorruptData, FatalError, PeerStopping, UnsupportedFormat
from replicante.state import (
    apply_actions,
    apply_consumers,
    apply_kv,
    apply_leases,
    apply_objects,
    apply_quarantines,
    apply_queue,
    apply_records,
    apply_settings,
    apply_txn,
    dedupe,
    generations,
    levels,
)
from replicante.state.action_commands import CreateAction, MoveAction
from replicante.state.apply_entry import EntryKind, Header, announce
from replicante.state.commands import (
    Batch,
    KvDelete,
    KvPut,
    KvTxn,
    SetEventRetention,
    SetFeatureLevel,
)
from replicante.state.consumer_commands import DeleteConsumer, PutConsumer
from replicante.state.digest import digest_rows, format_digest
from replicante.state.envelope import unpack_envelope
from replicante.state.lease_commands import (
    LeaseAcquire,
    LeaseForceRelease,
    LeaseRelease,
    LeaseRenew,
)
from replicante.state.object_commands import DeleteObject, PutObject
from replicante.state.outcome import (
    Applied,
    BatchApplied,
    Outcome,
    RejectCode,
    Rejected,
    encode_outcome,
    without_bodies,
)
from replicante.state.quarantine_commands import NoteQuarantine
from replicante.state.queue_commands import (
    QueueAck,
    QueueClaim,
    QueueEnqueue,
    QueueExtend,
    QueueNack,
    QueuePause,
    QueuePurge,
    QueueRedrive,
    QueueResume,
)
from replicante.state.queue_tally import QueueTally
from replicante.state.record_commands import (
    ConfirmDiscovery,
    DropRecords,
    RecordCycle,
    RequestWork,
)
from replicante.state.sweeps import Sweeps
from replicante.state.tables import (
    COUNTERS_KEY,
    RETENTION_KEY,
    SESSIONS,
    Counters,
    Retention,
)
from replicante.state.writer import Writer
from replicante.storage.keys import prefix_range
from replicante.storage.kv import Store, View

_COMMANDS_KIND: Final = EntryKind.COMMANDS
"""To look a member of an enum up costs as much as a call, and nearly every entry asks."""


class ReplicatedState:
    """One instance owns its store: nothing else writes to it."""

    def __init__(self, store: Store) -> None:
        """store: opened with `digest.row_hash`, empty or as this class left it.

        Raises UnsupportedFormat when its feature level is above ours, CorruptData when its rows
        belong to another entry than it says.
        """
        self._store = store
        self._sessions = SessionRows(self, store)
        self._entry_index: int | None = None
        """Of the entry between begin and end."""
        self._digests_seen: tuple[tuple[int, int], ...] = ()
        self._digests: Sequence[tuple[int, str]] = ()
        self._is_closed = False
        self._queue_tally = QueueTally()
        self._begin()

    def _begin(self) -> None:
        """From the rows as they are."""
        store = self._store
        counters = Counters.from_row(store.get(COUNTERS_KEY))
        if counters.feature_level > levels.LEVEL_MAX:
            raise UnsupportedFormat(
                f"The state is at feature level {counters.feature_level}; this version knows"
                f" {levels.LEVEL_MAX}.",
                hints=("Install the version that wrote it, or a newer one.",),
            )
        if counters.index != store.applied_index:
            raise CorruptData(
                f"The state's rows belong to entry {counters.index}, its store says"
                f" {store.applied_index}."
            )
        self._counters = counters
        retention = Retention.from_row(store.get(RETENTION_KEY))
        self._writer = Writer(store, counters, retention, self._queue_tally)
        self._sweeps = Sweeps(self._writer)

    @property
    def applied_index(self) -> int:
        return self._store.applied_index

    @property
    def durable_index(self) -> int:
        return self._store.durable_index

    @property
    def is_full(self) -> bool:
        return self._store.is_full

    @property
    def is_disk_full(self) -> bool:
        return self._store.is_disk_full

    @property
    def sessions(self) -> MutableMapping[bytes, bytes]:
        return self._sessions

    @property
    def is_in_entry(self) -> bool:
        """Between begin and end."""
        return self._entry_index is not None

    @property
    def clock_ms(self) -> int:
        """The cluster clock as of the last entry."""
        return self._counters.clock_ms

    @property
    def feature_level(self) -> int:
        return self._counters.feature_level

    def begin(self, header: Header) -> None:
        if self._entry_index is not None:
            raise FatalError(f"entry {header.index} begins inside entry {self._entry_index}")
        if header.index <= self._store.applied_index:
            raise FatalError(f"entry {header.index} comes after entry {self.applied_index}")
        self._entry_index = header.index
        counters = self._counters
        if header.clock_ms > counters.clock_ms:
            counters.clock_ms = header.clock_ms
        self._writer.begin_entry(index=header.index, wall_ms=header.wall_ms)
        is_plain = header.kind == _COMMANDS_KIND
        if not is_plain and header.kind == EntryKind.RECOVERED:
            generations.begin(self._writer, header)
        self._sweeps.before_commands()
        if not is_plain:
            announce(self._writer, header)

    def apply(self, command: bytes) -> bytes:
        """command: what `envelope.admit` made. The result is for `outcome.decode_outcome`.

        Raises FatalError for bytes that admission never makes.
        """
        index = self._entry_index
        if index is None:
            raise FatalError("a command outside an entry")
        unpacked = unpack_envelope(command)
        writer = self._writer
        writer.begin_command(request_id=unpacked.request_id, actor=unpacked.actor)
        idempotency = unpacked.idempotency
        if idempotency is None:
            return encode_outcome(_COMMANDS[type(unpacked.command)](writer, unpacked.command))
        repeat = dedupe.answer_repeat(writer, idempotency)
        if repeat is not None:
            return repeat
        outcome = _COMMANDS[type(unpacked.command)](writer, unpacked.command)
        if type(outcome) is Rejected and outcome.code is RejectCode.LEASE_HELD:
            # Who waits for a lease asks again under the same key; one grant at most comes of it.
            return encode_outcome(outcome)
        remembered = encode_outcome(without_bodies(outcome))
        dedupe.record(writer, idempotency, index=index, outcome=remembered)
        self._sweeps.note_request()
        return encode_outcome(outcome)

    def end(self) -> None:
        index = self._entry_index
        if index is None:
            raise FatalError("an end without a begin")
        self._sweeps.after_commands()
        self._writer.check_stamps()
        self._counters.index = index
        self._store.put(COUNTERS_KEY, self._counters.to_row())
        self._store.end_entry(index)
        self._entry_index = None

    def deadline_ms(self) -> int | None:
        """Now, while a sweep is behind; else when the first lease ends. Nothing else has a deadline
        that anybody could see."""
        return self._sweeps.deadline_ms()

    def view(self) -> View:
        """For `queries`; not inside an entry. Raises PeerStopping when it is closed: what asks may
        outlive the peer that closed it by an instant."""
        if self._is_closed:
            raise PeerStopping()
        return self._store.view()

    @property
    def level_max(self) -> int:
        return levels.LEVEL_MAX

    def digests(self) -> Sequence[tuple[int, str]]:
        """(index, digest) at multiples of DIGEST_INTERVAL_ENTRIES, oldest first, at most
        DIGESTS_KEPT, computed by the store while it flushes and kept over a restart."""
        digests = self._store.digests
        if digests is not self._digests_seen:
            self._digests_seen = digests
            self._digests = [(index, format_digest(value)) for index, value in digests]
        return self._digests

    def digest_at_applied(self) -> tuple[int, str]:
        """(applied index, digest of all rows now). Reads every row, 1 µs each and more from
        disk: for tests, tools and small states; never where a loop must not be held up. Raises
        PeerStopping as `view` does."""
        with self.view() as view:
            return view.applied_index, format_digest(digest_rows(view))

    def job_moves(self) -> Mapping[tuple[str, str], int]:
        """(queue, what became of a job) → how often, since this process began; `queue_tally`."""
        return self._queue_tally.counts

    def request_flush(self) -> None:
        self._store.request_flush()

    def flush(self) -> None:
        self._store.flush()

    def export(self, path: Path) -> int:
        return self._store.export(path)

    def install(self, path: Path, *, index: int) -> None:
        assert self._entry_index is None, "an installation inside an entry"
        self._store.install(path, index=index)
        self._begin()

    def close(self) -> None:
        self._is_closed = True
        self._store.close()


class SessionRows(MutableMapping[bytes, bytes]):
    """The rows that forwarding sessions keep, inside the state's own transaction."""

    def __init__(self, state: ReplicatedState, store: Store) -> None:
        self._state = state
        self._store = store

    def __getitem__(self, key: bytes) -> bytes:
        value = self._store.get(SESSIONS + key)
        if value is None:
            raise KeyError(key)
        return value

    def get(self, key: bytes, default: Any = None) -> Any:
        value = self._store.get(SESSIONS + key)
        return default if value is None else value

    def __contains__(self, key: object) -> bool:
        return isinstance(key, bytes) and self._store.get(SESSIONS + key) is not None

    def __setitem__(self, key: bytes, value: bytes) -> None:
        assert self._state.is_in_entry, "sessions change inside an entry only"
        self._store.put(SESSIONS + key, value)

    def __delitem__(self, key: bytes) -> None:
        assert self._state.is_in_entry, "sessions change inside an entry only"
        if self._store.get(SESSIONS + key) is None:
            raise KeyError(key)
        self._store.delete(SESSIONS + key)

    def __iter__(self) -> Iterator[bytes]:
        start, end = prefix_range(SESSIONS)
        return iter([key[1:] for key, _ in self._store.scan(start, end)])

    def __len__(self) -> int:
        return sum(1 for _ in self)


_One = Callable[[Writer, Any], Applied | Rejected]

_OPERATIONS: Final[dict[type, _One]] = {
    KvPut: apply_kv.put,
    KvDelete: apply_kv.delete,
    PutObject: apply_objects.put,
    DeleteObject: apply_objects.delete,
    SetFeatureLevel: apply_settings.set_feature_level,
    SetEventRetention: apply_settings.set_event_retention,
    PutConsumer: apply_consumers.put,
    DeleteConsumer: apply_consumers.delete,
    LeaseAcquire: apply_leases.acquire,
    LeaseRenew: apply_leases.renew,
    LeaseRelease: apply_leases.release,
    LeaseForceRelease: apply_leases.force_release,
    QueueNack: apply_queue.nack,
    QueueExtend: apply_queue.extend,
    CreateAction: apply_actions.create,
    MoveAction: apply_actions.move,
    RecordCycle: apply_records.record_cycle,
    DropRecords: apply_records.drop,
    RequestWork: apply_records.request,
    ConfirmDiscovery: apply_records.confirm_discovery,
    NoteQuarantine: apply_quarantines.note,
}


def _one_of_batch(writer: Writer, operation: Any) -> Applied | Rejected:
    if type(operation) is QueueEnqueue:
        return apply_queue.enqueue_one(writer, operation)
    if type(operation) is QueueAck:
        return apply_queue.ack_alone(writer, operation)
    return _OPERATIONS[type(operation)](writer, operation)


def _batch(writer: Writer, command: Batch) -> BatchApplied:
    return BatchApplied(tuple([_one_of_batch(writer, one) for one in command.operations]))


def _ack(writer: Writer, command: QueueAck) -> Outcome:
    return apply_queue.ack(writer, command, _one_of_batch)


_COMMANDS: Final[dict[type, Callable[[Writer, Any], Outcome]]] = {
    **_OPERATIONS,
    Batch: _batch,
    KvTxn: apply_txn.apply,
    QueueEnqueue: apply_queue.enqueue,
    QueueClaim: apply_queue.claim,
    QueueAck: _ack,
    QueuePause: apply_queue.pause,
    QueueResume: apply_queue.resume,
    QueueRedrive: apply_queue.redrive,
    QueuePurge: apply_queue.purge,
}
