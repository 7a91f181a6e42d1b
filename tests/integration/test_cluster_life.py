"""Real peers, started and stopped as people do it: in any number, in any order, one by one."""

from __future__ import annotations

import asyncio
import time

import pytest
from cluster import running
from cluster_load import check_history, load
from cluster_peer import eventually

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]


@pytest.mark.parametrize("count", [1, 3])
async def test_every_peer_takes_writes_and_reads_what_the_others_took(tmp_path, count):
    async with running(tmp_path, count) as cluster:
        for peer in cluster.ids:
            answer = await cluster.put(peer, f"from/{peer}", {"at": peer})
            assert answer.status == 201
            assert answer.headers["Replicante-Served-By"] == peer
        for reader in cluster.ids:
            for writer in cluster.ids:
                answer = await cluster.get(reader, f"from/{writer}")
                assert answer.json["value"] == {"at": writer}
                assert answer.headers["Replicante-Consistency"] == "linearizable"
        status = await cluster.converged()
        assert [peer["peer"] for peer in status["peers"]] == cluster.ids


async def test_five_peers_serve_without_two_of_them(tmp_path):
    async with running(tmp_path, 5) as cluster:
        for peer in cluster.ids:
            assert (await cluster.put(peer, f"from/{peer}", peer)).status == 201
        for peer in cluster.ids:
            assert (await cluster.get(peer, "from/p5")).json["value"] == "p5"
        async with load(cluster, writers=4, counters=2) as callers:
            await callers.acknowledged(50)
            leader = await cluster.leader()
            other = next(peer for peer in cluster.ids if peer != leader)
            cluster.kill(leader, other)
            await callers.acknowledged(100)
            await cluster.start(leader, other)
        await check_history(cluster, callers.history)


async def test_a_cluster_is_born_only_when_its_last_peer_has_come(tmp_path):
    async with running(tmp_path, is_started=False) as cluster:
        cluster.spawn("p3", "p1")
        for peer in ("p1", "p3"):
            await eventually(lambda peer=peer: _lives(cluster, peer), f"{peer} to live")
            answer = await cluster.ask(peer, "GET", "/introspect/ready")
            assert (answer.status, answer.code) == (503, "not_ready")
            assert "not born" in answer.json["detail"]
        answer = await cluster.ask(
            "p1", "PUT", "/api/v0/kv/early?timeout=1s", json={"value": "too early"}
        )
        assert (answer.status, answer.code, answer.definite) == (503, "no_leader", True)
        answer = await cluster.get("p3", "early", "?timeout=1s")
        assert answer.status == 503
        await asyncio.sleep(3)  # what is under test: peers that come this much later
        cluster.spawn("p2")
        await cluster.ready()
        assert (await cluster.get("p2", "early")).status == 404
        assert (await cluster.put("p1", "early", "now")).status == 201
        await cluster.converged()


async def test_peers_are_listed_by_name_in_any_order_with_or_without_oneself(tmp_path):
    async with running(tmp_path, host="localhost", is_started=False) as cluster:
        members = cluster["p1"].members.split(",")
        cluster["p1"].members = ",".join(members[1:])
        cluster["p2"].members = ",".join(reversed(members))
        cluster.spawn("p2", "p3", "p1")
        await cluster.ready()
        assert (await cluster.put("p1", "a", 1)).status == 201
        leader = await cluster.leader()
        cluster.kill(leader)
        await cluster.leader(not_one_of=[leader])
        await cluster.start(leader)
        await cluster.converged()


async def test_two_of_three_start_again_and_serve_before_the_third_comes(tmp_path):
    async with running(tmp_path) as cluster:
        assert (await cluster.put("p1", "a", 1)).status == 201
        for peer in cluster.ids:
            assert await cluster.terminate(peer) == 0
        cluster.spawn("p3", "p2")
        await cluster.ready("p3", "p2")
        assert (await cluster.get("p3", "a")).json["value"] == 1
        assert (await cluster.put("p2", "b", 2)).status == 201
        await cluster.start("p1")
        assert (await cluster.get("p1", "b")).json["value"] == 2
        await cluster.converged()


async def test_a_leader_that_is_told_to_stop_hands_over_first(tmp_path):
    async with running(tmp_path) as cluster, load(cluster) as callers:
        await callers.acknowledged(100)
        leader = await cluster.leader()
        followers = [peer for peer in cluster.ids if peer != leader]
        started = time.monotonic()
        left = cluster[leader]
        assert await cluster.terminate(leader) == 0
        print(f"stopped within {time.monotonic() - started:.2f} s")
        await callers.acknowledged(100)
        successor = await cluster.leader()
        assert successor in followers
        callers.stop()
        print(callers.history.summary())
        took_over = _time_of(cluster[successor].lines(), event="raft", role="leader")
        assert took_over < _time_of(left.lines(), event="peer_stopped")
        await cluster.start(leader)


async def test_peers_restarted_one_by_one_under_load_lose_nothing(tmp_path):
    async with running(tmp_path) as cluster:
        async with load(cluster) as callers:
            for peer in cluster.ids:
                await callers.acknowledged(50)
                assert await cluster.terminate(peer) == 0
                await callers.acknowledged(50)
                await cluster.start(peer)
        await check_history(cluster, callers.history)


async def _lives(cluster, peer: str) -> bool:
    return (await cluster.ask(peer, "GET", "/introspect/health")).status == 200


def _time_of(lines: list[dict], **wanted: str) -> str:
    """When the last line with these keys was written; the times of one machine sort as text."""
    found = [line["time"] for line in lines if wanted.items() <= line.items()]
    assert found, f"no line with {wanted}"
    return found[-1]
