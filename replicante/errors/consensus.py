"""The write or the read could not be ordered. Pure."""

from __future__ import annotations

from replicante.errors.base import ReplicanteError


class ConsensusError(ReplicanteError):
    """The peers could not order this request."""


class NoLeader(ConsensusError):
    """No leader is known, so nothing was done. Retry in a moment, or check that a majority of
    peers runs."""

    code, http_status, definite = "no_leader", 503, True
    retry = True


class OutcomeUnknown(ConsensusError):
    """No answer before the deadline; the write may still happen. Read whether it did before you
    repeat it."""

    code, http_status, definite = "outcome_unknown", 504, False


class ReadTimeout(ConsensusError):
    """The read could not be confirmed before its deadline; nothing was changed by it."""

    code, http_status, definite = "read_timeout", 503, True
    retry = True


class QueueFull(ConsensusError):
    """Too many proposals are waiting on this peer; this one was refused before it was sent."""

    code, http_status, definite = "queue_full", 429, True
    retry = True


class TooLarge(ConsensusError):
    """The proposal is larger than one log entry may be."""

    code, http_status, definite = "too_large", 413, True


class SessionEnded(ConsensusError):
    """The forwarding session of this peer ended before the proposal was applied; it was not
    applied."""

    code, http_status, definite = "session_ended", 503, True
    retry = True


class PeerStopping(ConsensusError):
    """This peer is stopping and takes no new work. Ask another peer."""

    code, http_status, definite = "stopping", 503, True
    retry = True


class Quarantined(ConsensusError):
    """The state of this peer differs from what a majority of the peers has, so it serves nobody.
    Ask another peer."""

    code, http_status, definite = "quarantined", 503, True
    retry = True


class StaleRead(ConsensusError):
    """This peer cannot prove that its copy is as fresh as asked. Ask another peer or accept
    older data."""

    code, http_status, definite = "too_stale", 503, True
    retry = True
