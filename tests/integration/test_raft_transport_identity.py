"""Greetings that are well-formed and unwelcome: wrong clusters, versions, doubles, oneself."""

from __future__ import annotations

import pytest
from raft_stations import Stage, Station, greeting, identity

from replicante.ids import Incarnation, PeerId
from replicante.raft import frames
from replicante.raft.transport import (
    Channel,
    Hello,
    HelloRefused,
    IdentityClash,
    LinkDown,
    LinkTimes,
    LinkUp,
    Refusal,
    RefusalCode,
    SelfDialled,
)


def same_cluster_only(station: Station):
    def judge(hello: Hello) -> Refusal | None:
        if hello.cluster_name == station.local.cluster_name:
            return None
        return Refusal(
            code=RefusalCode.CLUSTER_NAME,
            message=f"this is cluster {station.local.cluster_name}, not {hello.cluster_name}",
        )

    return judge


# --- refused greetings ------------------------------------------------------------------


async def test_a_peer_of_another_cluster_is_refused_by_both_ends_with_a_reason():
    async with Stage() as stage:
        ours = await stage.station("p1")
        theirs = await stage.station("p2", local=identity("p2", cluster_name="other"))
        ours.judge = same_cluster_only(ours)
        theirs.judge = same_cluster_only(theirs)
        ours.dial(theirs)
        await stage.until(lambda: ours.reports(HelloRefused) and theirs.reports(HelloRefused))
        heard, said = ours.reports(HelloRefused)[0], theirs.reports(HelloRefused)[0]
        assert not heard.is_inbound and not heard.is_ours
        assert said.is_inbound and said.is_ours
        assert heard.code is said.code is RefusalCode.CLUSTER_NAME
        assert heard.message == said.message == "this is cluster other, not demo"
        assert (heard.peer_id, said.peer_id) == ("p2", "p1")
        assert not ours.reports(LinkUp) and not theirs.reports(LinkUp)


async def test_the_dialler_refuses_too():
    async with Stage() as stage:
        ours = await stage.station("p1")
        theirs = await stage.station("p2", local=identity("p2", cluster_name="other"))
        ours.judge = same_cluster_only(ours)
        ours.dial(theirs)
        await stage.until(lambda: ours.reports(HelloRefused))
        report = ours.reports(HelloRefused)[0]
        assert report.is_ours and not report.is_inbound
        assert report.message == "this is cluster demo, not other"
        assert not ours.reports(LinkUp)
        assert ours.hellos[0][1] is not None


async def test_a_peer_of_another_version_hears_which_are_spoken_here():
    async with Stage() as stage:
        station = await stage.station("p1")
        peer = await stage.stranger(station)
        newer = frames.encode_hello(greeting(identity("p2"), Channel.VITAL, protocol_min=7))
        await peer.write(frames.encode_frame(newer))
        answer = await peer.read_greeting()
        assert isinstance(answer, Refusal)
        assert answer.code is RefusalCode.VERSION
        assert answer.message.endswith(f"this peer {frames.PROTOCOL_MIN} to {frames.PROTOCOL_MAX}")
        assert await peer.is_closed_without_a_word()


async def test_another_peer_at_the_address_is_not_mistaken_for_the_right_one():
    async with Stage() as stage:
        first = await stage.station("p1")
        third = await stage.station("p3")
        first.transport.set_peers({PeerId("p2"): third.address})
        await stage.until(lambda: first.reports(HelloRefused))
        report = first.reports(HelloRefused)[0]
        assert report.code is RefusalCode.WRONG_PEER
        assert report.message == "p3 answers at the address of p2"
        assert not first.transport.is_connected(PeerId("p2"))


# --- doubles ----------------------------------------------------------------------------


async def test_a_peer_in_its_own_list_does_not_dial_itself():
    async with Stage() as stage:
        first = await stage.station("p1")
        second = await stage.station("p2")
        first.dial(first, second)
        await stage.until(lambda: first.is_linked_to("p2"))
        assert {report.peer_id for report in first.reports(LinkUp)} == {"p2"}


