"""How much of the event log is kept: asked for and set over HTTP."""

from __future__ import annotations

import pytest
from api_harness import running

from replicante import limits
from replicante.client import Client
from replicante.errors import Invalid
from replicante.state.commands import SetEventRetention
from replicante.testing.builders import kv_put

MONTH = {"count": 10_000_000, "bytes": 8 << 30, "age": "30d"}


async def test_what_was_never_set_is_the_default():
    async with running() as api:
        api.peer.do(kv_put("a", 1))
        found = (await api.get("/events/retention")).json
        assert {name: found[name] for name in MONTH} == MONTH
        assert found["kept_count"] == 1
        assert found["kept_bytes"] > 0
        assert (found["floor"], found["held_by"]) == ("0" * 19, None)


async def test_what_is_set_is_replicated_is_an_event_and_trims():
    async with running() as api:
        for i in range(limits.EVENTS_KEPT_COUNT_MIN + 50):
            api.peer.do(kv_put("k", i))
        answer = await api.put("/events/retention", {**MONTH, "count": 1_000})
        assert answer.json["count"] == 1_000
        assert answer.json["revision"]
        found = (await api.get("/events/retention")).json
        assert (found["count"], found["kept_count"]) == (1_000, 1_000)
        newest = (await api.get("/events?before=end&limit=1")).json["items"][0]
        assert newest["code"] == "EVENT_RETENTION_SET"
        assert newest["payload"] == {
            "age_ms_max": 30 * 86_400_000,
            "bytes_max": 8 << 30,
            "count_max": 1_000,
        }
        assert (await api.get("/events?after=0")).status == 410


async def test_who_holds_the_log_beyond_its_bounds_is_named():
    async with running() as api:
        await api.put("/events/consumers/slow", {})
        for i in range(5):
            api.peer.do(kv_put("k", i))
        assert (await api.get("/events/retention")).json["held_by"] is None
        api.peer.do(SetEventRetention(count_max=2, bytes_max=1 << 40, age_ms_max=1 << 40))
        found = (await api.get("/events/retention")).json
        assert found["held_by"] == "slow"
        assert found["kept_count"] > found["count"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"count": limits.EVENTS_KEPT_COUNT_MIN - 1}, "count"),
        ({"bytes": limits.EVENTS_KEPT_BYTES_MIN - 1}, "bytes"),
        ({"age": "59s"}, "age"),
        ({"age": "soon"}, "age"),
        ({"count": 1 << 70}, "count"),
        ({"forever": True}, "forever"),
    ],
)
async def test_bounds_that_nobody_could_read_by_are_refused(change, path):
    async with running() as api:
        body = (await api.put("/events/retention", {**MONTH, **change})).problem("invalid", 400)
        assert body["path"].startswith(path)


async def test_a_full_store_still_lets_the_log_be_shortened():
    async with running() as api:
        api.room.used_fraction = 0.99
        assert (await api.put("/events/retention", {**MONTH, "age": "1h"})).status == 200


async def test_the_same_from_python():
    async with running() as api, Client([api.server.url]) as client:
        done = await client.events.set_retention(count=5_000, bytes=1 << 30, age_ms=90_000_000)
        assert (done.count, done.bytes, done.age) == (5_000, 1 << 30, "1d1h")
        assert (await client.events.retention()).age == "1d1h"
        with pytest.raises(Invalid):
            await client.events.set_retention(count=1, bytes=1 << 30, age_ms=90_000_000)


async def test_the_log_is_read_from_its_end_from_python():
    async with running() as api, Client([api.server.url]) as client:
        for i in range(limits.PAGE_ITEMS_MAX + 5):
            api.peer.do(kv_put("k", i))
        seqs = [event.seq async for event in client.events.newest_first()]
        assert seqs == list(range(len(seqs), 0, -1))
        assert len(seqs) == limits.PAGE_ITEMS_MAX + 5
        page = await client.events.page_back(limit=2)
        assert [event.seq for event in page.items] == seqs[:2]
        with pytest.raises(Invalid):
            await client.events.page_back(before="yesterday")
