from __future__ import annotations

import asyncio

import pytest
from api_harness import running

from replicante.testing.builders import kv_put
from replicante.testing.fake_peer import Trouble


async def test_a_read_is_linearizable_unless_told_otherwise():
    async with running() as api:
        api.peer.do(kv_put("a", 1))
        plain = await api.get("/kv/a")
        assert plain.headers["Replicante-Consistency"] == "linearizable"
        assert api.peer.barriers_count == 1
        for consistency in ("bounded", "stale"):
            read = await api.get(f"/kv/a?consistency={consistency}")
            assert read.headers["Replicante-Consistency"] == consistency
        assert api.peer.barriers_count == 1


async def test_without_a_leader_only_confirmed_reads_are_refused():
    async with running() as api:
        api.peer.do(kv_put("a", 1))
        api.peer.trouble = Trouble.NO_LEADER
        refused = await api.get("/kv/a")
        assert refused.problem("no_leader", 503)["definite"] is True
        assert refused.headers["Retry-After"] == "1"
        assert (await api.get("/kv/a?consistency=stale")).json["value"] == 1
        assert (await api.get("/kv/a?consistency=bounded")).json["value"] == 1


async def test_a_barrier_that_does_not_come_ends_at_the_time_limit():
    async with running() as api:
        api.peer.trouble = Trouble.SILENT
        (await api.get("/kv/a?timeout=20ms")).problem("read_timeout", 503)


@pytest.mark.parametrize(
    ("staleness", "max_stale", "is_answered"),
    [(100, "", True), (5_001, "", False), (100, "&max_stale_ms=99", False), (None, "", False)],
)
async def test_a_bounded_read_refuses_what_is_too_old(staleness, max_stale, is_answered):
    async with running() as api:
        api.peer.do(kv_put("a", 1))
        api.peer.staleness = staleness
        answer = await api.get(f"/kv/a?consistency=bounded{max_stale}")
        if is_answered:
            assert answer.json["value"] == 1
            assert answer.headers["Replicante-Staleness-Ms"] == str(staleness)
        else:
            body = answer.problem("too_stale", 503)
            assert body["details"]["staleness_ms"] == staleness
        stale = await api.get("/kv/a?consistency=stale")
        expected = "unknown" if staleness is None else str(staleness)
        assert stale.headers["Replicante-Staleness-Ms"] == expected


async def test_a_read_waits_until_this_peer_has_applied_what_the_client_saw():
    async with running() as api:
        api.peer.do(kv_put("a", 1))
        seen = api.peer.applied_index
        wanted = f"/kv/a?consistency=stale&after_index={seen + 1}"
        late = await api.get(f"{wanted}&wait=20ms")
        body = late.problem("read_timeout", 503)
        assert body["details"]["applied_index"] == seen
        waiting = asyncio.create_task(api.get(f"{wanted}&wait=10s"))
        await asyncio.sleep(0)
        api.peer.do(kv_put("a", 2))
        read = await waiting
        assert read.json["value"] == 2
        assert int(read.headers["Replicante-Index"]) >= seen + 1


async def test_not_found_says_at_which_index():
    async with running() as api:
        api.peer.do(kv_put("a", 1))
        body = (await api.get("/kv/b")).problem("not_found", 404)
        assert body["index"] == api.peer.applied_index


async def test_reads_are_counted_by_consistency():
    async with running() as api:
        await api.get("/kv/a?consistency=stale")
        api.peer.trouble = Trouble.NO_LEADER
        await api.get("/kv/a")
        reads = "replicante_reads_total"
        assert api.counted(reads, consistency="stale", result="answered") == 1
        assert api.counted(reads, consistency="linearizable", result="refused") == 1
