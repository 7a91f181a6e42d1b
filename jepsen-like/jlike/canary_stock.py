"""The standing canary: registers on stock PySyncObj must lose acknowledged writes in power cuts.

Called by `jlike canary`. It is what this suite is for: real processes, a library that many trust,
and a fault that few try. A suite that cannot show it any more would show nothing of the kind in
the product either.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from jlike import equipment, store
from jlike.runner import Options

PROGRAM = (sys.executable, "-P", "-m", "jlike.subjects.stock_raft")
WORKLOAD, FAULT = "register", "power"
RUN_S = 40.0
"""So long that some of its power cuts hit a majority."""
LIMIT_S = 300.0
"""A run that began goes on to its end."""


def why_not() -> str:
    """Empty: this machine allows it."""
    return equipment.missing([FAULT]).get(FAULT, "")


def sings(at: Path, *, conduct: Callable[[Options, Path], store.Run]) -> str:
    """What was said of it; empty when nothing was, seed after seed."""
    started_s = time.monotonic()
    seed = 1
    while True:
        options = Options(
            workloads=[WORKLOAD],
            nemeses=[FAULT],
            time_s=RUN_S,
            seed=seed,
            program=PROGRAM,
        )
        reason = conduct(options, at).said_by(WORKLOAD)
        if reason or time.monotonic() - started_s >= LIMIT_S:
            return reason
        seed += 1
