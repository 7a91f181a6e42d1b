"""What a command did, as values and as the small bytes that are remembered. Pure.

Made by `machine` on every peer; decoded by `api` on the peer that was asked. Outcomes hold stamps,
never bodies: who needs the body reads it again.

Rule: a tag and a RejectCode are stored in request rows: never reused, never renamed.
"""

from __future__ import annotations

import enum
from typing import Any, Final

import msgpack
import msgspec

from replicante import errors
from replicante.ids import Stamp, format_stamp

_pack = msgpack.Packer(use_bin_type=True).pack


class RejectCode(enum.StrEnum):
    """Why a command changed nothing; each is the `code` of an error in errors/."""

    NOT_FOUND = "not_found"
    REVISION_MISMATCH = "revision_mismatch"
    """details: revision (what the thing has now, None when there is no such thing)."""
    BEING_DELETED = "being_deleted"
    """Only finalisers of an object that is Deleting may change. details: revision."""
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    """The key came with another command before."""
    OUTCOME_EXPIRED = "outcome_expired"
    """The key's first attempt is older than what is remembered. details: horizon_ms."""
    FIRST_ATTEMPT_IN_FUTURE = "first_attempt_in_future"
    """The first attempt is said to be later than now. details: clock_ms."""
    FEATURE_LEVEL_NOT_ABOVE = "feature_level_not_above"
    """The feature level never falls. details: level (the present one)."""
    LEASE_HELD = "lease_held"
    """Somebody holds the lease. details: token (of the holder), left_ms (by the cluster clock)."""
    STALE_TOKEN = "stale_token"
    """The token does not hold the lease or the claim. details: held (the one that does, None:
    nobody)."""
    UNKNOWN_SCOPE = "unknown_scope"
    """What the thing is to live in is not there. details: kind, name."""
    ACTION_EXISTS = "action_exists"
    """Another action has this id. details: revision."""
    WRONG_PHASE = "wrong_phase"
    """An action in this phase cannot take the step. details: phase; record or revision."""
    RECORD_CHANGED = "record_changed"
    """A record is not as the cycle saw it; the cycle is to begin anew. details: record."""
    HISTORY_GONE = "history_gone"
    """Events after the position are no longer kept. details: floor, head."""
    HISTORY_FORKED = "history_forked"
    """The position is of a history that a recovery cut. details: last_common, first_new (event
    ids), floor, head."""
    CONSUMER_EXPIRED = "consumer_expired"
    """It was silent, or held too much, for too long. details: floor, head."""
    TOO_MANY_CONSUMERS = "too_many_consumers"
    """details: limit."""
    ANSWER_TOO_LARGE = "answer_too_large"
    """The gets of a transaction find more than TXN_ANSWER_BYTES_MAX. details: limit."""
    BATCH_TOO_LARGE = "batch_too_large"
    """Those before it in the batch have written jobs of CLAIM_BYTES_MAX anew. details: limit."""


class Applied(msgspec.Struct, frozen=True):
    """The command was carried out."""

    revision: Stamp
    """Of the thing after the command: of this write, of the removal, or, when nothing changed, of
    the write before."""
    is_created: bool = False
    is_changed: bool = True
    """False: the thing already was as asked; nothing was written and no event was emitted."""
    is_removed: bool = False
    """The thing is gone. False after a DeleteObject: it is Deleting."""
    is_replayed: bool = False
    """The outcome of an earlier attempt with the same Idempotency-Key; nothing was done now."""


class Rejected(msgspec.Struct, frozen=True):
    """Nothing was changed. details: as the code says; `operation`, too, when it is of the one at
    this place of those that an acknowledgement carries."""

    code: RejectCode
    details: dict[str, Any] = {}
    is_replayed: bool = False


class BatchApplied(msgspec.Struct, frozen=True):
    """One outcome for each operation of a batch, in order."""

    outcomes: tuple[Applied | Rejected, ...]
    is_replayed: bool = False


class Got(msgspec.Struct, frozen=True):
    """What a get within a transaction found."""

    revision: Stamp | None
    """None: there is no such record."""
    value: bytes | None
    """Canonical bytes; None: no record, or only the outcome is remembered."""


