"""Decides whether what a command expects of a thing is true: compare-and-set. Pure; called by the
apply files."""

from __future__ import annotations

from replicante.state.expect import Expect
from replicante.state.outcome import RejectCode, Rejected


def unmet(expect: Expect, revision: int | None) -> Rejected | None:
    """The refusal, or None when the thing is as expected.

    revision: what the thing has now, None when there is no such thing.
    """
    if expect == Expect.absent():
        is_met = revision is None
    elif expect == Expect.present():
        is_met = revision is not None
    else:
        is_met = revision == expect.code
    return None if is_met else Rejected(RejectCode.REVISION_MISMATCH, {"revision": revision})
