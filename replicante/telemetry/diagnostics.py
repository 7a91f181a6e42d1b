"""Every log event name with its keys, declared once. Pure; used by whoever logs.

`log.info(Diagnostic.PEER_READY, url=…)`: an event name and keys, never a sentence. A name is
added here first; retired names are not reused for another meaning.
"""

from __future__ import annotations

import enum


class Diagnostic(enum.StrEnum):
    """value: the event name; keys: what a line may carry besides `peer`, `level` and `time`;
    meaning: when it is written."""

    keys: tuple[str, ...]
    meaning: str

    def __new__(cls, name: str, keys: tuple[str, ...], meaning: str) -> Diagnostic:
        member = str.__new__(cls, name)
        member._value_ = name
        member.keys = keys
        member.meaning = meaning
        return member

    def __str__(self) -> str:
        return str(self.value)

    # --- a peer's life ---
    PEER_STARTING = (
        "peer_starting",
        ("version", "data_dir", "raft_address", "http_address"),
        "The process begins to open its data.",
    )
    PEER_READY = (
        "peer_ready",
        ("url", "role", "leader", "term", "applied_index"),
        "The peer knows a leader and has caught up: it serves.",
    )
    PEER_NOT_READY = ("peer_not_ready", ("reason",), "The peer stopped being ready.")
    PEER_STOPPING = ("peer_stopping", ("reason",), "A signal or an error ends the process.")
    PEER_STOPPED = ("peer_stopped", ("reason",), "Everything is flushed and closed.")
    START_REFUSED = ("start_refused", ("code", "detail", "hints"), "The peer refuses to start.")
    FATAL = ("fatal", ("error", "exception"), "A promise cannot be kept; the process ends now.")
    SETTING_RISKY = ("setting_risky", ("setting", "detail"), "A valid setting that may hurt.")
    CERTIFICATE_ENDS = (
        "certificate_ends",
        ("file", "until", "days_left"),
        "At the start: the certificate of this peer ends soon; renew it.",
    )

    # --- Raft, as observed ---
    RAFT = (
        "raft",
        ("kind", "term", "index", "detail", "leader", "role"),
        "An observation of the Raft room; `kind` names it.",
    )

    STATE_QUARANTINED = (
        "state_quarantined",
        ("index", "own_digest", "digest", "hints"),
        "The state of this peer is not what a majority of the peers has: it serves nobody.",
    )
    STATE_DIFFERS = (
        "state_differs",
        ("peer", "incarnation", "index"),
        "The state of another peer is not what a majority of the peers has.",
    )
    STATES_DISPUTED = (
        "states_disputed",
        ("index",),
        "The states of the voters differ, and no majority says which is right.",
    )

    # --- HTTP ---
    HTTP_LISTENING = ("http_listening", ("url",), "The HTTP server accepts connections.")
    HTTP_STOPPED = ("http_stopped", ("open_count",), "The HTTP server closed its connections.")
    HTTP_REQUEST = (
        "http_request",
        ("request_id", "method", "path", "route", "status", "code", "duration_ms", "index"),
        "A request was answered; debug, or warning when it was slow or failed on our side.",
    )
    HTTP_UNEXPECTED = (
        "http_unexpected",
        ("request_id", "method", "path", "exception"),
        "A defect of ours answered 500; the exception is in the line.",
    )
    HTTP_MALFORMED = ("http_malformed", ("detail",), "Bytes that are no HTTP request.")
    STREAM_OPENED = ("stream_opened", ("request_id", "format", "after"), "An event stream began.")
    STREAM_CLOSED = (
        "stream_closed",
        ("request_id", "format", "reason", "sent_count", "duration_ms"),
        "An event stream ended; `reason` says who ended it.",
    )
    EVENT_FEED_FAILED = (
        "event_feed_failed",
        ("exception",),
        "A defect of ours stopped the feed of new events; it starts again.",
    )
    WAITS_FAILED = (
        "waits_failed",
        ("exception",),
        "A defect of ours stopped the watch that wakes waiting requests; it starts again.",
    )

    # --- work on clusters ---
    WORK_FAILED = (
        "work_failed",
        ("work", "target", "detail"),
        "A cycle or discovery was not recorded; it begins anew after a pause.",
    )
    WORK_UNEXPECTED = (
        "work_unexpected",
        ("work", "target", "exception"),
        "A defect of ours ended the work on one target; it begins anew after a pause.",
    )

    # --- diagnostics about diagnostics ---
    LOG_LINES_DROPPED = ("log_lines_dropped", ("dropped_count",), "stderr was too slow.")
    LOOP_LAGGED = ("loop_lagged", ("lag_ms",), "Something held the event loop for too long.")