class TxnApplied(msgspec.Struct, frozen=True):
    """One result for each operation of the branch that was carried out, in order."""

    is_success: bool
    """Every comparison held, so the branch is `then`."""
    results: tuple[Applied | Got, ...]
    """A deletion of what was not there is Applied with revision 0 and is_changed False."""
    is_replayed: bool = False


class AddedJob(msgspec.Struct, frozen=True):
    job: Stamp
    is_new: bool
    """False: one with this dedup id was there already; it is that one."""


class JobsAdded(msgspec.Struct, frozen=True):
    """One for each job that was sent, in order."""

    jobs: tuple[AddedJob, ...]
    is_replayed: bool = False


class ClaimedJob(msgspec.Struct, frozen=True):
    """Bodies are read from the state: they would make outcomes large."""

    job: Stamp
    token: Stamp
    attempt: int


class JobsClaimed(msgspec.Struct, frozen=True):
    jobs: tuple[ClaimedJob, ...]
    is_replayed: bool = False


class JobsMoved(msgspec.Struct, frozen=True):
    """So many dead letters were redriven, or jobs purged."""

    count: int
    left_count: int
    """Of the same kind, still there."""
    next: Stamp | None = None
    """`after` of the next portion; None when there is nothing behind this one."""
    is_replayed: bool = False


Outcome = Applied | Rejected | BatchApplied | TxnApplied | JobsAdded | JobsClaimed | JobsMoved

_APPLIED: Final = 1
_REJECTED: Final = 2
_BATCH: Final = 3
_REPLAYED: Final = 4
_TXN: Final = 5
_GOT: Final = 6
_ADDED: Final = 7
_CLAIMED: Final = 8
_MOVED: Final = 9

_CREATED: Final = 1
_CHANGED: Final = 2
_REMOVED: Final = 4


def encode_outcome(outcome: Outcome) -> bytes:
    fields = _packed_applied(outcome) if type(outcome) is Applied else _packed(outcome)
    packed: bytes = _pack(fields)
    return packed


def without_bodies(outcome: Outcome) -> Outcome:
    """What is remembered of an outcome: revisions, never values."""
    if not isinstance(outcome, TxnApplied):
        return outcome
    results = tuple(
        Got(one.revision, None) if isinstance(one, Got) else one for one in outcome.results
    )
    return TxnApplied(outcome.is_success, results)


def decode_outcome(encoded: bytes) -> Outcome:
    """Raises FatalError when the bytes are no outcome."""
    try:
        packed = msgpack.unpackb(encoded)
        if packed[0] == _REPLAYED:
            return msgspec.structs.replace(decode_outcome(packed[1]), is_replayed=True)
        return _unpacked(packed)
    except (ValueError, TypeError, LookupError, msgpack.UnpackException) as exc:
        raise errors.FatalError("bytes that are no outcome") from exc


def encode_replayed(recorded: bytes) -> bytes:
    """The outcome of an earlier attempt, marked as such. recorded: as encode_outcome made it."""
    packed: bytes = _pack((_REPLAYED, recorded))
    return packed


def rejected_error(rejected: Rejected, *, message: str | None = None) -> errors.ReplicanteError:
    """What a caller is told. message: None for that of the error. Stamps among the details become
    text of 19 digits, and the place of a carried operation a path."""
    details = {
        name: format_stamp(value) if name in _STAMPS and value is not None else value
        for name, value in rejected.details.items()
    }
    if "operation" in details:
        details["path"] = f"operations[{details.pop('operation')}]"
    return _ERRORS[rejected.code](message, **details)


