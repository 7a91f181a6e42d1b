"""Bounds of what is replicated, and of the disks that it is kept on. Pure."""

from __future__ import annotations

from replicante.limits.raft import ENTRY_BYTES_MAX, ENTRY_COMMANDS_MAX
from replicante.limits.requests import BLOCKING_WAIT_MS_MAX, PAGE_BYTES_MAX
from replicante.limits.units import GIB, KIB, MIB

STATE_MAP_BYTES_DEFAULT = 64 * GIB
"""Sparse: takes room as it fills. Far above what one peer should hold."""
LOG_MAP_BYTES_DEFAULT = 64 * GIB
"""Sparse, as the state is."""
CHECK_VIOLATIONS_MAX = 20
"""Told by one check of a data directory; whatever broke one row may have broken a million."""
RECOVERY_REASON_BYTES_MAX = 1_024
"""Why somebody forced a generation or skipped an entry: it stays in the log and in an event."""
LOG_RESERVE_BYTES = 64 * MIB
"""Preallocated, released on a full disk, so that term and trim always succeed."""
FLUSH_INTERVAL_MS = 250
"""State lags the durable log by this; a restart replays it."""
FLUSH_SLICE_ROWS_MAX = 500
"""Rows written before the flusher lets the loop run: about 0.5 ms."""
FLUSH_GIVE_WAY_MS = 10
"""Longest time that the end of an entry waits for the flusher to write its slices."""
MEMTABLE_BYTES_MAX = 64 * MIB
"""Unflushed rows in memory; above it the driver waits for the disk."""
MEMTABLE_ROW_OVERHEAD_BYTES = 160
"""What an unflushed row costs beside key and value: two objects, a slot, a place in a run."""
MEMTABLE_RUN_KEYS_MAX = 2_048
"""Keys sorted in one go (0.3 ms)."""
MEMTABLE_MERGED_KEYS_MAX = 32_768
"""Longest sorted run that shorter ones are merged into (1.5 ms)."""
FROZEN_LAYERS_MAX = 16
"""While a flush finds no room, so many layers of what came later wait apart: each is a look of
every read. Those that it was given are one."""
FLUSH_RETRY_MS = 1_000
"""Pause before a flush that found no room is repeated."""
DISK_ROOM_BYTES_MIN = 64 * MIB
"""With less room than this on its file system, a commit that ends in EIO met a full disk: LMDB
reports a write that was cut short as EIO."""
STATE_USED_FRACTION_MAX = 0.9
"""Admission refuses writes (507) above this share of the map bound: copy-on-write of the rows
already accepted, and the deletes that make room, need the rest."""
STATE_USED_FRACTION_WAY_OUT_MAX = 0.95
"""Up to here it takes what leads to room: claims of jobs, and leases, which workers need."""
DIGEST_INTERVAL_ENTRIES = 1_024
"""Digests are taken at multiples of this index, so that peers have common ones."""
DIGESTS_KEPT = 8
"""Last ones in status: peers that differ in progress still share some."""
QUARANTINES_KEPT_MAX = 64
"""Peers of which the log has told that their state was wrong. Above PEERS_MAX: of a present one
it is told again only after so many others."""
QUARANTINES_LOOP_MS = 1_000
"""How often the leader looks for one that the log has not told of."""
EXPIRE_BATCH_MAX = 500
"""Due records that one entry sweeps; the leader ticks again while more are due."""
REQUESTS_KEPT_MAX = 100_000
"""Remembered outcomes of idempotency keys; the oldest go first."""
LEASE_MS_MIN = 1_000
"""Shorter than an election and a slow disk, a lease would be lost by holders in good health."""
LEASE_MS_MAX = 24 * 3_600 * 1_000
"""Who is gone for a day does not come back for its lock; release it by force."""
LEASE_OWNER_BYTES_MAX = 4 * KIB
"""Attributes for people and events, as a host and a version; not a document."""
LEASE_REASON_BYTES_MAX = 1 * KIB
"""A sentence, or a ticket's address."""
LEASE_WAIT_MS_MAX = BLOCKING_WAIT_MS_MAX
"""Longest wait of an acquire; a caller who wants more asks again."""
LEASE_WAITERS_MAX = 2_000
"""Waiting acquires of one peer; more are answered 503 and go to another peer."""
JOB_BODY_BYTES_MAX = 256 * KIB
"""A job says what to do; what it is done with belongs into a key or an object store."""
JOB_PRIORITY_MAX = 100
"""And as much below 0: enough for classes of service."""
JOB_ATTEMPTS_MAX = 1_000
"""A job that fails so often is never done; until then it costs what a job costs."""
JOB_ATTEMPTS_DEFAULT = 5
"""Claims without an acknowledgement before a job is a dead letter."""
JOB_HISTORY_ATTEMPTS_MAX = 20
"""The last attempts are told with a job; all of them are events."""
JOB_DELAY_MS_MAX = 30 * 24 * 3_600 * 1_000
"""A month; what is due later belongs into a calendar."""
JOB_VISIBILITY_MS_MIN = 1_000
"""Shorter than an election and a slow disk, claims would run out under workers in good health."""
JOB_VISIBILITY_MS_MAX = 12 * 3_600 * 1_000
"""Who works for longer extends."""
JOB_VISIBILITY_MS_DEFAULT = 30_000
"""Longer than most work, short enough to wait for after a crash."""
JOB_REASON_BYTES_MAX = 1 * KIB
"""A sentence, or a ticket's address."""
CLAIM_JOBS_MAX = 100
"""Of one claim; each is two rows and an event in one slice."""
CLAIM_BYTES_MAX = PAGE_BYTES_MAX
"""Bodies of one claim, which is answered like a page; the job that would exceed it stays, but one
is claimed in any case. A sweep of an entry gives back, and a batch gives back or extends, no more
either: each job is written anew with its body."""
CLAIM_WAIT_MS_MAX = BLOCKING_WAIT_MS_MAX
"""Longest wait of a claim; a worker that wants more asks again."""
CLAIM_WAITERS_MAX = 2_000
"""Waiting claims of one peer; more are answered 503 and go to another peer."""
READY_STARTS_MAX = 1_024
"""Queues of which apply remembers where a claim begins to look; in others it searches."""
QUEUE_LOOKS_MAX = 500
"""Rows that a page of queues looks at for the ages of their oldest jobs, one for each priority in
use, before it ends: some 15 ms of the loop. A scrape of metrics leaves out the ages beyond it."""
QUEUES_COUNTED_MAX = 2_000
"""Queues that a scrape of metrics counts beyond those that it measures."""
JOBS_LOOKED_AT_MAX = 2_000
"""Rows of jobs that a page passes, dead letters between them, before it ends; a portion of a
purge, too."""
QUEUES_MEASURED_MAX = 100
"""Queues that have metrics of their own at one peer: labels must not grow for ever."""
QUEUE_STEP_JOBS_MAX = 1_000
"""Jobs that one portion of a purge or a redrive moves; the answer says where the next begins."""
TXN_ANSWER_BYTES_MAX = 1 * MIB
"""Values that the gets of one transaction may find; more is refused before anything is written."""
STAMPS_FREE_PER_COMMAND = 4
"""Ordinals that any command may use, however small it is."""
COMMAND_BYTES_PER_STAMP = 48
"""A command that may use more ordinals is padded to this many bytes for each of them."""
STAMPS_PER_EXPIRY_MAX = 4
"""Ordinals that the sweep may use for one due record."""
STAMPS_PER_DUE_JOB_MAX = 1
"""Ordinals that the sweep uses for a claim that ran out: its event."""
CONSUMERS_MAX = 100
"""Named consumers of the event log, expired ones too: all are looked at together."""
STAMPS_PER_CONSUMER = 2
"""Ordinals that the sweep uses for a consumer that expires: its write and its event."""
CONSUMER_SILENCE_MS_MAX = 7 * 24 * 3_600 * 1_000
"""A consumer that says nothing for this long, by the cluster clock, expires."""
CONSUMER_HELD_BYTES_MAX = GIB
"""A consumer that keeps more from being trimmed expires: a forgotten one fills nobody's disk."""
STAMPS_RESERVED = 16
"""Ordinals for events of the entry itself, as a new term."""
STAMPS_PER_ENTRY_MAX = (
    ENTRY_COMMANDS_MAX * STAMPS_FREE_PER_COMMAND
    + ENTRY_BYTES_MAX // COMMAND_BYTES_PER_STAMP
    + EXPIRE_BATCH_MAX * STAMPS_PER_EXPIRY_MAX
    + EXPIRE_BATCH_MAX * STAMPS_PER_DUE_JOB_MAX
    + CONSUMERS_MAX * STAMPS_PER_CONSUMER
    + STAMPS_RESERVED
)
"""Follows from the bounds above, whatever the commands of an entry are; it fits 16 bits."""
EVENT_VALUE_BYTES_MAX = 4 * KIB
"""A larger kv value is named in its event by size, not repeated."""
EVENTS_KEPT_COUNT_DEFAULT = 10_000_000
"""Older events are trimmed; a reader below the floor is told so with 410."""
EVENTS_KEPT_BYTES_DEFAULT = 8 * GIB
"""As the count, by encoded size."""
EVENTS_KEPT_MS_DEFAULT = 30 * 24 * 3_600 * 1_000
"""As the count, by age: thirty days."""
EVENTS_KEPT_COUNT_MIN = 1_000
"""What people may set, and the two below: a reader that reads must not fall out of the log."""
EVENTS_KEPT_BYTES_MIN = 1 * MIB
"""As the count, by encoded size."""
EVENTS_KEPT_MS_MIN = 60_000
"""As the count, by age."""
EVENT_FILTER_CODES_MAX = 32
"""Code prefixes of one reader: each event is compared with all of them."""

assert STAMPS_PER_ENTRY_MAX < 1 << 16, "ordinals of an entry fit into a stamp"
