"""Accepts the connections of other peers, as many as may be. Touches sockets and asyncio.
Made by raft.transport at its start; every accepted socket belongs to a task of its group.
Rules: a connection counts from the moment it is accepted, its TLS greeting included, and both
greetings share one time limit; one above the bound is closed at once, before any byte is read.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from typing import Protocol

from replicante import limits
from replicante.errors import AddressInUse, InvalidConfig
from replicante.raft.frames import encode_frame, encode_refusal
from replicante.raft.link_inbound import InboundLink
from replicante.raft.link_observations import StrangerDropped, StrangerFault
from replicante.raft.link_tls import (
    NEEDS_TLS,
    NO_PLAIN_ABROAD,
    PLAIN_FIRST_BYTE,
    TLS_FIRST_BYTE,
    is_plain_allowed,
    tls_reason,
)
from replicante.raft.links import LinkHost, endpoint_text

_BACKLOG = 64
_ACCEPTS_PER_TURN = 16
_REST_S = 0.1
"""Without file descriptors a waiting connection would wake the loop for ever."""


class ListenerHost(LinkHost, Protocol):
    def arrives(self, link: InboundLink) -> bool:
        """False when there is no room for it: it is not counted then."""
        ...


async def bind(listen: str, endpoint: tuple[str, int], *, is_tls: bool) -> list[socket.socket]:
    """Sockets that listen on every address of the host, all on one port; port 0 takes a free one.

    `listen` is how messages name the address. Raises AddressInUse, or InvalidConfig, also for
    addresses that others can reach without TLS.
    """
    host, port = endpoint
    sockets: list[socket.socket] = []
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, name in dict.fromkeys(found):
            if not is_tls and not is_plain_allowed(str(name[0])):
                raise OSError(f"{name[0]} {NO_PLAIN_ABROAD}")
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((name[0], port, *name[2:]))
            sock.listen(_BACKLOG)
            port = sock.getsockname()[1]
    except (OSError, UnicodeError) as error:
        for sock in sockets:
            sock.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise AddressInUse(
                f"another process listens on {listen}, where this peer would; is a peer running"
                " already?",
                hints=("stop that process, or choose another address with [raft] listen",),
                address=listen,
            ) from error
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidConfig(f"cannot listen on {listen}: {reason}") from error
    return sockets


class Listener:
    """From `open` to `close`, on the loop's thread."""

    def __init__(
        self,
        host: ListenerHost,
        sockets: list[socket.socket],
        *,
        server_ssl: ssl.SSLContext | None,
    ) -> None:
        self._host = host
        self._sockets = sockets
        self._server_ssl = server_ssl
        self._loop = asyncio.get_running_loop()
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.address = endpoint_text(sockets[0].getsockname())

    def open(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        for sock in self._sockets:
            self._loop.add_reader(sock, self._accept, sock)

    def close(self) -> None:
        """Idempotent. Links that stand are not touched."""
        for sock in self._sockets:
            self._loop.remove_reader(sock)
            sock.close()
        self._sockets = []
        for task in self._tasks:
            task.cancel()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                sock, name = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # Out of descriptors or memory: those who wait in the backlog may wait on.
                self._loop.remove_reader(listening)
                self._loop.call_later(_REST_S, self._resume, listening)
                return
            sock.setblocking(False)
            self._welcome(sock, remote=endpoint_text(name))

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            self._loop.add_reader(listening, self._accept, listening)

    def _welcome(self, sock: socket.socket, *, remote: str) -> None:
        link = InboundLink(self._host, remote=remote)
        if self._group is None or not self._host.arrives(link):
            sock.close()
            return
        task = self._group.create_task(self._connect(sock, link), name="raft-accept")
        self._tasks.add(task)

        def settle(done: asyncio.Task[None]) -> None:
            self._tasks.discard(done)
            if not link.is_made:
                sock.close()
                link.abandon()

        task.add_done_callback(settle)

    async def _connect(self, sock: socket.socket, link: InboundLink) -> None:
        time_ms = self._host.times.handshake_ms_max
        try:
            async with asyncio.timeout(time_ms / 1_000):
                if self._server_ssl is None:
                    await self._loop.connect_accepted_socket(lambda: link, sock)
                elif await self._speaks_tls(sock, link):
                    await self._loop.connect_accepted_socket(
                        lambda: link,
                        sock,
                        ssl=self._server_ssl,
                        ssl_handshake_timeout=time_ms / 1_000,
                        ssl_shutdown_timeout=time_ms / 1_000,
                    )
        except (TimeoutError, ConnectionAbortedError):
            self._tell(StrangerFault.TOO_SLOW, f"no TLS greeting within {time_ms} ms", link)
        except OSError as error:
            self._tell(StrangerFault.TLS, tls_reason(error), link)

    async def _speaks_tls(self, sock: socket.socket, link: InboundLink) -> bool:
        """Looks at the first byte and leaves it there. A peer that speaks plain TCP hears why it
        is not welcome; who leaves without a word is no news."""
        await self._readable(sock)
        first = sock.recv(1, socket.MSG_PEEK)
        if first == TLS_FIRST_BYTE:
            return True
        if first:
            self._tell(StrangerFault.TLS, "it speaks no TLS, and this peer TLS only", link)
        if first == PLAIN_FIRST_BYTE:
            sock.send(encode_frame(encode_refusal(NEEDS_TLS)))
            sock.recv(limits.HANDSHAKE_BYTES_MAX)  # Unread bytes would take the answer with them.
        return False

    async def _readable(self, sock: socket.socket) -> None:
        arrived = asyncio.Event()
        self._loop.add_reader(sock, arrived.set)
        try:
            await arrived.wait()
        finally:
            self._loop.remove_reader(sock)

    def _tell(self, fault: StrangerFault, reason: str, link: InboundLink) -> None:
        self._host.observe(StrangerDropped(fault=fault, reason=reason, remote=link.remote))
