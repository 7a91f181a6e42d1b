"""The reading end of a connection between peers: judges a greeting, then hands bodies on in order.
Made by raft.listening for each connection that it accepts. Touches asyncio.
Rule: a stranger costs one timer and at most HANDSHAKE_BYTES_MAX until it has named itself.
"""

from __future__ import annotations

import asyncio

from replicante import limits
from replicante.raft import frames
from replicante.raft.frames import FrameError, FrameFault, Hello, Refusal, RefusalCode
from replicante.raft.link_observations import StrangerDropped, StrangerFault
from replicante.raft.link_tls import SPEAKS_PLAIN, TLS_FIRST_BYTE
from replicante.raft.links import Link, LinkHost


class InboundLink(Link):
    """A connection that another peer opened: its greeting is answered, then it is only read."""

    is_inbound = True

    def __init__(self, host: LinkHost, *, remote: str) -> None:
        super().__init__(host, channel=None)
        self.remote = remote
        self._backlog: list[bytes] = []
        """Received before reading was paused, not handed on yet; at most one read of the socket."""

    def pause(self) -> None:
        if self._is_readable and self._wire is not None:
            self._wire.pause_reading()

    def resume(self) -> None:
        """Hands on what was kept, then reads again, unless that made the reader pause again."""
        with self._our_bugs_are_fatal():
            backlog, self._backlog = self._backlog, []
            try:
                self._deliver(backlog)
            except FrameError as error:
                self._reject(error)
            if self._is_readable and self._wire is not None and not self._is_held:
                self._wire.resume_reading()

    @property
    def _is_held(self) -> bool:
        return self.host.is_reading_paused or self.channel in self.host.held

    @property
    def _is_readable(self) -> bool:
        wire = self._wire
        return self.peer is not None and wire is not None and not wire.is_closing()

    def _begin(self) -> None:
        """The one who dialled speaks first."""

    def _receive(self, data: bytes) -> None:
        if self.peer is None and self.certified is None:
            self._refuse_tls(data)
        bodies = self._decoder.feed(data)
        if self.peer is None:
            if bodies:
                self._greet(bodies)
            return
        counters = self.host.counters
        counters.received_frames_count += len(bodies)
        counters.received_bytes += len(data)
        if self._backlog:
            self._backlog += bodies
        else:
            self._deliver(bodies)

    def _deliver(self, bodies: list[bytes]) -> None:
        host, peer = self.host, self.peer
        if peer is None:
            return
        peer_id, incarnation, channel = peer.peer_id, peer.incarnation, peer.channel
        for place, body in enumerate(bodies):
            if self._is_held or self.is_ending:
                self._backlog = [] if self.is_ending else bodies[place:]
                return
            host.on_message(peer_id, incarnation, channel, body)

    def _greet(self, bodies: list[bytes]) -> None:
        if len(bodies) > 1 or not self._decoder.is_between_frames:
            raise FrameError(FrameFault.MALFORMED, "it went on before its greeting was answered")
        hello = self._read_greeting(bodies[0])
        self.channel = hello.channel
        refusal = self.host.decide(
            hello, dialled=None, remote=self.remote, certified=self.certified
        )
        if self.is_ending:
            return
        if refusal is not None:
            if refusal.code is not RefusalCode.SELF:
                self._report_refusal(hello.peer_id, refusal, is_ours=True)
            self.end(refusal.message, farewell=refusal)
            return
        assert self._wire is not None
        answer = frames.encode_hello(self.host.greeting(hello.channel))
        self._wire.write(frames.encode_frame(answer))
        self._decoder.set_limit(limits.FRAME_BYTES_MAX)
        self._stand(hello)
        if self._is_held:
            self.pause()

    def _refuse_tls(self, data: bytes) -> None:
        """On a plain connection: a peer that speaks TLS cannot read the answer, but its TLS fails
        on it at once and says that no TLS is spoken here."""
        if not self._decoder.is_between_frames or not data.startswith(TLS_FIRST_BYTE):
            return
        assert self._wire is not None
        self._wire.write(frames.encode_frame(frames.encode_refusal(SPEAKS_PLAIN)))
        raise FrameError(
            FrameFault.NOT_A_PEER,
            "it speaks TLS and this peer plain TCP: configure TLS on all peers, or on none",
        )

    def _read_greeting(self, body: bytes) -> Hello:
        try:
            hello = frames.decode_greeting(body)
        except FrameError as error:
            # A peer of another version deserves to hear why; a stranger hears nothing.
            code = {
                FrameFault.VERSION: RefusalCode.VERSION,
                FrameFault.MALFORMED: RefusalCode.MALFORMED,
            }.get(error.fault)
            if code is not None and self._wire is not None:
                farewell = Refusal(code=code, message=error.detail)
                self._wire.write(frames.encode_frame(frames.encode_refusal(farewell)))
            raise
        if isinstance(hello, Refusal):
            raise FrameError(FrameFault.MALFORMED, "a refusal came where a greeting belongs")
        return hello

    def _on_handshake_late(self) -> None:
        self.host.observe(
            StrangerDropped(
                fault=StrangerFault.TOO_SLOW,
                reason=f"no greeting within {self.host.times.handshake_ms_max} ms",
                remote=self.remote,
            )
        )
        self.abort()

    def _clear(self) -> None:
        self._backlog = []

    def _close(self, wire: asyncio.Transport) -> None:
        wire.close()  # Only an answer of ours can wait in it: that may still leave.
