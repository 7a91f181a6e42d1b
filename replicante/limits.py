"""Every bound, with its unit in its name and the reason next to it. Pure; imported by every room.

Hitting a bound has a designed answer (413, 429, 503, 507, 400 with the limit in the message),
and a test.
"""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# --- names ------------------------------------------------------------
NAME_BYTES_MAX = 128
PEER_ID_PATTERN = r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?"
NAME_PATTERN = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?"

# --- values and requests
# -------------------------------------------------------------------------------
KV_KEY_BYTES_MAX = 384
VALUE_BYTES_MAX = 1 * MIB
VALUE_DEPTH_MAX = 32
INTEGER_MIN = -(1 << 63)
INTEGER_MAX = (1 << 63) - 1
REQUEST_BYTES_MAX = 1 * MIB
"""Size of one HTTP body and of one command's payload, before the envelope."""
REQUEST_OPERATIONS_MAX = 1_000
COMMAND_BYTES_MAX = REQUEST_BYTES_MAX + 64 * KIB
"""A command is the request's canonical bytes plus its envelope (tag, key, request id)."""
PAGE_ITEMS_MAX = 1_000
PAGE_ITEMS_DEFAULT = 100
PAGE_BYTES_MAX = 4 * MIB
"""A page ends early, with `next`, when its rows would exceed this."""
IDEMPOTENCY_KEY_BYTES_MAX = 128
IDEMPOTENCY_WINDOW_MS = 24 * 3_600 * 1_000
BLOCKING_WAIT_MS_MAX = 10 * 60 * 1_000
REQUEST_DEADLINE_MS_DEFAULT = 10_000
REQUEST_DEADLINE_MS_MAX = 60_000

# --- rows ------------------------------------------------------------
ROW_KEY_BYTES_MAX = 511
"""LMDB's compiled-in key bound; an encoded row key includes table and namespace (design R9)."""

# --- Raft ------------------------------------------------------------
ENTRY_BYTES_MAX = 2 * MIB
ENTRY_COMMANDS_MAX = 4_096
FRAME_BYTES_MAX = ENTRY_BYTES_MAX + 64 * KIB
APPEND_BYTES_MAX = 512 * KIB
"""Soft size of one append message: it ends after the entry that crosses this, so one entry
always fits."""
APPEND_ENTRIES_MAX = 256
APPEND_INFLIGHT_MAX = 8
PROPOSALS_PENDING_MAX = 4_096
"""In-flight proposals of one peer; equals the outcomes a session remembers above its floor
(design R4)."""
PROPOSALS_PENDING_BYTES_MAX = 64 * MIB
INBOX_MESSAGES_MAX = 4_096
LINK_OUTBOX_BYTES_MAX = 16 * MIB
"""Frames that wait for one slow peer on one channel; above it they are dropped, Raft re-sends."""
HANDSHAKE_BYTES_MAX = 16 * KIB
"""Greatest frame that a connection may bring before it has named itself."""
HELLO_BIRTH_BYTES_MAX = 8 * KIB
ADDRESS_BYTES_MAX = 260
"""A DNS name (253), a colon, a port."""
REFUSAL_MESSAGE_BYTES_MAX = 512
LINK_LOOKUP_MS_MAX = 30_000
"""A name lookup may outlive the attempt that asked, so it gets longer than the resolver's own."""
LINK_DIAL_MS_MAX = 3_000
LINK_HANDSHAKE_MS_MAX = 3_000
LINK_SILENCE_MS_MAX = 10_000
"""TCP gives a link up when what was sent stays unacknowledged for so long."""
LINK_CLOSE_MS_MAX = 250
"""What a stopping peer waits for its last frames to leave."""
REDIAL_MS_MIN = 20
REDIAL_MS_MAX = 1_000
SESSION_OUTCOMES_MAX = 4_096
PEERS_MAX = 15
INBOUND_LINKS_MAX = 4 * PEERS_MAX
"""Two channels a peer, and as many again while new connections replace old ones."""
STRANGERS_MAX = 2 * PEERS_MAX
"""Inbound connections that have not named themselves yet."""
HEARTBEAT_MS = 100
ELECTION_MS_MIN = 600
ELECTION_MS_MAX = 1_200
CLOCK_STEP_MS_MAX = ELECTION_MS_MIN
CLOCK_TICK_MS = 10_000
LOG_TAIL_BYTES_MAX = 16 * MIB
"""Newest log entries kept in memory for followers and apply; older ones are read from disk."""

# --- state ------------------------------------------------------------
STATE_MAP_BYTES_DEFAULT = 64 * GIB
LOG_MAP_BYTES_DEFAULT = 64 * GIB
LOG_RESERVE_BYTES = 64 * MIB
FLUSH_INTERVAL_MS = 250
FLUSH_SLICE_ROWS_MAX = 2_000
MEMTABLE_BYTES_MAX = 64 * MIB
DIGEST_INTERVAL_ENTRIES = 1_024
DIGESTS_KEPT = 8
EXPIRE_BATCH_MAX = 500
REQUESTS_KEPT_MAX = 100_000

# --- HTTP ------------------------------------------------------------
EVENT_STREAMS_MAX = 2_000
EVENT_STREAM_BUFFER_BYTES_MAX = 1 * MIB
EVENT_HEARTBEAT_MS = 5_000
STALE_STREAM_MS = 15_000
REQUESTS_INFLIGHT_MAX = 4_096

assert ENTRY_BYTES_MAX >= COMMAND_BYTES_MAX + 16 * KIB, "the largest command fits an entry"
assert ENTRY_COMMANDS_MAX * 15 < 1 << 16, "ordinals of an entry fit into a stamp"
assert HEARTBEAT_MS * 3 < ELECTION_MS_MIN < ELECTION_MS_MAX
