"""Readers of events go on from pages that hold nothing: a filter passed over as many bytes as a
page may read, and what is wanted comes later."""

from __future__ import annotations

import json
from contextlib import aclosing

import msgspec
import pytest
from api_harness import running
from cli_harness import Terminal, api_in_thread
from stream_reader import NDJSON, SSE, streaming

from replicante.client import Client, EventFilter
from replicante.state import queries
from replicante.testing.builders import kv_put
from replicante.testing.fake_peer import FakePeer
from replicante.wire.events import Event

RARE = "key=rare"
WANTED = EventFilter(key="rare")


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """A page ends after some two events, whoever reads it."""
    read = queries._read_events

    def read_little(rows, **bounds):
        return read(rows, **{**bounds, "bytes_max": 400})

    monkeypatch.setattr(queries, "_read_events", read_little)


def fill(peer):
    """Two wanted events, with many on both sides of each."""
    for i in range(45):
        peer.do(kv_put("rare" if i in (15, 30) else "often", i))


async def test_a_page_may_be_empty_and_says_where_the_next_one_begins():
    async with running() as api:
        fill(api.peer)
        after, found, empty_count = "0" * 19, [], 0
        while True:
            page = (await api.get(f"/events?after={after}&{RARE}&limit=1000")).json
            found += [event["seq"] for event in page["items"]]
            if page["next"] == page["head"]:
                break
            empty_count += not page["items"]
            assert page["next"] > after
            after = page["next"]
        assert found == [16, 31]
        assert empty_count > 5


async def test_a_page_that_waits_passes_over_the_empty_ones():
    async with running() as api:
        fill(api.peer)
        page = (await api.get(f"/events?after={'0' * 19}&{RARE}&wait=60s")).json
        assert [event["seq"] for event in page["items"]] == [16]


@pytest.mark.parametrize("accept", [SSE, NDJSON])
async def test_a_stream_goes_on_over_them(accept):
    async with running() as api:
        fill(api.peer)
        async with streaming(api, f"/events?after=0&{RARE}", accept=accept) as stream:
            found = [await stream.fact(), await stream.fact()]
            api.peer.do(kv_put("rare", "new"))
            found.append(await stream.fact())
    assert [(it.get("data") or it)["seq"] for it in found] == [16, 31, 46]


async def test_the_sdk_goes_on_over_them(tmp_path):
    async with running() as api, Client([api.server.url]) as client:
        fill(api.peer)
        back = [event.seq async for event in client.events.newest_first(wanted=WANTED)]
        async with aclosing(client.events.follow(after="0", wanted=WANTED)) as events:
            ahead = [(await anext(events)).seq, (await anext(events)).seq]
        await client.events.export(tmp_path / "events", wanted=WANTED)
    kept = [
        msgspec.json.decode(line, type=Event).seq
        for line in (tmp_path / "events").read_bytes().splitlines()
    ]
    assert (back, ahead, kept) == ([31, 16], [16, 31], [16, 31])


def test_the_command_line_goes_on_over_them_or_says_so(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    peer = FakePeer()
    fill(peer)
    with api_in_thread(peer) as url:
        monkeypatch.setenv("REPLICANTE_ENDPOINTS", url)
        terminal = Terminal(capsys)

        def seqs(*arguments):
            said = terminal.run("events", "tail", "--key", "rare", "-o", "json", *arguments)
            return [json.loads(line)["seq"] for line in said.out.splitlines()]

        assert seqs("--after", "0") == [16, 31]
        assert seqs("-n", "5") == [16, 31]
        said = terminal.run("events", "list", "--key", "rare")
        assert said.out == ""
        assert said.err.startswith("older: --before 0000")
