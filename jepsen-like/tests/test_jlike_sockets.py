"""Connections are told apart by the process at their other end."""

from __future__ import annotations

import asyncio
import os
import socket

from jlike.sockets import inode_of, owner


async def test_who_dialled_is_known_while_the_connection_stands():
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    server = await asyncio.start_server(lambda _, writer: accepted.put_nowait(writer), "127.0.0.1")
    async with server:
        where = server.sockets[0].getsockname()
        _, dialler = await asyncio.open_connection(*where)
        writer = await accepted.get()
        own = os.getpid()
        assert owner(writer, {"b": 1 << 22, "a": own}) == "a"
        assert owner(writer, {}) is None
        writer.close()
        dialler.close()


def test_each_end_of_a_connection_has_an_inode_of_its_own():
    with socket.create_server(("127.0.0.1", 0)) as server:
        dialler = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        with dialler, accepted:
            here, there = dialler.getsockname(), accepted.getsockname()
            assert inode_of(here, there) == os.fstat(dialler.fileno()).st_ino
            assert inode_of(there, here) == os.fstat(accepted.fileno()).st_ino
    assert inode_of(("127.0.0.1", 1), ("127.0.0.1", 2)) is None
