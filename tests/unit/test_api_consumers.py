from __future__ import annotations

import pytest
from api_harness import running
from cli_harness import Terminal, api_in_thread

from replicante.client import Client
from replicante.errors import ConsumerExpired, HistoryGone, NotFound, RevisionMismatch
from replicante.limits import CONSUMER_SILENCE_MS_MAX, STATE_USED_FRACTION_MAX
from replicante.state.commands import SetEventRetention
from replicante.testing.fake_peer import FakePeer

PATH = "/events/consumers/billing"


async def put(api, position=None, **request):
    return await api.put(PATH, {"position": position}, **request)


async def test_a_consumer_is_made_moved_looked_at_and_deleted():
    async with running() as api:
        await api.put("/kv/a", {"value": 1})
        made = await put(api)
        assert made.status == 201
        await api.put("/kv/a", {"value": 2})
        seen = await api.get(PATH)
        assert seen.json == {
            "name": "billing",
            "position": made.json["position"],
            "revision": made.json["revision"],
            "lag": 2,
            "silent_for": "0s",
            "expired": False,
        }
        head = (await api.get("/events?limit=1")).json["head"]
        moved = await put(api, head)
        assert (moved.status, moved.json["lag"]) == (200, 0)
        api.peer.pass_time(3_000)
        await api.put("/kv/a", {"value": 3})
        assert (await api.get("/events/consumers")).json["items"] == [
            {**moved.json, "lag": 1, "silent_for": "3s"}
        ]
        gone = await api.delete(PATH)
        assert gone.json["revision"] > moved.json["revision"]
        (await api.get(PATH)).problem("not_found", 404)
        (await api.delete(PATH)).problem("not_found", 404)


async def test_what_a_consumer_has_not_read_is_kept_and_below_the_floor_is_410():
    async with running() as api:
        for i in range(4):
            await api.put("/kv/a", {"value": i})
        first = (await api.get("/events?limit=1")).json["next"]
        await put(api, first)
        api.peer.do(SetEventRetention(1, 1 << 40, 1 << 40))
        page = (await api.get(f"/events?after={first}")).json
        assert page["floor"] == first
        assert page["items"][0]["seq"] == 2
        await put(api, page["head"])
        await api.put("/kv/a", {"value": 9})
        problem = (await put(api, first)).problem("history_gone", 410)
        assert problem["details"]["floor"] > first
        assert problem["hints"]


async def test_an_expired_consumer_is_410_until_it_is_deleted():
    async with running() as api:
        made = await put(api)
        api.peer.pass_time(CONSUMER_SILENCE_MS_MAX)
        for answer in (await put(api), await api.get(PATH)):
            problem = answer.problem("consumer_expired", 410)
            assert problem["details"]["floor"] is not None
            assert "DELETE" in problem["hints"][0]
        (item,) = (await api.get("/events/consumers")).json["items"]
        assert item["expired"]
        assert item["position"] == made.json["position"]
        assert '{name="consumers_expired_count"} 1.0' in api.metrics.render().decode()
        assert (await api.delete(PATH)).status == 200
        assert (await put(api)).status == 201


async def test_conditions_keep_two_processes_off_one_consumer():
    async with running() as api:
        made = await put(api, headers={"If-None-Match": "*"})
        (await put(api, headers={"If-None-Match": "*"})).problem("revision_mismatch", 412)
        match = {"If-Match": f'"{made.json["revision"]}"'}
        assert (await put(api, headers=match)).status == 200
        (await put(api, headers=match)).problem("revision_mismatch", 412)
        (await api.delete(PATH, headers=match)).problem("revision_mismatch", 412)


async def test_a_full_store_lets_a_consumer_move_and_go():
    async with running() as api:
        api.room.used_fraction = STATE_USED_FRACTION_MAX + 0.01
        (await api.put("/kv/a", {"value": 1})).problem("storage_full", 507)
        assert (await put(api)).status == 201
        assert (await api.delete(PATH)).status == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PATH, {"position": "x"}),
        (PATH, {"place": "1"}),
        (f"/events/consumers/{'x' * 129}", {}),
    ],
)
async def test_bad_requests_are_refused(path, body):
    async with running() as api:
        answer = await api.put(path, body)
        assert answer.status == 400
        assert (await api.get("/events/consumers")).json["items"] == []


async def test_the_sdk_tells_the_kinds_of_refusal_apart():
    async with running() as api, Client([api.server.url]) as client:
        made = await client.consumers.put("billing", must_not_exist=True)
        assert await client.consumers.get("billing") == made
        assert await client.consumers.list() == (made,)
        with pytest.raises(RevisionMismatch):
            await client.consumers.put("billing", must_not_exist=True)
        for i in range(3):
            await client.kv.put("a", i)
        api.peer.do(SetEventRetention(1, 1 << 40, 1 << 40))
        moved = await client.consumers.put("billing", await client.events.head())
        assert moved.revision > made.revision
        await client.kv.put("a", 4)
        with pytest.raises(HistoryGone):
            await client.consumers.put("billing", made.position)
        api.peer.pass_time(CONSUMER_SILENCE_MS_MAX)
        with pytest.raises(ConsumerExpired):
            await client.consumers.put("billing")
        with pytest.raises(ConsumerExpired):
            await client.consumers.get("billing")
        await client.consumers.delete("billing")
        with pytest.raises(NotFound):
            await client.consumers.get("billing")


def test_the_command_line_does_the_same(capsys):
    terminal = Terminal(capsys)
    with api_in_thread(FakePeer()) as url:

        def run(*arguments):
            return terminal.run("events", "consumer", *arguments, "--endpoints", url)

        assert "live" in run("put", "billing").out
        assert "billing" in run("list").out
        assert run("get", "nobody").code == 3
        assert "billing" in run("get", "billing").out
        assert run("delete", "billing").code == 0
        assert "billing" not in run("list").out
