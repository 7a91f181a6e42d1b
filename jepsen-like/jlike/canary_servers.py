"""Broken servers that a campaign begins with: whole runs must find each of them out, and not the
sound one.

Called by `jlike all` and `jlike canary`. Where `jlike.canary` tries the checkers alone, these try
all that is between a question and a verdict: a client that leaves out a question, a last read that
is not made, a workload that forgets what it was told would call them valid.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from jlike import runner
from jlike.runner import HarnessBroken, Options
from jlike.subjects.broken import BROKEN
from jlike.subjects.in_memory import Sound, serving
from jlike.verdict import Finding, Verdict

RUN_S = 2.0
RATE, CLIENTS = 60.0, 6
SEEDS = (1, 2, 3)
"""One after the other, until it is found out: what a seed asks depends on the machine, too."""
Findings = Sequence[tuple[str, Finding]]


def must_sing(clusters: Sequence[type[Sound]] = BROKEN) -> list[str]:
    """What was said of each. Raises HarnessBroken when one was not found out by its workload, for
    its own reason, or when the sound one is anything but valid."""
    return asyncio.run(sung(clusters))


async def sung(clusters: Sequence[type[Sound]] = BROKEN) -> list[str]:
    """`must_sing`, within a loop. All at once: most of each is waiting."""
    async with asyncio.TaskGroup() as group:
        sound = group.create_task(_is_valid())
        broken = [group.create_task(_found_out(it)) for it in clusters]
    if reason := sound.result():
        raise HarnessBroken(f"a sound server in memory is not valid: {reason}")
    for cluster, it in zip(clusters, broken, strict=True):
        if not it.result():
            raise HarnessBroken(
                f"a server in memory is not found out by {cluster.workload}: {cluster.__doc__}"
            )
    return [it.result() for it in broken]


async def _is_valid() -> str:
    """Empty, or why not. What is only unknown is tried again: the machine may be busy."""
    findings: Findings = ()
    for seed in SEEDS:
        findings = await _run(Sound(), seed=seed)
        if runner.verdict_of(findings) is not Verdict.UNKNOWN:
            break
    return "; ".join(it.reason for _, it in findings if it.verdict is not Verdict.VALID)


async def _found_out(cluster: type[Sound]) -> str:
    """What its workload said of it; empty when that was nothing, seed after seed."""
    for seed in SEEDS:
        for by, it in await _run(cluster(), seed=seed):
            is_guilty = by == cluster.workload and it.verdict is Verdict.INVALID
            if is_guilty and cluster.says in it.reason:
                return f"{cluster.__doc__} {it.reason}"
    return ""


async def _run(cluster: Sound, *, seed: int) -> Findings:
    with tempfile.TemporaryDirectory(prefix="jlike-canary-") as folder:
        async with serving(cluster) as urls:
            options = Options(
                workloads=cluster.workload.split(","),
                nemeses=(),
                peers=len(urls),
                time_s=RUN_S,
                clients=CLIENTS,
                rate=RATE,
                seed=seed,
                urls=urls,
            )
            return await runner.run(options, Path(folder))
