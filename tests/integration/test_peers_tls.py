"""Whole peers over mutual TLS: born, replicating, renewed; plain ones stay out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from cluster_peer import PORTS
from tls_folders import CLUSTER, Authority

from replicante.errors import InvalidConfig
from replicante.pki import Contexts, PkiFolder, key_digests
from replicante.raft import Entry, Peer, PeerOptions
from replicante.raft.observations import Observation
from replicante.raft.transport import (
    DialFailed,
    HelloRefused,
    LinkUp,
    RefusalCode,
    StrangerDropped,
)

IDS = ("p1", "p2", "p3")
PATIENCE_S = 20


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
    """Peers of one test, each with the certificate that it is given."""

    def __init__(self, folder: Path, authority: Authority, stack: AsyncExitStack) -> None:
        self.folder = folder
        self.authority = authority
        self.addresses = {peer_id: f"127.0.0.1:{PORTS.take()}" for peer_id in IDS}
        self.peers: dict[str, Peer] = {}
        self.words: dict[str, Words] = {}
        self.seen: dict[str, list[Observation]] = {}
        self._stack = stack
        self._changed = asyncio.Event()

    async def start(self, peer_id: str, *, tls: Contexts | None, join: str = "") -> None:
        listen = self.addresses.get(peer_id) or f"127.0.0.1:{PORTS.take()}"
        options = PeerOptions(
            cluster_name=CLUSTER,
            join=join,
            authorities=self.authorities if tls else (),
            server_ssl=tls.server if tls else None,
            client_ssl=tls.client if tls else None,
        )
        words = self.words[peer_id] = Words()
        folder = self.folder / peer_id
        peer = Peer(folder, peer_id, listen, self.addresses, words, options=options)
        self.peers[peer_id] = peer
        self.seen[peer_id] = []
        peer.observe(self._noted(self.seen[peer_id]))
        await peer.start()
        self._stack.push_async_callback(self._stop, peer)

    @property
    def authorities(self) -> tuple[str, ...]:
        """What signed for all of them."""
        return key_digests(self.authority.files("p1").authority.read_bytes())

    async def stop(self, peer_id: str) -> None:
        await self._stop(self.peers.pop(peer_id))

    async def until(self, is_so: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()

    def reports(self, peer_id: str, kind: type) -> list:
        return [report for report in self.seen[peer_id] if isinstance(report, kind)]

    async def tell(self, peer_id: str, word: bytes) -> None:
        await self.until(lambda: self.peers[peer_id].status().leader_id)
        proposed = await self.peers[peer_id].propose(word, timeout_ms=PATIENCE_S * 1_000)
        for peer in self.peers.values():
            assert await peer.wait_applied(proposed.index, timeout_ms=PATIENCE_S * 1_000)

    async def _stop(self, peer: Peer) -> None:
        if not peer._is_stopping:
            await peer.stop()

    def _noted(self, seen: list[Observation]) -> Callable[[Observation], None]:
        def note(observation: Observation) -> None:
            seen.append(observation)
            self._changed.set()

        return note


@pytest.fixture
async def group(tmp_path):
    async with AsyncExitStack() as stack:
        yield Group(tmp_path, Authority(tmp_path / "pki"), stack)


async def test_three_peers_are_born_and_replicate_over_tls(group):
    for peer_id in IDS:
        await group.start(peer_id, tls=group.authority.contexts(peer_id))
    await group.tell("p1", b"one")
    await group.tell("p3", b"two")
    assert all(words.told == [b"one", b"two"] for words in group.words.values())


async def test_a_new_peer_joins_with_a_token_and_a_certificate_of_its_name(group):
    for peer_id in IDS:
        await group.start(peer_id, tls=group.authority.contexts(peer_id))
    await group.tell("p1", b"before")
    token = await group.peers["p2"].invite("p4", timeout_ms=PATIENCE_S * 1_000)
    with pytest.raises(InvalidConfig, match="authority"):
        await group.start("p4", tls=None, join=token)
    await group.start("p4", tls=group.authority.contexts("p4"), join=token)
    await group.until(lambda: group.peers["p1"].configuration.find_peer("p4"))
    await group.tell("p4", b"after")
    assert group.words["p4"].told == [b"before", b"after"]


async def test_a_token_without_a_certificate_of_its_name_lets_nobody_in(group):
    for peer_id in IDS:
        await group.start(peer_id, tls=group.authority.contexts(peer_id))
    await group.tell("p1", b"before")
    token = await group.peers["p1"].invite("p4", timeout_ms=PATIENCE_S * 1_000)
    await group.start("p4", tls=group.authority.contexts("p5"), join=token)
    await group.until(lambda: group.reports("p4", HelloRefused))
    codes = {report.code for report in group.reports("p4", HelloRefused)}
    assert codes == {RefusalCode.CERTIFICATE}
    assert group.peers["p1"].configuration.find_peer("p4") is None


async def test_a_renewed_certificate_is_taken_at_the_next_start(group):
    for peer_id in IDS:
        await group.start(peer_id, tls=group.authority.contexts(peer_id))
    await group.tell("p1", b"before")
    old = group.authority.contexts("p2").facts
    await group.stop("p2")
    folder: PkiFolder = group.authority.folder
    folder.renew("p2", days=700)
    new = group.authority.contexts("p2")
    assert new.facts.until_ms > old.until_ms and new.facts.serial != old.serial
    await group.start("p2", tls=new)
    await group.tell("p2", b"after")
    assert group.words["p2"].told == [b"before", b"after"]


async def test_a_peer_with_the_certificate_of_another_takes_no_part(group):
    for peer_id in ("p1", "p2"):
        await group.start(peer_id, tls=group.authority.contexts(peer_id))
    await group.start("p3", tls=group.authority.contexts("p4"))
    await group.until(lambda: group.reports("p3", HelloRefused) and group.reports("p1", LinkUp))
    codes = {report.code for report in group.reports("p3", HelloRefused)}
    assert codes == {RefusalCode.CERTIFICATE}
    assert {report.peer_id for report in group.reports("p1", LinkUp)} == {"p2"}
    # Two of three are not enough to be born: nobody was taken for p3.
    assert not any(peer.status().cluster_id for peer in group.peers.values())


async def test_a_plain_peer_takes_no_part_and_the_others_go_on(group):
    for peer_id in IDS:
        await group.start(peer_id, tls=group.authority.contexts(peer_id))
    await group.tell("p1", b"together")
    await group.stop("p3")
    await group.start("p3", tls=None)
    await group.until(
        lambda: (
            group.reports("p3", HelloRefused)
            and group.reports("p1", StrangerDropped)
            and group.reports("p1", DialFailed)
        )
    )
    assert {report.code for report in group.reports("p3", HelloRefused)} == {RefusalCode.TLS}
    group.peers.pop("p3")
    await group.tell("p1", b"without p3")
    assert not group.reports("p3", LinkUp)
