"""Starts, kills, pauses and restarts a cluster of real peers, and asks them how they are.

Used by the `processes` tests through `running`. Rules: whatever happens, every process that was
started is gone at the end; a test that fails shows the last lines of every peer; a peer that ended
by itself, or printed a traceback, fails the test.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from cluster_http import Answer, Http
from cluster_peer import HOST, PORTS, WAIT_SECONDS, PeerProcess, eventually

TAIL_LINES = 30
DIGEST_EVERY = 1_024
"""Entries between two digests that every peer computes, however large its state is."""


class Cluster:
    """Peers of one test by id. Made by `running`."""

    def __init__(self, folder: Path, http: Http) -> None:
        self.folder = folder
        self.http = http
        self.peers: dict[str, PeerProcess] = {}
        self._extras: list[PeerProcess] = []

    def plan(self, ids: Iterable[str], *, flags: tuple[str, ...] = (), host: str = HOST) -> None:
        """Lays out a cluster whose peers all list each other."""
        places = {peer_id: (PORTS.take(), PORTS.take()) for peer_id in ids}
        members = ",".join(f"{peer_id}={host}:{raft}" for peer_id, (_, raft) in places.items())
        for peer_id, (http_port, raft_port) in places.items():
            self.peers[peer_id] = PeerProcess(
                id=peer_id,
                http_port=http_port,
                raft_port=raft_port,
                data_dir=self.folder / peer_id,
                log_path=self.folder / f"{peer_id}.log",
                members=members,
                raft_host=host,
                flags=flags,
            )

    def extra(self, like: str, *, name: str, **changes: object) -> PeerProcess:
        """Another process beside the cluster: as `like` but for the changes; ends with it."""
        model = self.peers[like]
        settings: dict[str, object] = {
            "id": model.id,
            "http_port": PORTS.take(),
            "raft_port": PORTS.take(),
            "data_dir": self.folder / name,
            "log_path": self.folder / f"{name}.log",
            "members": model.members,
            "flags": model.flags,
        }
        made = PeerProcess(**(settings | changes))  # type: ignore[arg-type]
        self._extras.append(made)
        return made

    def __getitem__(self, peer_id: str) -> PeerProcess:
        return self.peers[peer_id]

    @property
    def ids(self) -> list[str]:
        return list(self.peers)

    @property
    def awake(self) -> list[str]:
        """Ids of the peers that run and are not paused."""
        return [it.id for it in self.peers.values() if it.is_alive and not it.is_frozen]

    def urls(self, *, first: str | None = None) -> list[str]:
        ordered = sorted(self.peers, key=lambda peer_id: peer_id != first)
        return [self.peers[peer_id].url for peer_id in ordered]

    # --- what happens to peers -----------------------------------------------------------------

    async def start(self, *ids: str) -> None:
        """Starts these, or all, and waits until each is ready."""
        self.spawn(*ids)
        await self.ready(*ids)

    def spawn(self, *ids: str) -> None:
        for peer_id in ids or self.ids:
            self.peers[peer_id].spawn()

    def kill(self, *ids: str) -> None:
        """SIGKILL to all of these at once, and they are gone."""
        for peer_id in ids:
            self.peers[peer_id].signal(signal.SIGKILL)
        for peer_id in ids:
            self.peers[peer_id].end_now()

    def freeze(self, *ids: str) -> None:
        for peer_id in ids:
            self.peers[peer_id].signal(signal.SIGSTOP)

    def thaw(self, *ids: str) -> None:
        for peer_id in ids:
            self.peers[peer_id].signal(signal.SIGCONT)

    async def terminate(self, peer_id: str) -> int:
        """SIGTERM; its exit code."""
        self.peers[peer_id].signal(signal.SIGTERM)
        return await self.peers[peer_id].ended()

    # --- what peers say ------------------------------------------------------------------------

    async def ask(self, peer_id: str, method: str, path: str, **kwargs) -> Answer:
        """As `Http.ask`, at this peer."""
        return await self.http.ask(self.peers[peer_id].url, method, path, **kwargs)

    async def put(self, peer_id: str, key: str, value: object, **kwargs) -> Answer:
        return await self.ask(peer_id, "PUT", f"/api/v0/kv/{key}", json={"value": value}, **kwargs)

    async def get(self, peer_id: str, key: str, query: str = "", **kwargs) -> Answer:
        return await self.ask(peer_id, "GET", f"/api/v0/kv/{key}{query}", **kwargs)

    async def status(self, peer_id: str, *, query: str = "") -> dict:
        answer = await self.ask(peer_id, "GET", f"/api/v0/raft/status{query}")
        assert answer.status == 200, answer
        return answer.json

    async def ready(self, *ids: str, seconds: float = WAIT_SECONDS) -> None:
        for peer_id in ids or self.ids:

            async def is_ready(peer_id: str = peer_id) -> bool:
                self.check_alive(peer_id)
                return (await self.ask(peer_id, "GET", "/introspect/ready")).status == 200

            await eventually(is_ready, f"{peer_id} to be ready", seconds=seconds)

    async def leader(
        self, *, not_one_of: Iterable[str] = (), among: Iterable[str] | None = None
    ) -> str:
        """The id on which all peers that are awake agree, and which itself agrees. among: only
        these are asked."""
        refused = set(not_one_of)
        asked = None if among is None else set(among)

        async def agreed() -> str | None:
            asking = [peer_id for peer_id in self.awake if asked is None or peer_id in asked]
            found = [await self.status(peer_id) for peer_id in asking]
            leaders = {status["leader"] for status in found}
            leading = {status["peer"] for status in found if status["role"] == "leader"}
            return leaders.pop() if leaders == leading and not leaders & refused else None

        return await eventually(agreed, "one leader known to all")

    async def make_leader(self, peer_id: str) -> None:
        """Kills whoever else leads, until chance makes it this one."""
        for _ in range(20):
            leader = await self.leader()
            if leader == peer_id:
                return
            self.kill(leader)
            await self.leader()
            await self.start(leader)
        raise AssertionError(f"{peer_id} never came to lead")

    async def followers(self) -> list[str]:
        leader = await self.leader()
        return [peer_id for peer_id in self.awake if peer_id != leader]

    async def converged(self) -> dict:
        """Waits until all peers that are awake have applied the same index; their state is then
        the same: digest, event chain. Result: the status of one of them."""
        status = await self.settled()
        await self.same_digests()
        return status

    async def settled(self) -> dict:
        """As `converged`, by the event chain alone."""

        async def equal() -> list[dict] | None:
            found = [await self.status(peer_id) for peer_id in self.awake]
            places = {(it["applied_index"], it["commit_index"], it["last_index"]) for it in found}
            is_still = len(places) == 1 and len(set(places.pop())) == 1
            return found if is_still else None

        found = await eventually(equal, "equal applied indexes")
        last_events = [await self.last_event(peer_id) for peer_id in self.awake]
        assert all(event == last_events[0] for event in last_events), last_events
        return found[0]

    async def last_event(self, peer_id: str) -> dict | None:
        """Its `chain` stands for all events before it."""
        head = int((await self.ask(peer_id, "GET", "/api/v0/status")).json["events_head"])
        if head == 0:
            return None
        page = await self.ask(peer_id, "GET", f"/api/v0/events?after={head - 1:019}")
        return page.json["items"][-1]

    async def same_digests(self) -> None:
        """Every peer that is awake has the digests of the others, at some common index."""
        if not await self._has_common_digest():
            await self.pass_a_digest(self.awake[0])
            await eventually(self._has_common_digest, "a digest that all peers have")

    async def pass_a_digest(self, peer_id: str) -> None:
        """Small writes up to the next index at which every peer hashes its state."""
        index = (await self.status(peer_id))["applied_index"]
        goal = index - index % DIGEST_EVERY + DIGEST_EVERY
        while index <= goal:
            answer = await self.put(peer_id, "filler", index)
            assert answer.status in (200, 201), answer
            index = answer.index

    async def _has_common_digest(self) -> bool:
        seen: dict[int, list[str]] = {}
        for peer_id in self.awake:
            answer = await self.ask(peer_id, "GET", "/api/v0/raft/status?digest=now")
            if answer.status == 409:  # too many rows to be hashed on request
                answer = await self.ask(peer_id, "GET", "/api/v0/raft/status")
            digests = [*answer.json["digests"], answer.json["digest"]]
            for index, value in {(it["index"], it["value"]) for it in digests if it}:
                seen.setdefault(index, []).append(value)
        different = {index: values for index, values in seen.items() if len(set(values)) > 1}
        if different:
            raise RuntimeError(f"peers differ: {different}")
        return any(len(values) == len(self.awake) for values in seen.values())

    # --- the end -------------------------------------------------------------------------------

    def check_alive(self, *ids: str) -> None:
        for peer_id in ids or self.ids:
            peer = self.peers[peer_id]
            if peer.process is not None and peer.process.poll() is not None:
                raise RuntimeError(f"{peer_id} ended by itself, code {peer.process.returncode}")

    def check_logs(self) -> None:
        for peer in [*self.peers.values(), *self._extras]:
            text = peer.log_path.read_text("utf-8", "replace") if peer.log_path.exists() else ""
            for sign in ("Traceback", "http_unexpected", "event_feed_failed", "was never awaited"):
                assert sign not in text, f"{sign} in the output of {peer.id}"

    def end(self) -> None:
        for peer in [*self.peers.values(), *self._extras]:
            with contextlib.suppress(subprocess.TimeoutExpired):
                peer.end_now()

    def story(self) -> str:
        """The last lines of every peer."""
        parts = []
        for peer in [*self.peers.values(), *self._extras]:
            if peer.log_path.exists():
                text = peer.log_path.read_text("utf-8", "replace")
                tail = "\n".join(text.splitlines()[-TAIL_LINES:])
                parts.append(f"--- {peer.log_path.name} (…)\n{tail}")
        return "\n".join(parts)


@asynccontextmanager
async def running(
    folder: Path,
    count: int = 3,
    *,
    flags: tuple[str, ...] = (),
    host: str = HOST,
    is_started: bool = True,
) -> AsyncIterator[Cluster]:
    """A cluster of peers p1, p2, …, ready unless told otherwise; gone afterwards."""
    async with Http() as http:
        cluster = Cluster(folder, http)
        try:
            cluster.plan([f"p{number}" for number in range(1, count + 1)], flags=flags, host=host)
            if is_started:
                await cluster.start()
            yield cluster
            cluster.check_alive()
            cluster.check_logs()
        except BaseException:
            print(cluster.story())
            raise
        finally:
            cluster.end()
