"""Connections that are not what they should be: strangers, damage, peers that misbehave."""

from __future__ import annotations

import asyncio
import resource
import socket
import struct

import pytest
from raft_stations import Stage, Stranger, greeting, identity, one_turn

from replicante import limits
from replicante.ids import PeerId
from replicante.raft import frames
from replicante.raft.transport import (
    Channel,
    DialFailed,
    FrameError,
    FrameFault,
    FrameRejected,
    LinkDown,
    LinkTimes,
    LinkUp,
    Refusal,
    RefusalCode,
    StrangerDropped,
    StrangerFault,
)

HELLO = frames.encode_hello(greeting(identity("p2"), Channel.VITAL))


def damaged(frame: bytes) -> bytes:
    return frame[:-1] + bytes([frame[-1] ^ 1])


# --- strangers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (b"GET / HTTP/1.1\r\nHost: peer\r\n\r\n", FrameFault.TOO_LARGE),
        (bytes(100), FrameFault.EMPTY),
        (struct.pack(">II", limits.HANDSHAKE_BYTES_MAX + 1, 0), FrameFault.TOO_LARGE),
        (damaged(frames.encode_frame(HELLO)), FrameFault.CHECKSUM),
        (frames.encode_frame(b"\x00"), FrameFault.NOT_A_PEER),
    ],
)
async def test_a_stranger_is_shown_the_door_and_does_no_harm(said, fault):
    async with Stage() as stage:
        first, second = await stage.pair()
        stranger = await stage.stranger(second)
        await stranger.write(said)
        assert await stranger.is_closed_without_a_word()
        await stage.until(lambda: second.reports(FrameRejected))
        (report,) = second.reports(FrameRejected)
        assert (report.fault, report.peer_id) == (fault, None)
        assert report.remote.startswith("127.0.0.1:")
        first.send("p2", b"unimpressed")
        await stage.until(lambda: second.bodies == [b"unimpressed"])
        assert not second.reports(LinkDown)


async def test_a_stranger_that_trickles_is_dropped_in_time():
    async with Stage() as stage:
        station = await stage.station("p1", times=LinkTimes(handshake_ms_max=30))
        stranger = await stage.stranger(station)
        await stranger.write(frames.encode_frame(HELLO)[:20])
        assert await stranger.is_closed_without_a_word()
        (report,) = station.reports(StrangerDropped)
        assert report.fault is StrangerFault.TOO_SLOW


async def test_a_peer_that_never_answers_a_greeting_is_given_up_in_time():
    async with Stage() as stage:
        first = await stage.station("p1", times=LinkTimes(handshake_ms_max=30))
        first.transport.set_peers({PeerId("p2"): await stage.accept_silently()})
        await stage.until(lambda: first.reports(DialFailed))
        assert first.reports(DialFailed)[0].reason == "no answer to the greeting within 30 ms"


async def test_a_visitor_that_leaves_without_a_word_is_no_news():
    async with Stage() as stage:
        station = await stage.station("p1")
        visitor = await stage.stranger(station)
        await visitor.close()
        peer = await stage.stranger(station)
        await peer.greet(identity("p2"))
        assert [type(report) for report in station.seen] == [LinkUp]


async def test_strangers_are_counted_and_bounded():
    async with Stage() as stage:
        station = await stage.station("p1")
        crowd = [await stage.stranger(station) for _ in range(limits.STRANGERS_MAX + 3)]
        for late in crowd[limits.STRANGERS_MAX :]:
            assert await late.is_closed_without_a_word()
        (report,) = station.reports(StrangerDropped)
        assert report.fault is StrangerFault.TOO_MANY
        # One of the crowd names itself, which makes room for another.
        await crowd[0].greet(identity("p2"))
        another = await stage.stranger(station)
        await another.greet(identity("p3"))


async def test_all_inbound_connections_are_bounded():
    async with Stage() as stage:
        station = await stage.station("p1")
        for number in range(limits.INBOUND_LINKS_MAX):
            await (await stage.stranger(station)).greet(identity(f"x{number}"))
        assert await (await stage.stranger(station)).is_closed_without_a_word()


