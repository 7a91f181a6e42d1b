"""Where peers run: in network namespaces of their own, or on loopback behind relays.

Chosen by `jlike.runner`, used by `jlike.peers`. Both leave nothing behind, however this process
ends: namespaces are held by our descriptors only, relays are our own sockets.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from jlike import kernel, spaces
from jlike.links import Links
from jlike.links_relays import Relays
from jlike.links_switch import Switch
from jlike.spaces import Space

LOOPBACK = "127.0.0.1"
NETWORK = "10.77.0"
RAFT_PORT, HTTP_PORT = 16_116, 16_016
SPACES, RELAYS, BEST = "spaces", "relays", "best"
NAMES = (BEST, SPACES, RELAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a peer listens for peers, what address it tells them, where it listens for clients."""

    raft: str
    advertised: str
    http: str


class Environment(Protocol):
    """needs_certificates: peers meet on addresses that are not loopback."""

    name: str
    needs_certificates: bool

    @property
    def links(self) -> Links: ...

    async def place(self, ids: Sequence[str]) -> dict[str, Place]:
        """Once, before any peer starts."""

    def enter(self, peer_id: str) -> None:
        """Called in the child that becomes this peer."""

    def door(self, peer_id: str) -> AbstractContextManager[None]:
        """Sockets that are made inside reach the peer's `http`; nothing is awaited inside."""

    async def close(self) -> None: ...


class Relayed:
    name = RELAYS
    needs_certificates = False

    def __init__(self, pids: Callable[[], dict[str, int]], chance: random.Random) -> None:
        self.links = Relays(pids, chance)

    async def place(self, ids: Sequence[str]) -> dict[str, Place]:
        ports = _free_ports(2 * len(ids))
        raft, http = ports[: len(ids)], ports[len(ids) :]
        return {
            peer_id: Place(
                raft=f"{LOOPBACK}:{raft[at]}",
                advertised=f"{LOOPBACK}:{await self.links.relay(peer_id, port=raft[at])}",
                http=f"{LOOPBACK}:{http[at]}",
            )
            for at, peer_id in enumerate(ids)
        }

    def enter(self, peer_id: str) -> None:
        """Everybody is here."""

    def door(self, peer_id: str) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    async def close(self) -> None:
        await self.links.close()


class Spaced:
    """Clients ask each peer on the loopback of its own namespace, so that no fault of the network
    between peers hits them, and HTTP without authentication stays where it is allowed."""

    name = SPACES
    needs_certificates = True

    def __init__(self, chance: random.Random) -> None:
        self._spaces: dict[str, Space] = {}
        self._chance = chance

    async def place(self, ids: Sequence[str]) -> dict[str, Place]:
        for number, peer_id in enumerate(ids, start=1):
            self._spaces[peer_id] = Space(f"{NETWORK}.{number}")
        self.links = Switch(self._spaces, self._chance)
        self.links.open()
        return {
            peer_id: Place(
                raft=f"{space.address}:{RAFT_PORT}",
                advertised=f"{space.address}:{RAFT_PORT}",
                http=f"{LOOPBACK}:{HTTP_PORT + number}",
            )
            for number, (peer_id, space) in enumerate(self._spaces.items())
        }

    def enter(self, peer_id: str) -> None:
        self._spaces[peer_id].enter()

    def door(self, peer_id: str) -> AbstractContextManager[None]:
        return self._spaces[peer_id].entered()

    async def close(self) -> None:
        if self._spaces:
            await self.links.close()
        for space in self._spaces.values():
            space.close()


def choose(name: str, *, pids: Callable[[], dict[str, int]], chance: random.Random) -> Environment:
    """Raises OSError when the one that was asked for is not possible here."""
    if name == SPACES and (reason := why_no_spaces()):
        raise OSError(f"no network namespaces here: {reason}")
    if name == SPACES or (name == BEST and not why_no_spaces()):
        enter_own_mounts()
        return Spaced(chance)
    return Relayed(pids, chance)


_has_own_mounts = False


def enter_own_mounts() -> None:
    """Once a process; see `kernel.enter_own_mounts`."""
    global _has_own_mounts
    if not _has_own_mounts:
        kernel.enter_own_mounts()
        if os.geteuid() != 0:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
                spaces.bring_up(any_socket, b"lo")
        _has_own_mounts = True


def why_no_spaces() -> str:
    """Empty: they can be made. Tried in a child, because it cannot be undone."""
    return tried_in_child(lambda: Space(f"{NETWORK}.1").close())


def tried_in_child(act: Callable[[], object]) -> str:
    """What came of it, in a child with mounts of its own: empty, or what the error said."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        text = "the child broke"
        try:
            enter_own_mounts()
            act()
            text = ""
        except (OSError, AssertionError, subprocess.SubprocessError) as error:
            text = str(error) or repr(error)
        finally:  # nothing of the parent goes on in here
            os.write(writing, text.encode()[:1_000])
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as file:
        text = file.read().decode()
    os.waitpid(child, 0)
    return text


def _free_ports(count: int) -> list[int]:
    """Held all at once, so that they differ; below those that the system gives to clients there is
    no lock that all programs share, so a rare clash ends the run as broken, never as invalid."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for it in sockets:
            it.bind((LOOPBACK, 0))
        return [it.getsockname()[1] for it in sockets]
