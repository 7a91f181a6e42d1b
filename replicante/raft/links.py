"""One TCP connection between peers, as far as both directions agree. Touches asyncio and sockets.
Grown into raft.link_inbound (only read) and raft.link_outbound (only written).
Rules: the dialler greets, the acceptor answers with its greeting or a refusal, and may send a
refusal later as its last word; nothing else ever flows back (ADR 0011). Bytes from a stranger can
end their own connection only; an exception of ours ends the transport.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Protocol, cast

from replicante import limits
from replicante.ids import Incarnation, PeerId
from replicante.raft import frames
from replicante.raft.frames import Channel, FrameDecoder, FrameError, Hello, Refusal
from replicante.raft.link_observations import (
    FrameRejected,
    HelloRefused,
    LinkDown,
    LinkObservation,
    LinkUp,
)
from replicante.raft.link_tls import CLOSED_UNANSWERED, certified_uris, tls_reason

OnMessage = Callable[[PeerId, Incarnation, Channel, bytes], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTimes:
    lookup_ms_max: int = limits.LINK_LOOKUP_MS_MAX
    dial_ms_max: int = limits.LINK_DIAL_MS_MAX
    handshake_ms_max: int = limits.LINK_HANDSHAKE_MS_MAX
    """From the connection to the end of the greetings, however the bytes trickle in."""
    redial_ms_min: int = limits.REDIAL_MS_MIN
    redial_ms_max: int = limits.REDIAL_MS_MAX


@dataclass(slots=True, kw_only=True)
class LinkCounters:
    """Since the start of the transport, over all links; greetings are not counted."""

    sent_frames_count: int = 0
    sent_bytes: int = 0
    received_frames_count: int = 0
    received_bytes: int = 0
    dropped_frames_count: int = 0
    """Refused because the outbox of a link was full."""
    unsent_frames_count: int = 0
    """Refused because no link stood."""


class LinkHost(Protocol):
    """What a connection asks of its transport. Called on the loop's thread, never blocks."""

    times: LinkTimes
    counters: LinkCounters
    is_reading_paused: bool
    held: frozenset[Channel]
    """Not read, though others are."""
    on_message: OnMessage

    def greeting(self, channel: Channel) -> Hello: ...

    def decide(
        self,
        hello: Hello,
        *,
        dialled: PeerId | None,
        remote: str,
        certified: tuple[str, ...] | None,
    ) -> Refusal | None:
        """None when the peer is welcome. `dialled`: whom this side meant to reach. `certified`:
        the URIs of the other end's verified certificate, None without TLS."""
        ...

    def opened(self, link: Link) -> bool:
        """False when the transport stops; the link then ends itself."""
        ...

    def stands(self, link: Link) -> None:
        """The greetings are exchanged."""
        ...

    def closed(self, link: Link) -> None: ...

    def observe(self, observation: LinkObservation) -> None: ...

    def fail(self, error: Exception) -> None:
        """Our own bug: the transport ends with it."""
        ...


