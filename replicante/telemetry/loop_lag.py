"""Measures how late the event loop runs its timers. Started by `server`; one task a process.

A late timer means that something held the loop: the histogram shows how often, the log line how
bad.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from replicante.limits import LOOP_LAG_SAMPLE_MS
from replicante.telemetry.diagnostics import Diagnostic

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from replicante.telemetry.metrics import Metrics

LAG_REPORTED_MS = 500


async def watch_loop_lag(*, metrics: Metrics, log: FilteringBoundLogger) -> None:
    """Runs until it is cancelled."""
    loop = asyncio.get_running_loop()
    interval_s = LOOP_LAG_SAMPLE_MS / 1_000
    while True:
        due = loop.time() + interval_s
        await asyncio.sleep(interval_s)
        lag_s = max(0.0, loop.time() - due)
        metrics.loop_lag.observe(lag_s)
        if lag_s * 1_000 >= LAG_REPORTED_MS:
            log.warning(Diagnostic.LOOP_LAGGED, lag_ms=round(lag_s * 1_000))
