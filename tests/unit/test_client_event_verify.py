"""Whether peers have one event log: what is found, and from where."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest
from api_harness import running

from replicante.cli.event_checks import judge
from replicante.cli.exits import Exit
from replicante.client import Client
from replicante.errors import Unreachable
from replicante.ids import format_stamp
from replicante.state import queries, tables
from replicante.state.commands import SetEventRetention
from replicante.testing.builders import kv_put
from replicante.testing.fake_peer import FakePeer


@asynccontextmanager
async def group(*histories, endpoints_count=None):
    """Peers p1, p2, …, each with the keys of its own history put, and a client."""
    peers = []
    async with AsyncExitStack() as stack:
        urls = []
        for number, keys in enumerate(histories, 1):
            peer = FakePeer(peer_id=f"p{number}")
            peer.base_status = replace(peer.base_status, peers=())
            for key in keys:
                peer.do(kv_put(key, 1))
            api = await stack.enter_async_context(running(peer=peer))
            peers.append(peer)
            urls.append(api.server.url)
        client = await stack.enter_async_context(Client(urls[:endpoints_count]))
        yield client, peers


def ids(peer):
    return [format_stamp(event.id) for event in queries.events_after(peer.lone.store, 0).items]


def by_peer(report):
    return {it.peer: it for it in report.peers}


async def test_peers_with_one_log_are_proved_equal_up_to_the_one_that_is_behind():
    async with group("abcdef", "abcd", "abcde") as (client, peers):
        report = await client.events.verify()
        assert report.is_equal
        assert report.common == ids(peers[1])[-1]
        assert {it.checked_count for it in report.peers} == {4}
        assert len({it.chain for it in report.peers}) == 1
        assert judge(report)[0] is Exit.OK


@pytest.mark.parametrize("place", range(7))
async def test_the_one_that_parts_is_named_with_the_last_event_that_it_shares(place):
    other = "abcdefg"[:place] + "X" + "abcdefg"[place + 1 :]
    async with group("abcdefg", other, "abcdefg") as (client, peers):
        report = await client.events.verify()
        found = by_peer(report)
        shared = "0" * 19 if place == 0 else ids(peers[0])[place - 1]
        assert found["p2"].parts_after == shared
        assert found["p1"].parts_after is None
        assert found["p3"].parts_after is None
        assert not report.is_equal
        assert judge(report)[0] is Exit.FAILED


async def test_of_two_that_differ_neither_is_called_right():
    async with group("abc", "abX") as (client, peers):
        report = await client.events.verify()
        assert {it.parts_after for it in report.peers} == {ids(peers[0])[1]}


async def test_an_event_that_one_peer_lacks_is_a_difference():
    async with group("abcd", "abcd", "abc") as (client, peers):
        peers[2].lone.tick()
        peers[2].do(kv_put("d", 1))
        for peer in peers[:2]:
            peer.do(kv_put("e", 1))
        found = by_peer(await client.events.verify())
        assert found["p3"].parts_after == ids(peers[0])[2]


async def test_a_row_that_is_not_what_was_hashed_is_found_though_the_chains_agree():
    async with group("abcdef", "abcdef") as (client, peers):
        store = peers[1].lone.store
        broken = queries.events_after(store, 0).items[2]
        row = store.get(tables.event_key(broken.id))
        store.put(tables.event_key(broken.id), row[:-1] + bytes((row[-1] ^ 1,)))
        peers[1].lone.tick()
        report = await client.events.verify()
        found = by_peer(report)
        assert found["p2"].fault is not None
        assert format_stamp(broken.id) in found["p2"].fault
        assert found["p1"].fault is None
        assert judge(report)[0] is Exit.FAILED
        nearer = await client.events.verify(count_max=2)
        assert nearer.is_equal, "only what was asked for is hashed again"
        assert {it.checked_count for it in nearer.peers} == {2}


async def test_logs_that_are_trimmed_differently_are_compared_where_both_have_events():
    async with group("abcdef", "abcdef") as (client, peers):
        for peer in peers:
            peer.do(SetEventRetention(4, 1 << 40, 1 << 40))
        peers[0].do(kv_put("g", 1))
        report = await client.events.verify()
        assert report.is_equal
        assert {it.checked_count for it in report.peers} <= {2, 3}


async def test_a_peer_that_does_not_answer_is_told_of_and_is_no_success():
    async with group("abc", "abc") as (client, peers):
        down = client.endpoints
        peers[0].base_status = replace(peers[0].base_status, peers=())
        async with Client([*down, "http://127.0.0.1:1"]) as wider:
            report = await wider.events.verify(timeout_ms=2_000)
        assert report.is_equal
        code, words = judge(report)
        assert code is Exit.UNREACHABLE
        assert "127.0.0.1:1" in words
    async with Client(["http://127.0.0.1:1"]) as nobody:
        with pytest.raises(Unreachable):
            await nobody.events.verify(timeout_ms=1_000)


async def test_one_peer_alone_proves_its_chain_and_no_agreement():
    async with group("abc") as (client, _):
        report = await client.events.verify()
        assert not report.is_equal
        assert report.peers[0].checked_count == 3
        assert judge(report)[0] is Exit.FAILED


async def test_peers_that_are_only_known_by_others_are_asked_too():
    async with group("abc", "abc", endpoints_count=1) as (client, peers):
        async with running(peer=peers[1]) as api:
            host, port = "127.0.0.1", api.server.port
            first = FakePeer().base_status.peers[0]
            known = replace(first, peer_id="p2", http_address=f"{host}:{port}")
            peers[0].base_status = replace(peers[0].base_status, peers=(known,))
            report = await client.events.verify()
            assert (await client.events.page()).items, "the client goes on with its own endpoints"
        assert set(by_peer(report)) == {"p1", "p2"}
        assert report.is_equal


async def test_peers_without_events_have_nothing_to_compare():
    async with group("", "") as (client, _):
        report = await client.events.verify()
        assert (report.common, report.is_equal) == (None, False)
