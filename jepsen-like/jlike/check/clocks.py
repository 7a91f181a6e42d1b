"""What differing clocks leave of a promised time. Pure; for checkers of leases, claims, reads."""

from __future__ import annotations

RATE_ERROR = 0.05
"""By so much may the clock of a peer run faster than ours."""
CLOCK_STEP_NS = 250_000_000
"""A grant may carry the cluster clock of one step before it."""


def sure_ns(granted_ns: float) -> float:
    """For so long nobody else gets what was granted for this time, counted from before it was asked
    for."""
    return granted_ns * (1 - RATE_ERROR) - CLOCK_STEP_NS
