"""Clients: each asks one peer at a time, stays with it for a while, and never asks twice.

Used by `jlike.runner`. An operation that ends unknown retires the process number it ran under.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from jlike.history import Kind, Value
from jlike.http import Http
from jlike.peers import Peer, Peers
from jlike.recorder import Recorder
from jlike.workload.base import Outcome, Workload

PINNED_OPERATIONS = 25
LAST_TRIES = 3


class Client:
    def __init__(
        self, workload: Workload, *, peers: Peers, http: Http, recorder: Recorder, seed: str
    ) -> None:
        self._workload = workload
        self._peers = peers
        self._http = http
        self._recorder = recorder
        self._chance = random.Random(seed)
        self._process = recorder.new_process()
        self.dies_after_s: float | None = None
        self.deaths = 0

    async def run(self, *, stop: asyncio.Event, gap_s: float) -> None:
        """gap_s: mean of the exponential time between two questions."""
        while not stop.is_set():
            peer = self._peers[self._chance.choice(self._peers.ids)]
            for _ in range(self._chance.randrange(1, 2 * PINNED_OPERATIONS)):
                if stop.is_set():
                    return
                await asyncio.sleep(self._chance.expovariate(1 / gap_s))
                await self.ask_next(peer)

    async def ask_next(self, peer: Peer) -> tuple[str, Outcome]:
        """What the workload thinks of next. Result: its f, and what came of it."""
        f, value = self._workload.next(self._chance)
        return f, await self.ask(peer, f, value)

    async def ask(self, peer: Peer, f: str, value: Value) -> Outcome:
        name = self._workload.name
        process = self._process
        self._recorder.add(name, Kind.INVOKE, process=process, f=f, value=value, peer=peer.id)
        found = await self._perform(peer, f, value)
        self._recorder.add(
            name,
            found.kind,
            process=process,
            f=f,
            value=found.value if found.kind is Kind.OK else value,
            peer=peer.id,
            error=found.error,
        )
        if found.kind is Kind.INFO:
            self._process = self._recorder.new_process()
        return found

    async def _perform(self, peer: Peer, f: str, value: Value) -> Outcome:
        """When it dies before its answer, nobody knows what came of it, not even whether a read was
        carried out: whatever it changed may have happened."""
        patience_s, self.dies_after_s = self.dies_after_s, None
        try:
            async with asyncio.timeout(patience_s) as limit:
                return await self._workload.perform(self._http, peer.url, f, value)
        except TimeoutError:
            if not limit.expired():
                raise
            self.deaths += 1
            self._workload.forget()
            return Outcome(kind=Kind.INFO, error="client_died")


async def ask_everywhere(
    client: Client, peers: Sequence[Peer], questions: Sequence[tuple[str, Value]]
) -> bool:
    """Whether every question was answered ok by every peer. One that is not is asked again, a few
    times: the machine may be busy. What each came to stands in the history."""
    for peer in peers:
        for f, value in questions:
            for _ in range(LAST_TRIES):
                if (await client.ask(peer, f, value)).kind is Kind.OK:
                    break
            else:
                return False
    return True
