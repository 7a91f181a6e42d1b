"""Bounds of one peer that answers requests and tells of itself. Pure."""

from __future__ import annotations

from replicante.limits.units import KIB, MIB

HTTP_CONNECTIONS_MAX = 8_192
"""More are closed at once: half of a usual limit of open files stays for data and peers."""
REQUESTS_INFLIGHT_MAX = 4_096
"""Requests being worked on by one peer; more are answered 429."""
HTTP_BODY_BYTES_INFLIGHT_MAX = 64 * MIB
"""Request bodies held in memory at once, over all connections; more are answered 429."""
HTTP_BODY_READ_MS_MAX = 30_000
"""A body that takes longer to arrive is answered 408: a slow sender holds memory."""
HTTP_BODY_INLINE_BYTES_MAX = 16 * KIB
"""Larger bodies are parsed and checked on a thread, so that no slice of the loop exceeds 20 ms."""
HTTP_PAGE_SLICE_BYTES_MAX = 256 * KIB
"""Stored values of a page that are turned into an answer at once; then the loop serves others."""
HTTP_WRITE_MS_MAX = 10_000
"""A stream whose reader takes nothing for this long is cut off."""
HTTP_STOP_MS_MAX = 5_000
"""Requests in flight get this long to finish when the server stops."""
HTTP_LEAVE_MS_MAX = 1_000
"""What they leave behind, as the end of an answer on a slow connection, gets this long after it."""
EVENT_STREAMS_MAX = 2_000
"""Streams and long polls of one peer; more are answered 503 and go to another peer."""
EVENT_CHUNK_BYTES_MAX = 64 * KIB
"""One write of a stream; between two the loop serves others, and no more than this is buffered."""
EVENT_SCAN_ITEMS_MAX = 500
"""Events looked at in one view, filtered ones too: a slice of the loop."""
EVENT_TAIL_BYTES_MAX = 16 * MIB
"""Newest events kept decoded for streams, with their encodings; older ones are read again."""
EVENT_PORTIONS_MAX = 64
"""Writes that are kept for other readers of the same place and filter; beyond it each reader joins
its own from lines that are still encoded once."""
EVENT_WAKES_AT_ONCE_MAX = 64
"""Readers that are woken together; a slice of the loop."""
EVENT_REST_MS_MAX = 100
"""Longest rest between two rounds of waking: what many readers add to the age of an event."""
EVENT_HEARTBEAT_MS = 5_000
"""Silence on a stream: short enough for proxies that close idle connections."""
STALE_STREAM_MS = 15_000
"""A stream of a peer that lost touch for this long ends, so that its reader goes elsewhere."""
LOG_LINES_QUEUED_MAX = 10_000
"""Lines that wait for stderr; more are dropped and counted: the loop never waits for it."""
LOOP_LAG_SAMPLE_MS = 50
"""Period of the timer whose lateness is the loop's lag: finds every slice that is longer."""
