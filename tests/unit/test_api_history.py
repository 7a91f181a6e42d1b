"""A recovery cut history: what readers of events are told who have seen of the lost part."""

from __future__ import annotations

import pytest
from api_harness import running

from replicante.client import Client
from replicante.errors import HistoryForked
from replicante.ids import format_stamp, make_index, make_stamp, parse_stamp, stamp_index
from replicante.state import queries
from replicante.testing.builders import kv_put

FORMS = ("application/json", "application/x-ndjson", "text/event-stream")


def fork(api) -> tuple[str, str]:
    """(the last event that both histories have, one that is lost)"""
    api.peer.do(kv_put("common", 1))
    last = queries.events_edge(api.peer.lone.store).head
    lost = make_stamp(stamp_index(last) + 1, 0)
    api.peer.lone.recover(1)
    api.peer.do(kv_put("new", 2))
    return format_stamp(last), format_stamp(lost)


@pytest.mark.parametrize("accept", FORMS)
async def test_every_form_of_reading_says_where_history_forked(accept):
    async with running() as api:
        last, lost = fork(api)
        for after in (lost, f"index:{stamp_index(parse_stamp(lost))}"):
            answer = await api.get(f"/events?after={after}", headers={"Accept": accept})
            body = answer.problem("history_forked", 410)
            assert body["details"]["last_common"] == last
            assert body["details"]["first_new"] == format_stamp(make_stamp(make_index(1, 1), 0))
            assert last in body["hints"][0] and "index:N" in body["hints"][1]
        page = (await api.get(f"/events?after={last}")).json
        assert [it["code"] for it in page["items"]] == ["RAFT_RECOVERED", "KV_PUT"]


async def test_a_consumer_is_told_when_it_comes_with_a_lost_position():
    async with running() as api:
        last, lost = fork(api)
        refused = await api.put("/events/consumers/reader", {"position": lost})
        assert refused.problem("history_forked", 410)["details"]["last_common"] == last
        taken = await api.put("/events/consumers/reader", {"position": last})
        assert taken.status == 201


async def test_a_follower_of_the_sdk_raises_it_with_what_to_do():
    async with running() as api, Client([api.server.url]) as client:
        last, lost = fork(api)
        with pytest.raises(HistoryForked) as caught:
            async for _ in client.events.follow(after=lost):
                pass
        assert caught.value.details["last_common"] == last
        assert caught.value.hints
