"""Bounds of the client library. Pure."""

from __future__ import annotations

from replicante.limits.requests import (
    COMMAND_BYTES_MAX,
    JSON_BYTES_PER_STORED_BYTE,
    PAGE_BYTES_MAX,
    PAGE_ITEMS_MAX,
)
from replicante.limits.serving import EVENT_HEARTBEAT_MS
from replicante.limits.units import KIB, MIB

CLIENT_ENDPOINTS_MAX = 64
"""Far above PEERS_MAX; names may resolve to several addresses."""
CLIENT_CONNECTIONS_MAX = 512
"""Connections of one client; more concurrent calls wait for a free one."""
CLIENT_CONNECT_MS_MAX = 1_000
"""A peer that does not accept by then is left for another one."""
CLIENT_ATTEMPT_MS_MAX = 3_000
"""One attempt of a call: a peer that is silent for longer is left for another one."""
CLIENT_PAUSE_MS_MIN = 20
"""Pause after every endpoint was tried in vain; it doubles up to the most."""
CLIENT_PAUSE_MS_MAX = 500
"""Pause after every endpoint was tried in vain; it doubles from the least to the most."""
CLIENT_ANSWER_BYTES_MAX = JSON_BYTES_PER_STORED_BYTE * PAGE_BYTES_MAX + PAGE_ITEMS_MAX * KIB
"""Largest body that a client reads: any page, whatever its values are, and what is said beside
each."""
CLIENT_EVENT_BYTES_MAX = JSON_BYTES_PER_STORED_BYTE * COMMAND_BYTES_MAX + 64 * KIB
"""One line of an event stream: what the largest command may bring, and what is said beside it."""
CLIENT_STREAM_SILENCE_MS_MAX = 2 * EVENT_HEARTBEAT_MS + 2_500
"""A stream without event or heartbeat for this long is dead: two heartbeats were missed."""
EXPORT_UNSYNCED_BYTES_MAX = 1 * MIB
"""Lines of an event export between two fsyncs; one event more may go beyond it."""
EXPORT_QUEUED_ITEMS_MAX = 256
"""Followed events that wait while those before them are synced; more wait on the connection."""
EXPORT_READ_BYTES = 2 * EXPORT_UNSYNCED_BYTES_MAX + 2 * CLIENT_EVENT_BYTES_MAX
"""End of an export that is read and checked before it goes on: all that a crash can have left
half written, and the whole event before it."""
