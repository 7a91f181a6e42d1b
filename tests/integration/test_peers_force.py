"""Whole peers that go on from one survivor, in the next generation."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster_peer import PORTS
from peer_words import NAMES, PATIENCE_S, Words, said, started

from replicante.clock import SystemClock
from replicante.entropy import SystemEntropy
from replicante.errors import InvalidConfig, ReplicanteError, WrongIdentity
from replicante.ids import generation_of
from replicante.raft import Peer, forcing, restoring
from replicante.raft.forcing import copy_in_memory, force_directories
from replicante.raft.inspecting import inspect_directories, state_on_shelf
from replicante.raft.log_store import LmdbLog
from replicante.raft.observations import Observation, PeerRefused
from replicante.raft.survivors import rank


class PowerCut(Exception):
    pass


@pytest.fixture
async def old(tmp_path) -> dict[str, str]:
    """Three peers that were told two words and have stopped; all know both."""
    addresses = {name: f"127.0.0.1:{PORTS.take()}" for name in NAMES}
    peers = [await started(tmp_path / "old", addresses, name) for name in NAMES]
    await said(peers[0][0], b"one")
    await said(peers[1][0], b"two")
    for peer, words in peers:
        await peer.read_barrier(timeout_ms=30_000)
        assert words.told == [b"one", b"two"]
    for peer, _ in peers:
        await peer.stop()
    return addresses


def forced(old_dir: Path, out: Path, *names: str, at: dict[str, str] | None = None):
    addresses = at or {name: f"127.0.0.1:{PORTS.take()}" for name in names}
    paths = force_directories(
        old_dir,
        out,
        members=addresses,
        reason="the others burnt",
        open_copy=copy_in_memory(Words),
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )
    assert paths == [out / name for name in sorted(addresses)]
    return addresses


def told_to(refused: asyncio.Event) -> Callable[[Observation], None]:
    def observe(observation: Observation) -> None:
        if isinstance(observation, PeerRefused) and observation.code == "generation":
            refused.set()

    return observe


def contents(folder: Path) -> dict[str, bytes]:
    """Without lock files, which every reader touches."""
    files = [it for it in sorted(folder.rglob("*")) if it.is_file()]
    kept = [it for it in files if it.name not in ("LOCK", "lock.mdb")]
    return {str(it.relative_to(folder)): it.read_bytes() for it in kept}


async def test_one_survivor_goes_on_with_everything_in_its_log(old, tmp_path):
    before = contents(tmp_path / "old" / "p2")
    addresses = forced(tmp_path / "old" / "p2", tmp_path / "new", "p2")
    assert contents(tmp_path / "old" / "p2") == before
    peer, words = await started(tmp_path / "new", addresses, "p2")
    await said(peer, b"three")
    assert words.told == [b"one", b"two", b"three"]
    assert generation_of(await peer.read_barrier(timeout_ms=30_000)) == 1
    assert [it.peer_id for it in peer.configuration.voters] == ["p2"]
    await peer.stop()


async def test_several_members_begin_with_the_same_entry(old, tmp_path):
    addresses = forced(tmp_path / "old" / "p3", tmp_path / "new", *NAMES)
    peers = [await started(tmp_path / "new", addresses, name) for name in NAMES]
    await said(peers[0][0], b"three")
    await peers[1][0].read_barrier(timeout_ms=30_000)
    assert peers[1][1].told == [b"one", b"two", b"three"]
    for peer, _ in peers:
        await peer.stop()


async def test_the_peers_of_before_are_refused_and_change_nothing(old, tmp_path):
    new = forced(tmp_path / "old" / "p1", tmp_path / "new", "p1")
    mixed = {**old, "p1": new["p1"]}
    peer, words = await started(tmp_path / "new", mixed, "p1")
    await said(peer, b"three")
    others: list[tuple[Peer, Words]] = []
    refused = asyncio.Event()
    for name in ("p2", "p3"):
        other = await started(tmp_path / "old", mixed, name)
        other[0].observe(told_to(refused))
        others.append(other)
    await said(others[0][0], b"their own")  # two of the three of before are a majority still
    await asyncio.wait_for(refused.wait(), PATIENCE_S)
    await said(peer, b"four")
    await peer.read_barrier(timeout_ms=30_000)
    assert words.told == [b"one", b"two", b"three", b"four"]
    assert others[0][1].told == [b"one", b"two", b"their own"]
    for it in (peer, others[0][0], others[1][0]):
        await it.stop()


async def test_two_who_were_forced_apart_never_meet(old, tmp_path):
    """Both of generation 1, both with the same cluster id: two histories all the same."""
    both = {name: f"127.0.0.1:{PORTS.take()}" for name in ("p1", "p2")}
    forced(tmp_path / "old" / "p1", tmp_path / "first", at=both)
    forced(tmp_path / "old" / "p2", tmp_path / "second", at=both)
    one, _ = await started(tmp_path / "first", both, "p1")
    two, words = await started(tmp_path / "second", both, "p2")
    refused = asyncio.Event()
    two.observe(told_to(refused))
    await asyncio.wait_for(refused.wait(), PATIENCE_S)
    assert words.told == [b"one", b"two"]
    await one.stop()
    await two.stop()


async def test_another_peer_joins_by_a_token_and_gets_the_state(old, tmp_path):
    """The log of a later generation does not begin with the first entry: what came before it
    travels as a snapshot."""
    addresses = forced(tmp_path / "old" / "p2", tmp_path / "new", "p2")
    member, _ = await started(tmp_path / "new", addresses, "p2")
    await said(member, b"three")
    token = await member.invite("p4")
    addresses["p4"] = f"127.0.0.1:{PORTS.take()}"
    joiner, words = await started(tmp_path / "new", addresses, "p4", join=token)
    await until(lambda: member.configuration.find_peer("p4"))
    await promoted(member, "p4")
    await said(joiner, b"four")
    await until(lambda: words.told == [b"one", b"two", b"three", b"four"])
    assert joiner.status().generation == 1
    await joiner.stop()
    joiner, words = await started(tmp_path / "new", addresses, "p4")
    await said(joiner, b"five")
    await until(lambda: words.told[-1:] == [b"five"])
    for it in (joiner, member):
        await it.stop()


async def test_a_token_of_before_lets_nobody_in(old, tmp_path):
    peers = [await started(tmp_path / "old", old, name) for name in NAMES]
    token = await invited(peers[0][0], "p4")
    for peer, _ in peers:
        await peer.stop()
    addresses = forced(tmp_path / "old" / "p1", tmp_path / "new", "p1")
    member, _ = await started(tmp_path / "new", addresses, "p1")
    addresses["p4"] = f"127.0.0.1:{PORTS.take()}"
    joiner, _ = await started(tmp_path / "new", addresses, "p4", join=token)
    with pytest.raises(WrongIdentity, match="generation"):
        await asyncio.wait_for(joiner.wait_closed(), PATIENCE_S)
    await member.stop()


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110 - a peer tells nobody that it applied something
            await asyncio.sleep(0.02)


async def invited(peer: Peer, peer_id: str) -> str:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(ReplicanteError):
                return await peer.invite(peer_id)
            await asyncio.sleep(0.05)


async def promoted(peer: Peer, peer_id: str) -> None:
    """Refused until it has the log."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(ReplicanteError):
                await peer.promote(peer_id)
                return
            await asyncio.sleep(0.05)


