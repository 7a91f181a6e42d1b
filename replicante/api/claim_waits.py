"""Parks claims of queues that have nothing ready: a thousand waiting workers and one new job make
one claim. Called by `routes_queues`."""

from __future__ import annotations

from replicante import limits
from replicante.api.waits import Waits
from replicante.state import queue_queries
from replicante.storage.kv import View


class ClaimWaits(Waits):
    what = "jobs"

    @property
    def waiters_max(self) -> int:
        return limits.CLAIM_WAITERS_MAX

    def free_count(self, view: View, name: str) -> int:
        return queue_queries.ready_count(view, name)
