"""Whole peers over TCP that come and go: 1 → 3 → 5 → 3, tokens, a lost disk, a removed leader."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path

import pytest
from cluster_peer import PORTS

from replicante.errors import (
    InvalidConfig,
    MembershipRefused,
    NotFound,
    PeerRemoved,
    ReplicanteError,
    WrongIdentity,
)
from replicante.raft import Entry, Peer, PeerOptions, Role
from replicante.raft.join_token import JoinToken, decode_token, encode_token
from replicante.raft.observations import Observation

PATIENCE_S = 30


class Words:
    """The least state machine: it remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[bytes] = []

    def apply(self, entry: Entry) -> bytes:
        self.told.append(entry.data)
        return b"%d" % len(self.told)

    def snapshot(self) -> Iterable[bytes]:
        return list(self.told)

    def restore(self, chunks: Iterator[bytes]) -> None:
        self.told = list(chunks)


class Group:
    """p1 is born alone; everybody else joins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.addresses: dict[str, str] = {}
        self.peers: dict[str, Peer] = {}
        self.words: dict[str, Words] = {}
        self.seen: dict[str, list[Observation]] = {}

    async def start(self, peer_id: str, *, join: str = "", asks: str = "p1") -> Peer:
        address = self.addresses.setdefault(peer_id, f"127.0.0.1:{PORTS.take()}")
        words = self.words[peer_id] = Words()
        peers, options = {asks: self.addresses[asks]}, PeerOptions(join=join)
        peer = Peer(self.folder / peer_id, peer_id, address, peers, words, options=options)
        seen = self.seen[peer_id] = []
        peer.observe(seen.append)
        await peer.start()
        self.peers[peer_id] = peer
        return peer

    async def stop(self, peer_id: str) -> None:
        with contextlib.suppress(ReplicanteError):
            await self.peers.pop(peer_id).stop()

    async def stop_all(self) -> None:
        for peer_id in list(self.peers):
            await self.stop(peer_id)

    async def until(self, is_so: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if is_so():
                    return
                await asyncio.sleep(0.02)

    async def insist(self, call: Callable[[], object]) -> object:
        """As an operator does: again, until it is done."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    return await call()
                except NotFound:
                    raise
                except ReplicanteError:
                    await asyncio.sleep(0.05)

    async def join(self, peer_id: str, *, by: str = "p1") -> None:
        """Invited by `by`, a learner, and a voter when it has the log."""
        token = await self.insist(lambda: self.peers[by].invite(peer_id))
        await self.start(peer_id, join=token, asks=by)
        await self.until(lambda: self.peers[by].configuration.find_peer(peer_id))
        await self.insist(lambda: self.peers[by].promote(peer_id))

    @property
    def leader(self) -> str:
        leaders = [name for name, peer in self.peers.items() if peer.status().role is Role.LEADER]
        return leaders[0] if leaders else ""

    def voters(self, of: str) -> str:
        return ",".join(sorted(it.peer_id for it in self.peers[of].configuration.voters))


@pytest.fixture
async def group(tmp_path) -> AsyncIterator[Group]:
    made = Group(tmp_path)
    made.addresses["p1"] = f"127.0.0.1:{PORTS.take()}"
    await made.start("p1")
    try:
        yield made
    finally:
        await made.stop_all()


async def test_one_peer_grows_to_three_by_tokens(group):
    await group.insist(lambda: group.peers["p1"].propose(b"before", timeout_ms=2_000))
    await group.join("p2")
    await group.join("p3", by="p2")
    await group.insist(lambda: group.peers["p3"].propose(b"after", timeout_ms=2_000))
    await group.until(lambda: all(w.told == [b"before", b"after"] for w in group.words.values()))
    assert {group.voters(of=name) for name in group.peers} == {"p1,p2,p3"}


async def test_who_joined_is_heard_to_support_a_level_by_everybody(group):
    await group.join("p2")
    await group.join("p3", by="p2")
    await group.until(
        lambda: all(
            [it.level_max for it in peer.status().peers] == [1, 1, 1]
            for peer in group.peers.values()
        )
    )