STEPS = (
    (forcing, "begin_backup"),
    (forcing, "replay"),
    (forcing, "describe"),
    (forcing, "end_backup"),
    (forcing, "prepare_directories"),
    (restoring, "check_state"),
    (restoring, "begin_logs"),
    (LmdbLog, "write_header"),
    (LmdbLog, "write"),
    (restoring, "copy_durably"),
    (restoring, "end_backup"),
    (restoring, "sync_directories"),
    (Path, "rename"),
)


async def test_a_crash_at_any_step_leaves_the_old_directory_and_nothing_or_everything_new(
    old, tmp_path, monkeypatch
):
    survivor, out = tmp_path / "old" / "p1", tmp_path / "new"
    before = contents(survivor)
    seen = []
    for number in range(1, 100):
        left = number
        seen.clear()

        def stumble(name, real):
            def step(*arguments, **keywords):
                nonlocal left
                seen.append(name)
                left -= 1
                if left == 0:
                    raise PowerCut(name)
                return real(*arguments, **keywords)

            return step

        with monkeypatch.context() as patch:
            for owner, name in STEPS:
                patch.setattr(owner, name, stumble(name, getattr(owner, name)))
            try:
                forced(survivor, out, "p1", "p2")
                break
            except PowerCut:
                pass
        assert contents(survivor) == before
        if out.exists():
            assert_complete(out)
            shutil.rmtree(out)
    assert set(seen) == {name for _, name in STEPS}, "a step that is not there any more"
    assert number > len(STEPS), "two directories take more than one write each"
    assert_complete(out)
    assert sorted(it.name for it in tmp_path.iterdir()) == ["new", "old"], "nothing is left over"
    assert contents(survivor) == before


def assert_complete(out: Path) -> None:
    found = rank(inspect_directories([out / "p1", out / "p2"], state_on_shelf))
    assert all(it.is_sound and it.generation == 1 for it in found)
    assert len({(it.chain, it.last_index) for it in found}) == 1


async def test_what_cannot_be_forced_is_told_and_nothing_is_made(old, tmp_path):
    with pytest.raises(InvalidConfig, match="is no member"):
        forced(tmp_path / "old" / "p1", tmp_path / "new", "p2")
    with pytest.raises(InvalidConfig, match="no log"):
        forced(tmp_path / "old", tmp_path / "new", "p1")
    forced(tmp_path / "old" / "p1", tmp_path / "once", "p1")
    with pytest.raises(InvalidConfig, match="took a copy"):
        forced(tmp_path / "once" / "p1", tmp_path / "new", "p1")
    with pytest.raises(InvalidConfig, match="exists already"):
        forced(tmp_path / "old" / "p1", tmp_path / "once", "p1")
    assert not (tmp_path / "new").exists()
