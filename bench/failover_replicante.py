"""Three Redis under Replicante, for bench/failover.py: three peers, an agent beside each server.

Rule: as that of `failover_systems`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import msgspec
from failover_systems import POLL_MS, STEADY_SECONDS_MAX, follow_fully
from peers import running_peers

from replicante.client import STALE, Client
from replicante.demo.lookups import copies, find_primary, wait_formed
from replicante.demo.plan import CLUSTER_ID, NS, documents
from replicante.demo.sightings import event_ms
from replicante.dev import Voices
from replicante.errors import Conflict, ReplicanteError
from replicante.model.action_kinds import (
    CONTROLLER_SWITCHOVER,
    CORE_SWITCHOVER,
    STORE_FENCE,
    STORE_PROMOTE,
    STORE_SWITCHOVER,
    THROUGH_KINDS,
)
from replicante.platforms.local import LocalPlatform

_FOLLOWED = ("DECISION", "NACTION_CREATE")
_ROLE_CHANGES = (STORE_FENCE, STORE_PROMOTE, STORE_SWITCHOVER, *THROUGH_KINDS)
CONFIRM_MS = 500
"""A replica that heard nothing for a second begins the suspicion: 1,500 ms of silence at the least,
as DOWN_AFTER_MS."""
LOSS_OFFSET_MAX = 1_000_000
"""In bytes of the replication stream: Sentinel has no bound, so ours must not stand in the way."""


class Replicante:
    name = "Replicante"

    def __init__(self, client: Client, platform: LocalPlatform) -> None:
        self._client = client
        self._platform = platform
        self._changes: list[tuple[int, str]] = []
        """Wall milliseconds and id of each action that changes who is primary."""
        self._reasons: dict[str, str] = {}
        """Action → what is done, and why; nothing for one of which a rule said nothing."""

    async def follow(self) -> None:
        """Reads the event log, until it is cancelled."""
        async for event in self._client.events.follow():
            after = (event.payload or {}).get("after") if event.code in _FOLLOWED else None
            if not after:
                continue
            if event.code == "DECISION":
                for it in after["proposals"]:
                    self._reasons.setdefault(str(it["action_id"]), _told(it))
            elif after["kind"] in _ROLE_CHANGES:
                self._changes.append((event_ms(event), after["action_id"]))

    async def primary(self) -> str | None:
        try:
            found = await find_primary(self._client)
        except ReplicanteError:
            return None
        return None if found is None else found.address

    async def hurt(self, address: str, number: signal.Signals, *, is_whole_machine: bool) -> None:
        node = self._node(address)
        with contextlib.suppress(Conflict):  # what does not run cannot be hurt, nor go on
            await asyncio.to_thread(self._platform.signal_store, node, number)
        if is_whole_machine:
            record = self._platform.directory / CLUSTER_ID / node / "agent.pid"
            pid, _ = json.loads(record.read_text())
            os.kill(pid, number)

    async def bring_back(self, address: str) -> None:
        """Its own work: the step `rejoin`."""

    async def hand_over(self) -> None:
        await self._client.objects.apply(
            {
                "apiVersion": "replicante.io/v0",
                "kind": "OAction",
                "spec": {
                    "ns_id": NS,
                    "cluster_id": CLUSTER_ID,
                    "action": CORE_SWITCHOVER,
                    "args": {},
                },
            }
        )
        await self._client.clusters.orchestrate(NS, CLUSTER_ID)

    async def steady(self) -> str:
        try:
            return await self._steady()
        except TimeoutError as late:
            # Its folder goes with the run: what it waits for would be gone with it.
            told = await self._client.clusters.explain(NS, CLUSTER_ID, read=STALE)
            text = json.dumps(msgspec.to_builtins(told), indent=1)
            raise TimeoutError(f"not steady within {STEADY_SECONDS_MAX} s:\n{text}") from late

    async def _steady(self) -> str:
        async with asyncio.timeout(STEADY_SECONDS_MAX):
            while True:
                formed = await wait_formed(self._client)
                view = await self._client.clusters.view(NS, CLUSTER_ID, read=STALE)
                addresses = [it.address for it in copies(view)]
                if await follow_fully(formed.address, addresses):
                    return formed.address
                await asyncio.sleep(POLL_MS / 1_000)

    async def explained(self, since_ms: int) -> list[str]:
        """From the decisions in the event log."""
        changes = [action_id for at_ms, action_id in self._changes if at_ms >= since_ms]
        return [self._reasons.get(it, "") for it in changes]

    def _node(self, address: str) -> str:
        return next(it.node_id for it in self._platform.nodes() if it.store_address == address)


@asynccontextmanager
async def replicante(
    folder: Path, *, is_protecting: bool, through: bool = False
) -> AsyncIterator[Replicante]:
    """Three peers and three nodes. A failure without proof is believed after the same time as
    Sentinel's; the pauses that keep a real cluster from flapping are short, for each trial is a new
    failure."""
    platform = LocalPlatform(folder / "nodes")
    with (folder / "peers.log").open("w") as log:
        voices = Voices(log=lambda peer, line: _write(log, peer, line), note=print)
        try:
            async with (
                running_peers(folder / "peers", voices=voices) as (cluster, _),
                Client(cluster.urls) as client,
            ):
                for document in _declared(
                    platform.directory, is_protecting=is_protecting, through=through
                ):
                    await client.objects.apply(document)
                system = Replicante(client, platform)
                reading = asyncio.create_task(system.follow())
                try:
                    await system.steady()
                    yield system
                finally:
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)
        finally:
            await asyncio.to_thread(platform.clean)


def _declared(directory: Path, *, is_protecting: bool, through: bool) -> tuple[dict[str, Any], ...]:
    namespace, platform, cluster = documents(directory)
    declaration = cluster["spec"]["declaration"]
    declaration["policies"] = {
        "confirmations": 2,
        "confirm_for": f"{CONFIRM_MS}ms",
        "quiet_period": "1s",
        "protect_writes": is_protecting,
        "data_loss_offset": LOSS_OFFSET_MAX,
    }
    if through:
        declaration["controllers"] = {"sentinel": "through"}
    declaration["graces"] |= {"failover": "1s", "rejoin": "1s"}
    return namespace, platform, cluster


def _told(proposal: dict[str, Any]) -> str:
    """What a proposal would do, and the words that let it: each rule must have said something."""
    reasons = {it["rule"]: it["reason"] for it in proposal["verdicts"]}
    if not all(reasons.values()):
        return ""
    is_planned = proposal["action_kind"] in (STORE_SWITCHOVER, CONTROLLER_SWITCHOVER)
    names = ("candidate_fit",) if is_planned else ("failure_confirmed", "witnesses_agree")
    return f"{proposal['effect']}: {'; '.join(reasons[it] for it in names)}"


def _write(log: IO[str], peer: str, line: str) -> None:
    log.write(f"{peer} {line}\n")
