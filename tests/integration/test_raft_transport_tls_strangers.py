"""Plain peers, strangers and half-made contexts: what meets TLS, or misses it, does no harm."""

from __future__ import annotations

import ssl

import pytest
from raft_stations import Stage, identity
from tls_folders import Authority, connect, pair, refused

from replicante import limits
from replicante.entropy import SystemEntropy
from replicante.errors import InvalidConfig
from replicante.ids import PeerId
from replicante.raft import frames
from replicante.raft.transport import (
    DialFailed,
    FrameFault,
    FrameRejected,
    HelloRefused,
    LinkDown,
    LinkTimes,
    LinkUp,
    RefusalCode,
    StrangerDropped,
    StrangerFault,
    Transport,
    TransportSettings,
)

P2 = PeerId("p2")


@pytest.fixture
def ours(tmp_path) -> Authority:
    return Authority(tmp_path / "ours")


# --- plain and TLS ------------------------------------------------------------------------


async def test_a_plain_peer_that_dials_a_tls_peer_is_told_so(ours):
    async with Stage() as stage:
        first, second = await refused(stage, dialler=None, acceptor=ours.contexts("p2"))
        heard = first.reports(HelloRefused)[0]
        assert (heard.code, heard.is_ours) == (RefusalCode.TLS, False)
        assert heard.message.startswith("this peer speaks TLS only")
        said = second.reports(StrangerDropped)[0]
        assert said.fault is StrangerFault.TLS
        assert said.reason == "it speaks no TLS, and this peer TLS only"


async def test_a_tls_peer_that_dials_a_plain_peer_is_told_so(ours):
    async with Stage() as stage:
        first, second = await refused(stage, dialler=ours.contexts("p1"), acceptor=None)
        assert first.reports(DialFailed)[0].reason.startswith("it does not speak TLS")
        report = second.reports(FrameRejected)[0]
        assert report.fault is FrameFault.NOT_A_PEER
        assert report.reason.startswith("it speaks TLS and this peer plain TCP")


async def test_without_tls_nobody_listens_where_others_can_reach_it(ours):
    async with Stage() as stage:
        for listen in ("0.0.0.0:0", "[::]:0"):
            with pytest.raises(InvalidConfig, match="need TLS"):
                await stage.station("p1", listen=listen)
        second = await stage.station("p2", listen="0.0.0.0:0", tls=ours.contexts("p2"))
        first = await stage.station("p1", tls=ours.contexts("p1"))
        first.transport.set_peers({P2: second.address.replace("0.0.0.0", "127.0.0.1")})
        await stage.until(lambda: first.is_linked_to("p2"))


async def test_without_tls_nobody_dials_another_machine(ours):
    async with Stage() as stage:
        first = await stage.station("p1")
        first.transport.set_peers({P2: "192.0.2.1:1"})
        await stage.until(lambda: first.reports(DialFailed))
        assert first.reports(DialFailed)[0].reason.startswith("192.0.2.1 is no loopback address")


# --- strangers ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100, b"\x16\x03\x01\x00\x05hello" + bytes(50)]
)
async def test_garbage_is_dropped_without_a_word_and_without_harm(ours, said):
    async with Stage() as stage:
        first, second = await pair(stage, ours)
        stranger = await stage.stranger(second)
        await stranger.write(said)
        assert await stranger.is_closed_without_a_word()
        await stage.until(lambda: second.reports(StrangerDropped))
        assert second.reports(StrangerDropped)[0].fault is StrangerFault.TLS
        first.send("p2", b"unimpressed")
        await stage.until(lambda: second.bodies == [b"unimpressed"])
        assert not second.reports(LinkDown)


@pytest.mark.parametrize("said", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
async def test_a_stranger_that_trickles_through_its_tls_greeting_is_dropped_in_time(ours, said):
    async with Stage() as stage:
        times = LinkTimes(handshake_ms_max=50)
        station = await stage.station("p1", tls=ours.contexts("p1"), times=times)
        stranger = await stage.stranger(station)
        await stranger.write(said)
        assert await stranger.is_closed_without_a_word()
        await stage.until(lambda: station.reports(StrangerDropped))
        (report,) = station.reports(StrangerDropped)
        assert report.fault is StrangerFault.TOO_SLOW
        assert report.reason == "no TLS greeting within 50 ms"


async def test_a_peer_that_is_silent_after_its_tls_greeting_is_dropped_in_time(ours):
    async with Stage() as stage:
        times = LinkTimes(handshake_ms_max=300)
        station = await stage.station("p1", tls=ours.contexts("p1"), times=times)
        _, writer = await connect(station, ours.contexts("p2").client)
        await stage.until(lambda: station.reports(StrangerDropped))
        assert station.reports(StrangerDropped)[0].reason == "no greeting within 300 ms"
        writer.transport.abort()


async def test_those_in_their_tls_greeting_are_counted_and_bounded(ours):
    async with Stage() as stage:
        station = await stage.station("p1", tls=ours.contexts("p1"))
        crowd = [await stage.stranger(station) for _ in range(limits.STRANGERS_MAX + 1)]
        assert await crowd[-1].is_closed_without_a_word()
        assert station.reports(StrangerDropped)[0].fault is StrangerFault.TOO_MANY
        await crowd[0].close()
        await crowd[1].close()
        second = await stage.station("p2", tls=ours.contexts("p2"))
        second.dial(station)
        await stage.until(lambda: second.is_linked_to("p1"))


async def test_a_visitor_without_a_word_is_no_news_over_tls_too(ours):
    async with Stage() as stage:
        station = await stage.station("p1", tls=ours.contexts("p1"))
        await (await stage.stranger(station)).close()
        second = await stage.station("p2", tls=ours.contexts("p2"))
        second.dial(station)
        await stage.until(lambda: len(station.reports(LinkUp)) == 2)
        assert {type(report) for report in station.seen} == {LinkUp}


async def test_who_shows_no_certificate_is_dropped(ours):
    async with Stage() as stage:
        station = await stage.station("p1", tls=ours.contexts("p1"))
        nameless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        nameless.check_hostname = False
        nameless.load_verify_locations(ours.files("p1").authority)
        _, writer = await connect(station, nameless)
        writer.write(frames.encode_frame(b"\x01"))
        await stage.until(lambda: station.reports(StrangerDropped))
        assert station.reports(StrangerDropped)[0].reason == "it showed no certificate"
        writer.transport.abort()


# --- contexts that would prove nothing ----------------------------------------------------


async def test_contexts_that_ask_for_no_certificate_are_refused_here(ours):
    one_sided = ours.contexts("p1")
    one_sided.server.verify_mode = ssl.CERT_NONE
    async with Stage() as stage:
        with pytest.raises(InvalidConfig, match="mutual"):
            await stage.station("p1", tls=one_sided)


async def test_half_of_tls_is_refused_here(ours):
    settings = TransportSettings(listen="127.0.0.1:0", server_ssl=ours.contexts("p1").server)
    with pytest.raises(InvalidConfig, match="both contexts"):
        Transport(settings, identity("p1"), None, entropy=SystemEntropy())
