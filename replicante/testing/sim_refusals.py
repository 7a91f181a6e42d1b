"""What a simulated operator was told of changes of members, held against what became of them.

Called by sim_members. A change that was refused was not made, by anybody, at any time: who was
refused may do something else instead. What was not answered, or not known, may have been made.
"""

from __future__ import annotations

from replicante.errors import OutcomeUnknown
from replicante.raft.changes import Change, ChangeDone, ChangeKind
from replicante.raft.membership import Configuration
from replicante.testing.sim_checks import Violation

_What = tuple[ChangeKind, str]
"""The kind of a change, and whose. Nobody comes back, so it is made once."""


class Refusals:
    def __init__(self) -> None:
        self._asked: dict[tuple[str, int], _What] = {}
        self._not_refused: dict[_What, int] = {}
        """How often it was asked for, refusals not counted."""
        self._made: set[_What] = set()
        self._seen: Configuration | None = None

    def asked(self, peer: str, ticket: int, change: Change) -> None:
        what = change.kind, change.key
        self._asked[peer, ticket] = what
        self._not_refused[what] = self._not_refused.get(what, 0) + 1

    def told(self, peer: str, done: ChangeDone) -> None:
        """Raises Violation."""
        what = self._asked.pop((peer, done.ticket))
        if done.error is not None and not isinstance(done.error, OutcomeUnknown):
            self._not_refused[what] -= 1
            self._judge(what)

    def committed(self, configuration: Configuration) -> None:
        """The newest that is certain, as often as anybody looks. Raises Violation."""
        before, self._seen = self._seen, configuration
        if before is None or before is configuration:
            return
        known = {it.key for it in before.members}
        now = {it.key for it in configuration.members}
        voters = {it.key for it in configuration.voters} - {it.key for it in before.voters}
        for what in (
            *((ChangeKind.ADD_LEARNER, key) for key in now - known),
            *((ChangeKind.PROMOTE, key) for key in voters),
            *((ChangeKind.REMOVE, key) for key in known - now),
        ):
            self._made.add(what)
            self._judge(what)

    def _judge(self, what: _What) -> None:
        if what in self._made and not self._not_refused.get(what):
            raise Violation("a refused change is not made", f"{what[0].name} of {what[1]}")
