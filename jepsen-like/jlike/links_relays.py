"""The network between peers as TCP relays, one before each; for machines without namespaces.

Used by `jlike.environments`, which has peers advertise the relays. Who dialled is found by the
process that owns the other end, so that one address a peer is enough. While a direction is cut its
bytes are held, not lost, and nothing is reset: what TCP sees of a partition. What this cannot do:
lose SYNs, reorder, leave a half-open kernel state. A loss is what TCP makes of it: a wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Iterable

from jlike.links import Flaw, Pair
from jlike.sockets import owner

CHUNK_BYTES = 65_536
RESENT_AFTER_S = 0.2
"""The shortest time after which Linux sends a lost segment again, when nothing tells it earlier."""


class Relays:
    """Keeps the protocol Links. pids: peer id → process id of now, for finding out who dialled."""

    def __init__(self, pids: Callable[[], dict[str, int]], chance: random.Random) -> None:
        self._pids = pids
        self._chance = chance
        self._cut: set[Pair] = set()
        self._changed = asyncio.Condition()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._flaws: dict[Pair, Flaw] = {}
        self.held: Counter[Pair] = Counter()
        self.marred: Counter[Pair] = Counter()

    async def relay(self, peer_id: str, *, port: int, host: str = "127.0.0.1") -> int:
        """Opens the relay before this peer, which listens at `port`. Result: the relay's port."""

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            joined = self._join(reader, writer, to=peer_id, host=host, port=port)
            task = asyncio.get_running_loop().create_task(joined)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _: writer.close())

        server = await asyncio.start_server(accept, host, 0)
        self._servers.append(server)
        found: int = server.sockets[0].getsockname()[1]
        return found

    async def cut(self, pairs: Iterable[Pair]) -> None:
        async with self._changed:
            self._cut |= set(pairs)

    async def heal(self, pairs: Iterable[Pair] | None = None) -> None:
        async with self._changed:
            self._cut -= set(self._cut if pairs is None else pairs)
            self._changed.notify_all()

    def mar(self, pairs: Iterable[Pair], flaw: Flaw) -> None:
        self._flaws |= dict.fromkeys(pairs, flaw)

    def mend(self, pairs: Iterable[Pair] | None = None) -> None:
        for pair in set(self._flaws if pairs is None else pairs):
            self._flaws.pop(pair, None)

    async def passing(self, pairs: Iterable[Pair], *, seconds: float) -> set[Pair]:
        """By our own books: only a peer could try."""
        return set(pairs) - self._cut

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _join(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        to: str,
        host: str,
        port: int,
    ) -> None:
        source = owner(writer, self._pids())
        if source is None:
            return
        await self._passable((source, to))
        await self._passable((to, source))
        try:
            far_reader, far_writer = await asyncio.open_connection(host, port)
        except OSError:
            return
        pumps = [
            asyncio.create_task(self._pump(reader, far_writer, pair=(source, to))),
            asyncio.create_task(self._pump(far_reader, writer, pair=(to, source))),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            far_writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, pair: Pair
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                await self._passable(pair)
                if flaw := self._flaws.get(pair):
                    wait_s = _wait_s(flaw, self._chance)
                    self.marred[pair] += wait_s > 0
                    await asyncio.sleep(wait_s)
                writer.write(chunk)
                await writer.drain()

    async def _passable(self, pair: Pair) -> None:
        if pair in self._cut:
            self.held[pair] += 1
            async with self._changed:
                await self._changed.wait_for(lambda: pair not in self._cut)


def _wait_s(flaw: Flaw, chance: random.Random) -> float:
    """A lost chunk is sent again, and may be lost again; meanwhile all behind it waits."""
    seconds = flaw.delay_s + chance.uniform(0, flaw.jitter_s)
    wait_s = RESENT_AFTER_S
    while chance.random() < flaw.loss and wait_s < 1.0:
        seconds, wait_s = seconds + wait_s, wait_s * 2
    return seconds
