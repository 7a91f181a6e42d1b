"""Single links against a wire in the hands of the test: what sockets seldom show."""

from __future__ import annotations

import asyncio

import pytest

from replicante import limits
from replicante.ids import ClusterId, Incarnation, PeerId
from replicante.raft import frames
from replicante.raft.frames import Channel, Hello, Refusal, RefusalCode
from replicante.raft.link_outbound import OutboundLink
from replicante.raft.links import LinkCounters, LinkTimes, endpoint_text


class ClosedSocket:
    """As the kernel answers when the other side has gone already."""

    def setsockopt(self, *option: object) -> None:
        raise OSError


class Wire(asyncio.Transport):
    """Keeps what is written; takes it as read when told."""

    def __init__(self, *, sockname: tuple = ("127.0.0.1", 1)) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.waiting_bytes = 0
        self.ended_by = ""
        self.is_aborted = asyncio.Event()
        self._sockname = sockname

    def get_extra_info(self, name: str, default: object = None) -> object:
        known = {"peername": ("127.0.0.1", 2), "sockname": self._sockname, "socket": ClosedSocket()}
        return known.get(name, default)

    def get_write_buffer_size(self) -> int:
        return self.waiting_bytes

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abort(self) -> None:
        self.ended_by = "abort"
        self.is_aborted.set()

    def close(self) -> None:
        self.ended_by = "close"


class Host:
    """The least that a link asks of its transport; everyone is welcome unless `refusal` is set."""

    def __init__(self) -> None:
        self.times = LinkTimes()
        self.counters = LinkCounters()
        self.is_reading_paused, self.held = False, frozenset()
        self.refusal: Refusal | None = None
        self.seen: list = []
        self.bugs: list[Exception] = []

    def on_message(self, *message: object) -> None:
        raise AssertionError("an outbound link reads no message")

    def greeting(self, channel: Channel) -> Hello:
        return hello("p1", channel)

    def decide(self, hello: Hello, **_: object) -> Refusal | None:
        return self.refusal

    def opened(self, link: object) -> bool:
        return True

    def stands(self, link: object) -> None:
        pass

    def closed(self, link: object) -> None:
        pass

    def observe(self, observation: object) -> None:
        self.seen.append(observation)

    def fail(self, error: Exception) -> None:
        self.bugs.append(error)


def hello(peer_id: str, channel: Channel = Channel.BULK) -> Hello:
    return Hello(
        cluster_name="demo",
        cluster_id=ClusterId(""),
        generation=0,
        peer_id=PeerId(peer_id),
        incarnation=Incarnation("0a" * 16),
        process="0b" * 16,
        channel=channel,
        raft_address="127.0.0.1:1",
        http_address="",
    )


def standing_link(wire: Wire) -> tuple[OutboundLink, Host]:
    host = Host()
    link = OutboundLink(host, peer_id=PeerId("p2"), channel=Channel.BULK)
    link.connection_made(wire)
    link.data_received(frames.encode_frame(frames.encode_hello(hello("p2"))))
    assert link.peer is not None
    wire.written.clear()
    return link, host


async def test_a_socket_that_met_itself_is_told_and_closed():
    wire = Wire(sockname=("127.0.0.1", 2))
    link = OutboundLink(Host(), peer_id=PeerId("p2"), channel=Channel.VITAL)
    link.connection_made(wire)
    assert link.is_echo
    assert (wire.written, wire.ended_by) == ([], "abort")


async def test_a_blocked_wire_is_written_to_in_slices_and_in_order():
    wire = Wire()
    link, host = standing_link(wire)
    link.pause_writing()
    bodies = [bytes([number]) * (300 * limits.KIB) for number in range(10)]
    assert all(link.send(body) for body in bodies)
    await asyncio.sleep(0)
    assert wire.written == []
    link.resume_writing()
    assert len(wire.written) > 1
    assert max(map(len, wire.written)) <= limits.MIB
    assert b"".join(wire.written) == b"".join(map(frames.encode_frame, bodies))
    assert not host.bugs


async def test_a_wire_that_blocks_again_stops_the_flush():
    wire = Wire()
    link, _ = standing_link(wire)
    link.pause_writing()
    for _ in range(4):
        link.send(bytes(limits.MIB))
    wire.write = lambda data: (wire.written.append(data), link.pause_writing())
    link.resume_writing()
    assert len(wire.written) == 1


async def test_a_link_that_ends_takes_no_more_and_forgets_what_waited():
    wire = Wire()
    link, host = standing_link(wire)
    link.send(b"never leaves")
    link.end("over")
    assert not link.send(b"late")
    await asyncio.sleep(0)
    assert wire.written == []
    link.connection_lost(None)
    link.finish("again")
    assert (wire.ended_by, link.end_reason) == ("abort", "over")
    assert host.counters.dropped_frames_count == 1


async def test_a_link_that_finishes_lets_the_rest_leave_first():
    wire = Wire()
    link, _ = standing_link(wire)
    link.pause_writing()
    link.send(b"last")
    link.finish("this peer stops")
    assert (wire.written, wire.ended_by) == ([frames.encode_frame(b"last")], "close")


async def test_a_decision_that_ends_the_link_is_not_answered_twice():
    wire, host = Wire(), Host()
    link = OutboundLink(host, peer_id=PeerId("p2"), channel=Channel.BULK)
    link.connection_made(wire)

    def decide(hello: Hello, **_: object) -> Refusal | None:
        link.end("renewed")
        return Refusal(code=RefusalCode.OTHER, message="no")

    host.decide = decide
    answer = frames.encode_frame(frames.encode_hello(hello("p2")))
    link.data_received(answer * 2)
    link.data_received(answer)
    assert host.seen == []
    assert link.end_reason == "renewed"


async def test_a_greeting_late_by_the_clock_ends_the_attempt():
    wire, host = Wire(), Host()
    host.times = LinkTimes(handshake_ms_max=0)
    link = OutboundLink(host, peer_id=PeerId("p2"), channel=Channel.BULK)
    link.connection_made(wire)
    async with asyncio.timeout(5):
        await wire.is_aborted.wait()
    assert link.end_reason == "no answer to the greeting within 0 ms"


async def test_our_own_bug_reaches_the_transport():
    wire, host = Wire(), Host()
    link = OutboundLink(host, peer_id=PeerId("p2"), channel=Channel.BULK)
    link.connection_made(wire)

    def decide(hello: Hello, **_: object) -> Refusal | None:
        raise ZeroDivisionError

    host.decide = decide
    with pytest.raises(ZeroDivisionError):
        link.data_received(frames.encode_frame(frames.encode_hello(hello("p2"))))
    assert [type(bug) for bug in host.bugs] == [ZeroDivisionError]


async def test_a_link_that_never_came_to_be_is_done_all_the_same():
    link = OutboundLink(Host(), peer_id=PeerId("p2"), channel=Channel.BULK)
    link.end("nothing to end")
    link.abort()
    link.abandon()
    await link.ended
    assert link.is_ending


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        (("127.0.0.1", 7), "127.0.0.1:7"),
        (("::1", 7, 0, 0), "[::1]:7"),
        (None, "unknown"),
        ("/run/socket", "unknown"),
    ],
)
def test_an_endpoint_is_written_as_an_address(endpoint, text):
    assert endpoint_text(endpoint) == text