async def test_one_three_five_three_under_load_and_nothing_is_lost(group):
    done: list[bytes] = []
    is_over = asyncio.Event()

    async def load(number: int) -> None:
        count = 0
        while not is_over.is_set():
            count += 1
            word = b"%d-%d" % (number, count)
            names = [name for name in ("p1", "p2") if name in group.peers] or list(group.peers)
            with contextlib.suppress(ReplicanteError):
                await group.peers[names[number % len(names)]].propose(word, timeout_ms=5_000)
                done.append(word)

    loads = [asyncio.create_task(load(number)) for number in range(4)]
    for name in ("p2", "p3", "p4", "p5"):
        await group.join(name)
    await group.insist(lambda: group.peers["p1"].transfer_leadership("p5"))
    await group.insist(lambda: group.peers["p1"].remove("p5"))
    await group.insist(lambda: group.peers["p1"].remove("p4"))
    is_over.set()
    await asyncio.gather(*loads)
    for name in ("p4", "p5"):
        with pytest.raises(PeerRemoved):
            await asyncio.wait_for(group.peers[name].wait_closed(), PATIENCE_S)
        del group.peers[name]
    await group.insist(lambda: group.peers["p2"].read_barrier(timeout_ms=2_000))
    assert group.voters(of="p2") == "p1,p2,p3"
    told = group.words["p2"].told
    assert done and set(done) <= set(told)
    assert len(told) == len(set(told)), "nothing happened twice"
    await group.until(lambda: group.words["p1"].told == told == group.words["p3"].told)


async def test_a_leader_that_is_asked_to_remove_itself_hands_over_first(group):
    for name in ("p2", "p3"):
        await group.join(name)
    old = group.leader
    await group.insist(lambda: group.peers[old].remove(old))
    with pytest.raises(PeerRemoved):
        await asyncio.wait_for(group.peers[old].wait_closed(), PATIENCE_S)
    del group.peers[old]
    await group.until(lambda: group.leader)
    left = next(iter(group.peers))
    await group.insist(lambda: group.peers[left].propose(b"on", timeout_ms=2_000))
    assert old not in group.voters(of=left)


async def test_a_peer_that_was_away_is_told_of_its_removal_and_stays_away(group):
    for name in ("p2", "p3"):
        await group.join(name)
    await group.stop("p3")
    await group.insist(lambda: group.peers["p1"].remove("p3"))
    back = await group.start("p3")
    with pytest.raises(PeerRemoved, match="removed"):
        await asyncio.wait_for(back.wait_closed(), PATIENCE_S)
    del group.peers["p3"]


async def test_a_peer_that_lost_its_disk_comes_back_only_as_a_new_learner(group):
    for name in ("p2", "p3"):
        await group.join(name)
    await group.insist(lambda: group.peers["p1"].propose(b"kept", timeout_ms=2_000))
    before = group.peers["p1"].configuration.find_peer("p3").incarnation
    await group.stop("p3")
    shutil.rmtree(group.folder / "p3")
    again = await group.start("p3")
    with pytest.raises(WrongIdentity):
        await asyncio.wait_for(again.wait_closed(), PATIENCE_S)
    del group.peers["p3"]
    shutil.rmtree(group.folder / "p3")
    await group.insist(lambda: group.peers["p1"].remove("p3"))
    await group.join("p3")
    assert group.peers["p1"].configuration.find_peer("p3").incarnation != before
    await group.until(lambda: group.words["p3"].told == [b"kept"])


async def test_a_token_lets_one_directory_in_once(group):
    token = await group.insist(lambda: group.peers["p1"].invite("p2"))
    await group.start("p2", join=token)
    await group.until(lambda: group.peers["p1"].configuration.find_peer("p2"))
    await group.stop("p2")
    await group.insist(lambda: group.peers["p1"].remove("p2"))
    shutil.rmtree(group.folder / "p2")
    await group.start("p2", join=token)
    await group.until(lambda: any("token" in str(seen) for seen in group.seen["p2"]))
    assert group.peers["p1"].configuration.find_peer("p2") is None


async def test_a_token_for_another_peer_or_cluster_is_refused_before_anything_is_written(group):
    token = await group.insist(lambda: group.peers["p1"].invite("p9"))
    with pytest.raises(InvalidConfig, match="for p9"):
        await group.start("p2", join=token)
    good = decode_token(await group.insist(lambda: group.peers["p1"].invite("p3")))
    foreign = JoinToken(
        cluster_name=good.cluster_name, cluster_id="0" * 32, peer_id="p3", secret=good.secret
    )
    other = await group.start("p3", join=encode_token(foreign))
    with pytest.raises(WrongIdentity, match="another cluster"):
        await asyncio.wait_for(other.wait_closed(), PATIENCE_S)
    del group.peers["p3"]


async def test_what_cannot_be_done_is_said_with_the_reason(group):
    with pytest.raises(NotFound, match="no member p7"):
        await group.insist(lambda: group.peers["p1"].promote("p7"))
    with pytest.raises(MembershipRefused, match="last voter"):
        await group.peers["p1"].remove("p1")
    with pytest.raises(MembershipRefused, match="no other voter"):
        await group.peers["p1"].transfer_leadership()