async def test_an_address_that_leads_back_is_told_once_and_quietly():
    eager = LinkTimes(redial_ms_min=1, redial_ms_max=2)
    async with Stage() as stage:
        attempts = []

        async def resolve(host: str) -> list[str]:
            attempts.append(host)
            stage.changed.set()
            return [host]

        station = await stage.station("p1", times=eager, resolve=resolve)
        station.transport.set_peers({PeerId("p2"): station.address})
        await stage.until(lambda: len(attempts) >= 10)
        assert len(station.reports(SelfDialled)) == len(Channel)
        assert {type(report) for report in station.seen} == {SelfDialled}
        assert not station.hellos


@pytest.mark.parametrize("incarnation", [Incarnation("ab" * 16), identity("p1").incarnation])
async def test_two_processes_with_one_id_both_hear_of_it(incarnation):
    async with Stage() as stage:
        first = await stage.station("p1")
        double = await stage.station("p1", local=identity("p1", incarnation=incarnation))
        first.transport.set_peers({PeerId("p2"): double.address})
        await stage.until(lambda: double.reports(IdentityClash) and first.reports(HelloRefused))
        clash = double.reports(IdentityClash)[0]
        assert (clash.peer_id, clash.incarnation) == ("p1", first.local.incarnation)
        heard = first.reports(HelloRefused)[0]
        assert heard.code is RefusalCode.IDENTITY_CLASH
        assert heard.message == "another process calls itself p1 in cluster demo too"
        assert not first.reports(LinkUp) and not double.reports(LinkUp)


async def test_a_namesake_in_another_cluster_is_no_clash():
    async with Stage() as stage:
        first = await stage.station("p1")
        namesake = await stage.station("p1", local=identity("p1", cluster_name="other"))
        namesake.judge = same_cluster_only(namesake)
        first.transport.set_peers({PeerId("p2"): namesake.address})
        await stage.until(lambda: first.reports(HelloRefused))
        assert first.reports(HelloRefused)[0].code is RefusalCode.CLUSTER_NAME
        assert not namesake.reports(IdentityClash)


async def test_nobody_may_use_this_peers_name_whatever_the_judge_says():
    async with Stage() as stage:
        first = await stage.station("p1")
        namesake = await stage.station("p1", local=identity("p1", cluster_name="other"))
        first.transport.set_peers({PeerId("p2"): namesake.address})
        await stage.until(lambda: namesake.reports(IdentityClash))
        assert not namesake.reports(LinkUp)


async def test_two_incarnations_of_one_peer_may_both_be_heard():
    async with Stage() as stage:
        station = await stage.station("p1")
        for incarnation in ("ab" * 16, "cd" * 16):
            local = identity("p2", incarnation=Incarnation(incarnation))
            await (await stage.stranger(station)).greet(local)
        assert len(station.reports(LinkUp)) == 2
        assert not station.reports(LinkDown)


async def test_a_newer_connection_replaces_the_older_which_hears_why():
    async with Stage() as stage:
        station = await stage.station("p1")
        older = await stage.stranger(station)
        await older.greet(identity("p2"))
        newer = await stage.stranger(station)
        await newer.greet(identity("p2"))
        farewell = await older.read_greeting()
        assert isinstance(farewell, Refusal)
        assert farewell.code is RefusalCode.REPLACED
        assert await older.is_closed_without_a_word()
        await newer.write(frames.encode_frame(b"still here"))
        await stage.until(lambda: station.bodies == [b"still here"])


async def test_a_copy_of_a_peer_takes_its_place_without_a_storm():
    patient = LinkTimes(redial_ms_min=600_000, redial_ms_max=600_000)
    async with Stage() as stage:
        station = await stage.station("p1")
        original = await stage.station("p2", times=patient)
        original.dial(station)
        await stage.until(lambda: original.is_linked_to("p1"))
        copy = await stage.station("p2", times=patient)
        copy.dial(station)
        await stage.until(lambda: copy.is_linked_to("p1"))
        await stage.until(lambda: len(original.reports(LinkDown)) == 2)
        codes = {report.code for report in original.reports(HelloRefused)}
        assert codes == {RefusalCode.REPLACED}
        assert not original.is_linked_to("p1")
