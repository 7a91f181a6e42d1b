"""Decides the exit code of a failed command. Pure. Scripts rely on these numbers."""

from __future__ import annotations

import enum

from replicante import errors


class Exit(enum.IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    """The command or its input is not valid."""
    NOT_FOUND = 3
    DENIED = 4
    CONFLICT = 5
    UNREACHABLE = 8
    """No peer could be reached, or the peers have no leader: nothing was done."""
    OUTCOME_UNKNOWN = 9
    """Timed out; what was asked may still happen."""
    CHANGES_FOUND = 10
    """`diff --detailed-exitcode` found something to change."""
    INTERRUPTED = 130


_BY_STATUS = {400: Exit.USAGE, 401: Exit.DENIED, 403: Exit.DENIED, 404: Exit.NOT_FOUND}
_CONFLICT_STATUS = (409, 412)


def exit_of(error: errors.ReplicanteError) -> Exit:
    if isinstance(error, errors.OutcomeUnknown):
        return Exit.OUTCOME_UNKNOWN
    if isinstance(error, errors.StartRefused):
        return Exit.FAILED
    if isinstance(error, errors.ConsensusError) and error.http_status == 503:
        return Exit.UNREACHABLE
    if error.http_status in _CONFLICT_STATUS:
        return Exit.CONFLICT
    return _BY_STATUS.get(error.http_status, Exit.FAILED)
