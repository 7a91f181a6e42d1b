"""A real peer that is alone: every request is answered in time, and no answer is a lie."""

from __future__ import annotations

import asyncio
import time

import pytest
from cluster import Cluster, running
from cluster_http import Answer
from cluster_load import check_history, load
from cluster_peer import eventually

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

DEADLINE_MS = 1_000
HANG_MS = 3_000
"""What a busy machine may add to the deadline."""


@pytest.mark.parametrize("harm", ["killed", "paused"])
@pytest.mark.parametrize("survivor_is", ["leader", "follower"])
async def test_a_peer_without_a_majority_answers_in_time_and_truly(tmp_path, harm, survivor_is):
    async with running(tmp_path) as cluster:
        leader = await cluster.leader()
        others = [peer for peer in cluster.ids if peer != leader]
        survivor = leader if survivor_is == "leader" else others[0]
        lost = [peer for peer in cluster.ids if peer != survivor]
        assert (await cluster.put(survivor, "seen", 1)).status == 201
        await cluster.converged()

        async with load(cluster, through=[survivor], writers=3, counters=1) as callers:
            await callers.acknowledged(30)
            cluster.kill(*lost) if harm == "killed" else cluster.freeze(*lost)
            await _answers_every_write(cluster, survivor)
            await _refuses_fresh_reads(cluster, survivor)
            await _serves_what_it_has(cluster, survivor)
            await _is_alive_and_not_ready(cluster, survivor)
            await _answers_every_write(cluster, survivor)
            if harm == "killed":
                cluster.spawn(*lost)
            else:
                cluster.thaw(*lost)
            await cluster.ready()
            await callers.acknowledged(30)
        await check_history(cluster, callers.history)


async def _answers_every_write(cluster: Cluster, peer: str) -> None:
    """504: sent, the fate is open. 503: never sent, as the body says."""
    answers = await asyncio.gather(
        *(
            _in_time(cluster, peer, "PUT", f"alone/{number}", json={"value": number})
            for number in range(5)
        )
    )
    for answer in answers:
        assert (answer.status, answer.definite) in {(504, False), (503, True)}, answer
        assert answer.code in ("outcome_unknown", "no_leader")
        if answer.status == 503:
            assert int(answer.headers["Retry-After"]) > 0


async def _refuses_fresh_reads(cluster: Cluster, peer: str) -> None:
    answer = await _in_time(cluster, peer, "GET", "seen")
    assert answer.status == 503
    assert answer.code in ("no_leader", "read_timeout")

    async def is_too_old() -> bool:
        answer = await cluster.get(peer, "seen", "?consistency=bounded&max_stale_ms=500")
        assert answer.status == 503
        return answer.code == "too_stale"

    await eventually(is_too_old, "a bounded read to be refused")


async def _serves_what_it_has(cluster: Cluster, peer: str) -> None:
    answer = await cluster.get(peer, "seen", "?consistency=stale")
    assert (answer.status, answer.json["value"]) == (200, 1)
    assert answer.headers["Replicante-Consistency"] == "stale"
    age = answer.headers["Replicante-Staleness-Ms"]
    assert age == "unknown" or int(age) > 500
    events = await cluster.ask(peer, "GET", "/api/v0/events?limit=1")
    assert events.status == 200


async def _is_alive_and_not_ready(cluster: Cluster, peer: str) -> None:
    async def is_unready() -> bool:
        answer = await cluster.ask(peer, "GET", "/introspect/ready")
        return (answer.status, answer.code) == (503, "not_ready")

    await eventually(is_unready, "a peer without a majority to be not ready", seconds=5)
    assert (await cluster.ask(peer, "GET", "/introspect/health")).status == 200
    status = await cluster.status(peer)
    assert status["leader"] is None, "nobody leads a minority"
    assert status["role"] != "leader"


async def _in_time(
    cluster: Cluster, peer: str, method: str, key: str, *, json: object = None
) -> Answer:
    started = time.monotonic()
    path = f"/api/v0/kv/{key}?timeout={DEADLINE_MS}ms"
    answer = await cluster.ask(peer, method, path, json=json)
    took_ms = (time.monotonic() - started) * 1000
    assert took_ms < DEADLINE_MS + HANG_MS, f"{method} took {took_ms:.0f} ms"
    return answer


async def test_a_minority_of_five_that_is_cut_off_changes_nothing(tmp_path):
    """Two of five go on talking to each other, and to nobody else."""
    async with running(tmp_path, 5) as cluster:
        leader = await cluster.leader()
        friend = next(peer for peer in cluster.ids if peer != leader)
        lost = [peer for peer in cluster.ids if peer not in (leader, friend)]
        cluster.freeze(*lost)
        answers = await asyncio.gather(
            *(
                _in_time(cluster, peer, "PUT", f"by/{peer}/{number}", json={"value": 1})
                for peer in (leader, friend)
                for number in range(5)
            )
        )
        assert {answer.status for answer in answers} <= {503, 504}
        await eventually(lambda: _leads_nobody(cluster, leader), "the leader to step down")
        cluster.thaw(*lost)
        async with load(cluster) as callers:
            await callers.acknowledged(50)
        await check_history(cluster, callers.history)


async def _leads_nobody(cluster: Cluster, peer: str) -> bool:
    return (await cluster.status(peer))["role"] != "leader"
