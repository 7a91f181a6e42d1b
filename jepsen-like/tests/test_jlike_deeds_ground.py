"""What the nemesis does to disks, clocks and files: it counts only when somebody met it, what it
broke is mended at its end, and who ends by it is excused."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jlike import nemesis, nemesis_damage, nemesis_disk
from jlike.disks import Disk, PowerDisk
from jlike.environments import Relayed
from jlike.nemesis_disk import Breach
from jlike.nemesis_plan import Plan
from jlike.peers import Peer, Peers
from jlike.recorder import Recorder
from jlike.shim import Page

WAITS = "read line"


def _plan(kind: str, *, seconds: float = 0.05, **more: Any) -> Plan:
    return Plan(kind=kind, shape="one", seconds=seconds, victims=("p1",), **more)


# --- disks and clocks ----------------------------------------------------------------------------


class Room(Disk):
    """As much of a disk as the deeds ask for. is_stubborn: something still fits."""

    def __init__(self, *, is_stubborn: bool = False) -> None:
        self.is_full, self._is_stubborn = False, is_stubborn

    def fill(self) -> bool:
        self.is_full = True
        return not self._is_stubborn

    def free(self) -> None:
        self.is_full = False


class Powered(PowerDisk):
    """keeps: what was never forced to it is there all the same when power comes back."""

    def __init__(self, peer: Peer, *, keeps: bool = False) -> None:
        self.is_cut, self._peer, self._keeps = False, peer, keeps

    @property
    def has_power(self) -> bool:
        return not self.is_cut

    def free(self) -> None:
        assert not self.is_cut, "nothing can be removed from it"

    def cut(self) -> bool:
        self.is_cut = True
        return True

    def restore(self) -> bool:
        if self._peer.is_alive:
            raise OSError("target is busy")
        self.is_cut = False
        return not self._keeps


@asynccontextmanager
async def one_peer(folder: Path) -> AsyncIterator[tuple[Peers, Peer]]:
    page = Page(folder / "faults")
    command = ("/bin/sh", "-c", WAITS)
    peer = Peer(id="p1", url="", command=command, log_path=folder / "log", page=page)
    peer.start()
    try:
        yield Peers(by_id={"p1": peer}), peer
    finally:
        peer.kill()


@asynccontextmanager
async def library(peer: Peer, *, counts: bool = True, ends: bool = False) -> AsyncIterator[None]:
    """Does what the library in the peer would: counts what it was made to do. ends: the peer ends
    when an fsync failed."""
    page = peer.page
    assert page is not None

    async def work() -> None:
        while counts:
            if page["sync_errno"]:
                page["syncs_failed"] += 1
                if ends:
                    peer.signal(signal.SIGTERM)
            page["syncs_delayed"] += bool(page["sync_delay_us"])
            page["clocks_bent"] += bool(page["clock_offset_ns"])
            await asyncio.sleep(0.001)

    working = asyncio.create_task(work())
    try:
        yield
        assert not any(page[it] for it in ("sync_errno", "sync_delay_us", "clock_offset_ns"))
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize(
    ("kind", "deed", "figures"),
    [
        ("slowsync", nemesis_disk.slowsync, {"delay_ms": 5}),
        ("clock", nemesis_disk.clock, {"offset_s": -600}),
    ],
)
async def test_what_is_done_to_disk_or_clock_counts_when_the_peer_met_it(
    tmp_path, kind, deed, figures, counts
):
    async with one_peer(tmp_path) as (peers, peer), library(peer, counts=counts):
        assert await deed(_plan(kind, figures=figures), peers) is counts


async def test_a_peer_that_ends_when_its_fsync_failed_is_started_again_and_excused(tmp_path):
    async with one_peer(tmp_path) as (peers, peer):
        async with library(peer, ends=True):
            assert await nemesis_disk.failsync(_plan("failsync"), peers)
        assert peer.is_alive
        assert peer.starts == 2
        assert not peers.unasked_ends()


async def test_a_peer_that_goes_on_after_its_fsync_failed_is_a_breach(tmp_path, monkeypatch):
    monkeypatch.setattr(nemesis_disk, "ENDS_S", 0.1)
    async with one_peer(tmp_path) as (peers, peer), library(peer):
        with pytest.raises(Breach, match="p1 went on after an fsync had failed"):
            await nemesis_disk.failsync(_plan("failsync"), peers)


async def test_an_fsync_that_nobody_made_cannot_fail(tmp_path):
    async with one_peer(tmp_path) as (peers, peer), library(peer, counts=False):
        assert not await nemesis_disk.failsync(_plan("failsync"), peers)
        assert peer.starts == 1


@pytest.mark.parametrize("dies_first", [0, 1])
@pytest.mark.parametrize("keeps", [False, True])
async def test_power_is_cut_when_what_was_not_forced_is_lost(tmp_path, dies_first, keeps):
    async with one_peer(tmp_path) as (peers, peer):
        peer.disk = Powered(peer, keeps=keeps)
        plan = _plan("power", figures={"dies_first": dies_first})
        assert await nemesis_disk.power(plan, peers) is not keeps
        assert not peer.disk.is_cut
        assert peer.is_alive
        assert not peers.unasked_ends()


async def test_power_comes_back_though_somebody_started_the_peer_meanwhile(tmp_path):
    """A deed of a workload: nobody may use a disk that is mounted again, and who was started on
    one without power ends by itself."""
    async with one_peer(tmp_path) as (peers, peer):
        peer.disk = Powered(peer)
        plan = _plan("power", figures={"dies_first": 1}, seconds=0.2)
        running = asyncio.create_task(nemesis_disk.power(plan, peers))
        while peer.is_alive:  # noqa: ASYNC110  a fact that is waited for
            await asyncio.sleep(0)
        peer.start()
        assert await running
        assert not peers.unasked_ends()


@pytest.mark.parametrize("dies_first", [0, 1])
async def test_power_comes_back_though_the_run_is_interrupted(tmp_path, dies_first):
    async with one_peer(tmp_path) as (peers, peer):
        peer.disk = disk = Powered(peer)
        plan = _plan("power", figures={"dies_first": dies_first}, seconds=60)
        running = asyncio.create_task(nemesis_disk.power(plan, peers))
        while not disk.is_cut:  # noqa: ASYNC110  a fact that is waited for
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert not disk.is_cut


async def test_healing_gives_power_back_before_anybody_is_started(tmp_path):
    """A deed that broke on its way left the disk as it was, and somebody runs on it."""
    async with one_peer(tmp_path) as (peers, peer):
        peer.disk = disk = Powered(peer)
        disk.cut()
        with contextlib.closing(Recorder(tmp_path)) as recorder:
            faults = nemesis.Nemesis(
                kinds=("power",),
                peers=peers,
                recorder=recorder,
                chance=random.Random(1),
                leader=lambda: None,
                changes=lambda: 0,
            )
            await faults.heal()
            assert not disk.is_cut
            assert (peer.is_alive, peer.starts) == (True, 2)
            await faults.heal()
            assert peer.starts == 2, "who runs on a disk with power goes on"


@pytest.mark.parametrize("is_stubborn", [False, True])
async def test_a_disk_is_full_when_nothing_fits_and_is_freed(tmp_path, is_stubborn):
    async with one_peer(tmp_path) as (peers, peer):
        peer.disk = Room(is_stubborn=is_stubborn)
        assert await nemesis_disk.diskfull(_plan("diskfull"), peers) is not is_stubborn
        assert not peer.disk.is_full


async def _full(peers: Peers, peer: Peer) -> asyncio.Task[bool]:
    """The fault, when the disk of this peer is full and not freed yet."""
    peer.disk = room = Room()
    running = asyncio.create_task(nemesis_disk.diskfull(_plan("diskfull", seconds=0.2), peers))
    while not room.is_full:  # noqa: ASYNC110  a fact that is waited for
        await asyncio.sleep(0)
    return running


async def test_who_is_started_without_room_may_refuse_and_is_started_again(tmp_path):
    """A deed of a workload: it ended the peer, and started it on the full disk."""
    async with one_peer(tmp_path) as (peers, peer):
        running = await _full(peers, peer)
        peer.kill()
        healthy, peer.command = peer.command, ("/bin/sh", "-c", "echo error: no room; exit 1")
        peer.start()
        peer.command = healthy
        assert await running
        assert peer.is_alive
        assert not peers.unasked_ends()


async def test_who_runs_and_ends_by_a_full_disk_is_told(tmp_path):
    async with one_peer(tmp_path) as (peers, peer):
        running = await _full(peers, peer)
        peer.signal(signal.SIGTERM)  # not by `tell_to_end`: it gives up
        await running
        assert peer.is_alive
        assert peers.unasked_ends() == ["p1 was ended by SIGTERM"]


async def test_a_full_disk_of_nobody_has_no_effect(tmp_path):
    async with one_peer(tmp_path) as (peers, peer):
        peer.disk = Room()
        peer.kill()
        assert not await nemesis_disk.diskfull(_plan("diskfull"), peers)


# --- the end of a run ----------------------------------------------------------------------------


async def test_a_disk_that_cannot_be_closed_leaves_nobody_and_nothing_else(tmp_path):
    ended: list[str] = []

    class Ends(Room):
        def close(self, *, keep: Path | None) -> None:
            ended.append("disk")
            raise OSError("busy")

    class Place(Relayed):
        async def close(self) -> None:
            ended.append("environment")

    async with one_peer(tmp_path) as (peers, first):
        second = Peer(id="p2", url="", command=first.command, log_path=tmp_path / "log2")
        second.start()
        peers.by_id["p2"] = second
        first.disk, second.disk = Ends(), Ends()
        peers.environment = Place(peers.pids, random.Random(1))
        with pytest.raises(OSError, match="busy"):
            await peers.end()
        assert not first.is_alive
        assert not second.is_alive
        assert ended == ["disk", "disk", "environment"]


# --- files ---------------------------------------------------------------------------------------


@asynccontextmanager
async def damaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> AsyncIterator[Peers]:
    """A peer that runs this script once its files were damaged, and whom others take in again."""
    log = folder / "log"
    peer = Peer(id="p1", url="", command=("/bin/sh", "-c", WAITS), log_path=log, data=folder)
    peers = Peers(by_id={"p1": peer} | {it: Peer(id=it, url="") for it in ("p2", "p3")})

    def damage(_: Path) -> None:
        peer.command = ("/bin/sh", "-c", script)

    async def rejoin(peer: Peer, _: Peers) -> None:
        peer.kill()

    monkeypatch.setitem(nemesis_damage.DAMAGES, "by hand", ("file", damage))
    monkeypatch.setattr(nemesis_damage, "rejoin", rejoin)
    monkeypatch.setattr(nemesis_damage, "REFUSES_S", 0.5)
    peer.start()
    try:
        yield peers
        assert not peers.away
        assert not peers.unasked_ends(), "whatever it does, it is excused"
    finally:
        peer.kill()


async def test_whoever_refuses_damaged_files_and_names_them_has_met_them(tmp_path, monkeypatch):
    script = f"echo error: {tmp_path} is damaged; exit 1"
    async with damaged(tmp_path, monkeypatch, script) as peers:
        assert await nemesis_damage.corrupt(_plan("corrupt", how="by hand"), peers)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (WAITS, "started on damaged files"),
        ("echo error: no; exit 1", "does not say what is wrong"),
        ("kill -SEGV $$", "ended with -11, not by itself"),
    ],
)
async def test_whoever_does_not_refuse_damaged_files_is_a_breach(
    tmp_path, monkeypatch, script, words
):
    async with damaged(tmp_path, monkeypatch, script) as peers:
        with pytest.raises(Breach, match=words):
            await nemesis_damage.corrupt(_plan("corrupt", how="by hand"), peers)


async def test_whom_nobody_takes_in_under_faults_is_taken_in_when_all_is_healed(
    tmp_path, monkeypatch
):
    script = f"echo error: {tmp_path} is damaged; exit 1"
    async with damaged(tmp_path, monkeypatch, script) as peers:
        rejoin = nemesis_damage.rejoin
        monkeypatch.setattr(nemesis_damage, "rejoin", _nobody)
        assert not await nemesis_damage.corrupt(_plan("corrupt", how="by hand"), peers)
        assert peers.away == peers.lost == {"p1"}
        assert await nemesis_damage.bring_back(peers) == ["p1 was not taken in again"]
        assert peers.away == peers.lost == {"p1"}
        monkeypatch.setattr(nemesis_damage, "rejoin", rejoin)
        assert not await nemesis_damage.bring_back(peers)
        assert not peers.lost


async def test_who_is_no_member_any_more_needs_nobody_who_brings_it_back(tmp_path, monkeypatch):
    script = f"echo error: {tmp_path} is damaged; exit 1"
    async with damaged(tmp_path, monkeypatch, script) as peers:
        monkeypatch.setattr(nemesis_damage, "rejoin", _nobody)
        assert not await nemesis_damage.corrupt(_plan("corrupt", how="by hand"), peers)
        peers.let_go("p1")
        assert not await nemesis_damage.bring_back(peers)
        assert not peers.lost


async def _nobody(peer: Peer, _: Peers) -> None:
    raise TimeoutError(f"{peer.id} was not taken in again")


async def test_whoever_was_ended_by_a_deed_meanwhile_proves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(nemesis_damage, "REFUSES_S", 60)
    async with damaged(tmp_path, monkeypatch, "echo up; read line") as peers:
        plan = _plan("corrupt", how="by hand")
        running = asyncio.create_task(nemesis_damage.corrupt(plan, peers))
        while peers["p1"].starts < 2:  # noqa: ASYNC110  a fact that is waited for
            await asyncio.sleep(0)
        await peers.end_gently(peers["p1"], seconds=60)
        assert not await running