class Link(asyncio.Protocol):
    """What both directions share. Every method runs on the loop's thread."""

    is_inbound: ClassVar[bool]

    def __init__(self, host: LinkHost, *, channel: Channel | None) -> None:
        self.host = host
        self.channel = channel
        """None until an inbound link has named it."""
        self.peer: Hello | None = None
        """Who is at the other end; None until the greetings are exchanged."""
        self.remote = "unknown"
        self.end_reason = ""
        self.is_ending = False
        self.is_made = False
        """The connection exists: `connection_lost` will come."""
        self.certified: tuple[str, ...] | None = None
        """What the verified certificate of the other end names; None without TLS."""
        self._loop = asyncio.get_running_loop()
        self._start_s = self._loop.time()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._wire: asyncio.Transport | None = None
        self._decoder = FrameDecoder(limit_bytes=limits.HANDSHAKE_BYTES_MAX)
        self._timer: asyncio.TimerHandle | None = None

    # asyncio calls these four -----------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        with self._our_bugs_are_fatal():
            self._wire = cast(asyncio.Transport, transport)
            self.remote = endpoint_text(transport.get_extra_info("peername"))
            self.is_made = True
            self.certified = certified_uris(transport.get_extra_info("peercert"))
            _tune(transport.get_extra_info("socket"))
            if self.host.opened(self) and not self.is_ending:
                spent_ms = round((self._loop.time() - self._start_s) * 1_000)  # on TLS
                rest_ms = max(1, self.host.times.handshake_ms_max - spent_ms)
                self._set_timer(rest_ms, self._on_handshake_late)
                self._begin()
            else:
                self.end("this peer stops")

    def data_received(self, data: bytes) -> None:
        with self._our_bugs_are_fatal():
            if self.is_ending:
                return
            try:
                self._receive(data)
            except FrameError as error:
                self._reject(error)

    def connection_lost(self, exc: Exception | None) -> None:
        with self._our_bugs_are_fatal():
            if self._timer is not None:
                self._timer.cancel()
            self.is_ending = True
            self.end_reason = self.end_reason or self._lost_reason(exc)
            self._clear()
            self.host.closed(self)
            if self.peer is not None:
                self.host.observe(
                    LinkDown(
                        peer_id=self.peer.peer_id,
                        incarnation=self.peer.incarnation,
                        channel=self.peer.channel,
                        is_inbound=self.is_inbound,
                        reason=self.end_reason,
                    )
                )
            if not self.ended.done():
                self.ended.set_result(None)

    def end(self, reason: str, *, farewell: Refusal | None = None) -> None:
        """Closes the connection; `ended` is done when it is closed. Idempotent."""
        if self._wire is None or self.is_ending:
            return
        self.is_ending = True
        self.end_reason = reason
        if farewell is not None:
            self._wire.write(frames.encode_frame(frames.encode_refusal(farewell)))
        self._close(self._wire)

    def abandon(self) -> None:
        """For a link that never came to be a connection."""
        assert not self.is_made
        self.is_ending = True
        self.host.closed(self)
        if not self.ended.done():
            self.ended.set_result(None)

    def abort(self) -> None:
        """Closes at once, also what `end` left lingering."""
        self.end("aborted")
        if self._wire is not None:
            self._wire.abort()

    # what the two directions do differently ---------------------------------------------

    def _begin(self) -> None:
        raise NotImplementedError

    def _receive(self, data: bytes) -> None:
        raise NotImplementedError

    def _on_handshake_late(self) -> None:
        raise NotImplementedError

    def _clear(self) -> None:
        """Lets go of what is buffered."""
        raise NotImplementedError

    def _close(self, wire: asyncio.Transport) -> None:
        raise NotImplementedError

    # shared steps -----------------------------------------------------------------------

    def _stand(self, hello: Hello) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.peer = hello
        self.host.stands(self)
        self.host.observe(
            LinkUp(
                peer_id=hello.peer_id,
                incarnation=hello.incarnation,
                channel=hello.channel,
                is_inbound=self.is_inbound,
                remote=self.remote,
            )
        )

    def _report_refusal(self, peer_id: PeerId, refusal: Refusal, *, is_ours: bool) -> None:
        assert self.channel is not None
        self.host.observe(
            HelloRefused(
                peer_id=peer_id,
                channel=self.channel,
                is_inbound=self.is_inbound,
                is_ours=is_ours,
                code=refusal.code,
                message=refusal.message,
                remote=self.remote,
            )
        )

    def _lost_reason(self, error: Exception | None) -> str:
        # In TLS 1.3 the dialler is done before the other end has judged its certificate.
        if self.certified is not None and self.peer is None and not self.is_inbound:
            if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
                return tls_reason(error)
            return CLOSED_UNANSWERED
        return str(error or "closed by the other side")

    def _reject(self, error: FrameError) -> None:
        self.host.observe(
            FrameRejected(
                fault=error.fault,
                reason=error.detail,
                remote=self.remote,
                peer_id=self.peer.peer_id if self.peer else None,
            )
        )
        self.end(str(error))

    def _set_timer(self, delay_ms: int, callback: Callable[[], None]) -> None:
        self._timer = self._loop.call_later(delay_ms / 1_000, self._on_timer, callback)

    def _on_timer(self, callback: Callable[[], None]) -> None:
        with self._our_bugs_are_fatal():
            callback()

    @contextmanager
    def _our_bugs_are_fatal(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.host.fail(error)
            raise


def endpoint_text(endpoint: object) -> str:
    """`host:port` of a socket name; IPv6 hosts in brackets."""
    match endpoint:
        case (str() as host, int() as port, *_):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case _:
            return "unknown"


def _tune(sock: socket.socket) -> None:
    """Small frames leave at once; a silent machine is noticed without traffic of ours."""
    probe_s = max(1, limits.LINK_SILENCE_MS_MAX // 4_000)
    wanted = [
        (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", probe_s),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", probe_s),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", limits.LINK_SILENCE_MS_MAX),
    ]
    for level, name, value in wanted:
        option = getattr(socket, name, None)
        if option is None:
            continue  # Not on every system; heartbeats notice the silence too.
        try:
            sock.setsockopt(level, option, value)
        except OSError:
            return  # Closed already: connection_lost is the next call.
