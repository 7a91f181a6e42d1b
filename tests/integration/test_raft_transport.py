"""Peers on loopback: exchange, bounds, start and stop. Run by hand, the file measures speed."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest
from raft_stations import PATIENCE_S, Stage, Station, identity, one_turn

from replicante import limits
from replicante.errors import AddressInUse, InvalidConfig
from replicante.ids import PeerId
from replicante.raft import frames
from replicante.raft.transport import (
    Channel,
    FrameError,
    LinkDown,
    LinkRefused,
    LinkUp,
    OutboxFull,
)

P2 = PeerId("p2")


# --- exchange ---------------------------------------------------------------------------


async def test_bodies_arrive_in_order_on_the_channel_they_were_sent_on():
    async with Stage() as stage:
        first, second = await stage.pair()
        for number in range(100):
            assert first.send("p2", b"%d" % number, Channel.VITAL)
            assert first.send("p2", b"%d" % -number, Channel.BULK)
        await stage.until(lambda: len(second.messages) == 200)
        for channel, sign in ((Channel.VITAL, 1), (Channel.BULK, -1)):
            heard = [message for message in second.messages if message[2] is channel]
            local = first.local
            assert heard == [
                (local.peer_id, local.incarnation, channel, b"%d" % (sign * number))
                for number in range(100)
            ]


async def test_a_body_may_come_in_pieces_and_be_as_large_as_a_frame():
    async with Stage() as stage:
        first, second = await stage.pair()
        large = bytes(limits.FRAME_BYTES_MAX)
        assert first.transport.send(P2, Channel.BULK, [b"one ", b"body"])
        assert first.transport.send(P2, Channel.BULK, large)
        await stage.until(lambda: len(second.messages) == 2)
        assert second.bodies == [b"one body", large]


async def test_a_body_that_no_peer_would_take_is_refused_at_once():
    async with Stage() as stage:
        first, _ = await stage.pair()
        for body in (b"", bytes(limits.FRAME_BYTES_MAX + 1)):
            with pytest.raises(FrameError):
                first.send("p2", body)


async def test_what_is_sent_in_one_turn_leaves_in_one_write():
    async with Stage() as stage:
        station = await stage.station("p1")
        ends = await stage.accept_by_hand(station, identity("p2"))
        for _ in range(100):
            station.send("p2", b"small")
        assert await ends[Channel.VITAL].read_chunk() == frames.encode_frame(b"small") * 100


async def test_both_sides_are_told_who_greeted():
    async with Stage() as stage:
        first = await stage.station("p1", local=identity("p1", birth=b"genesis", generation=4))
        second = await stage.station("p2")
        first.dial(second)
        await stage.until(lambda: len(first.hellos) == 2 and len(second.hellos) == 2)
        heard = {hello.channel: hello for hello, refusal in second.hellos if refusal is None}
        assert set(heard) == set(Channel)
        assert heard[Channel.BULK].birth == b"genesis"
        assert heard[Channel.BULK].generation == 4
        assert {hello.peer_id for hello, _ in first.hellos} == {"p2"}


async def test_greetings_say_what_changed_once_a_link_is_renewed():
    async with Stage() as stage:
        first, second = await stage.pair()
        first.transport.update_local(identity("p1", birth=b"born"))
        first.transport.renew(P2, "born")
        await stage.until(
            lambda: (
                sum(hello.birth == b"born" for hello, _ in second.hellos) >= 4
                and first.is_linked_to("p2")
                and second.is_linked_to("p1")
            )
        )
        assert {report.reason for report in first.reports(LinkDown)} == {"born"}


async def test_nothing_is_sent_where_no_link_stands():
    async with Stage() as stage:
        station = await stage.station("p1")
        assert not station.send("p2", b"lost")
        assert not station.transport.is_connected(P2)
        assert station.transport.counters.unsent_frames_count == 1


async def test_counters_tell_what_passed():
    async with Stage() as stage:
        first, second = await stage.pair()
        first.send("p2", b"body")
        await stage.until(lambda: second.messages)
        sent, received = first.transport.counters, second.transport.counters
        assert (sent.sent_frames_count, sent.sent_bytes) == (1, 4 + frames.HEADER_BYTES)
        assert (received.received_frames_count, received.received_bytes) == (1, 12)


# --- bounds -----------------------------------------------------------------------------


async def test_a_full_outbox_drops_and_says_so_once_then_takes_again():
    async with Stage() as stage:
        station = await stage.station("p1")
        ends = await stage.accept_by_hand(station, identity("p2"))
        body = bytes(limits.MIB)
        accepted_count = 0
        while station.send("p2", body, Channel.BULK):
            accepted_count += 1
            await one_turn()
        assert not station.send("p2", body, Channel.BULK)
        assert accepted_count * limits.MIB >= limits.LINK_OUTBOX_BYTES_MAX - limits.MIB
        assert station.transport.counters.dropped_frames_count == 2
        assert len(station.reports(OutboxFull)) == 1
        assert station.send("p2", b"heartbeat", Channel.VITAL)
        received_bytes = 0
        while not station.send("p2", body, Channel.BULK):
            received_bytes += len(await ends[Channel.BULK].read_chunk())
        assert received_bytes >= limits.MIB


async def test_a_burst_within_one_turn_is_bounded_too():
    async with Stage() as stage:
        first, second = await stage.pair()
        body = bytes(limits.MIB)
        accepted_count = sum(first.send("p2", body) for _ in range(40))
        assert accepted_count == limits.LINK_OUTBOX_BYTES_MAX // (limits.MIB + 8)
        await stage.until(lambda: len(second.messages) == accepted_count)
        assert first.send("p2", b"after")
        await stage.until(lambda: second.bodies[-1] == b"after")


async def test_a_paused_reader_hears_nothing_until_it_resumes_and_loses_nothing():
    async with Stage() as stage:
        first, second = await stage.pair()
        second.hear = lambda body: second.transport.pause_reading() if body == b"3" else None
        for number in range(10):
            first.send("p2", b"%d" % number)
        await stage.until(lambda: second.transport.is_reading_paused)
        assert second.bodies == [b"0", b"1", b"2", b"3"]
        # Frames that arrive meanwhile wait in the sockets; new peers may still greet.
        first.send("p2", b"late")
        third = await stage.station("p3")
        third.dial(second)
        await stage.until(lambda: len(third.reports(LinkUp)) == 2)
        third.send("p2", b"third")
        assert second.bodies == [b"0", b"1", b"2", b"3"]
        second.transport.resume_reading()
        await stage.until(lambda: len(second.messages) == 12)
        assert [body for body in second.bodies if body != b"third"] == [
            *(b"%d" % number for number in range(10)),
            b"late",
        ]


async def test_one_channel_is_held_while_the_other_is_read_and_loses_nothing():
    async with Stage() as stage:
        first, second = await stage.pair()
        second.hear = lambda body: (
            second.transport.hold(frozenset((Channel.BULK,))) if body == b"3" else None
        )
        for number in range(6):
            first.send("p2", b"%d" % number, Channel.BULK)
        await stage.until(lambda: b"3" in second.bodies)
        first.send("p2", b"late", Channel.BULK)
        first.send("p2", b"vital")
        await stage.until(lambda: b"vital" in second.bodies)
        assert second.bodies == [b"0", b"1", b"2", b"3", b"vital"]
        second.transport.pause_reading()
        second.transport.resume_reading()  # of what is not held
        first.send("p2", b"and more")
        await stage.until(lambda: b"and more" in second.bodies)
        assert second.bodies[4:] == [b"vital", b"and more"]
        second.transport.hold(frozenset())
        await stage.until(lambda: len(second.messages) == 9)
        assert second.bodies[6:] == [b"4", b"5", b"late"]


async def test_a_channel_that_is_held_no_more_waits_with_all_others_while_all_are_paused():
    async with Stage() as stage:
        first, second = await stage.pair()
        second.hear = lambda body: second.transport.hold(frozenset((Channel.BULK,)))
        for number in range(3):
            first.send("p2", b"%d" % number, Channel.BULK)
        await stage.until(lambda: second.messages)
        second.hear = lambda body: None
        second.transport.pause_reading()
        second.transport.hold(frozenset())
        assert second.bodies == [b"0"]
        second.transport.resume_reading()
        await stage.until(lambda: len(second.messages) == 3)


async def test_a_reader_may_pause_again_while_it_resumes():
    async with Stage() as stage:
        first, second = await stage.pair()
        second.hear = lambda body: second.transport.pause_reading()
        for number in range(5):
            first.send("p2", b"%d" % number)
        await stage.until(lambda: second.messages)
        for count in range(2, 6):
            assert len(second.messages) == count - 1
            second.transport.resume_reading()
            await stage.until(lambda count=count: len(second.messages) == count)


# --- start and stop ---------------------------------------------------------------------


async def test_a_taken_address_is_named():
    async with Stage() as stage:
        station = await stage.station("p1")
        with pytest.raises(AddressInUse, match=station.address):
            await stage.station("p2", listen=station.address)


@pytest.mark.parametrize("listen", ["192.0.2.1:0", "nowhere", "127.0.0.1:65536", ":7000", "a b:1"])
async def test_an_address_that_is_not_ours_is_named(listen):
    async with Stage() as stage:
        with pytest.raises(InvalidConfig, match=listen.replace(".", r"\.")):
            await stage.station("p1", listen=listen)


async def test_names_that_no_peer_could_read_are_refused_here():
    async with Stage() as stage:
        with pytest.raises(InvalidConfig, match="peer_id"):
            await stage.station("p1", local=identity("P 1"))
        station = await stage.station("p1")
        for peers in (
            {P2: "nowhere"},
            {P2: "127.0.0.1:0"},
            {PeerId(f"x{number}"): "127.0.0.1:1" for number in range(limits.PEERS_MAX + 1)},
        ):
            with pytest.raises(InvalidConfig):
                station.transport.set_peers(peers)


async def test_stop_lets_what_was_sent_leave_and_keeps_no_task():
    before = asyncio.all_tasks()
    async with Stage() as stage:
        first, second = await stage.pair()
        first.send("p2", b"last words")
        await first.transport.stop()
        await first.transport.stop()
        await stage.until(lambda: second.bodies == [b"last words"])
        assert {report.reason for report in first.reports(LinkDown)} == {"this peer stops"}
    assert asyncio.all_tasks() == before


async def test_stop_does_not_wait_for_a_peer_that_does_not_read():
    before = asyncio.all_tasks()
    async with Stage() as stage:
        station = await stage.station("p1")
        await stage.accept_by_hand(station, identity("p2"))
        while station.send("p2", bytes(limits.MIB), Channel.BULK):
            await one_turn()
        async with asyncio.timeout(PATIENCE_S):
            await station.transport.stop()
    assert asyncio.all_tasks() == before


async def test_a_cancelled_stop_is_cancelled_and_still_closes():
    async with Stage() as stage:
        first, second = await stage.pair()
        stopping = asyncio.create_task(first.transport.stop())
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        stopping = asyncio.create_task(second.transport.stop())
        await one_turn()
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        assert not second.is_linked_to("p1")
        stage.forget(second)


def test_a_loop_that_ends_takes_the_transport_with_it():
    async def leave_without_stop() -> Station:
        stage = Stage()
        first, _ = await stage.pair()
        return first

    station = asyncio.run(leave_without_stop())
    assert not station.is_linked_to("p2")


async def test_a_bug_of_ours_ends_the_transport_loudly():
    async with Stage() as stage:
        first, second = await stage.pair()
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)

        def hear(body: bytes) -> None:
            raise ZeroDivisionError

        second.hear = hear
        first.send("p2", b"body")
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(ExceptionGroup) as caught:
                await second.transport.wait_closed()
        assert caught.group_contains(ZeroDivisionError)
        with pytest.raises(ExceptionGroup):
            await second.transport.stop()
        stage.forget(second)


def test_the_faster_loop_carries_the_same():
    uvloop = pytest.importorskip("uvloop")

    async def exchange() -> None:
        async with Stage() as stage:
            first, second = await stage.pair()
            second.hear = lambda body: second.transport.pause_reading()
            for number in range(3):
                first.send("p2", b"%d" % number)
            while len(second.messages) < 3:
                await stage.until(lambda: second.transport.is_reading_paused)
                second.transport.resume_reading()
            await second.transport.stop()
            await stage.until(lambda: len(first.reports(LinkRefused)) >= 2)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(exchange())


# --- by hand ----------------------------------------------------------------------------


async def measure(count: int, size_bytes: int) -> str:
    async with Stage() as stage:
        first, second = await stage.pair()
        second.transport._board.on_message = (  # Nothing but the transport is measured.
            lambda *message: tally.append(None)
        )
        tally: list[None] = []
        body = bytes(size_bytes)
        start = time.perf_counter()
        sent_count = 0
        while len(tally) < count:
            for _ in range(256):
                if sent_count < count and first.send("p2", body, Channel.BULK):
                    sent_count += 1
            await one_turn()
        seconds = time.perf_counter() - start
    return f"{size_bytes:>7} B: {count / seconds:>9,.0f} messages/s"


if __name__ == "__main__":
    for count, size_bytes in ((300_000, 100), (100_000, 1_000), (5_000, 500_000)):
        sys.stdout.write(asyncio.run(measure(count, size_bytes)) + "\n")
