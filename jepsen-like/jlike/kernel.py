"""The few calls of the Linux kernel that Python 3.11 lacks: namespaces and mounts.

Used by `jlike.spaces` and `jlike.disks`. Each raises OSError with what was tried. Rule: whatever is
made here belongs to this process and is gone with it, however it ends; nothing has a name that
others could find, so nothing can be left behind.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

NEW_MOUNTS = 0x00020000
NEW_USERS = 0x10000000
NEW_NETWORK = 0x40000000
"""Bits of clone(2)."""
MOUNT_PRIVATE_RECURSIVE = (1 << 18) | (1 << 14)
"""MS_PRIVATE and MS_REC of mount(2)."""
UNMOUNT_LAZY = 2
_OWN_NETWORK = "/proc/thread-self/ns/net"
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def unshare(bits: int) -> None:
    """This thread goes on in namespaces of its own; those who share a process need one thread."""
    _must(_LIBC.unshare(bits), f"unshare({bits:#x})")


def open_network() -> int:
    """Descriptor of the network that this thread is in."""
    return os.open(_OWN_NETWORK, os.O_RDONLY | os.O_CLOEXEC)


def enter_network(descriptor: int) -> None:
    """This thread; what it opens from now on is there, what it has stays where it is."""
    _must(_LIBC.setns(descriptor, NEW_NETWORK), "setns")


@contextmanager
def new_network() -> Iterator[int]:
    """For the block this thread is in a network of its own. Yields its descriptor, which outlives
    the block."""
    home = open_network()
    try:
        unshare(NEW_NETWORK)
        try:
            yield open_network()
        finally:
            enter_network(home)
    finally:
        os.close(home)


def mount(source: str, target: str, kind: str, *, bits: int = 0, options: str = "") -> None:
    words = (source.encode(), target.encode(), kind.encode())
    _must(_LIBC.mount(*words, ctypes.c_ulong(bits), options.encode()), f"mount {target}")


def unmount(target: str, *, bits: int = 0) -> None:
    _must(_LIBC.umount2(target.encode(), bits), f"umount {target}")


def end_with_parent() -> None:
    """Called in a child: the kernel kills it when the thread that made it is gone."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def enter_own_mounts() -> None:
    """Mounts from now on are seen by this process and its children only, and vanish with them.

    Without privileges this process becomes root of a user namespace of its own first; its files
    still belong to whom they did. The network is then its own too, with a loopback of its own,
    because nobody may go back to one that belongs to the machine. Needs to be the only thread."""
    if os.geteuid() != 0:
        users, groups = os.getuid(), os.getgid()
        unshare(NEW_USERS | NEW_NETWORK)
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{users} {users} 1"),
            ("gid_map", f"{groups} {groups} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    unshare(NEW_MOUNTS)
    mount("none", "/", "none", bits=MOUNT_PRIVATE_RECURSIVE)


def _must(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
