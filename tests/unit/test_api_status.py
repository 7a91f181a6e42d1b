from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from api_harness import running, until

from replicante.api.routes import ROUTES
from replicante.api.routing import Access
from replicante.raft.status import PeerInfo, Quarantine, Role
from replicante.testing.builders import kv_put
from replicante.testing.fake_peer import FakePeer, Trouble


async def test_raft_status_has_the_promised_shape():
    async with running() as api:
        api.peer.do(kv_put("a", 1))
        status = (await api.get("/raft/status")).json
        assert status["peer"] == "p1"
        assert status["role"] == "leader"
        assert status["leader"] == "p1"
        assert status["applied_index"] == 1
        assert status["digest"]["index"] == status["applied_index"]
        assert status["durability"] == "fsync"
        assert [peer["peer"] for peer in status["peers"]] == ["p1"]
        assert {"term", "commit_index", "clock_ms"} <= set(status)


async def test_peers_with_the_same_history_show_the_same_digest():
    digests = []
    for _ in range(2):
        async with running() as api:
            for i in range(3):
                api.peer.do(kv_put("a", i))
            digests.append((await api.get("/raft/status?digest=now")).json["digest"])
    assert digests[0] == digests[1]
    assert digests[0]["index"] == 3
    async with running() as api:
        api.peer.do(kv_put("a", 5))
        other = (await api.get("/raft/status?digest=now")).json["digest"]
        assert other["value"] != digests[0]["value"]
        (await api.get("/raft/status?digest=then")).problem("invalid", 400)


async def test_status_names_the_leader_and_where_it_is():
    peer = FakePeer()
    base = peer.base_status
    other = PeerInfo(
        peer_id="p2",
        incarnation="2" * 32,
        raft_address="127.0.0.1:16117",
        http_address="127.0.0.1:16017",
        is_voter=True,
        is_connected=True,
        match_index=None,
    )
    peer.base_status = replace(base, role=Role.FOLLOWER, leader_id="p2", peers=(*base.peers, other))
    async with running(peer=peer) as api:
        status = (await api.get("/status")).json
        assert status["leader"] == "p2"
        assert status["leader_url"] == "http://127.0.0.1:16017"
        assert status["role"] == "follower"
        assert status["is_ready"] is True
        assert status["not_ready_reason"] is None
        assert [one["is_leader"] for one in status["peers"]] == [False, True]
        assert status["events_head"] == "0" * 19


@pytest.mark.parametrize(
    ("changes", "trouble", "word"),
    [
        ({"is_ready": False, "cluster_id": ""}, Trouble.NONE, "born"),
        ({"is_ready": False}, Trouble.DISK_FULL, "disk"),
        ({}, Trouble.NO_LEADER, "leader"),
        ({"is_ready": False, "commit_index": 50}, Trouble.NONE, "50 entries"),
    ],
)
async def test_a_peer_that_is_not_ready_is_live_and_says_why(changes, trouble, word):
    peer = FakePeer()
    peer.base_status = replace(peer.base_status, **changes)
    peer.trouble = trouble
    async with running(peer=peer) as api:
        assert (await api.ask("GET", "/introspect/health")).json["status"] == "ok"
        body = (await api.ask("GET", "/introspect/ready")).problem("not_ready", 503)
        assert word in body["details"]["reason"]
        assert (await api.get("/status")).json["not_ready_reason"] == body["details"]["reason"]


WRONG = Quarantine(index=2048, own_digest="0" * 32, digest="1" * 32)


async def test_a_peer_in_quarantine_answers_only_what_it_knows_of_itself():
    async with running() as api:
        api.peer.do(kv_put("a", 1))
        api.peer.base_status = replace(api.peer.base_status, quarantine=WRONG, is_ready=False)
        for route in ROUTES:
            path = route.path.replace("...", "").replace("{", "").replace("}", "")
            answer = await api.ask(route.method.value, path, json={} if route.body else None)
            if route.access is not Access.LOCAL:
                assert answer.problem("quarantined", 503)["details"]["since_index"] == 2048
            else:
                assert answer.status != 500
                assert answer.status == 200 or answer.json["code"] != "quarantined"
        health = (await api.ask("GET", "/introspect/health")).json
        assert (health["status"], "QUARANTINED" in health["reason"]) == ("quarantined", True)
        status = (await api.get("/status")).json
        assert status["quarantine"]["digest"] == "1" * 32
        assert any("learner" in step for step in status["quarantine"]["way_out"])
        assert "replicante_raft_quarantined 1.0" in (await api.ask("GET", "/metrics")).body.decode()


async def test_who_waits_for_something_when_it_is_found_is_told():
    async with running() as api:
        waiting = asyncio.create_task(api.get("/events?after=0&wait=20s"))
        await until(lambda: api.counted("replicante_event_streams", format="poll"))
        api.peer.base_status = replace(api.peer.base_status, quarantine=WRONG)
        await until(lambda: api.api.ctx.presence.status().quarantine is not None)
        api.peer.do(kv_put("a", 1))
        (await waiting).problem("quarantined", 503)


@pytest.mark.parametrize("prefix", ["", "/api/v0"])
@pytest.mark.parametrize(
    "path",
    [
        "/introspect/health",
        "/introspect/ready",
        "/introspect/self",
        "/introspect/version",
        "/introspect/tasks",
        "/openapi.json",
    ],
)
async def test_the_process_introduces_itself_at_the_root_and_under_the_prefix(prefix, path):
    async with running() as api:
        answer = await api.ask("GET", prefix + path)
        assert answer.status == 200
        assert isinstance(answer.json, dict)


async def test_tasks_that_do_the_same_are_counted():
    async with running() as api:
        tasks = (await api.ask("GET", "/introspect/tasks")).json["tasks"]
        assert all(one["activity"] and one["count"] >= 1 for one in tasks)


@pytest.mark.parametrize(
    "accept", ["text/plain", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "*/*"]
)
async def test_metrics_are_text_whatever_is_accepted(accept):
    async with running() as api:
        await api.put("/kv/a", {"value": 1})
        await api.get("/kv/b")
        answer = await api.ask("GET", "/metrics", headers={"Accept": accept})
        assert answer.headers["Content-Type"].startswith("text/plain")
        text = answer.body.decode()
        assert 'replicante_raft_role{role="leader"} 1.0' in text
        assert "replicante_raft_applied_index 1.0" in text
        assert (
            'replicante_http_requests_total{method="PUT",route="/api/v0/kv/{key...}",status="201"}'
            " 1.0" in text
        )
        assert 'replicante_http_problems_total{code="not_found"} 1.0' in text
        assert 'replicante_writes_total{result="applied"} 1.0' in text
