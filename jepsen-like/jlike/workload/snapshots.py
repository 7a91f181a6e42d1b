"""Peers that were away for so long that they need a copy of the state, while a set grows.

The log keeps little, each write is big, and one peer after the other is ended until the others have
trimmed what it lacks. Afterwards it holds what all hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MappingProxyType

from jlike.check import snapshots
from jlike.history import Kind, Operation, Value
from jlike.http import API, Http
from jlike.peers import Peer
from jlike.verdict import Finding
from jlike.workload.base import Outcome, Stage, outcome
from jlike.workload.sets import Sets

LOG_KEPT_BYTES = 262_144
BULK_BYTES = 49_152
UNSEEN_ENTRIES = 20
"""May reach the log of a peer between the question how far it is and its end."""
BULK_KEYS = 6
AWAY_S = 30.0
READY_S = 60.0
POLL_S = 0.1
REST_S = 1.0


class Snapshots(Sets):
    name = "snapshots"
    kinds = ("add", "read", "lag")
    deeds = frozenset({"lag"})
    needs_processes = True
    settings = MappingProxyType({"--storage-log-kept-bytes": str(LOG_KEPT_BYTES)})

    async def perform(self, http: Http, url: str, f: str, value: Value) -> Outcome:
        """An element and bulk that overwrites older bulk: the log grows, the state hardly."""
        if f != "add":
            return await super().perform(http, url, f, value)
        group, element = value
        text = f"{element:06}" * (BULK_BYTES // 6)
        name = self.own(self.name)
        bulk = {"op": "put", "key": f"{name}-bulk/{element % BULK_KEYS}", "value": text}
        put = {"op": "put", "key": f"{name}/{group}/{element}", "value": element}
        answer = await http.ask(url, "POST", f"{API}/txn", {"then": [put, bulk]})
        return outcome(answer, value)

    async def act(self, stage: Stage) -> None:
        while not stage.stop.is_set():
            await stage.pause(REST_S)
            if stage.stop.is_set():
                return
            peer_id = stage.chance.choice(stage.peers.ids)
            if stage.peers.can_spare(peer_id):
                await stage.deed("lag", peer_id, self._lag(stage, peer_id), peer=peer_id)

    async def _lag(self, stage: Stage, peer_id: str) -> Outcome:
        """Value, when it came back: as `check.snapshots` wants it."""
        peer = stage.peers[peer_id]
        had = await _status(stage, peer, "last_index")
        if had is None:
            return Outcome(kind=Kind.FAIL, error="not_running")
        had += UNSEEN_ENTRIES
        peer.kill()
        starts = peer.starts
        stage.peers.away.add(peer_id)
        kept = await self._until_trimmed(stage, peer, had)
        stage.peers.away.discard(peer_id)
        if peer.starts != starts:
            return Outcome(kind=Kind.INFO, error="a fault had started it again")
        peer.start()
        if kept is None:
            return Outcome(kind=Kind.INFO, error="the others trimmed nothing meanwhile")
        for _ in range(int(READY_S / POLL_S)):
            now = await _status(stage, peer, "applied_index")
            if now is not None and now >= kept:
                return Outcome(kind=Kind.OK, value=[peer_id, had, kept])
            if stage.stop.is_set():
                break
            await stage.pause(POLL_S)
        return Outcome(kind=Kind.INFO, error="load ended")

    @staticmethod
    async def _until_trimmed(stage: Stage, peer: Peer, had: int) -> int | None:
        """The first index that all others keep, once none has the entry that the peer needs; none
        when that does not come, or the peer was started meanwhile."""
        others = [stage.peers[it] for it in stage.peers.ids if it != peer.id]
        starts = peer.starts
        for _ in range(int(AWAY_S / POLL_S)):
            firsts = [await _status(stage, it, "first_index") for it in others]
            known = [it for it in firsts if it is not None]
            if len(known) == len(others) and min(known) > had + 1:
                return min(known)
            if stage.stop.is_set() or peer.starts != starts:
                return None
            await stage.pause(POLL_S)
        return None

    def check(self, operations: Iterable[Operation]) -> Sequence[Finding]:
        found = list(operations)
        return [
            *super().check(it for it in found if it.f != "lag"),
            snapshots.check(found),
        ]


async def _status(stage: Stage, peer: Peer, field: str) -> int | None:
    answer = await stage.http.ask(peer.url, "GET", f"{API}/raft/status")
    return None if answer.kind is not Kind.OK else int(answer.body[field])
