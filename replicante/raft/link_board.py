"""Decides on every connection of one transport: who is welcome, which link stands, how many may be.
Made by raft.transport; called by its links and diallers as their `LinkHost`. Opens nothing itself.
Rule: a newer inbound connection of a peer, incarnation and channel replaces the older one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from replicante import limits
from replicante.errors import InvalidConfig
from replicante.ids import ClusterId, Incarnation, PeerId
from replicante.raft import frames
from replicante.raft.dialling import Dialler
from replicante.raft.frames import Channel, FrameError, Hello, Refusal, RefusalCode
from replicante.raft.link_inbound import InboundLink
from replicante.raft.link_observations import (
    IdentityClash,
    LinkObservation,
    StrangerDropped,
    StrangerFault,
)
from replicante.raft.link_outbound import OutboundLink
from replicante.raft.link_tls import certificate_refusal
from replicante.raft.links import Link, LinkCounters, LinkTimes, OnMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalIdentity:
    """What this peer says of itself in every greeting; `birth` is opaque here."""

    cluster_name: str
    cluster_id: ClusterId
    """Empty before genesis."""
    generation: int
    lineage: str = ""
    peer_id: PeerId
    incarnation: Incarnation
    raft_address: str
    http_address: str
    birth: bytes = b""
    configuration_index: int = 0
    was_member: bool = False
    join: str = ""


class Judge(Protocol):
    def __call__(self, hello: Hello, *, is_inbound: bool) -> Refusal | None:
        """None when the peer is welcome. Called once for each side of each new connection; must
        not block. Own ids, unexpected ids and versions are judged by the transport itself."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportCallbacks:
    """All are called on the loop's thread, one at a time, and must not block. They may call any
    method of the transport that is not async. An exception ends the transport (`wait_closed`)."""

    judge: Judge
    on_hello: Callable[[Hello, Refusal | None], None]
    """A well-formed greeting of another process, and what was decided on it."""
    on_message: OnMessage
    """(peer id, incarnation, channel, body). May raise FrameError: the link is dropped and
    reported, as for any other damage."""
    observe: Callable[[LinkObservation], None]


