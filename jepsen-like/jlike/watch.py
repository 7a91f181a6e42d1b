"""Asks every peer who leads, again and again, and waits until all agree again at the end.

Used by `jlike.runner`; feeds the leader lane of the report.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from jlike.history import Kind, Value
from jlike.http import API, Http
from jlike.peers import Peers
from jlike.recorder import Recorder
from jlike.verdict import Finding, invalid, unknown, valid

POLL_S = 0.25
SIGNS_OF_DEFECT = ("Traceback", "was never awaited", "this is a defect of replicante")
"""The last one is what a process says that ended by an error that nobody caught."""
NAME = "convergence"


def sign_of_defect(log: Path) -> str:
    """Empty: none, or no log."""
    text = log.read_bytes().decode("utf-8", "replace") if log.exists() else ""
    return next((sign for sign in SIGNS_OF_DEFECT if sign in text), "")


class Watch:
    def __init__(self, peers: Peers, http: Http, recorder: Recorder) -> None:
        self._peers, self._http, self._recorder = peers, http, recorder
        self.leaders: dict[int, str] = {}
        """term → who led it, as that peer itself says."""
        self._disputed = ""
        """Two that said it of one term."""

    def leader(self) -> str | None:
        return self.leaders[max(self.leaders)] if self.leaders else None

    async def run(self, *, stop: asyncio.Event) -> None:
        """Each peer by itself: one that does not answer must not hide what the others say. Members
        may come and go."""
        followed: set[str] = set()
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                for peer_id in sorted(set(self._peers.ids) - followed):
                    followed.add(peer_id)
                    group.create_task(self._follow(peer_id, stop=stop))
                await asyncio.sleep(POLL_S)

    async def _follow(self, peer_id: str, *, stop: asyncio.Event) -> None:
        while not stop.is_set():
            if peer_id in self._peers.ids:
                await self._look_at(peer_id)
            await asyncio.sleep(POLL_S)

    async def look(self) -> dict[str, Value]:
        """Status by peer; null from one that does not answer."""
        found = await asyncio.gather(*(self._look_at(it) for it in self._peers.ids))
        return dict(zip(self._peers.ids, found, strict=True))

    async def _look_at(self, peer_id: str) -> Value:
        status = await self._status(peer_id, f"{API}/raft/status")
        role, term = ("-", 0) if status is None else (status["role"], status["term"])
        if role == "leader":
            other = self.leaders.setdefault(term, peer_id)
            if other != peer_id:
                self._disputed = f"{other} and {peer_id} both led term {term}"
        self._recorder.note("status", peer=peer_id, role=role, term=term)
        return status

    async def _status(self, peer_id: str, path: str) -> Value:
        answer = await self._http.ask(self._peers[peer_id].url, "GET", path)
        return answer.body if answer.kind is Kind.OK else None

    async def ready(self, *, seconds: float) -> bool:
        """Whether all peers are, in time."""
        return await self._within(seconds, self._are_ready)

    async def _are_ready(self) -> bool:
        checks = [self._status(it, "/introspect/ready") for it in self._peers.ids]
        return all(it is not None for it in await asyncio.gather(*checks))

    async def converge(self, *, seconds: float) -> Finding:
        """Ready, one leader, every peer takes a write, equal states, no defect in any log, also of
        those that are no members.

        A peer that refuses to start, because its disk does not hold what it promised, is not ready:
        however clear its words, what it had acknowledged is gone."""
        if not await self.ready(seconds=seconds):
            said = "; ".join(it.last_words for it in self._peers.by_id.values() if it.last_words)
            reason = f"not every peer is ready {seconds:.0f} s after all was healed"
            return invalid(NAME, f"{reason}: {said}" if said else reason)
        await self.look()
        if self._disputed:
            return invalid(NAME, self._disputed)
        for it in self._peers.ids:
            if not await self._within(seconds, partial(self._takes, it)):
                return invalid(NAME, f"{it} takes no write after all was healed")
        digests: dict[str, Value] = {}
        if not await self._within(seconds, partial(self._are_equal, digests)):
            if digests:
                return invalid(NAME, f"states differ: {digests}")
            return unknown(NAME, "no index at which all peers tell a digest")
        for peer in self._peers.everybody:
            if peer.log_path is not None and (sign := sign_of_defect(peer.log_path)):
                return invalid(NAME, f"{sign} in the log of {peer.id}")
        return valid(NAME, "all peers are ready, take writes and hold the same state")

    async def _takes(self, peer_id: str) -> bool:
        url, path = self._peers[peer_id].url, f"{API}/kv/convergence/{peer_id}"
        return (await self._http.ask(url, "PUT", path, {"value": 1})).kind is Kind.OK

    async def _are_equal(self, differing: dict[str, Value]) -> bool:
        """differing: filled when two peers tell different digests of one index."""
        differing.clear()
        found = await self.look()
        if any(it is None for it in found.values()):
            return False
        tellings = {
            peer: {it["index"]: it["value"] for it in (*status["digests"], status["digest"]) if it}
            for peer, status in found.items()
        }
        common = set.intersection(*(set(it) for it in tellings.values()))
        for index in sorted(common):
            values = {peer: it[index] for peer, it in tellings.items()}
            if len(set(values.values())) > 1:
                differing.update(values)
                return False
        return bool(common)

    async def _within(self, seconds: float, check: Callable[[], Awaitable[bool]]) -> bool:
        for _ in range(int(seconds / POLL_S)):
            if await check():
                return True
            await asyncio.sleep(POLL_S)
        return False
