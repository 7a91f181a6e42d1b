"""The switch between namespaces: what is forwarded, lost, late or doubled, and that nothing of it
stays; on sockets in the place of cables, and between real namespaces where those can be made."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from jlike import environments
from jlike.environments import Spaced
from jlike.links import Flaw
from jlike.links_switch import Switch

LIMIT_S = 20
TCP, UDP = 6, 17
NO_SPACES = (
    environments.why_no_spaces()
    if os.geteuid() == 0
    else "without root they would take this process's own network from it"
)


def _packet(source: str, target: str, *, protocol: int = TCP, text: bytes = b"x") -> bytes:
    """As much of an IPv4 packet as the switch reads."""
    head = bytes([0x45, *bytes(8), protocol, *bytes(2)])
    return head + socket.inet_aton(source) + socket.inet_aton(target) + text


A_TO_B = _packet("10.0.0.1", "10.0.0.2")


@contextmanager
def cabled(seed: int = 1) -> Iterator[tuple[Switch, dict[str, socket.socket]]]:
    """A switch with a and b; and the ends of their cables that would be theirs."""
    sockets = {it: socket.socketpair(type=socket.SOCK_DGRAM) for it in "ab"}
    for it in (one for pair in sockets.values() for one in pair):
        it.setblocking(False)
    spaces: Any = {
        it: SimpleNamespace(address=f"10.0.0.{number}", cable=sockets[it][0].fileno())
        for number, it in enumerate("ab", start=1)
    }
    try:
        yield Switch(spaces, random.Random(seed)), {it: pair[1] for it, pair in sockets.items()}
    finally:
        for it in (one for pair in sockets.values() for one in pair):
            it.close()


def _got(end: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(end.recv(100))
        except BlockingIOError:
            return found


def test_a_packet_goes_where_its_address_says():
    with cabled() as (switch, ends):
        ends["a"].send(A_TO_B)
        switch._read("a")
        assert _got(ends["b"]) == [A_TO_B]
        assert _got(ends["a"]) == []


def test_a_packet_to_nobody_or_not_of_ip_version_4_is_dropped():
    with cabled() as (switch, ends):
        for packet in (_packet("10.0.0.1", "10.0.0.9"), b"\x60" + A_TO_B[1:]):
            ends["a"].send(packet)
            switch._read("a")
        assert _got(ends["b"]) == []


async def test_a_cut_loses_one_direction_and_counts_what_peers_sent():
    with cabled() as (switch, ends):
        await switch.cut([("a", "b")])
        for packet in (A_TO_B, _packet("10.0.0.1", "10.0.0.2", protocol=UDP)):
            ends["a"].send(packet)
            switch._read("a")
        ends["b"].send(_packet("10.0.0.2", "10.0.0.1"))
        switch._read("b")
        assert _got(ends["b"]) == []
        assert len(_got(ends["a"])) == 1
        assert switch.held == {("a", "b"): 1}, "our own probes are not what peers sent"
        await switch.heal()
        ends["a"].send(A_TO_B)
        switch._read("a")
        assert _got(ends["b"]) == [A_TO_B]


async def test_flaws_lose_double_and_delay_the_share_that_they_say():
    counts = {}
    for name, flaw in (("loss", Flaw(loss=0.3)), ("twice", Flaw(twice=0.3))):
        with cabled(seed=5) as (switch, ends):
            switch.mar([("a", "b")], flaw)
            arrived = 0
            for _ in range(500):
                ends["a"].send(A_TO_B)
                switch._read("a")
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                arrived += len(_got(ends["b"]))
            counts[name] = arrived
            assert switch.marred == {("a", "b"): abs(500 - arrived)}, "what passed met no flaw"
    assert 300 < counts["loss"] < 400
    assert 600 < counts["twice"] < 700


async def test_what_is_late_has_met_a_flaw():
    with cabled() as (switch, ends):
        switch.mar([("a", "b")], Flaw(delay_s=0.001))
        ends["a"].send(A_TO_B)
        switch._read("a")
        assert switch.marred == {("a", "b"): 1}


async def test_what_is_under_way_when_a_cut_is_made_is_lost_with_it():
    with cabled() as (switch, ends):
        switch.mar([("a", "b")], Flaw(delay_s=0.01))
        ends["a"].send(A_TO_B)
        switch._read("a")
        assert _got(ends["b"]) == []
        await switch.cut([("a", "b")])
        await asyncio.sleep(0.05)
        assert _got(ends["b"]) == []


# --- real namespaces -----------------------------------------------------------------------------

real = pytest.mark.skipif(bool(NO_SPACES), reason=f"no network namespaces: {NO_SPACES}")
EVERY_PAIR = {(one, other) for one in ("p1", "p2", "p3") for other in ("p1", "p2", "p3")} - {
    (it, it) for it in ("p1", "p2", "p3")
}


@asynccontextmanager
async def spaced() -> AsyncIterator[Spaced]:
    environment = Spaced(random.Random(1))
    await environment.place(["p1", "p2", "p3"])
    try:
        yield environment
    finally:
        await environment.close()


@real
async def test_every_kernel_reaches_every_other_but_over_what_is_cut():
    async with spaced() as environment:
        links = environment.links
        assert await links.passing(EVERY_PAIR, seconds=LIMIT_S) == EVERY_PAIR
        cut = {("p1", "p2"), ("p3", "p1")}
        await links.cut(cut)
        assert await links.passing(EVERY_PAIR, seconds=0.5) == EVERY_PAIR - cut
        await links.heal()
        assert await links.passing(EVERY_PAIR, seconds=LIMIT_S) == EVERY_PAIR


@real
async def test_a_connection_lives_through_a_cut_and_a_lossy_link():
    async with spaced() as environment:
        links = environment.links
        loop = asyncio.get_running_loop()
        with environment.door("p1"):
            listening = socket.create_server(("0.0.0.0", 0))
        with environment.door("p2"):
            calling = socket.socket()
        address = (environment._spaces["p1"].address, listening.getsockname()[1])
        with listening, calling:
            listening.setblocking(False)
            calling.setblocking(False)
            async with asyncio.timeout(LIMIT_S):
                await loop.sock_connect(calling, address)
                called, _ = await loop.sock_accept(listening)
                with called:
                    await links.cut([("p2", "p1")])
                    await loop.sock_sendall(calling, b"one")
                    while not links.held[("p2", "p1")]:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                    await links.heal()
                    assert await loop.sock_recv(called, 10) == b"one"
                    links.mar(EVERY_PAIR, Flaw(loss=0.3, delay_s=0.01, twice=0.3))
                    for number in range(20):
                        await loop.sock_sendall(calling, bytes([number]))
                        assert await loop.sock_recv(called, 10) == bytes([number])
                    assert links.marred[("p2", "p1")] >= 20


@real
async def test_nothing_is_seen_of_it_from_outside_and_nothing_stays():
    names = set(os.listdir("/sys/class/net"))
    descriptors = set(os.listdir("/proc/self/fd"))
    async with spaced():
        assert set(os.listdir("/sys/class/net")) == names
    assert set(os.listdir("/proc/self/fd")) == descriptors