_STAMPS: Final = frozenset(
    ("revision", "token", "held", "floor", "head", "last_common", "first_new")
)
_ERRORS: Final[dict[RejectCode, type[errors.RequestError]]] = {
    RejectCode.NOT_FOUND: errors.NotFound,
    RejectCode.REVISION_MISMATCH: errors.RevisionMismatch,
    RejectCode.BEING_DELETED: errors.BeingDeleted,
    RejectCode.IDEMPOTENCY_KEY_REUSED: errors.IdempotencyKeyReused,
    RejectCode.OUTCOME_EXPIRED: errors.OutcomeExpired,
    RejectCode.FIRST_ATTEMPT_IN_FUTURE: errors.FirstAttemptInFuture,
    RejectCode.FEATURE_LEVEL_NOT_ABOVE: errors.FeatureLevelNotAbove,
    RejectCode.LEASE_HELD: errors.LeaseHeld,
    RejectCode.STALE_TOKEN: errors.StaleToken,
    RejectCode.UNKNOWN_SCOPE: errors.UnknownScope,
    RejectCode.ACTION_EXISTS: errors.ActionExists,
    RejectCode.WRONG_PHASE: errors.WrongPhase,
    RejectCode.RECORD_CHANGED: errors.RecordChanged,
    RejectCode.HISTORY_GONE: errors.HistoryGone,
    RejectCode.HISTORY_FORKED: errors.HistoryForked,
    RejectCode.CONSUMER_EXPIRED: errors.ConsumerExpired,
    RejectCode.TOO_MANY_CONSUMERS: errors.TooManyConsumers,
    RejectCode.ANSWER_TOO_LARGE: errors.AnswerTooLarge,
    RejectCode.BATCH_TOO_LARGE: errors.BatchTooLarge,
}


def _packed(outcome: Outcome | Got) -> tuple[Any, ...]:
    if isinstance(outcome, Applied):
        return _packed_applied(outcome)
    if isinstance(outcome, Rejected):
        return (_REJECTED, str(outcome.code), outcome.details)
    if isinstance(outcome, Got):
        return (_GOT, outcome.revision, outcome.value)
    if isinstance(outcome, TxnApplied):
        return (_TXN, outcome.is_success, [_packed(one) for one in outcome.results])
    if isinstance(outcome, JobsAdded):
        return (_ADDED, [(one.job, one.is_new) for one in outcome.jobs])
    if isinstance(outcome, JobsClaimed):
        return (_CLAIMED, [(one.job, one.token, one.attempt) for one in outcome.jobs])
    if isinstance(outcome, JobsMoved):
        moved = (_MOVED, outcome.count, outcome.left_count)
        return moved if outcome.next is None else (*moved, outcome.next)
    return (_BATCH, [_packed(one) for one in outcome.outcomes])


def _packed_applied(outcome: Applied) -> tuple[Any, ...]:
    flags = _CHANGED if outcome.is_changed else 0
    if outcome.is_created:
        flags |= _CREATED
    if outcome.is_removed:
        flags |= _REMOVED
    return (_APPLIED, outcome.revision, flags)


def _unpacked(packed: list[Any]) -> Outcome:
    if packed[0] == _BATCH:
        return BatchApplied(tuple(_unpacked_one(one) for one in packed[1]))
    if packed[0] == _ADDED:
        return JobsAdded(tuple(AddedJob(Stamp(job), is_new) for job, is_new in packed[1]))
    if packed[0] == _CLAIMED:
        claimed = (ClaimedJob(Stamp(job), Stamp(token), n) for job, token, n in packed[1])
        return JobsClaimed(tuple(claimed))
    if packed[0] == _MOVED:
        _, count, left_count, *place = packed
        return JobsMoved(count, left_count, Stamp(place[0]) if place else None)
    if packed[0] == _TXN:
        _, is_success, results = packed
        return TxnApplied(is_success, tuple(_unpacked_result(one) for one in results))
    return _unpacked_one(packed)


def _unpacked_result(packed: list[Any]) -> Applied | Got:
    if packed[0] == _GOT:
        _, revision, value = packed
        return Got(revision, value)
    result = _unpacked_one(packed)
    if not isinstance(result, Applied):
        raise ValueError("a transaction has no rejected results")
    return result


def _unpacked_one(packed: list[Any]) -> Applied | Rejected:
    tag, first, second = packed
    if tag == _APPLIED:
        return Applied(
            Stamp(first),
            is_created=bool(second & _CREATED),
            is_changed=bool(second & _CHANGED),
            is_removed=bool(second & _REMOVED),
        )
    if tag == _REJECTED:
        return Rejected(RejectCode(first), second)
    raise ValueError(f"unknown outcome tag {tag}")
