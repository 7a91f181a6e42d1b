"""The writing end of a connection between peers: greets, is answered, then sends what fits.
Made by raft.dialling for each attempt. Touches asyncio.
Rule: `send` never waits and never keeps more than LINK_OUTBOX_BYTES_MAX; Raft sends again what is
dropped here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from replicante import limits
from replicante.ids import PeerId, peer_uri
from replicante.raft import frames
from replicante.raft.frames import Channel, FrameError, FrameFault, Hello, Refusal, RefusalCode
from replicante.raft.link_observations import OutboxFull
from replicante.raft.link_tls import believed_refusal
from replicante.raft.links import Link, LinkHost

_WRITE_BYTES = 1 << 20
"""Frames joined into one write; what one loop turn copies stays far below its 20 ms."""


class OutboundLink(Link):
    """A connection that this peer opened: it greets, is answered, then only writes."""

    is_inbound = False

    def __init__(self, host: LinkHost, *, peer_id: PeerId, channel: Channel) -> None:
        super().__init__(host, channel=channel)
        self.peer_id = peer_id
        self.is_echo = False
        """TCP connected this socket to itself, as it may when nobody listens on a local port."""
        self.refusal_code: RefusalCode | None = None
        """Of the refusal that ended it, from either side."""
        self.was_refused = False
        """By a refusal or for broken bytes: the reason was reported already."""
        self.has_settled = False
        """It stood for as long as the longest redial delay."""
        self._outbox: list[bytes] = []
        self._outbox_bytes = 0
        self._queued_bytes = 0
        """Outbox plus what the socket had not taken when last asked: never too low."""
        self._is_flush_due = False
        self._is_blocked = False
        self._is_full = False

    def send(self, body: bytes | Sequence[bytes]) -> bool:
        """False when the outbox is full or the link ends. Raises FrameError for a body that no
        peer would take. Bodies of one loop turn leave in one write."""
        size_bytes = frames.body_bytes(body) + frames.HEADER_BYTES
        if self.is_ending or not self._has_room(size_bytes):
            self.host.counters.dropped_frames_count += 1
            return False
        self._outbox += frames.frame_parts(body)
        self._outbox_bytes += size_bytes
        self._queued_bytes += size_bytes
        counters = self.host.counters
        counters.sent_frames_count += 1
        counters.sent_bytes += size_bytes
        if not self._is_flush_due and not self._is_blocked:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)
        return True

    def finish(self, reason: str) -> None:
        """As `end`, but what was accepted by `send` still leaves, if the other side reads on."""
        if self._wire is None or self.is_ending:
            return
        self.is_ending = True
        self.end_reason = reason
        if self._outbox:
            self._wire.write(b"".join(self._outbox))
        self._clear()
        self._wire.close()

    def pause_writing(self) -> None:
        self._is_blocked = True

    def resume_writing(self) -> None:
        self._is_blocked = False
        self._flush()

    def _begin(self) -> None:
        assert self._wire is not None and self.channel is not None
        if self._wire.get_extra_info("sockname") == self._wire.get_extra_info("peername"):
            self.is_echo = True
            self.end("nobody listens there")
            return
        greeting = frames.encode_hello(self.host.greeting(self.channel))
        self._wire.write(frames.encode_frame(greeting))

    def _receive(self, data: bytes) -> None:
        for body in self._decoder.feed(data):
            if self.is_ending:
                return
            match frames.decode_greeting(body):
                case Refusal() as refusal:
                    self._take_refusal(self.peer_id, self._believed(refusal), is_ours=False)
                case Hello() as hello:
                    self._take_hello(hello)

    def _take_hello(self, hello: Hello) -> None:
        if self.peer is not None or hello.channel is not self.channel:
            raise FrameError(FrameFault.MALFORMED, "it answered what was not asked")
        refusal = self.host.decide(
            hello, dialled=self.peer_id, remote=self.remote, certified=self.certified
        )
        if self.is_ending:
            return
        if refusal is not None:
            self._take_refusal(hello.peer_id, refusal, is_ours=True)
            return
        self._stand(hello)
        if not self.is_ending:
            self._set_timer(self.host.times.redial_ms_max, self._on_settled)

    def _believed(self, refusal: Refusal) -> Refusal:
        assert self.channel is not None
        cluster_name = self.host.greeting(self.channel).cluster_name
        expected_uri = peer_uri(cluster_name, self.peer_id)
        return believed_refusal(refusal, expected_uri=expected_uri, certified=self.certified)

    def _take_refusal(self, peer_id: PeerId, refusal: Refusal, *, is_ours: bool) -> None:
        self.was_refused = True
        self.refusal_code = refusal.code
        if refusal.code is not RefusalCode.SELF:
            self._report_refusal(peer_id, refusal, is_ours=is_ours)
        self.end(f"refused: {refusal.message}")

    def _reject(self, error: FrameError) -> None:
        self.was_refused = True
        super()._reject(error)

    def _on_settled(self) -> None:
        self.has_settled = True

    def _on_handshake_late(self) -> None:
        self.end(f"no answer to the greeting within {self.host.times.handshake_ms_max} ms")

    def _has_room(self, size_bytes: int) -> bool:
        if self._queued_bytes + size_bytes <= limits.LINK_OUTBOX_BYTES_MAX and not self._is_full:
            return True
        self._measure()
        if self._is_full:
            self._is_full = self._queued_bytes > limits.LINK_OUTBOX_BYTES_MAX // 2
        elif self._queued_bytes + size_bytes > limits.LINK_OUTBOX_BYTES_MAX:
            self._is_full = True
            assert self.channel is not None
            self.host.observe(OutboxFull(peer_id=self.peer_id, channel=self.channel))
        return not self._is_full

    def _flush(self) -> None:
        with self._our_bugs_are_fatal():
            self._is_flush_due = False
            if self._wire is None or self.is_ending:
                return
            while self._outbox and not self._is_blocked:
                self._wire.write(self._next_write())
            self._measure()

    def _next_write(self) -> bytes:
        """The oldest frames, joined; a frame may be split between two writes."""
        outbox = self._outbox
        if self._outbox_bytes <= _WRITE_BYTES:
            self._outbox, self._outbox_bytes = [], 0
            return b"".join(outbox)
        count, size_bytes = 0, 0
        for part in outbox:
            if count and size_bytes + len(part) > _WRITE_BYTES:
                break
            count, size_bytes = count + 1, size_bytes + len(part)
        self._outbox = outbox[count:]
        self._outbox_bytes -= size_bytes
        return b"".join(outbox[:count])

    def _measure(self) -> None:
        waiting_bytes = self._wire.get_write_buffer_size() if self._wire is not None else 0
        self._queued_bytes = self._outbox_bytes + waiting_bytes

    def _clear(self) -> None:
        self._outbox, self._outbox_bytes = [], 0

    def _close(self, wire: asyncio.Transport) -> None:
        wire.abort()  # What is buffered is stale: Raft sends again on the next link.