class LinkBoard:
    """The links of one transport and the decisions on them (a `LinkHost`)."""

    def __init__(
        self,
        callbacks: TransportCallbacks,
        local: LocalIdentity,
        *,
        times: LinkTimes,
        process: str,
        is_tls: bool,
    ) -> None:
        """is_tls: every greeting must be proved by a certificate."""
        self.times = times
        self._is_tls = is_tls
        self.counters = LinkCounters()
        self.is_reading_paused = False
        self.held: frozenset[Channel] = frozenset()
        self.on_message = callbacks.on_message
        self.observe = callbacks.observe
        self.outbound: dict[tuple[PeerId, Channel], OutboundLink] = {}
        """Links that stand."""
        self.inbound: dict[tuple[PeerId, Incarnation, Channel], InboundLink] = {}
        """Links that stand."""
        self.diallers: dict[PeerId, list[Dialler]] = {}
        self.ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._callbacks = callbacks
        self._process = process
        self._open: set[Link] = set()
        """Every connection that is not closed yet."""
        self._inbound_count = 0
        self._is_crowded = False
        self.set_local(local)

    def set_local(self, local: LocalIdentity) -> None:
        self.local = local
        try:
            frames.decode_greeting(frames.encode_hello(self.greeting(Channel.VITAL)))
        except FrameError as error:
            raise InvalidConfig(f"no peer could read this peer's greeting: {error}") from error

    def end(self) -> None:
        if not self.ending.done():
            self.ending.set_result(None)

    def finish(self, reason: str) -> None:
        for link in list(self._open):
            if isinstance(link, OutboundLink):
                link.finish(reason)
            else:
                link.end(reason)

    def abort(self) -> None:
        for link in list(self._open):
            link.abort()

    async def wait_empty(self, time_ms: int) -> None:
        """Until every connection is closed, or the time is over."""
        if self._open:
            await asyncio.wait([link.ended for link in self._open], timeout=time_ms / 1_000)

    # LinkHost ---------------------------------------------------------------------------

    def greeting(self, channel: Channel) -> Hello:
        local = self.local
        return Hello(
            cluster_name=local.cluster_name,
            cluster_id=local.cluster_id,
            generation=local.generation,
            lineage=local.lineage,
            peer_id=local.peer_id,
            incarnation=local.incarnation,
            process=self._process,
            channel=channel,
            raft_address=local.raft_address,
            http_address=local.http_address,
            birth=local.birth,
            configuration_index=local.configuration_index,
            was_member=local.was_member,
            join=local.join,
        )

    def decide(
        self,
        hello: Hello,
        *,
        dialled: PeerId | None,
        remote: str,
        certified: tuple[str, ...] | None,
    ) -> Refusal | None:
        # Before anything else is believed, and before the judge remembers who spoke.
        refusal = certificate_refusal(hello, certified) if self._is_tls else None
        if refusal is None and hello.process == self._process:
            return Refusal(
                code=RefusalCode.SELF,
                message="this connection leads back to the peer that opened it",
            )
        if refusal is None:
            refusal = self._judge(hello, dialled=dialled, remote=remote)
        self._callbacks.on_hello(hello, refusal)
        return refusal

    def _judge(self, hello: Hello, *, dialled: PeerId | None, remote: str) -> Refusal | None:
        local = self.local
        is_namesake = hello.peer_id == local.peer_id
        # A namesake in another cluster is the judge's to refuse: it is no double of this peer.
        if not is_namesake or hello.cluster_name != local.cluster_name:
            refusal = self._callbacks.judge(hello, is_inbound=dialled is None)
            if refusal is not None:
                return refusal
        if is_namesake:
            self.observe(
                IdentityClash(peer_id=hello.peer_id, incarnation=hello.incarnation, remote=remote)
            )
            return Refusal(
                code=RefusalCode.IDENTITY_CLASH,
                message=f"another process calls itself {local.peer_id}"
                f" in cluster {local.cluster_name} too",
            )
        if dialled is not None and hello.peer_id != dialled:
            return Refusal(
                code=RefusalCode.WRONG_PEER,
                message=f"{hello.peer_id} answers at the address of {dialled}",
            )
        return None

    def arrives(self, link: InboundLink) -> bool:
        if self.ending.done():
            return False
        strangers_count = self._inbound_count - len(self.inbound)
        if (
            self._inbound_count >= limits.INBOUND_LINKS_MAX
            or strangers_count >= limits.STRANGERS_MAX
        ):
            self._tell_crowded(link.remote, strangers_count=strangers_count)
            return False
        self._is_crowded = False
        self._inbound_count += 1
        self._open.add(link)
        return True

    def opened(self, link: Link) -> bool:
        self._open.add(link)
        return not self.ending.done()

    def stands(self, link: Link) -> None:
        hello = link.peer
        assert hello is not None
        if isinstance(link, OutboundLink):
            self.outbound[link.peer_id, hello.channel] = link
            return
        assert isinstance(link, InboundLink)
        key = (hello.peer_id, hello.incarnation, hello.channel)
        older = self.inbound.get(key)
        self.inbound[key] = link
        if older is not None:
            message = "a newer connection of the same peer took the place of this one"
            older.end(message, farewell=Refusal(code=RefusalCode.REPLACED, message=message))
        for dialler in self.diallers.get(hello.peer_id, ()):
            dialler.wake()

    def closed(self, link: Link) -> None:
        self._open.discard(link)
        self._inbound_count -= link.is_inbound
        if link.peer is None:
            return
        key = (link.peer.peer_id, link.peer.incarnation, link.peer.channel)
        if isinstance(link, InboundLink) and self.inbound.get(key) is link:
            del self.inbound[key]
        elif isinstance(link, OutboundLink):
            place = (link.peer_id, link.peer.channel)
            if self.outbound.get(place) is link:
                del self.outbound[place]

    def _tell_crowded(self, remote: str, *, strangers_count: int) -> None:
        if not self._is_crowded:
            self._is_crowded = True
            reason = f"{self._inbound_count} connections, {strangers_count} without a name"
            self.observe(
                StrangerDropped(fault=StrangerFault.TOO_MANY, reason=reason, remote=remote)
            )

    def fail(self, error: Exception) -> None:
        if not self.ending.done():
            self.ending.set_exception(error)
