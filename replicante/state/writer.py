"""The hands of apply: rows, stamps and events of the entry that is being applied. Pure.

Owned by `machine`; given to every apply function. One writer lives as long as the machine; what
belongs to one entry or one command is reset by `begin_entry` and `begin_command`.

Rule: an event is emitted right after the write that it tells of and before the function returns, so
a command that is rejected has done neither.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgpack

from replicante.errors import FatalError
from replicante.ids import ORDINAL_BITS
from replicante.limits import STAMPS_PER_ENTRY_MAX
from replicante.model.change import ChangeCode
from replicante.state.consumers import ConsumerPlaces
from replicante.state.eventlog import LAYOUT, EventCode
from replicante.state.leases import LeaseTimes
from replicante.state.queue_rows import QueueRows, ReadyStarts
from replicante.state.queue_tally import QueueTally
from replicante.state.queue_times import QueueTimes
from replicante.state.tables import CHAIN_BYTES, EVENTS, Counters, Retention
from replicante.storage.kv import Store

_pack = msgpack.Packer(use_bin_type=True).pack
_EVENT_KEY_BYTES: Final = 9


class Writer:
    """`counters` and `retention` are the working copies of their rows."""

    __slots__ = (
        "_first_seq",
        "_first_stamp",
        "_next_stamp",
        "actor",
        "command_job_bytes",
        "consumers",
        "counters",
        "delete",
        "get",
        "leases",
        "put",
        "queue_rows",
        "queue_tally",
        "queue_times",
        "ready_starts",
        "request_id",
        "retention",
        "scan",
        "wall_ms",
    )

    def __init__(
        self, store: Store, counters: Counters, retention: Retention, tally: QueueTally
    ) -> None:
        """tally: outlives the writer, which is made anew for a state that is installed."""
        self.get = store.get
        self.put = store.put
        self.delete = store.delete
        self.scan = store.scan
        self.counters = counters
        self.retention = retention
        self.consumers = ConsumerPlaces(store)
        self.leases = LeaseTimes(store)
        self.queue_times = QueueTimes(store)
        self.queue_rows = QueueRows()
        self.queue_tally = tally
        self.ready_starts = ReadyStarts()
        self.request_id = ""
        self.actor = ""
        self.command_job_bytes = 0
        """Rows of jobs that the present command has written, bodies and all."""
        self.wall_ms = 0
        self._first_seq = 0
        self._first_stamp = 0
        self._next_stamp = 0

    @property
    def entry_first_stamp(self) -> int:
        """Everything of the present entry has at least this stamp."""
        return self._first_stamp

    @property
    def entry_events_count(self) -> int:
        """Events that the present entry has emitted so far."""
        return self.counters.events_seq - self._first_seq

    def begin_entry(self, *, index: int, wall_ms: int) -> None:
        self.wall_ms = wall_ms
        self._first_seq = self.counters.events_seq
        self._first_stamp = self._next_stamp = index << ORDINAL_BITS
        self.request_id = self.actor = ""

    def begin_command(self, *, request_id: str, actor: str) -> None:
        """Whose events come next."""
        self.request_id = request_id
        self.actor = actor
        self.command_job_bytes = 0

    def stamp(self) -> int:
        """The next of this entry: every write, grant and event takes its own. ADR 0006."""
        stamp = self._next_stamp
        self._next_stamp = stamp + 1
        return stamp

    def emit(
        self,
        code: EventCode | ChangeCode,
        payload: bytes,
        *,
        ns: str | None = None,
        cluster: str | None = None,
        key: str | None = None,
    ) -> None:
        """Appends one event. payload: canonical bytes of a map."""
        counters = self.counters
        event_id = self._next_stamp
        self._next_stamp = event_id + 1
        seq = counters.events_seq + 1
        body: bytes = _pack(
            (
                LAYOUT,
                event_id,
                seq,
                code,
                self.wall_ms,
                counters.clock_ms,
                ns,
                cluster,
                key,
                self.request_id,
                self.actor,
                payload,
            )
        )
        chain = blake2b(counters.events_chain + body, digest_size=CHAIN_BYTES).digest()
        self.put(EVENTS + event_id.to_bytes(8, "big"), chain + body)
        counters.events_seq = seq
        counters.events_chain = chain
        counters.events_head = event_id
        counters.events_count += 1
        counters.events_bytes += _EVENT_KEY_BYTES + CHAIN_BYTES + len(body)

    def emit_unasked(self, code: EventCode, payload: bytes, *, key: str) -> None:
        """Appends an event that no request caused: one that is due, whoever came across it."""
        request_id, actor = self.request_id, self.actor
        self.request_id = self.actor = ""
        self.emit(code, payload, key=key)
        self.request_id, self.actor = request_id, actor

    def check_stamps(self) -> None:
        """Called at the end of the entry. Admission and the bounds of an entry make this
        impossible; were it to happen, the last stamps might belong to another index."""
        used = self._next_stamp - self._first_stamp
        if used > STAMPS_PER_ENTRY_MAX:
            raise FatalError(f"an entry used {used} stamps; the bound is {STAMPS_PER_ENTRY_MAX}")
