"""Peers that die, restart, move, or are found late: when and where another peer dials them."""

from __future__ import annotations

from raft_stations import Stage

from replicante.ids import PeerId
from replicante.raft.transport import DialFailed, LinkDown, LinkRefused, LinkTimes

P2 = PeerId("p2")


async def test_a_peer_that_restarts_is_met_again():
    async with Stage() as stage:
        first, second = await stage.pair()
        await second.transport.stop()
        await stage.until(lambda: not first.is_linked_to("p2"))
        again = await stage.station("p2", listen=second.address)
        again.dial(first)
        await stage.until(lambda: first.is_linked_to("p2") and again.is_linked_to("p1"))
        first.send("p2", b"welcome back")
        await stage.until(lambda: again.bodies == [b"welcome back"])


async def test_a_peer_that_is_gone_is_told_from_one_that_never_was():
    async with Stage() as stage:
        first, second = await stage.pair()
        await second.transport.stop()
        await stage.until(lambda: len(first.reports(LinkRefused)) >= 4)
        assert all(
            report.follows_loss and report.peer_id == "p2" and report.address == second.address
            for report in first.reports(LinkRefused)
        )
        lonely = await stage.station("p3")
        lonely.dial(second)
        await stage.until(lambda: len(lonely.reports(LinkRefused)) >= 4)
        assert not any(report.follows_loss for report in lonely.reports(LinkRefused))
        assert not lonely.reports(DialFailed)


async def test_the_first_redial_after_a_loss_waits_for_nothing():
    patient = LinkTimes(redial_ms_min=600_000, redial_ms_max=600_000)
    async with Stage() as stage:
        first, second = await stage.pair(times=patient)
        await second.transport.stop()
        await stage.until(lambda: len(first.reports(LinkRefused)) >= 2)


async def test_a_peer_that_shows_itself_is_dialled_without_waiting():
    patient = LinkTimes(redial_ms_min=600_000, redial_ms_max=600_000)
    async with Stage() as stage:
        first = await stage.station("p1", times=patient)
        gone = await stage.station("p2")
        await gone.transport.stop()
        first.dial(gone)
        await stage.until(lambda: len(first.reports(LinkRefused)) == 2)
        again = await stage.station("p2", listen=gone.address)
        again.dial(first)
        await stage.until(lambda: first.is_linked_to("p2"))


async def test_a_name_that_resolves_late_is_looked_up_until_it_does():
    answers = [OSError(-2, "Name or service not known"), [], ["127.0.0.1"]]
    asked = []

    async def resolve(host: str) -> list[str]:
        asked.append(host)
        answer = answers[0] if len(answers) == 1 else answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    async with Stage() as stage:
        second = await stage.station("p2")
        first = await stage.station("p1", resolve=resolve)
        port = second.address.rsplit(":", 1)[1]
        first.transport.set_peers({P2: f"peer-two.local:{port}"})
        await stage.until(lambda: first.is_linked_to("p2"))
        assert set(asked) == {"peer-two.local"}
        reasons = {report.reason for report in first.reports(DialFailed)}
        assert reasons == {
            "the name peer-two.local is not resolved: Name or service not known",
            "the name peer-two.local has no address",
        }


async def test_a_name_that_moves_is_followed():
    at = {"host": "127.0.0.1"}

    async def resolve(host: str) -> list[str]:
        return [at["host"]]

    async with Stage() as stage:
        old = await stage.station("p2")
        port = old.address.rsplit(":", 1)[1]
        first = await stage.station("p1", resolve=resolve)
        first.transport.set_peers({P2: f"peer-two.local:{port}"})
        await stage.until(lambda: first.is_linked_to("p2"))
        at["host"] = "127.0.0.2"
        new = await stage.station("p2", listen=f"127.0.0.2:{port}")
        await old.transport.stop()
        await stage.until(lambda: len(new.hellos) == 2)


async def test_addresses_of_one_name_are_tried_in_turn():
    async def resolve(host: str) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async with Stage() as stage:
        second = await stage.station("p2")
        first = await stage.station("p1", resolve=resolve)
        first.transport.set_peers({P2: second.address})
        await stage.until(lambda: first.is_linked_to("p2"))
        assert not first.reports(LinkRefused)


async def test_a_peer_off_the_list_is_let_go_and_one_that_moved_is_followed():
    async with Stage() as stage:
        first, second = await stage.pair()
        moved = await stage.station("p3")
        first.transport.set_peers({P2: second.address, PeerId("p3"): "127.0.0.1:1"})
        assert first.is_linked_to("p2")
        first.transport.set_peers({PeerId("p3"): moved.address})
        await stage.until(lambda: first.is_linked_to("p3") and not first.is_linked_to("p2"))
        assert {report.reason for report in first.reports(LinkDown)} == {"no longer dialled"}
