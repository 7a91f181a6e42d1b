"""Carries opaque message bodies between peers over TCP. Touches sockets, asyncio and name lookups.
Called by raft.peer alone; reports through its callbacks and never logs.
Rules: a peer sends on the connections that it opened and reads those that others opened; nothing
is promised about delivery, Raft sends again; everything that waits here has a bound (ADR 0011).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from replicante import limits
from replicante.entropy import Entropy
from replicante.errors import InvalidConfig
from replicante.ids import PeerId
from replicante.raft.dialling import Dialler, DialTarget, Resolve, resolve_name, split_address
from replicante.raft.frames import Channel, FrameError, FrameFault, Hello, Refusal, RefusalCode
from replicante.raft.link_board import Judge, LinkBoard, LocalIdentity, TransportCallbacks
from replicante.raft.link_observations import (
    DialFailed,
    FrameRejected,
    HelloRefused,
    IdentityClash,
    LinkDown,
    LinkObservation,
    LinkRefused,
    LinkUp,
    OutboxFull,
    SelfDialled,
    StrangerDropped,
    StrangerFault,
)
from replicante.raft.link_tls import check_contexts
from replicante.raft.links import LinkCounters, LinkTimes
from replicante.raft.listening import Listener, bind

__all__ = [
    "Channel",
    "DialFailed",
    "FrameError",
    "FrameFault",
    "FrameRejected",
    "Hello",
    "HelloRefused",
    "IdentityClash",
    "Judge",
    "LinkCounters",
    "LinkDown",
    "LinkObservation",
    "LinkRefused",
    "LinkTimes",
    "LinkUp",
    "LocalIdentity",
    "OutboxFull",
    "Refusal",
    "RefusalCode",
    "Resolve",
    "SelfDialled",
    "StrangerDropped",
    "StrangerFault",
    "Transport",
    "TransportCallbacks",
    "TransportSettings",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSettings:
    listen: str
    """`host:port`; port 0 takes a free one, see `Transport.address`."""
    server_ssl: ssl.SSLContext | None = None
    client_ssl: ssl.SSLContext | None = None
    """None: plain TCP. Both are given or none is, and both ask the other end for a certificate;
    it must name the peer and the cluster that the greeting claims (`ids.peer_uri`, ADR 0017)."""
    times: LinkTimes = field(default_factory=LinkTimes)


class Transport:
    """Use: start, set_peers and send at will, stop. Not thread-safe: the loop's thread only."""

    def __init__(
        self,
        settings: TransportSettings,
        local: LocalIdentity,
        callbacks: TransportCallbacks,
        *,
        entropy: Entropy,
        resolve: Resolve = resolve_name,
    ) -> None:
        """Raises InvalidConfig when no other peer could read our greeting, and for contexts that
        would not prove who is at the other end."""
        self._settings = settings
        self._entropy = entropy
        self._resolve = resolve
        self._endpoint = split_address(settings.listen)
        check_contexts(server=settings.server_ssl, client=settings.client_ssl)
        self._board = LinkBoard(
            callbacks,
            local,
            times=settings.times,
            process=entropy.token(),
            is_tls=settings.server_ssl is not None,
        )
        self._peers: dict[PeerId, str] = {}
        self._diallers = self._board.diallers
        self._tasks: dict[Dialler, asyncio.Task[None]] = {}
        self._listener: Listener | None = None
        self._root: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None

    @property
    def address(self) -> str:
        """Where this peer listens, with the port that was taken. Only after `start`."""
        assert self._listener is not None, "the transport was not started"
        return self._listener.address

    @property
    def local(self) -> LocalIdentity:
        return self._board.local

    @property
    def counters(self) -> LinkCounters:
        return self._board.counters

    @property
    def is_reading_paused(self) -> bool:
        return self._board.is_reading_paused

    async def start(self) -> None:
        """Listens, then dials. Raises AddressInUse or InvalidConfig."""
        assert self._root is None, "a transport starts once"
        sockets = await bind(
            self._settings.listen, self._endpoint, is_tls=self._settings.server_ssl is not None
        )
        listener = Listener(self._board, sockets, server_ssl=self._settings.server_ssl)
        self._listener = listener
        running = asyncio.get_running_loop().create_future()
        self._root = asyncio.create_task(self._run(listener, running), name="raft-transport")
        try:
            await asyncio.wait({running, self._root}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._root.cancel()
            listener.close()
            raise

    async def stop(self) -> None:
        """Closes everything, after what was sent has left or LINK_CLOSE_MS_MAX; no task remains.
        Idempotent. Raises what ended the transport before, if something did."""
        if self._root is None:
            return
        self._board.end()
        await self._root

    async def wait_closed(self) -> None:
        """Until `stop` has finished. Raises an ExceptionGroup when a bug ended the transport."""
        assert self._root is not None
        await asyncio.shield(self._root)

    def update_local(self, local: LocalIdentity) -> None:
        """What greetings say from now on; links that stand are kept (see `renew`). Names of peer
        and cluster do not change. Raises InvalidConfig as the constructor does."""
        old = self._board.local
        assert (local.peer_id, local.cluster_name) == (old.peer_id, old.cluster_name)
        self._board.set_local(local)

    def set_peers(self, peers: Mapping[PeerId, str]) -> None:
        """Dials exactly these, by peer id → address; this peer itself may be among them. Links
        that others opened are kept. Raises InvalidConfig, and changes nothing, for a bad address.
        """
        wanted = {peer: address for peer, address in peers.items() if peer != self.local.peer_id}
        if len(wanted) > limits.PEERS_MAX:
            raise InvalidConfig(f"{len(wanted)} other peers, {limits.PEERS_MAX} are allowed")
        for address in wanted.values():
            if split_address(address)[1] == 0:
                raise InvalidConfig(f"{address!r} is no address of a peer: port 0")
        for peer_id, address in list(self._peers.items()):
            if wanted.get(peer_id) != address:
                self._stop_dialling(peer_id)
        self._peers = wanted
        if self._group is not None:
            self._start_dialling(self._group)

    def send(self, peer_id: PeerId, channel: Channel, body: bytes | Sequence[bytes]) -> bool:
        """Never waits. False: no link stands or its outbox is full, and nothing was sent. True
        promises nothing either. A sequence is one body in pieces. Raises FrameError for a body
        that is empty or above FRAME_BYTES_MAX."""
        link = self._board.outbound.get((peer_id, channel))
        if link is None:
            self._board.counters.unsent_frames_count += 1
            return False
        return link.send(body)

    @property
    def dialled(self) -> tuple[PeerId, ...]:
        return tuple(self._peers)

    def is_connected(self, peer_id: PeerId, channel: Channel = Channel.VITAL) -> bool:
        """Frames can be sent there, as far as this side knows."""
        link = self._board.outbound.get((peer_id, channel))
        return link is not None and not link.is_ending

    def renew(self, peer_id: PeerId, reason: str) -> None:
        """Ends every link with this peer, both ways; greets it again at once if it is dialled."""
        for link in [*self._board.inbound.values()]:
            if link.peer is not None and link.peer.peer_id == peer_id:
                link.end(reason)
        for dialler in self._diallers.get(peer_id, ()):
            dialler.renew(reason)

    def pause_reading(self) -> None:
        """No more `on_message` until `resume_reading`, not even for bytes already read. Others
        may still connect and greet. Idempotent, as is its opposite."""
        self._board.is_reading_paused = True
        for link in self._board.inbound.values():
            link.pause()

    def resume_reading(self) -> None:
        """May call `on_message` before it returns, for what was read before the pause."""
        self._board.is_reading_paused = False
        for link in [*self._board.inbound.values()]:
            if self._board.is_reading_paused:
                return  # Paused again by what the last link brought.
            link.resume()

    def hold(self, channels: frozenset[Channel]) -> None:
        """Nothing more is read on these, as by `pause_reading`; on all others it goes on. May call
        `on_message` before it returns, for what was read on one that is held no more."""
        board, freed = self._board, self._board.held - channels
        if channels == board.held:
            return  # in nearly every step
        board.held = channels
        for link in [*board.inbound.values()]:
            if link.channel in channels:
                link.pause()
            elif link.channel in freed and not board.is_reading_paused:
                link.resume()

    async def _run(self, listener: Listener, running: asyncio.Future[None]) -> None:
        """Owns every task. Ends with `stop`, or with the first exception of ours."""
        board = self._board
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                listener.open(group)
                self._start_dialling(group)
                running.set_result(None)
                await board.ending
                self._group = None
                listener.close()
                board.finish("this peer stops")
                for task in self._tasks.values():
                    task.cancel()
            await board.wait_empty(limits.LINK_CLOSE_MS_MAX)
        finally:
            self._group = None
            listener.close()
            board.end()
            board.abort()
            await board.wait_empty(limits.LINK_CLOSE_MS_MAX)

    def _start_dialling(self, group: asyncio.TaskGroup) -> None:
        for peer_id, address in self._peers.items():
            if peer_id in self._diallers:
                continue
            started = []
            for channel in Channel:
                target = DialTarget(
                    peer_id=peer_id,
                    channel=channel,
                    address=address,
                    client_ssl=self._settings.client_ssl,
                )
                dialler = Dialler(self._board, target, resolve=self._resolve, entropy=self._entropy)
                name = f"raft-dial-{peer_id}-{channel.value}"
                self._tasks[dialler] = group.create_task(dialler.run(), name=name)
                started.append(dialler)
            self._diallers[peer_id] = started

    def _stop_dialling(self, peer_id: PeerId) -> None:
        for dialler in self._diallers.pop(peer_id, ()):
            self._tasks.pop(dialler).cancel()
