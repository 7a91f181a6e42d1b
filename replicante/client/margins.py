"""How long a holder may rely on what was given to it for a time. Pure; for locks and workers."""

from __future__ import annotations

from replicante.limits import CLOCK_STEP_MS_MAX

RATE_PARTS = 20
"""1/20, 5 %, is taken off a duration: what clocks of machines differ in speed."""


def sure_ms(duration_ms: int) -> int:
    """Counted by the holder's monotonic clock from before it asked: until then the cluster gives
    what it has to nobody else. Less what the cluster clock may catch up right after the grant (ADR
    0013)."""
    return duration_ms - duration_ms // RATE_PARTS - CLOCK_STEP_MS_MAX
