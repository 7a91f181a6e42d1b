"""A network namespace for each peer, with one cable that ends in this process.

Used by `jlike.environments`. A namespace has no name and no process of its own: it is held by
descriptors, so it is gone with whoever holds them. The cable is a TUN device: what a peer sends to
its network is read here as an IP packet, and what is written here the peer receives.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from jlike import kernel

TUN_DEVICE = "/dev/net/tun"
CABLE = b"cable"
MTU_BYTES = 9_000
"""Larger than Ethernet's, because each packet costs us the same whatever its size."""
_TUNSETIFF = 0x400454CA
_IFF_TUN_WITHOUT_HEAD = 0x0001 | 0x1000
_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCSIFMTU = 0x8914, 0x8916, 0x891C, 0x8922
_IFF_UP = 1


class Space:
    """One namespace. address: of its end of the cable, in a network of 24 bits. cable: descriptor
    of our end; reading and writing never block."""

    def __init__(self, address: str) -> None:
        self.address = address
        with kernel.new_network() as self._descriptor:
            self.cable = os.open(TUN_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            request = struct.pack("16sH22x", CABLE, _IFF_TUN_WITHOUT_HEAD)
            fcntl.ioctl(self.cable, _TUNSETIFF, request)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
                fcntl.ioctl(any_socket, _SIOCSIFADDR, _with_address(address))
                fcntl.ioctl(any_socket, _SIOCSIFNETMASK, _with_address("255.255.255.0"))
                fcntl.ioctl(any_socket, _SIOCSIFMTU, struct.pack("16si20x", CABLE, MTU_BYTES))
                bring_up(any_socket, CABLE)
                bring_up(any_socket, b"lo")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread makes its sockets in there; nothing may be awaited meanwhile."""
        home = kernel.open_network()
        try:
            self.enter()
            try:
                yield
            finally:
                kernel.enter_network(home)
        finally:
            os.close(home)

    def enter(self) -> None:
        """For good: for the child that becomes a peer."""
        kernel.enter_network(self._descriptor)

    def close(self) -> None:
        os.close(self.cable)
        os.close(self._descriptor)


def bring_up(any_socket: socket.socket, device: bytes) -> None:
    fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", device, _IFF_UP))


def _with_address(address: str) -> bytes:
    return struct.pack("16sH2s4s16x", CABLE, socket.AF_INET, bytes(2), socket.inet_aton(address))
