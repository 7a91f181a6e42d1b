"""Looks what this machine allows, and says what is skipped without it. Changes nothing.

Called by `jlike doctor`. What no nemesis uses yet is said as such.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    what: str
    is_there: bool
    hint: str


def probes() -> list[Probe]:
    is_tested_there = importlib.util.find_spec("replicante") is not None
    return [
        Probe(
            what="replicante",
            is_there=is_tested_there,
            hint="the peers that `run` starts; without it only `run --url` and `check`",
        ),
        Probe(
            what="/proc",
            is_there=Path("/proc/net/tcp").exists(),
            hint="partition and slow need it, to find out which peer dialled; Linux has it",
        ),
        Probe(
            what="SIGSTOP",
            is_there=hasattr(os, "kill") and Path("/proc/self/stat").exists(),
            hint="pause needs it",
        ),
        Probe(
            what="two processors",
            is_there=(os.cpu_count() or 1) >= 2,
            hint="with fewer, elections come from starvation; lower --rate",
        ),
        Probe(
            what="free disk of 1 GiB",
            is_there=shutil.disk_usage(".").free > 2**30,
            hint="data of failed runs is kept",
        ),
        Probe(what="power cut", is_there=False, hint="not in this suite: durability NOT tested"),
        Probe(what="damaged disks", is_there=False, hint="not in this suite: no fault of files"),
        Probe(what="changed clocks", is_there=False, hint="not in this suite: no clock is bent"),
    ]
