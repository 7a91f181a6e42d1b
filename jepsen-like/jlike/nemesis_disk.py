"""Faults of disks: power that is cut, room that runs out, promises that come late or not at all.

Called by `jlike.nemesis`. Each is undone at its end, and peers that it ended are started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Iterator, Sequence

from jlike.disks import PowerDisk
from jlike.nemesis_plan import Plan
from jlike.peers import Peer, Peers

ENDS_S = 20.0
"""A peer whose disk broke a promise has so long to end by itself."""
REFUSES_S = 10.0
"""And one that was started without room, to say so."""


class Breach(Exception):
    """What a peer did after a fault is a violation, whatever its clients saw."""


async def power(plan: Plan, peers: Peers) -> bool:
    """All at once. The machine dies with the disk, or the processes meet the dead disk first. It
    counts when something that was written and never forced is lost on every victim."""
    hit = [peers[it] for it in plan.victims]
    with _may_end(hit):
        if plan.figures["dies_first"]:
            for it in hit:
                it.kill()
        try:
            for it in hit:
                _power_disk(it).cut()
            if not plan.figures["dies_first"]:
                await asyncio.sleep(0.2)
                for it in hit:
                    it.kill()
            await asyncio.sleep(plan.seconds)
        finally:
            for it in hit:
                it.kill()  # a deed of a workload may have started it, on a disk that is gone
            has_lost = [_power_disk(it).restore() for it in hit]
    for it in hit:
        it.start()
    return all(has_lost)


async def diskfull(plan: Plan, peers: Peers) -> bool:
    """It counts when every victim was there to meet it. Who runs stands still; who is started
    without room, by a deed of a workload, may refuse, and is started again when there is some."""
    hit = [peers[it] for it in plan.victims]
    disks = [it.disk for it in hit if it.disk]
    starts = [it.starts for it in hit]
    try:
        filled = [it.fill() for it in disks]
        were_there = [it.is_alive for it in hit]
        await asyncio.sleep(plan.seconds)
    finally:
        for it in disks:
            it.free()
    for peer, before in zip(hit, starts, strict=True):
        if peer.starts != before:
            await peer.ends(seconds=REFUSES_S)
            peer.forgive()
        peer.start()
    return all(filled) and all(were_there)


async def slowsync(plan: Plan, peers: Peers) -> bool:
    pages = [page for it in plan.victims if (page := peers[it].page)]
    before = [it["syncs_delayed"] for it in pages]
    try:
        for it in pages:
            it["sync_delay_us"] = int(plan.figures["delay_ms"] * 1_000)
        await asyncio.sleep(plan.seconds)
    finally:
        for it in pages:
            it["sync_delay_us"] = 0
    after = [it["syncs_delayed"] for it in pages]
    return all(now > then for now, then in zip(after, before, strict=True))


async def failsync(plan: Plan, peers: Peers) -> bool:
    """Every fsync fails, once or for a while. A peer that met it must end by itself: what it holds
    may differ from its disk, and asking again would say that all is well."""
    hit = [peers[it] for it in plan.victims]
    before = {it.id: _failed(it) for it in hit}
    with _may_end(hit):
        try:
            for it in hit:
                if it.page is not None:
                    it.page["sync_errno"] = errno.EIO
            await asyncio.sleep(plan.seconds)
        finally:
            for it in hit:
                if it.page is not None:
                    it.page["sync_errno"] = 0
        met = [it for it in hit if _failed(it) > before[it.id]]
        stubborn = [it.id for it in met if not await it.ends(seconds=ENDS_S)]
    for it in hit:
        it.start()
    if stubborn:
        raise Breach(f"{' '.join(stubborn)} went on after an fsync had failed")
    return bool(met)


async def clock(plan: Plan, peers: Peers) -> bool:
    """The wall clock of each victim jumps, and jumps back."""
    pages = [page for it in plan.victims if (page := peers[it].page)]
    before = [it["clocks_bent"] for it in pages]
    try:
        for it in pages:
            it["clock_offset_ns"] = int(plan.figures["offset_s"] * 1e9)
        await asyncio.sleep(plan.seconds)
    finally:
        for it in pages:
            it["clock_offset_ns"] = 0
    after = [it["clocks_bent"] for it in pages]
    return all(now > then for now, then in zip(after, before, strict=True))


@contextlib.contextmanager
def _may_end(hit: Sequence[Peer]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for it in hit:
            stack.enter_context(it.may_end())
        yield


def _failed(peer: Peer) -> int:
    return 0 if peer.page is None else peer.page["syncs_failed"]


def _power_disk(peer: Peer) -> PowerDisk:
    assert isinstance(peer.disk, PowerDisk)
    return peer.disk
