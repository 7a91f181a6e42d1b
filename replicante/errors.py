"""Every error a caller can meet, as one tree.

The class docstring is the default message. `code` is stable and appears in problem+json;
`http_status` is what the API answers; `definite` says whether the refused operation certainly
did not happen. A user mistake inside apply is never raised: it is a `Rejected` value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class ReplicanteError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    definite: ClassVar[bool] = False

    def __init__(
        self, message: str | None = None, *, hints: Sequence[str] = (), **details: Any
    ) -> None:
        """details: JSON-compatible values that a program may want, copied into the problem
        body."""
        self.message = message or " ".join((type(self).__doc__ or "").split())
        self.hints = tuple(hints)
        self.details = details
        super().__init__(self.message)


# --- consensus: the write or read could not be ordered


class ConsensusError(ReplicanteError):
    """The peers could not order this request."""


class NoLeader(ConsensusError):
    """No leader is known, so nothing was done. Retry in a moment, or check that a majority of
    peers runs."""

    code, http_status, definite = "no_leader", 503, True


class OutcomeUnknown(ConsensusError):
    """No answer before the deadline; the write may still happen. Repeat with the same
    Idempotency-Key."""

    code, http_status, definite = "outcome_unknown", 504, False


class ReadTimeout(ConsensusError):
    """The read could not be confirmed before its deadline; nothing was changed by it."""

    code, http_status, definite = "read_timeout", 503, True


class QueueFull(ConsensusError):
    """Too many proposals are waiting on this peer; this one was refused before it was sent."""

    code, http_status, definite = "queue_full", 429, True


class TooLarge(ConsensusError):
    """The proposal is larger than one log entry may be."""

    code, http_status, definite = "too_large", 413, True


class SessionEnded(ConsensusError):
    """The forwarding session of this peer ended before the proposal was applied; it was not
    applied."""

    code, http_status, definite = "session_ended", 503, True


class PeerStopping(ConsensusError):
    """This peer is stopping and takes no new work. Ask another peer."""

    code, http_status, definite = "stopping", 503, True


class Quarantined(ConsensusError):
    """The state of this peer differs from what a majority of the peers has, so it serves nobody.
    Ask another peer."""

    code, http_status, definite = "quarantined", 503, True


class StaleRead(ConsensusError):
    """This peer cannot prove that its copy is as fresh as asked. Ask another peer or accept
    older data."""

    code, http_status, definite = "too_stale", 503, True


# --- a peer that refuses to start or to go on


class StartRefused(ReplicanteError):
    """This peer refuses to start."""

    code, http_status, definite = "start_refused", 500, True


class DataDirInUse(StartRefused):
    """Another process uses this data directory."""

    code = "data_dir_in_use"


class WrongIdentity(StartRefused):
    """The data directory belongs to another peer or to another cluster."""

    code = "wrong_identity"


class CorruptData(StartRefused):
    """Stored data does not match its checksum; it is never replayed."""

    code = "corrupt_data"


class PeerRemoved(StartRefused):
    """This peer was removed from its cluster; under this data directory it does not come back."""

    code = "peer_removed"


class UnsupportedFormat(StartRefused):
    """The data was written by another version of the format."""

    code = "unsupported_format"


class AddressInUse(StartRefused):
    """The address is taken by another process."""

    code = "address_in_use"


class InvalidConfig(StartRefused):
    """The configuration is not valid."""

    code = "invalid_config"


class UnsupportedEngine(StartRefused):
    """The installed PySyncObj is not the version that this engine was verified against."""

    code = "unsupported_engine"


class DiskFull(ReplicanteError):
    """The disk is full: writes stand still, reads go on. Make room; writes resume by
    themselves."""

    code, http_status, definite = "disk_full", 507, True


class StorageFull(ReplicanteError):
    """The storage bound is reached: writes are refused, reads go on. Delete data or raise the
    bound."""

    code, http_status, definite = "storage_full", 507, True


class FatalError(ReplicanteError):
    """A promise cannot be kept any more; the process must end. This is our bug or a broken
    disk."""

    code = "fatal"


# --- requests: the caller's mistake


class InconsistentRecords(ReplicanteError):
    """Stored records of one cluster contradict each other. Nothing was decided on them; run
    `replicante check` on a stopped peer's data directory."""

    code, http_status, definite = "inconsistent_records", 500, True


class RequestError(ReplicanteError):
    """The request cannot be carried out."""

    code, http_status, definite = "invalid", 400, True


class Invalid(RequestError):
    """The request is not valid."""

    code = "invalid"

    def __init__(
        self,
        message: str | None = None,
        *,
        path: str = "",
        hints: Sequence[str] = (),
        **details: Any,
    ) -> None:
        """path: where in the body the fault is, as `spec.nodes[0].name`; empty for the whole
        body."""
        super().__init__(message, hints=hints, path=path, **details)
        self.path = path


class NotFound(RequestError):
    """There is no such thing."""

    code, http_status = "not_found", 404


class Conflict(RequestError):
    """The request conflicts with the present state."""

    code, http_status = "conflict", 409


