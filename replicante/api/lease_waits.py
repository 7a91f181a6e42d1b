"""Parks acquires of leases that are held: a thousand waiting callers and one release make one
proposal. Called by `routes_leases`."""

from __future__ import annotations

from replicante import limits
from replicante.api.waits import Waits
from replicante.state import lease_queries
from replicante.storage.kv import View


class LeaseWaits(Waits):
    what = "leases"

    @property
    def waiters_max(self) -> int:
        return limits.LEASE_WAITERS_MAX

    def free_count(self, view: View, name: str) -> int:
        return 0 if lease_queries.lease_get(view, name) is not None else 1
