"""Links over mutual TLS: who is believed, who is refused, and what both ends are told."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace

import pytest
from raft_stations import PATIENCE_S, Stage, identity, one_turn
from tls_folders import Authority, connect, pair, refused

from replicante import limits
from replicante.ids import PeerId
from replicante.raft.transport import (
    Channel,
    DialFailed,
    HelloRefused,
    LinkRefused,
    LinkUp,
    Refusal,
    RefusalCode,
    SelfDialled,
    StrangerDropped,
    StrangerFault,
)

P2 = PeerId("p2")


@pytest.fixture
def ours(tmp_path) -> Authority:
    return Authority(tmp_path / "ours")


# --- believed ---------------------------------------------------------------------------


async def test_peers_with_certificates_of_one_authority_exchange_bodies(ours):
    async with Stage() as stage:
        first, second = await pair(stage, ours)
        large = bytes(limits.FRAME_BYTES_MAX)
        first.send("p2", b"small")
        first.send("p2", large, Channel.BULK)
        second.send("p1", b"back")
        await stage.until(lambda: len(second.messages) == 2 and first.messages)
        assert sorted(second.bodies, key=len) == [b"small", large]


async def test_a_paused_reader_loses_nothing_over_tls(ours):
    async with Stage() as stage:
        first, second = await pair(stage, ours)
        second.hear = lambda body: second.transport.pause_reading()
        for number in range(20):
            first.send("p2", b"%d" % number + bytes(100_000))
        for count in range(1, 21):
            await stage.until(lambda count=count: len(second.messages) == count)
            second.transport.resume_reading()
        assert [body[:2].strip(b"\0") for body in second.bodies] == [b"%d" % n for n in range(20)]


async def test_a_full_outbox_drops_over_tls_too(ours):
    async with Stage() as stage:
        first, second = await pair(stage, ours)
        second.transport.pause_reading()
        accepted_count = 0
        while first.send("p2", bytes(limits.MIB), Channel.BULK):
            accepted_count += 1
            await one_turn()
            assert accepted_count < 64
        second.transport.resume_reading()
        await stage.until(lambda: len(second.messages) == accepted_count)


async def test_stop_lets_what_was_sent_leave_over_tls(ours):
    before = asyncio.all_tasks()
    async with Stage() as stage:
        first, second = await pair(stage, ours)
        first.send("p2", b"last words")
        async with asyncio.timeout(PATIENCE_S):
            await first.transport.stop()
        await stage.until(lambda: second.bodies == [b"last words"])
        await stage.until(lambda: second.reports(LinkRefused))
    assert asyncio.all_tasks() == before


async def test_only_the_newest_tls_is_spoken(ours):
    async with Stage() as stage:
        station = await stage.station("p1", tls=ours.contexts("p1"))
        older = ours.contexts("p2").client
        older.minimum_version = ssl.TLSVersion.TLSv1_2
        older.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await connect(station, older)
        await stage.until(lambda: station.reports(StrangerDropped))


@pytest.mark.parametrize("peer_id", ["p" * 64, "a..b", "peer-1.example_x"])
async def test_any_peer_id_may_stand_in_a_certificate(ours, peer_id):
    async with Stage() as stage:
        first = await stage.station("p1", tls=ours.contexts("p1"))
        local = replace(identity("p2"), peer_id=PeerId(peer_id))
        second = await stage.station(peer_id, local=local, tls=ours.contexts(peer_id))
        first.dial(second)
        await stage.until(lambda: first.is_linked_to(peer_id))


def test_the_faster_loop_believes_and_refuses_the_same(ours, tmp_path):
    uvloop = pytest.importorskip("uvloop")
    theirs = Authority(tmp_path / "theirs")

    async def exchange() -> None:
        async with Stage() as stage:
            first, second = await pair(stage, ours)
            first.send("p2", bytes(limits.MIB), Channel.BULK)
            await stage.until(lambda: second.messages)
            liar = await stage.station("p3", tls=ours.contexts("p4"))
            stranger = await stage.station("p5", tls=theirs.contexts("p5"))
            plain = await stage.station("p6")
            for other in (liar, stranger, plain):
                other.dial(second)
            await stage.until(lambda: liar.seen and stranger.seen and plain.seen)
            assert liar.reports(HelloRefused)[0].code is RefusalCode.CERTIFICATE
            assert "not accepted here" in stranger.reports(DialFailed)[0].reason
            assert plain.reports(HelloRefused)[0].code is RefusalCode.TLS
            second.dial(plain)
            await stage.until(lambda: second.reports(DialFailed))
            assert "does not speak TLS" in second.reports(DialFailed)[0].reason

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(exchange())


# --- certificates that prove something else -----------------------------------------------


async def test_a_certificate_of_another_authority_is_refused(ours, tmp_path):
    theirs = Authority(tmp_path / "theirs")
    async with Stage() as stage:
        first, second = await refused(
            stage, dialler=theirs.contexts("p1"), acceptor=ours.contexts("p2")
        )
        reason = first.reports(DialFailed)[0].reason
        assert reason.startswith("its certificate is not accepted here: ")
        assert second.reports(StrangerDropped)[0].fault is StrangerFault.TLS


async def test_an_acceptor_refuses_a_certificate_of_another_authority(ours, tmp_path):
    """The dialler believes both authorities, so that the acceptor is the one who refuses."""
    theirs = Authority(tmp_path / "theirs")
    trusting = theirs.contexts("p1")
    trusting.client.load_verify_locations(ours.files("p2").authority)
    async with Stage() as stage:
        first, second = await refused(stage, dialler=trusting, acceptor=ours.contexts("p2"))
        assert "certificate" in first.reports(DialFailed)[0].reason
        report = second.reports(StrangerDropped)[0]
        assert report.fault is StrangerFault.TLS
        assert report.reason.startswith("its certificate is not accepted here: ")


async def test_a_dialler_with_the_certificate_of_another_peer_is_refused(ours):
    async with Stage() as stage:
        first, second = await refused(
            stage, dialler=ours.contexts("p3"), acceptor=ours.contexts("p2")
        )
        heard, said = first.reports(HelloRefused)[0], second.reports(HelloRefused)[0]
        assert heard.code is said.code is RefusalCode.CERTIFICATE
        assert (heard.is_ours, said.is_ours) == (False, True)
        assert heard.message == said.message
        assert heard.message == (
            "the greeting claims to be p1 of cluster demo,"
            " and the certificate names replicante://demo/p3"
        )


async def test_an_acceptor_with_the_certificate_of_another_peer_is_refused(ours):
    async with Stage() as stage:
        first = await stage.station("p1", tls=ours.contexts("p1"))
        second = await stage.station("p2", tls=ours.contexts("p3"))
        first.dial(second)
        await stage.until(lambda: first.reports(HelloRefused))
        report = first.reports(HelloRefused)[0]
        assert (report.code, report.is_ours) == (RefusalCode.CERTIFICATE, True)
        assert not first.reports(LinkUp)


@pytest.mark.parametrize("is_proved", [True, False])
async def test_a_refusal_is_believed_only_from_the_peer_that_was_dialled(ours, is_proved):
    """An unborn peer gives up when it is told that it is not a member."""
    async with Stage() as stage:
        first = await stage.station("p1", tls=ours.contexts("p1"))
        second = await stage.station("p2", tls=ours.contexts("p2" if is_proved else "p3"))
        second.judge = lambda hello: Refusal(code=RefusalCode.NOT_A_MEMBER, message="go away")
        first.dial(second)
        await stage.until(lambda: first.reports(HelloRefused))
        report = first.reports(HelloRefused)[0]
        assert not report.is_ours and report.message.endswith("go away")
        expected = RefusalCode.NOT_A_MEMBER if is_proved else RefusalCode.CERTIFICATE
        assert report.code is expected


async def test_an_address_that_leads_back_is_recognised_over_tls(ours):
    async with Stage() as stage:
        station = await stage.station("p1", tls=ours.contexts("p1"))
        station.transport.set_peers({P2: station.address})
        await stage.until(lambda: len(station.reports(SelfDialled)) == len(Channel))
        assert not station.reports(HelloRefused)


async def test_a_certificate_for_another_cluster_is_refused_whatever_the_greeting_says(ours):
    async with Stage() as stage:
        _, second = await refused(
            stage,
            dialler=ours.foreign("p1", cluster="other"),
            acceptor=ours.contexts("p2"),
        )
        report = second.reports(HelloRefused)[0]
        assert report.code is RefusalCode.CERTIFICATE
        assert report.message.endswith("the certificate names replicante://other/p1")


async def test_a_peer_of_another_cluster_proves_it_and_is_judged_by_the_cluster(ours):
    async with Stage() as stage:
        first = await stage.station(
            "p1",
            local=identity("p1", cluster_name="other"),
            tls=ours.foreign("p1", cluster="other"),
        )
        second = await stage.station("p2", tls=ours.contexts("p2"))
        first.dial(second)
        await stage.until(lambda: second.reports(LinkUp))  # this stage's judge welcomes everyone


@pytest.mark.parametrize("is_dialler", [True, False])
async def test_an_expired_certificate_is_refused(ours, is_dialler):
    ours.clock.days = -30
    expired = ours.contexts("p1" if is_dialler else "p2", days=1)
    ours.clock.days = 0
    good = ours.contexts("p2" if is_dialler else "p1")
    async with Stage() as stage:
        first, second = await refused(
            stage,
            dialler=expired if is_dialler else good,
            acceptor=good if is_dialler else expired,
        )
        reasons = [
            report.reason
            for station in (first, second)
            for report in (*station.reports(DialFailed), *station.reports(StrangerDropped))
        ]
        assert any("certificate has expired" in reason for reason in reasons), reasons


async def test_a_renewed_authority_is_believed_by_those_who_know_the_old_one(ours):
    async with Stage() as stage:
        old = await stage.station("p1", tls=ours.contexts("p1"))
        before = ours.files("p2").authority.read_bytes()
        ours.folder.renew_authority(days=400)
        assert ours.files("p2").authority.read_bytes() != before
        new = await stage.station("p2", tls=ours.contexts("p2"))
        new.dial(old)
        old.dial(new)
        await stage.until(lambda: new.is_linked_to("p1") and old.is_linked_to("p2"))
