"""Real peers with real stores. One loses a row: it is caught, serves nobody, and comes back as
another."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from cluster_http import Http
from cluster_peer import HOST, PORTS, WAIT_SECONDS, eventually

from replicante.config import (
    HttpSection,
    PeerConfig,
    PeerSection,
    RaftSection,
    StorageSection,
    WorkersMode,
    WorkersSection,
)
from replicante.errors import WrongIdentity
from replicante.server import PeerServer
from replicante.storage import lmdb_flusher, lmdb_store
from replicante.storage.lmdb_environment import LmdbEnvironment
from replicante.storage.lmdb_store import LmdbStore, state_identity
from replicante.telemetry.logs import silent_logger

INTERVAL_ENTRIES = 16
NAMES = ("p1", "p2", "p3")


@pytest.fixture(autouse=True)
def digests_come_often(monkeypatch):
    for module in (lmdb_store, lmdb_flusher):
        monkeypatch.setattr(module, "DIGEST_INTERVAL_ENTRIES", INTERVAL_ENTRIES)


@pytest.fixture
def lost(monkeypatch):
    """(peer, key): the store of that peer drops every write of that kv row, and no code knows."""
    rows: set[tuple[str, bytes]] = set()
    put = LmdbStore.put

    def forgetful(self, key, value):
        name = self._environment.path.parent.name
        if not any(peer == name and key.endswith(tail) for peer, tail in rows):
            put(self, key, value)

    monkeypatch.setattr(LmdbStore, "put", forgetful)
    return rows


class Trio:
    def __init__(self, folder: Path, http: Http) -> None:
        self.folder = folder
        self.http = http
        self.servers: dict[str, PeerServer] = {}
        self.places = {name: f"{HOST}:{PORTS.take()}" for name in NAMES}

    async def start(self, name: str, *, join: str = "") -> None:
        members = tuple(f"{peer}={place}" for peer, place in self.places.items())
        config = PeerConfig(
            peer=PeerSection(id=name, data_dir=self.folder / name),
            raft=RaftSection(listen=self.places[name], peers=members, join=join),
            http=HttpSection(listen=f"{HOST}:{PORTS.take()}"),
            storage=StorageSection(log_reserve_bytes=0, flush_interval_ms=20),
            workers=WorkersSection(mode=WorkersMode.OFF),
        )
        logs = SimpleNamespace(logger=silent_logger(), dropped_count=0)
        self.servers[name] = PeerServer(config, logs=logs)
        await self.servers[name].start()

    async def stop(self, name: str) -> None:
        await self.servers.pop(name).stop()

    async def ask(self, name: str, method: str, path: str, **kwargs):
        return await self.http.ask(self.servers[name].url, method, path, **kwargs)

    async def put(self, name: str, key: str, value: object):
        answer = await self.ask(name, "PUT", f"/api/v0/kv/{key}", json={"value": value})
        assert answer.status in (200, 201), answer
        return answer

    async def pass_digests(self, name: str) -> None:
        for number in range(3 * INTERVAL_ENTRIES):
            await self.put(name, "filler", number)

    async def ready(self, *names: str) -> None:
        async def is_ready() -> bool:
            answers = [await self.ask(name, "GET", "/introspect/ready") for name in names]
            return all(answer.status == 200 for answer in answers)

        await eventually(is_ready, f"{names} to be ready", seconds=WAIT_SECONDS)

    async def status(self, name: str) -> dict:
        return (await self.ask(name, "GET", "/api/v0/raft/status")).json

    async def quarantined(self, name: str) -> dict:
        async def found():
            return (await self.status(name))["quarantine"]

        return await eventually(found, f"{name} to be in quarantine", seconds=WAIT_SECONDS)

    async def quarantines(self, name: str) -> list[dict]:
        """Of the log, as this peer has it."""
        path = "/api/v0/events?after=0&code=RAFT_PEER_QUARANTINED"
        return (await self.ask(name, "GET", path)).json["items"]

    async def quarantine_told(self, name: str) -> dict:
        """Its only one."""
        (event,) = await eventually(
            lambda: self.quarantines(name), "the log to tell of it", seconds=WAIT_SECONDS
        )
        return event

    async def leader(self) -> str:
        async def found():
            return (await self.status(next(iter(self.servers))))["leader"]

        return await eventually(found, "a leader", seconds=WAIT_SECONDS)


@asynccontextmanager
async def trio(folder: Path):
    async with AsyncExitStack() as stack:
        group = Trio(folder, await stack.enter_async_context(Http()))
        try:
            await asyncio.gather(*(group.start(name) for name in NAMES))
            await group.ready(*NAMES)
            yield group
        finally:
            await asyncio.gather(*(group.stop(name) for name in list(group.servers)))


def falsify_digests(state: Path) -> None:
    """As if other rows had been there at those indexes."""
    identity = state_identity(cluster="default", peer_id=state.parent.name, incarnation="")
    with pytest.raises(WrongIdentity) as refused:
        LmdbEnvironment(state, map_bytes=1 << 30, identity=identity)
    found = refused.value.details["found"].encode()
    environment = LmdbEnvironment(state, map_bytes=1 << 30, identity=found)
    false = [(index, value ^ 1) for index, value in environment.read_digests()]
    environment.write(
        lambda writer: writer.set_digests(false), applied_index=environment.header.applied_index
    )
    environment.close()


async def check_serves_nobody(group: Trio, name: str) -> None:
    for method, path, body in (
        ("GET", "/api/v0/kv/lamp?consistency=stale", None),
        ("GET", "/api/v0/kv/lamp", None),
        ("GET", "/api/v0/kv?prefix=", None),
        ("GET", "/api/v0/events?after=0", None),
        ("GET", "/api/v0/leases?consistency=stale", None),
        ("GET", "/api/v0/list/replicante.io/v0/namespace", None),
        ("PUT", "/api/v0/kv/lamp", {"value": 5}),
        ("POST", "/api/v0/queues/q/claim", {"max": 1, "worker": "w"}),
        ("POST", "/api/v0/leases/l/acquire", {"duration": "10s", "owner": {}}),
    ):
        answer = await group.ask(name, method, path, **({} if body is None else {"json": body}))
        assert (answer.status, answer.code) == (503, "quarantined"), (path, answer)
        assert answer.json["definite"] is True
        assert any("learner" in hint for hint in answer.json["hints"])
    ready = await group.ask(name, "GET", "/introspect/ready")
    assert ready.status == 503
    assert "QUARANTINED" in ready.json["detail"]
    health = await group.ask(name, "GET", "/introspect/health")
    assert (health.status, health.json["status"]) == (200, "quarantined")
    metrics = (await group.ask(name, "GET", "/metrics")).body.decode()
    assert "replicante_raft_quarantined 1.0" in metrics


async def test_a_peer_that_lost_one_row_is_quarantined_for_good_and_comes_back_as_another(
    tmp_path, lost
):
    async with trio(tmp_path) as group:
        leader = await group.leader()
        bad = next(name for name in NAMES if name != leader)
        good = [name for name in NAMES if name != bad]
        await group.put(leader, "lamp", 1)
        lost.add((bad, b"lamp"))
        await group.put(leader, "lamp", 2)
        await group.pass_digests(leader)
        found = await group.quarantined(bad)
        assert found["own_digest"] != found["digest"]
        await check_serves_nobody(group, bad)
        for name in good:
            await group.put(name, f"from-{name}", 1)
            assert (await group.ask(name, "GET", "/api/v0/kv/lamp")).json["value"] == 2
            (row,) = [it for it in (await group.status(name))["peers"] if it["peer"] == bad]
            assert row["differs_at"] == found["index"]
            metrics = (await group.ask(name, "GET", "/metrics")).body.decode()
            assert f'replicante_raft_peer_state_differs{{to="{bad}"}} 1.0' in metrics
            assert "replicante_raft_quarantined 0.0" in metrics

        event = await group.quarantine_told(leader)
        assert (event["key"], event["payload"]["index"]) == (bad, found["index"])
        digests = {name: found["digest" if name != bad else "own_digest"] for name in NAMES}
        assert event["payload"]["digests"].items() <= digests.items()
        assert bad in event["payload"]["digests"]

        # It remembers: the process that starts has no digest to compare yet, and serves nobody.
        await group.stop(bad)
        await group.start(bad)
        await check_serves_nobody(group, bad)

        # The way out that it names.
        await group.stop(bad)
        leader = await group.leader()
        removed = await group.ask(leader, "DELETE", f"/api/v0/raft/peers/{bad}")
        assert removed.status == 200, removed
        shutil.move(tmp_path / bad, tmp_path / "kept")
        invited = await group.ask(
            leader, "POST", "/api/v0/raft/tokens", json={"id": bad, "valid": "5m"}
        )
        assert invited.status in (200, 201), invited
        lost.clear()
        await group.start(bad, join=invited.json["token"])
        await group.ready(bad)
        assert (await group.status(bad))["quarantine"] is None
        assert await group.quarantines(bad) == [event], "told once, and the same everywhere"


async def test_a_leader_that_lost_one_row_loses_the_lead_and_quarantines_nobody_else(
    tmp_path, lost
):
    async with trio(tmp_path) as group:
        bad = await group.leader()
        good = [name for name in NAMES if name != bad]
        lost.add((bad, b"lamp"))
        await group.put(bad, "lamp", 1)
        await group.pass_digests(good[0])
        await group.quarantined(bad)

        async def another_leads() -> bool:
            return (await group.status(good[0]))["leader"] in good

        await eventually(another_leads, "another leader", seconds=WAIT_SECONDS)
        await check_serves_nobody(group, bad)
        await group.ready(*good)
        for name in good:
            assert (await group.status(name))["quarantine"] is None
            assert (await group.ask(name, "GET", "/api/v0/kv/lamp")).json["value"] == 1
            await group.put(name, f"from-{name}", 3)
        event = await group.quarantine_told(good[0])
        assert event["key"] == bad, "told by the leader that came after it"


async def test_states_are_compared_right_after_a_restart(tmp_path):
    """The digests are kept with the state, so a peer has something to say as soon as its links
    stand, without one more write: here the vote that decides between two others."""
    async with trio(tmp_path) as group:
        leader = await group.leader()
        await group.pass_digests(leader)
        digests = (await group.status("p1"))["digests"]
        assert len(digests) >= 2
        for name in NAMES:
            await group.stop(name)
        falsify_digests(tmp_path / "p1" / "state")
        for name in NAMES[:2]:
            await group.start(name)
        await group.ready(*NAMES[:2])
        await group.start("p3")
        await group.quarantined("p1")
        await group.ready("p2", "p3")
