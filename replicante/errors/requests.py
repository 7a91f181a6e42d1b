"""The caller's mistake, or the state's answer to it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from replicante.errors.base import ReplicanteError


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
    """This token holds nothing: what it held ran out, was given back, or has another holder."""

    code = "stale_token"


class AnswerTooLarge(RequestError):
    """The reads of this transaction would give more than one answer may hold; nothing was done."""

    code, http_status = "answer_too_large", 413


class BatchTooLarge(RequestError):
    """What stands before this in the batch gives back or extends jobs of as many bytes as one batch
    may; this did nothing. Send it, and what follows it, in another batch."""

    code, http_status = "batch_too_large", 413


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
