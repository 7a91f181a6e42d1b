"""What a reader of events is told whose place is of a history that a recovery cut. Pure; called by
the routes of events and of consumers."""

from __future__ import annotations

from replicante import errors

_READ_ANEW = (
    "or read what you need with GET /api/v0/kv and GET /api/v0/list, note Replicante-Index, and"
    " follow with after=index:N, N being that index: nothing is missed"
)


def forked(error: errors.HistoryForked) -> errors.HistoryForked:
    """The same, with what to do about it."""
    common, first = error.details["last_common"], error.details["first_new"]
    return errors.HistoryForked(
        f"A recovery cut history after event {common} and went on with {first}: the event asked for"
        " is lost, and whatever was read after the former never happened.",
        hints=(
            f"undo what you did with events after {common}, then go on with after={common}",
            _READ_ANEW,
        ),
        **error.details,
    )
