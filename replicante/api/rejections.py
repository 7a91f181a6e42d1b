"""Says in words what a rejected command was about. Pure; called by `writes` and `batches`, which
have the command in hand: an outcome does not name it.

Rule: programs read `code` and the details, which are the same for every thing; this is for people.
"""

from __future__ import annotations

from replicante import errors
from replicante.ids import Stamp, format_stamp
from replicante.state.action_commands import MoveAction
from replicante.state.commands import Command, KvDelete, KvPut
from replicante.state.consumer_commands import DeleteConsumer, PutConsumer
from replicante.state.expect import Expect
from replicante.state.lease_commands import (
    LeaseAcquire,
    LeaseForceRelease,
    LeaseRelease,
    LeaseRenew,
)
from replicante.state.object_commands import DeleteObject, PutObject
from replicante.state.outcome import RejectCode, Rejected, rejected_error
from replicante.state.queue_commands import QueueAck, QueueExtend, QueueNack, QueueRedrive


def rejection(rejected: Rejected, command: Command | None) -> errors.ReplicanteError:
    """What the caller is told. command: None when only the outcome is remembered."""
    if isinstance(command, QueueAck) and "operation" in rejected.details:
        command = command.operations[rejected.details["operation"]]
    message = None if command is None else _message(rejected, command)
    return rejected_error(rejected, message=message)


def _message(rejected: Rejected, command: Command) -> str | None:
    """None: what the error says of itself is all there is to say."""
    match rejected.code:
        case RejectCode.NOT_FOUND:
            thing = _thing(command)
            return None if thing is None else f"There is no {thing}."
        case RejectCode.REVISION_MISMATCH:
            return _mismatch(command, is_there=rejected.details["revision"] is not None)
        case RejectCode.STALE_TOKEN:
            return _stale(command)
        case RejectCode.LEASE_HELD if isinstance(command, LeaseAcquire):
            return f"The lease {command.name!r} is held."
        case _:
            return None


def _mismatch(command: Command, *, is_there: bool) -> str | None:
    thing = _thing(command)
    if thing is None:
        return None
    if not is_there:
        return f"There is no {thing}."
    if getattr(command, "expect", None) == Expect.absent():
        return f"There is a {thing} already."
    return f"The {thing} changed since the revision that the request names."


def _stale(command: Command) -> str | None:
    match command:
        case LeaseRenew(name) | LeaseRelease(name):
            return (
                f"This token does not hold the lease {name!r}: it ran out, was released, or another"
                " holder came."
            )
        case KvPut(lease=lease) if lease is not None:
            return f"The lease with the token {format_stamp(Stamp(lease))} is over."
        case QueueAck(_, job) | QueueNack(_, job) | QueueExtend(_, job):
            return (
                f"This token does not hold the job {format_stamp(job)}: its claim ran out, was"
                " given back, or is another worker's."
            )
        case _:
            return None


def _thing(command: Command) -> str | None:
    match command:
        case KvPut(key) | KvDelete(key):
            return f"key {key.decode()!r}"
        case PutObject(kind, scope) | DeleteObject(kind, scope):
            return f"{kind.title} {'/'.join(scope)}"
        case LeaseForceRelease(name):
            return f"lease {name!r}"
        case PutConsumer(name) | DeleteConsumer(name):
            return f"consumer {name!r}"
        case MoveAction(on, names):
            return f"{on.title} {names[-1]}"
        case QueueRedrive(queue):
            return f"dead letter with one of these ids in the queue {queue!r}"
        case _:
            return None
