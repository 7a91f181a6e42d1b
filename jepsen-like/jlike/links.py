"""The network between peers: a TCP relay before each, which can be cut, one direction at a time.

Used by `jlike.peers`, which advertises the relay's address for each peer. Who dialled is found by
the process that owns the other end, so that one address a peer is enough. While a direction is cut
its bytes are held, not lost, and nothing is reset: what TCP sees of a partition. What this cannot
do: lose SYNs, reorder, leave a half-open kernel state.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable

CHUNK_BYTES = 65_536
_TCP_LISTING = "/proc/net/tcp"
Pair = tuple[str, str]
"""(from, to), by peer id."""


class Links:
    """pids: peer id → process id of now, for finding out who dialled."""

    def __init__(self, pids: Callable[[], dict[str, int]]) -> None:
        self._pids = pids
        self._cut: set[Pair] = set()
        self._changed = asyncio.Condition()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.held: Counter[Pair] = Counter()
        """Times that bytes met a cut: the proof that it took effect."""
        self.delay_s: dict[Pair, float] = {}
        self.slowed = 0

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
        """These, or all."""
        async with self._changed:
            self._cut -= set(self._cut if pairs is None else pairs)
            self._changed.notify_all()

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
        source = owner(writer.get_extra_info("peername")[1], self._pids())
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
                if delay := self.delay_s.get(pair):
                    self.slowed += 1
                    await asyncio.sleep(delay)
                writer.write(chunk)
                await writer.drain()

    async def _passable(self, pair: Pair) -> None:
        if pair in self._cut:
            self.held[pair] += 1
            async with self._changed:
                await self._changed.wait_for(lambda: pair not in self._cut)


def owner(port: int, pids: dict[str, int]) -> str | None:
    """The peer whose process has a connection from this loopback port."""
    inode = _inode(port)
    if inode is None:
        return None
    wanted = f"socket:[{inode}]"
    for peer_id, pid in pids.items():
        folder = f"/proc/{pid}/fd"
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):
                with contextlib.suppress(OSError):
                    if os.readlink(f"{folder}/{name}") == wanted:
                        return peer_id
    return None


def _inode(port: int) -> str | None:
    with open(_TCP_LISTING, encoding="ascii") as listing:
        next(listing)
        for line in listing:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port and fields[9] != "0":
                return fields[9]
    return None
