"""After the faults: all is as well as before, and what was begun comes to its end.

Called by `jlike.runner` when everything is healed. In this order: peers are ready, equal and take
writes (`watch`); every kind of question is answered at every peer again; each workload brings to
its end what it began (`finish`); and the last reads. What clients saw under faults shows that
nothing wrong was said; this shows that nothing is stuck: a job that nobody is given, a lease that
is never free, a peer that answers reads and no longer forwards writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from jlike import watch as watching
from jlike.clients import Client, ask_everywhere
from jlike.history import Kind
from jlike.peers import Peer, Peers
from jlike.recorder import Recorder
from jlike.verdict import Finding, Verdict, invalid, unknown, worse
from jlike.watch import Watch
from jlike.workload.base import Stage, Workload

HEAL_S = 60.0
AGAIN_S = 150.0
"""For one workload at one peer: longer than a claim, a lease or a failover of what it looks after
takes."""
POLL_S = 0.05


async def settled(
    workloads: Sequence[Workload],
    *,
    client: Callable[[Workload], Client],
    stage: Callable[[Workload], Stage],
    peers: Peers,
    watch: Watch,
    recorder: Recorder,
) -> Finding:
    """client, stage: of a workload, for what is asked and done now."""
    recorder.note("stages", stage="healing")
    found = await watch.converge(seconds=HEAL_S)
    everyone = [peers[it] for it in peers.ids]
    lasts = {it.name: client(it) for it in workloads}
    if found.verdict is not Verdict.INVALID:
        recorder.note("stages", stage="all again")
        for workload in workloads:
            workload.calm()
            stuck = await again(lasts[workload.name], workload, everyone)
            stuck = stuck or await workload.finish(stage(workload), lasts[workload.name])
            if stuck:
                reason = f"{workload.name}: {stuck} after all was healed"
                found = worse(found, invalid(watching.NAME, reason))
    recorder.note("stages", stage="last reads")
    for workload in workloads:
        if not await ask_everywhere(lasts[workload.name], everyone, workload.final()):
            reason = f"a last read of {workload.name} was not answered"
            found = worse(found, unknown(watching.NAME, reason))
        for log in workload.logs():
            if sign := watching.sign_of_defect(log):
                reason = f"{sign} in {log.name} of {workload.name}"
                found = worse(found, invalid(watching.NAME, reason))
    return found


async def again(client: Client, workload: Workload, peers: Sequence[Peer]) -> str:
    """Asks every peer until each kind of question was answered ok there. Deeds are over, and the
    last reads come anyhow. Result: what was never answered; empty: nothing."""
    loop = asyncio.get_running_loop()
    kinds = set(workload.kinds) - workload.deeds - {f for f, _ in workload.final()}
    for peer in peers:
        missing, ends_s = set(kinds), loop.time() + AGAIN_S
        while missing and loop.time() < ends_s:
            f, outcome = await client.ask_next(peer)
            if outcome.kind is Kind.OK:
                missing.discard(f)
            else:
                await asyncio.sleep(POLL_S)
        if missing:
            return f"{peer.id} never answered {', '.join(sorted(missing))}"
    return ""
