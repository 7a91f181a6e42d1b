"""Decides whether the SDK itself held: it answers what it is asked, and its process goes on. Pure.

Called by `jlike.judge`. An operation that its program could not carry out because it had ended, or
did not answer in the longest time that the SDK may take, says so by its error.
"""

from __future__ import annotations

from collections.abc import Iterable

from jlike.history import Operation
from jlike.verdict import Finding, invalid, valid

NAME = "sdk"
ENDED, SILENT = "sdk_ended", "sdk_silent"
REASONS = {
    ENDED: "the program that uses the SDK ended by itself: sdk.log has its last words",
    SILENT: "the SDK did not answer within any of its deadlines",
}


def check(operations: Iterable[Operation]) -> Finding:
    for it in operations:
        if it.error in REASONS:
            return invalid(NAME, REASONS[it.error], [it])
    return valid(NAME, "the program that uses the SDK went on and answered everything")
