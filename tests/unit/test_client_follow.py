"""Following events through lost peers: no gap, no duplicate, no silence without an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from scripted_peer import (
    ScriptedPeer,
    event,
    heartbeat,
    problem,
    refusing_url,
    running,
    stamp,
    stream,
    stream_end,
)

from replicante import errors
from replicante.client import Client, EventFilter, Note, NoteKind
from replicante.wire.events import Event

ENDLESS = stream(event(90), ends="silent")


async def take(events: AsyncIterator[Event], count: int) -> list[int]:
    """The numbers of the next events."""
    found = []
    async with asyncio.timeout(10), aclosing(events):  # type: ignore[type-var]
        async for item in events:
            found.append(item.index)
            if len(found) == count:
                break
    return found


async def test_a_stream_cut_in_the_middle_of_an_event_goes_on_at_another_peer():
    first = ScriptedPeer(stream(event(1), event(2), event(3)[:40]))
    second = ScriptedPeer(stream(event(3), event(4), ends="silent"))
    async with running(first, second), Client([first.url, second.url]) as client:
        assert await take(client.events.follow(), 4) == [1, 2, 3, 4]
    assert [query.get("after") for query in first.queries] == [None]
    assert [query.get("after") for query in second.queries] == [stamp(2)]


async def test_an_event_that_comes_again_is_not_delivered_again():
    peer = ScriptedPeer(stream(event(1), event(2)), stream(event(1), event(2), event(3)), ENDLESS)
    async with running(peer), Client([peer.url]) as client:
        assert await take(client.events.follow(), 3) == [1, 2, 3]


async def test_a_gap_is_never_delivered():
    leaky = ScriptedPeer(stream(event(1), event(3), ends="silent"))
    sound = ScriptedPeer(stream(event(2), event(3), event(4), ends="silent"))
    async with running(leaky, sound), Client([leaky.url, sound.url]) as client:
        assert await take(client.events.follow(), 4) == [1, 2, 3, 4]


async def test_a_gap_in_the_log_itself_is_an_error():
    peer = ScriptedPeer(stream(event(1)), stream(event(3), ends="silent"))
    async with running(peer), Client([peer.url]) as client:
        with pytest.raises(errors.BadAnswer, match="gap"):
            await take(client.events.follow(), 2)


async def test_a_line_that_cannot_be_read_is_asked_for_again_from_another_peer():
    bad = ScriptedPeer(stream(event(1), b"{nonsense\n", ends="silent"))
    sound = ScriptedPeer(stream(event(1), event(2), ends="silent"))
    async with running(bad, sound), Client([bad.url, sound.url]) as client:
        assert await take(client.events.follow(), 2) == [1, 2]


async def test_what_can_be_read_before_a_line_that_cannot_is_delivered():
    peer = ScriptedPeer(stream(event(1), event(2), b"{nonsense\n"), stream(b"{nonsense\n"))
    found = []
    async with running(peer), Client([peer.url]) as client:
        with pytest.raises(errors.BadAnswer, match=f"after event {stamp(2)}"):
            async with aclosing(client.events.follow()) as events:
                async for item in events:
                    found.append(item.index)
    assert found == [1, 2]


async def test_a_line_that_no_peer_gives_readable_is_an_error_and_no_endless_loop():
    peer = ScriptedPeer(stream(event(1)), stream(b"{nonsense\n", ends="silent"))
    async with running(peer), Client([peer.url]) as client:
        with pytest.raises(errors.BadAnswer, match=f"after event {stamp(1)}: .*cannot be read"):
            await take(client.events.follow(), 2)


async def test_a_filtered_stream_has_gaps_by_right():
    peer = ScriptedPeer(stream(event(1), event(5), ends="silent"))
    async with running(peer), Client([peer.url]) as client:
        wanted = EventFilter(code="kv.", ns="n", cluster="c", key="k")
        assert await take(client.events.follow(wanted=wanted), 2) == [1, 5]
    assert peer.queries == [{"code": "kv.", "ns": "n", "cluster": "c", "key": "k"}]


async def test_heartbeats_move_the_place_to_resume_from():
    peer = ScriptedPeer(stream(event(1), heartbeat(50)), stream(event(60), ends="silent"))
    async with running(peer), Client([peer.url]) as client:
        wanted = EventFilter(code="kv.")
        assert await take(client.events.follow(wanted=wanted), 2) == [1, 60]
    assert peer.queries[1]["after"] == stamp(50)


async def test_following_from_the_head_learns_its_place_from_the_first_heartbeat():
    peer = ScriptedPeer(stream(heartbeat(50)), stream(heartbeat(50), event(51), event(52)), ENDLESS)
    async with running(peer), Client([peer.url]) as client:
        assert await take(client.events.follow(after="head"), 2) == [51, 52]
    assert [query["after"] for query in peer.queries][:2] == ["head", stamp(50)]


@pytest.mark.parametrize("kind", ["stale", "end"])
async def test_a_peer_that_ends_the_stream_is_left(kind):
    first = ScriptedPeer(stream(event(1), stream_end(kind, 1), ends="end"))
    second = ScriptedPeer(stream(event(2), ends="silent"))
    async with running(first, second), Client([first.url, second.url]) as client:
        assert await take(client.events.follow(), 2) == [1, 2]


async def test_a_silent_stream_is_left():
    first = ScriptedPeer(stream(event(1), ends="silent"))
    second = ScriptedPeer(stream(event(2), ends="silent"))
    async with running(first, second), Client([first.url, second.url]) as client:
        assert await take(client.events.follow(silence_ms=200), 2) == [1, 2]


async def test_heartbeats_keep_a_quiet_stream():
    async def quiet(request):
        from aiohttp import web

        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(1, 6):
            await asyncio.sleep(0.1)
            await response.write(heartbeat(number))
        await response.write(event(9))
        await asyncio.Event().wait()

    peer = ScriptedPeer(quiet)
    async with running(peer), Client([peer.url]) as client:
        assert await take(client.events.follow(silence_ms=400), 1) == [9]
    assert len(peer.requests) == 1


@pytest.mark.parametrize(
    "step",
    [
        stream(stream_end("gone", 1, floor=stamp(7)), ends="end"),
        problem("history_gone", 410, definite=True, details={"floor": stamp(7)}),
    ],
)
async def test_events_that_are_no_longer_kept_are_an_error_with_the_floor(step):
    peer = ScriptedPeer(step)
    async with running(peer), Client([peer.url]) as client:
        with pytest.raises(errors.HistoryGone) as caught:
            await take(client.events.follow(after="1"), 1)
    assert caught.value.details["floor"] == stamp(7)


async def test_peers_that_refuse_or_are_away_are_passed_over():
    away = await refusing_url()
    refusing = ScriptedPeer(problem("too_many_streams", 503, definite=True))
    good = ScriptedPeer(stream(event(1), ends="silent"))
    async with running(refusing, good), Client([away, refusing.url, good.url]) as client:
        assert await take(client.events.follow(), 1) == [1]


async def test_it_gives_up_only_when_told_to():
    async with Client([await refusing_url()]) as client:
        with pytest.raises(errors.Unreachable, match="200 ms"):
            await take(client.events.follow(give_up_ms=200), 1)


async def test_a_wrong_id_is_refused_before_anything_is_sent():
    async with Client(["http://127.0.0.1:1"]) as client:
        with pytest.raises(errors.Invalid):
            client.events.follow(after="yesterday")


async def test_a_followed_event_counts_as_seen():
    peer = ScriptedPeer(stream(event(41), ends="silent"))
    async with running(peer), Client([peer.url]) as client:
        await take(client.events.follow(), 1)
        assert client.seen_index == 41


async def test_losing_and_resuming_are_noted():
    notes: list[Note] = []
    peer = ScriptedPeer(stream(event(1)), stream(event(2), ends="silent"))
    async with running(peer), Client([peer.url], observe=notes.append) as client:
        await take(client.events.follow(), 2)
    assert [note.kind for note in notes] == [NoteKind.STREAM_LOST, NoteKind.STREAM_RESUMED]
