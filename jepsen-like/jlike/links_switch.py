"""The network between peers as a switch of ours: every IP packet between their namespaces passes
through this process, which forwards, delays, doubles or drops it.

Used by `jlike.environments`. A packet goes where its address says; from whom it is, the cable
tells. A cut loses everything in that direction, SYNs and acknowledgements too. Needs nothing of
the kernel but namespaces and TUN: no packet filter, no queueing discipline, no bridge.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
from collections import Counter
from collections.abc import Iterable, Mapping

from jlike.links import Flaw, Pair
from jlike.spaces import Space

PACKET_BYTES_MAX = 65_536
TURN_PACKETS_MAX = 64
"""Of one cable before others have their turn."""
PROBE_PORT = 7_777
_IPV4, _UDP = 4, 17


class Switch:
    """Keeps the protocol Links. spaces: by peer id."""

    def __init__(self, spaces: Mapping[str, Space], chance: random.Random) -> None:
        self._spaces = spaces
        self._chance = chance
        self._by_address = {
            socket.inet_aton(space.address): peer_id for peer_id, space in spaces.items()
        }
        self._cut: set[Pair] = set()
        self._flaws: dict[Pair, Flaw] = {}
        self._probes: dict[str, socket.socket] = {}
        self.held: Counter[Pair] = Counter()
        self.marred: Counter[Pair] = Counter()

    def open(self) -> None:
        loop = asyncio.get_running_loop()
        for peer_id, space in self._spaces.items():
            loop.add_reader(space.cable, self._read, peer_id)
            with space.entered():
                probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            probe.setblocking(False)
            probe.bind((space.address, PROBE_PORT))
            self._probes[peer_id] = probe

    async def cut(self, pairs: Iterable[Pair]) -> None:
        self._cut |= set(pairs)

    async def heal(self, pairs: Iterable[Pair] | None = None) -> None:
        self._cut -= set(self._cut if pairs is None else pairs)

    def mar(self, pairs: Iterable[Pair], flaw: Flaw) -> None:
        self._flaws |= dict.fromkeys(pairs, flaw)

    def mend(self, pairs: Iterable[Pair] | None = None) -> None:
        for pair in set(self._flaws if pairs is None else pairs):
            self._flaws.pop(pair, None)

    async def passing(self, pairs: Iterable[Pair], *, seconds: float) -> set[Pair]:
        """A datagram for each, from the kernel of one namespace to that of the other. Lossy links
        may eat it: whoever needs to know asks again."""
        wanted = set(pairs)
        mark = os.urandom(8)
        numbered = dict(enumerate(sorted(wanted)))
        for number, (one, other) in numbered.items():
            place = (self._spaces[other].address, PROBE_PORT)
            self._probes[one].sendto(mark + number.to_bytes(2, "big"), place)
        arrived: set[Pair] = set()
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + seconds
        while arrived != wanted and loop.time() < ends_s:
            await asyncio.sleep(0.01)
            for probe in self._probes.values():
                arrived |= {numbered[it] for it in _received(probe, mark) if it in numbered}
        return arrived

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        for space in self._spaces.values():
            loop.remove_reader(space.cable)
        for probe in self._probes.values():
            probe.close()

    def _read(self, source: str) -> None:
        cable = self._spaces[source].cable
        for _ in range(TURN_PACKETS_MAX):
            try:
                packet = os.read(cable, PACKET_BYTES_MAX)
            except BlockingIOError:
                return
            if packet[0] >> 4 == _IPV4 and (target := self._by_address.get(packet[16:20])):
                self._switch(packet, (source, target))

    def _switch(self, packet: bytes, pair: Pair) -> None:
        is_probe = packet[9] == _UDP
        if pair in self._cut:
            self.held[pair] += not is_probe
            return
        flaw = self._flaws.get(pair)
        if flaw is None:
            self._write(packet, pair)
            return
        is_lost = self._chance.random() < flaw.loss
        copies = 0 if is_lost else 2 if self._chance.random() < flaw.twice else 1
        waits_s = [flaw.delay_s + self._chance.uniform(0, flaw.jitter_s) for _ in range(copies)]
        is_marred = copies != 1 or waits_s[0] > 0
        self.marred[pair] += is_marred and not is_probe
        for wait_s in waits_s:
            asyncio.get_running_loop().call_later(wait_s, self._write, packet, pair)

    def _write(self, packet: bytes, pair: Pair) -> None:
        """A packet that was on its way when the cut was made is lost with it."""
        if pair not in self._cut:
            # No room, or the network is closed: the packet is lost, as on any network.
            with contextlib.suppress(OSError):
                os.write(self._spaces[pair[1]].cable, packet)


def _received(probe: socket.socket, mark: bytes) -> list[int]:
    """Numbers of the probes of this round."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            text = probe.recv(64)
            if text.startswith(mark):
                found.append(int.from_bytes(text[len(mark) :], "big"))
    return found
