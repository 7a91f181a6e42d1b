"""When a leader tells its followers that entries are committed: at once, or with what comes next.

Called by driver after what is committed was applied. Pure.
"""

from __future__ import annotations

from replicante.raft.engine import Engine
from replicante.raft.inputs import Effects


class CommitNotices:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_late = False
        """The step before left followers to be told in this one."""

    def step(self, effects: Effects) -> None:
        """Own callers that were just answered may ask for more at once, and what is sent for them
        tells of the commit too. The next step does what is still to be done."""
        may_wait = bool(effects.proposals) and not self._is_late
        self._is_late = False
        if not self._engine.is_leader or not self._engine.owes_commits:
            return
        if may_wait:
            self._is_late = effects.has_more = True
        else:
            self._engine.tell_commits()
