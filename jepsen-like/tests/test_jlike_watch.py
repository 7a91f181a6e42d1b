"""Who leads is seen from whoever answers; what did not converge is never called valid."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jlike.history import Value
from jlike.http import Http
from jlike.peers import Peer, Peers
from jlike.recorder import Recorder
from jlike.verdict import Verdict
from jlike.watch import Watch

LIMIT_S = 20


@asynccontextmanager
async def peer(
    peer_id: str, *, digest: str, role: str = "leader", is_silent: bool = False
) -> AsyncIterator[Peer]:
    """A server that is in term 4 and answers everything, or one that never does."""
    status = {"role": role, "term": 4, "digests": [], "digest": {"index": 9, "value": digest}}
    text = json.dumps(status).encode()
    gate = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if is_silent:
            await gate.wait()
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        port = listening.sockets[0].getsockname()[1]
        yield Peer(id=peer_id, url=f"http://127.0.0.1:{port}")
    finally:
        gate.set()
        listening.close()


@asynccontextmanager
async def watching(folder: Path, *peers: Peer) -> AsyncIterator[Watch]:
    recorder = Recorder(folder)
    by_id = {it.id: it for it in peers}
    with contextlib.closing(recorder):
        yield Watch(Peers(by_id=by_id), Http(timeout_s=2 * LIMIT_S), recorder)


async def test_a_silent_peer_does_not_hide_who_leads(tmp_path):
    async with (
        peer("p1", digest="d", is_silent=True) as silent,
        peer("p2", digest="d") as speaking,
        watching(tmp_path, silent, speaking) as watch,
    ):
        running = asyncio.create_task(watch.run(stop=asyncio.Event()))
        async with asyncio.timeout(LIMIT_S):
            while watch.leader() is None:  # noqa: ASYNC110  a fact that is waited for
                await asyncio.sleep(0)
        assert watch.leader() == "p2"
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def _converged(
    folder: Path, *digests: str, other_role: str = "follower"
) -> tuple[Verdict, Value]:
    async with (
        peer("p1", digest=digests[0]) as one,
        peer("p2", digest=digests[1], role=other_role) as other,
        watching(folder, one, other) as watch,
    ):
        found = await watch.converge(seconds=1)
        return found.verdict, found.reason


async def test_equal_states_converge_and_different_ones_are_told(tmp_path):
    assert (await _converged(tmp_path, "d", "d"))[0] is Verdict.VALID
    verdict, reason = await _converged(tmp_path, "d", "e")
    assert verdict is Verdict.INVALID
    assert "differ" in reason


async def test_two_leaders_of_one_term_are_told(tmp_path):
    verdict, reason = await _converged(tmp_path, "d", "d", other_role="leader")
    assert (verdict, reason) == (Verdict.INVALID, "p1 and p2 both led term 4")


@pytest.mark.parametrize(
    "said",
    ["Traceback (most recent call last):", "error: this is a defect of replicante: KeyError: 'a'"],
)
async def test_a_peer_that_ended_by_a_defect_and_runs_again_is_told(tmp_path, said):
    (tmp_path / "log").write_text(f"{said}\n", encoding="utf-8")
    async with peer("p1", digest="d") as one, watching(tmp_path, one) as watch:
        one.log_path = tmp_path / "log"
        found = await watch.converge(seconds=1)
    assert found.verdict is Verdict.INVALID
    assert found.reason.endswith("in the log of p1")


async def test_a_defect_of_one_that_is_no_member_is_told(tmp_path):
    """It was removed, or is not taken in yet; one that never ran has no log."""
    (tmp_path / "log").write_text("Traceback (most recent call last):\n", encoding="utf-8")
    async with peer("p1", digest="d") as one, watching(tmp_path, one) as watch:
        for peer_id, log in (("p3", "none"), ("p4", "log")):
            spare = Peer(id=peer_id, url=f"http://{peer_id}", log_path=tmp_path / log)
            watch._peers.spares[peer_id] = spare
        found = await watch.converge(seconds=1)
    assert found.verdict is Verdict.INVALID
    assert found.reason == "Traceback in the log of p4"


def _ended(folder: Path, *, code: int, said: str) -> Peer:
    log = folder / "log"
    log.write_text(said, encoding="utf-8")
    peer = Peer(id="p2", url="http://p2", log_path=log)
    peer.process = subprocess.Popen([sys.executable, "-c", f"raise SystemExit({code})"])
    peer.process.wait(timeout=LIMIT_S)
    return peer


def test_the_last_words_of_a_peer_that_refused_are_told(tmp_path):
    said = f"{{}}\nerror: The state in {tmp_path}/data/state is not mine.\n  hint: an empty one\n"
    words = _ended(tmp_path, code=1, said=said).last_words
    assert words == "p2 ended with 1, error: The state in data/state is not mine"


def test_who_said_nothing_and_who_runs_or_was_killed(tmp_path):
    peer = _ended(tmp_path, code=3, said="")
    assert peer.last_words == "p2 ended with 3, it said nothing"
    peer.process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert not peer.last_words
    peer.kill()
    assert not peer.last_words
    assert not Peer(id="p1", url="http://p1").last_words


async def test_a_peer_that_does_not_come_back_is_told_with_its_last_words(tmp_path):
    dead = _ended(tmp_path, code=1, said="error: nothing here is mine\n")
    async with watching(tmp_path, dead) as watch:
        found = await watch.converge(seconds=0.5)
    assert found.verdict is Verdict.INVALID
    assert found.reason.endswith("healed: p2 ended with 1, error: nothing here is mine")
