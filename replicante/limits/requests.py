"""Bounds of names, values and requests, whoever makes them. Pure."""

from __future__ import annotations

from replicante.limits.units import KIB, MIB

NAME_BYTES_MAX = 128
"""Long enough for any host name in use, short enough for keys made of several names."""
HOST_PATTERN = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
"""The name of a host, as DNS has it; at most 253 characters."""
PEER_ID_PATTERN = r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?"
"""Lower case, fit for file names, DNS labels and metric labels; at most 64."""
NAME_PATTERN = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?"
"""Names of clusters, namespaces and objects: fit for paths and file names as they are."""
KV_KEY_BYTES_MAX = 384
"""Leaves room for table, namespace and escapes within ROW_KEY_BYTES_MAX."""
VALUE_BYTES_MAX = 1 * MIB
"""A value is coordination data, not a file: it is replicated, logged and held in memory."""
VALUE_DEPTH_MAX = 32
"""Far below any recursion limit, so that every peer can decode what one peer accepted."""
INTEGER_MIN = -(1 << 63)
"""64 bits: what msgpack, JSON readers of most languages and databases agree on."""
INTEGER_MAX = (1 << 63) - 1
"""As INTEGER_MIN; unsigned values above it are refused."""
REQUEST_BYTES_MAX = 1 * MIB
"""Size of one HTTP body and of one command's payload, before the envelope."""
REQUEST_OPERATIONS_MAX = 1_000
"""Operations of one batch; applied without a pause, so that a batch stays one slice."""
COMMAND_BYTES_MAX = REQUEST_BYTES_MAX + 64 * KIB
"""A command is the request's canonical bytes plus its envelope (tag, key, request id)."""
REQUEST_ID_BYTES_MAX = 128
"""A caller's request id is repeated in every log line of the request."""
ACTOR_BYTES_MAX = 256
"""Who asked, kept with the event: a name, a certificate subject, a path of roles."""
FINALISERS_MAX = 16
"""Each is a party that must agree before an object goes; more are a mistake."""
LABELS_MAX = 64
"""Labels of one object: they are for choosing, a description belongs elsewhere."""
SELECTOR_TERMS_MAX = 32
"""Terms of one label selector; each is compared with every object that is looked at."""
PAGE_ITEMS_MAX = 1_000
"""Rows of one page: a page is read in one view, within one slice of the loop."""
PAGE_ITEMS_DEFAULT = 100
"""Rows of a page when the caller names no limit."""
PAGE_BYTES_MAX = 4 * MIB
"""A page ends early, with `next`, when its rows would exceed this."""
JSON_BYTES_PER_STORED_BYTE = 6
"""A control character of a stored value is one byte, `\\u0001` in JSON; nothing grows by more."""
IDEMPOTENCY_KEY_BYTES_MAX = 128
"""A UUID, a ULID or a hash with a prefix fits."""
IDEMPOTENCY_WINDOW_MS = 24 * 3_600 * 1_000
"""Outcomes are kept for a day of cluster time: longer than any sane retry."""
BLOCKING_WAIT_MS_MAX = 10 * 60 * 1_000
"""Longest wait of a blocking read; proxies seldom allow more."""
REQUEST_DEADLINE_MS_DEFAULT = 10_000
"""Several elections fit into it, so that a write outlives the loss of a leader."""
REQUEST_DEADLINE_MS_MAX = 60_000
"""A caller who waits longer holds a place in the queue that others need."""
ROW_KEY_BYTES_MAX = 511
"""LMDB's compiled-in key bound; an encoded row key includes table and namespace."""
