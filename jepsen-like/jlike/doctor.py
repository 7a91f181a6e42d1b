"""Looks what this machine allows, and says which faults are skipped without it. Leaves nothing.

Called by `jlike doctor`. What can be tried is tried, not guessed.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from jlike import environments, equipment, redis_cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """hint: what needs it; where it is not there also why, and what would help."""

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
            hint="partition and slow need it without network namespaces; Linux has it",
        ),
        Probe(
            what="SIGSTOP",
            is_there=hasattr(os, "kill") and Path("/proc/self/stat").exists(),
            hint="pause and starve need it",
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
        Probe(
            what="nftables",
            is_there=shutil.which("nft") is not None,
            hint="not needed: links are cut in a switch of the suite, or in relays",
        ),
        Probe(
            what="control groups",
            is_there=Path("/sys/fs/cgroup/cgroup.controllers").exists(),
            hint="not needed: starve stops and continues a process",
        ),
        _redis(),
        _spaces(),
        *(_need(need) for need in equipment.Need),
    ]


def _redis() -> Probe:
    reason = redis_cluster.why_no_redis()
    hint = "for the workload redis"
    if reason:
        hint += f": NOT tested here: {reason}; it needs {redis_cluster.HOW_TO_GET}"
    return Probe(what="Redis servers with agents", is_there=not reason, hint=hint)


def _spaces() -> Probe:
    reason = environments.why_no_spaces()
    hint = "peers behind a switch of their own; relays on loopback stand in without"
    if reason:
        hint += f": {reason}; it needs root, or user namespaces and /dev/net/tun"
    return Probe(what="network namespaces", is_there=not reason, hint=hint)


def _need(need: equipment.Need) -> Probe:
    kinds = ", ".join(kind for kind, needed in equipment.NEEDS.items() if needed is need)
    reason = equipment.why_not(need)
    hint = f"for {kinds}"
    if reason:
        hint += f": NOT tested here: {reason}; it needs {equipment.HOW_TO_GET[need]}"
    return Probe(what=need.value, is_there=not reason, hint=hint)
