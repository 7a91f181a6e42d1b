"""The client for programs without an event loop: the same names, waited for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from scripted_peer import ScriptedPeer, answer, event, problem, running, stream

from replicante import errors
from replicante.client.sync import SyncClient

ITEM = {"key": "a", "value": 1, "revision": "0000000000000065536"}


@contextmanager
def in_thread(*peers: ScriptedPeer) -> Iterator[list[str]]:
    """The scripted peers on a loop of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    context = running(*peers)
    try:
        yield asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(10)
        asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def test_calls_wait_for_their_result():
    with in_thread(ScriptedPeer(answer(ITEM, index=3))) as urls, SyncClient(urls) as client:
        assert client.kv.put("a", 1).revision == ITEM["revision"]
        assert client.kv.get("a").value == 1
        assert client.seen_index == 3
        assert client.endpoints == tuple(urls)


def test_iterators_are_walked():
    peer = ScriptedPeer(
        answer({"items": [ITEM], "next": "c"}, index=1), answer({"items": [ITEM]}, index=1)
    )
    with in_thread(peer) as urls, SyncClient(urls) as client:
        assert [item.key for item in client.kv.list()] == ["a", "a"]


def test_a_followed_stream_can_be_left():
    peer = ScriptedPeer(stream(event(1), event(2), ends="silent"))
    with in_thread(peer) as urls, SyncClient(urls) as client:
        with client.events.follow() as events:
            assert [next(events).index, next(events).index] == [1, 2]
        with pytest.raises(StopIteration):
            next(events)


def test_errors_are_the_same():
    peer = ScriptedPeer(problem("not_found", 404, definite=True))
    with in_thread(peer) as urls, SyncClient(urls) as client:
        with pytest.raises(errors.NotFound):
            client.kv.get("a")
        with pytest.raises(AttributeError):
            client.kv.nothing()


def test_threads_share_one_client():
    found: list[int] = []
    with in_thread(ScriptedPeer(answer(ITEM, index=3))) as urls, SyncClient(urls) as client:
        threads = [
            threading.Thread(target=lambda: found.append(client.kv.get("a").value))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert found == [1] * 8


def test_a_client_that_is_not_open_says_how_to_open_it():
    with pytest.raises(RuntimeError, match="with SyncClient"):
        SyncClient(["http://127.0.0.1:1"]).kv.get("a")


def test_documentation_is_that_of_the_asynchronous_client():
    with SyncClient(["http://127.0.0.1:1"]) as client:
        assert "RevisionMismatch" in client.kv.put.__doc__
        assert "put" in dir(client.kv)
