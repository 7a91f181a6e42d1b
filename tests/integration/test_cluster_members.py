"""Real peers that come and go under load: 1 → 3 → 5 → 3, a removed leader, a wiped peer."""

from __future__ import annotations

import shutil

import pytest
from cluster import Cluster, running
from cluster_load import check_history, load
from cluster_peer import PORTS, PeerProcess, eventually

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

REMOVED = "was removed from this cluster"


async def change(cluster: Cluster, peer: str, method: str, path: str, body: object = None):
    """Again until it is done: as an operator repeats what was refused for now."""

    async def attempt():
        json = {} if body is None and method == "POST" else body
        answer = await cluster.ask(peer, method, f"/api/v0/raft/{path}", json=json)
        assert answer.status == 200, answer
        return answer

    return await eventually(attempt, f"{method} {path}")


async def join(cluster: Cluster, peer_id: str, *, by: str) -> None:
    """A token, an empty directory, and a vote once it has the log."""
    token = (await change(cluster, by, "POST", "tokens", {"id": peer_id})).json["token"]
    shutil.rmtree(cluster.folder / peer_id, ignore_errors=True)
    ports = cluster.peers.get(peer_id)
    cluster.peers[peer_id] = PeerProcess(
        id=peer_id,
        http_port=ports.http_port if ports else PORTS.take(),
        raft_port=ports.raft_port if ports else PORTS.take(),
        data_dir=cluster.folder / peer_id,
        log_path=cluster.folder / f"{peer_id}.log",
        members=f"{by}=127.0.0.1:{cluster[by].raft_port}",
        flags=("--raft-join", token),
    )
    await cluster.start(peer_id)
    await change(cluster, by, "POST", f"peers/{peer_id}/promote")


async def changes_told(cluster: Cluster, peer: str) -> list:
    """Of the members, by the event log of this peer."""
    path = "/api/v0/events?code=RAFT_CONFIGURATION_CHANGED"
    events = await cluster.ask(peer, "GET", path)
    return [it["payload"] for it in events.json["items"]]


async def remove(cluster: Cluster, peer_id: str, *, by: str) -> None:
    """It is told, says so, and ends."""
    await change(cluster, by, "DELETE", f"peers/{peer_id}")
    gone = cluster[peer_id]
    assert await gone.ended() != 0
    assert REMOVED in gone.text()
    del cluster.peers[peer_id]


async def voters(cluster: Cluster, of: str) -> list[str]:
    answer = await cluster.ask(of, "GET", "/api/v0/raft/peers")
    return sorted(it["peer"] for it in answer.json["peers"] if it["is_voter"])


async def test_one_three_five_three_under_load_loses_nothing(tmp_path):
    async with running(tmp_path, 1) as cluster:
        async with load(cluster, writers=2, counters=1, through=["p1"]) as callers:
            await callers.acknowledged(20)
            for peer_id in ("p2", "p3", "p4", "p5"):
                await join(cluster, peer_id, by="p1")
                await callers.acknowledged(10)
            assert await voters(cluster, "p1") == ["p1", "p2", "p3", "p4", "p5"]

            await change(cluster, "p1", "POST", "transfer", {"to": "p5"})
            await remove(cluster, "p5", by="p1")  # the leader
            await callers.acknowledged(10)

            cluster.kill("p3")
            shutil.rmtree(tmp_path / "p3")
            await change(cluster, "p1", "DELETE", "peers/p3")
            await join(cluster, "p3", by="p2")  # the same name, another disk
            await callers.acknowledged(10)

            await remove(cluster, "p4", by="p2")
            await callers.acknowledged(10)
            assert await voters(cluster, "p3") == ["p1", "p2", "p3"]
        await check_history(cluster, callers.history)


async def test_a_wiped_peer_does_not_come_back_by_itself(tmp_path):
    async with running(tmp_path, 3) as cluster:
        cluster.kill("p3")
        shutil.rmtree(tmp_path / "p3")
        cluster.spawn("p3")
        assert await cluster["p3"].ended() != 0
        assert "lost its disk" in cluster["p3"].text()
        del cluster.peers["p3"]
        assert await changes_told(cluster, "p1") == []
        await change(cluster, "p1", "DELETE", "peers/p3")
        await join(cluster, "p3", by="p2")

        async def all_told():
            """p1 may be a moment behind the one that carried out the last."""
            told = await changes_told(cluster, "p1")
            return told if len(told) >= 4 else None

        told = await eventually(all_told, "four changes of the members")
        assert [len(it["voters"]) for it in told] == [2, 2, 2, 3]
        assert [len(it["learners"]) for it in told] == [0, 0, 1, 0]