async def test_a_peer_without_descriptors_lets_others_wait():
    async with Stage() as stage:
        station = await stage.station("p1")
        visitor = socket.socket()
        visitor.setblocking(False)
        bounds = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, bounds[1]))
        try:
            host, port = station.address.rsplit(":", 1)
            visitor.connect_ex((host, int(port)))
            for _ in range(5):
                await one_turn()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, bounds)
        stranger = Stranger(*await asyncio.open_connection(sock=visitor))
        await stranger.greet(identity("p2"))
        await stranger.close()
        assert len(station.reports(LinkUp)) == 1


# --- peers that misbehave ---------------------------------------------------------------


async def test_damage_from_a_peer_drops_its_link_and_names_it():
    async with Stage() as stage:
        station = await stage.station("p1")
        peer = await stage.stranger(station)
        await peer.greet(identity("p2"))
        await peer.write(frames.encode_frame(b"whole") + damaged(frames.encode_frame(b"torn")))
        assert await peer.is_closed_without_a_word()
        (report,) = station.reports(FrameRejected)
        assert (report.fault, report.peer_id) == (FrameFault.CHECKSUM, "p2")
        assert station.reports(LinkDown)


async def test_a_frame_above_the_bound_is_refused_from_a_peer_too():
    async with Stage() as stage:
        station = await stage.station("p1")
        peer = await stage.stranger(station)
        await peer.greet(identity("p2"))
        await peer.write(struct.pack(">II", limits.FRAME_BYTES_MAX + 1, 0))
        assert await peer.is_closed_without_a_word()
        assert station.reports(FrameRejected)[0].fault is FrameFault.TOO_LARGE


@pytest.mark.parametrize("is_paused_before", [False, True])
async def test_a_body_that_the_reader_cannot_read_drops_the_link(is_paused_before):
    async with Stage() as stage:
        first, second = await stage.pair()

        def hear(body: bytes) -> None:
            if body == b"pause":
                second.transport.pause_reading()
            elif body == b"bad":
                raise FrameError(FrameFault.MALFORMED, "no message that this peer knows")

        second.hear = hear
        for body in (b"good", b"pause" if is_paused_before else b"go on", b"bad", b"never"):
            first.send("p2", body)
        if is_paused_before:
            await stage.until(lambda: second.transport.is_reading_paused)
            second.transport.resume_reading()
        await stage.until(lambda: second.reports(FrameRejected))
        (report,) = second.reports(FrameRejected)
        assert (report.peer_id, report.reason) == ("p1", "no message that this peer knows")
        assert b"never" not in second.bodies
        await stage.until(lambda: first.reports(LinkDown) and first.is_linked_to("p2"))


async def test_a_peer_that_goes_on_before_it_is_answered_is_refused():
    async with Stage() as stage:
        station = await stage.station("p1")
        peer = await stage.stranger(station)
        await peer.write(frames.encode_frame(HELLO) + frames.encode_frame(b"eager"))
        assert await peer.is_closed_without_a_word()
        assert station.reports(FrameRejected)[0].fault is FrameFault.MALFORMED
        assert not station.bodies


async def test_a_refusal_in_place_of_a_greeting_is_refused():
    async with Stage() as stage:
        station = await stage.station("p1")
        peer = await stage.stranger(station)
        refusal = Refusal(code=RefusalCode.OTHER, message="no")
        await peer.write(frames.encode_frame(frames.encode_refusal(refusal)))
        assert await peer.is_closed_without_a_word()
        assert station.reports(FrameRejected)[0].fault is FrameFault.MALFORMED


@pytest.mark.parametrize(
    "answer",
    [
        frames.encode_frame(b"\x00"),
        frames.encode_frame(frames.encode_hello(greeting(identity("p2"), Channel.VITAL))) * 2,
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
async def test_an_answer_that_is_none_ends_the_attempt(answer):
    async with Stage() as stage:
        station = await stage.station("p1")
        address = await stage.accept_silently(answer)
        station.transport.set_peers({PeerId("p2"): address})
        await stage.until(lambda: station.reports(FrameRejected))
        assert not station.reports(DialFailed)


async def test_a_peer_that_talks_on_an_outbound_link_is_dropped():
    async with Stage() as stage:
        station = await stage.station("p1")
        ends = await stage.accept_by_hand(station, identity("p2"))
        await ends[Channel.BULK].write(frames.encode_frame(b"\x01"))
        await stage.until(lambda: station.reports(LinkDown))
        (report,) = station.reports(FrameRejected)
        assert report.peer_id == "p2"