class RevisionMismatch(RequestError):
    """The thing changed since the revision that the request names."""

    code, http_status = "revision_mismatch", 412


class OutcomeExpired(RequestError):
    """This Idempotency-Key is older than the window in which outcomes are kept; it is not
    applied again."""

    code, http_status = "outcome_expired", 409


class IdempotencyKeyReused(RequestError):
    """This Idempotency-Key came with another request before; nothing was done. Use a new key."""

    code, http_status = "idempotency_key_reused", 422


class FirstAttemptInFuture(RequestError):
    """The first attempt of this Idempotency-Key is said to be later than the cluster clock; it
    is not applied."""

    code, http_status = "first_attempt_in_future", 400


class BeingDeleted(Conflict):
    """The object is being deleted: only its finalisers may still change."""

    code = "being_deleted"


class MembershipRefused(Conflict):
    """The members of this cluster cannot be changed like this now; nothing was changed."""

    code = "membership_refused"


class UnknownScope(RequestError):
    """The namespace or cluster that this is to live in does not exist. Declare it first."""

    code, http_status = "unknown_scope", 400


class ActionExists(RequestError):
    """Another action has this id. Leave the id out and one is chosen."""

    code, http_status = "action_exists", 400


class WrongPhase(RequestError):
    """The action is in a phase in which it cannot take this step."""

    code, http_status = "wrong_phase", 400


class RecordChanged(Conflict):
    """A record is not as it was seen; nothing was written. Look at it again."""

    code = "record_changed"


class FeatureLevelNotAbove(Conflict):
    """The feature level only rises."""

    code = "feature_level_not_above"


class FeatureLevelUnsupported(Conflict):
    """A member does not support this feature level, or has not said so. Upgrade it first."""

    code = "feature_level_unsupported"


class LeaseHeld(Conflict):
    """Somebody holds this lease. Wait until it is released or runs out."""

    code = "lease_held"


class TooManyConsumers(Conflict):
    """There are as many consumers of events as there may be. Delete one that is not used."""

    code = "too_many_consumers"


class StaleToken(Conflict):
    """This token does not hold the lease: it ran out, was released, or another holder came."""

    code = "stale_token"


class AnswerTooLarge(RequestError):
    """The reads of this transaction would give more than one answer may hold; nothing was done."""

    code, http_status = "answer_too_large", 413


class BodyTooLarge(RequestError):
    """The body is larger than the limit."""

    code, http_status = "body_too_large", 413


class HistoryGone(RequestError):
    """Events this old are no longer kept."""

    code, http_status = "history_gone", 410


class HistoryForked(HistoryGone):
    """A recovery began a new history before this event: it is lost, with all that came after it."""

    code, http_status = "history_forked", 410


class ConsumerExpired(RequestError):
    """This consumer was silent, or held too much of the event log, for too long; events that it
    has not read may be gone. Delete it, read the state, and make it anew."""

    code, http_status = "consumer_expired", 410


class Forbidden(RequestError):
    """The request is not allowed from here."""

    code, http_status = "forbidden", 403


# --- HTTP: the request never reached an operation


class MalformedHttp(RequestError):
    """The bytes received are no HTTP request."""

    code, http_status = "malformed_http", 400


class BodyTimeout(RequestError):
    """The body did not arrive in time."""

    code, http_status = "body_timeout", 408


class NoSuchPath(RequestError):
    """There is no such path. The paths are listed by GET /openapi.json."""

    code, http_status = "no_such_path", 404


class MethodNotAllowed(RequestError):
    """This path does not take this method; `Allow` names those that it takes."""

    code, http_status = "method_not_allowed", 405


class NotAcceptable(RequestError):
    """The answer has none of the media types that `Accept` asks for."""

    code, http_status = "not_acceptable", 406


class UnsupportedMedia(RequestError):
    """The body must be JSON or msgpack, and say so in `Content-Type`."""

    code, http_status = "unsupported_media_type", 415


class TooManyRequests(RequestError):
    """Too many requests are in flight on this peer; this one was refused before it began."""

    code, http_status = "too_many_requests", 429


class NotReady(RequestError):
    """This peer is not ready to serve. Send requests to another peer."""

    code, http_status = "not_ready", 503


class TooManyStreams(RequestError):
    """Too many event streams are open on this peer. Ask another peer."""

    code, http_status = "too_many_streams", 503


# --- the client's side: no peer said this


class Unreachable(ConsensusError):
    """No endpoint could be reached, so nothing was done. Check the addresses, and that the
    peers run."""

    code, http_status, definite = "unreachable", 503, True


class LeaseLost(ReplicanteError):
    """The lease ran out or was taken away while it was in use. What was done under it may overlap
    with what the next holder does, except where tokens are checked."""

    code, http_status, definite = "lease_lost", 409, False


class BadAnswer(ReplicanteError):
    """What answered does not speak as a peer does. Check that the endpoint is one, and that
    nothing between changes its answers."""

    code, http_status, definite = "bad_answer", 502, False
