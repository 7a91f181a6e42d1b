"""Which process has the other end of a connection on this machine, asked of the kernel. Linux.

Used by relays and agents, which tell peers apart by it. Listing all connections costs more the more
the machine has, and a relay that falls behind its diallers never catches up; the kernel finds one
by its hash.
Layout: linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h; manual page sock_diag(7).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Mapping

Address = tuple[str, int]

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_ANY_STATE = 0xFFFFFFFF
_NO_COOKIE = b"\xff" * 8
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI")
_PORTS = struct.Struct("!HH")
_INODE = struct.Struct("=I")
_INODE_AT = _HEADER.size + 68
"""struct inet_diag_msg ends with the inode."""
_WAIT_S = 5.0


def owner(writer: asyncio.StreamWriter, pids: Mapping[str, int]) -> str | None:
    """The peer whose process dialled this connection, that was accepted here."""
    dialler, listener = (writer.get_extra_info(it)[:2] for it in ("peername", "sockname"))
    inode = inode_of(dialler, listener)
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


def inode_of(local: Address, remote: Address) -> int | None:
    """Of the socket whose own end is `local`, IPv4; None when there is none any more. Raises
    OSError where the kernel cannot be asked."""
    ends = _PORTS.pack(local[1], remote[1]) + _padded(local[0]) + _padded(remote[0])
    body = (
        _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, _ANY_STATE)
        + ends
        + bytes(4)  # any interface
        + _NO_COOKIE
    )
    header = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(_WAIT_S)
        kernel.send(header + body)
        answer = kernel.recv(4_096)
    if _HEADER.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY:
        return None  # an error, as that there is no such connection
    inode: int = _INODE.unpack_from(answer, _INODE_AT)[0]
    return inode or None


def _padded(host: str) -> bytes:
    return socket.inet_aton(host) + bytes(12)
