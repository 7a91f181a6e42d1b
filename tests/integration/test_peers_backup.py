"""A backup of a running peer, and a whole cluster that begins with it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from cluster_peer import PORTS
from peer_words import NAMES, said, started

from replicante.clock import SystemClock
from replicante.entropy import SystemEntropy
from replicante.errors import Conflict, CorruptData, InvalidConfig, NoLeader
from replicante.ids import generation_of
from replicante.raft.backup import check_state, read_manifest
from replicante.raft.generations import How, Recovery
from replicante.raft.in_memory import InMemoryMachine
from replicante.raft.restoring import prepare_directories


@pytest.fixture
async def backup(tmp_path):
    """Of a lone peer that was told three words, and one more after the backup."""
    peer, _ = await started(tmp_path / "old", {"p1": f"127.0.0.1:{PORTS.take()}"}, "p1")
    try:
        for word in (b"one", b"two", b"three"):
            await said(peer, word)
        made = await peer.backup(tmp_path / "backup", timeout_ms=30_000)
        assert made.index == peer.applied_index
        await said(peer, b"lost")
        with pytest.raises(Conflict, match="exists already"):
            await peer.backup(tmp_path / "backup", timeout_ms=30_000)
    finally:
        await peer.stop()
    assert read_manifest(tmp_path / "backup").index == made.index
    return tmp_path / "backup"


def restored(backup: Path, out: Path) -> dict[str, str]:
    addresses = {name: f"127.0.0.1:{PORTS.take()}" for name in NAMES}
    paths = prepare_directories(
        backup, out, members=addresses, clock=SystemClock(), entropy=SystemEntropy()
    )
    assert [path.name for path in paths] == list(NAMES)
    return addresses


async def test_three_peers_begin_with_the_backup_of_one(backup, tmp_path):
    addresses = restored(backup, tmp_path / "new")
    peers, words = {}, {}
    for _ in range(2):  # the second time without what the restoration left in the directories
        for name in NAMES:
            peers[name], words[name] = await started(tmp_path / "new", addresses, name)
        await said(peers["p2"], b"four")
        index = await peers["p3"].read_barrier(timeout_ms=30_000)
        assert generation_of(index) == 1, "no later stamp is below one that was issued"
        assert words["p3"].told[:4] == [b"one", b"two", b"three", b"four"]
        assert {it.peer_id for it in peers["p1"].configuration.voters} == set(NAMES)
        for peer in peers.values():
            await peer.stop()
        assert not (tmp_path / "new" / "p1" / "restore").exists()


@pytest.mark.parametrize("step", ["before", "installed", "applied"])
async def test_a_crash_while_the_first_start_takes_the_backup_is_finished_by_the_next(
    backup, tmp_path, monkeypatch, step
):
    addresses = restored(backup, tmp_path / "new")
    real = InMemoryMachine.install, InMemoryMachine.save

    def install(machine, path, *, index):
        if step == "installed":
            real[0](machine, path, index=index)
        else:
            path.write_bytes(b"half changed")
        raise OSError("the power is cut")

    def save(machine):
        raise OSError("the power is cut")

    if step == "applied":
        monkeypatch.setattr(InMemoryMachine, "save", save)
    else:
        monkeypatch.setattr(InMemoryMachine, "install", install)
    for name in NAMES:
        with pytest.raises(OSError, match="power"):
            await started(tmp_path / "new", addresses, name)
    monkeypatch.undo()
    peers = [await started(tmp_path / "new", addresses, name) for name in NAMES]
    await said(peers[0][0], b"four")
    await peers[1][0].read_barrier(timeout_ms=30_000)
    assert peers[1][1].told == [b"one", b"two", b"three", b"four"]
    for peer, _ in peers:
        await peer.stop()


async def test_a_directory_of_the_old_generation_is_not_let_in(backup, tmp_path):
    addresses = restored(backup, tmp_path / "new")
    peers = [await started(tmp_path / "new", addresses, name) for name in ("p2", "p3")]
    await said(peers[0][0], b"four")
    old, words = await started(tmp_path / "old", addresses, "p1")
    await said(peers[0][0], b"five")
    await old.read_barrier(timeout_ms=30_000)  # its own majority, as it was before
    assert words.told == [b"one", b"two", b"three", b"lost"]
    await peers[1][0].read_barrier(timeout_ms=30_000)
    assert peers[1][1].told == [b"one", b"two", b"three", b"four", b"five"]
    for peer in (old, peers[0][0], peers[1][0]):
        await peer.stop()


async def test_a_backup_that_was_restored_before_begins_a_later_generation(backup, tmp_path):
    """Else the second cluster would issue the stamps of the first again."""
    for generation, is_possible in ((0, False), (3, True), (128, False)):
        out = tmp_path / f"new-{generation}"
        recovery = Recovery(how=How.RESTORED, generation=generation or -1)
        addresses = {"p1": f"127.0.0.1:{PORTS.take()}"}
        make = partial(
            prepare_directories,
            backup,
            out,
            members=addresses,
            clock=SystemClock(),
            entropy=SystemEntropy(),
            recovery=recovery,
        )
        if not is_possible:
            with pytest.raises(InvalidConfig, match="begins one of 1 to 127"):
                make()
            continue
        make()
        peer, _ = await started(out, addresses, "p1")
        await said(peer, b"four")
        assert generation_of(await peer.read_barrier(timeout_ms=30_000)) == 3
        await peer.stop()


async def test_a_damaged_backup_makes_no_directory(backup, tmp_path):
    (backup / "state").write_bytes(b"other")
    with pytest.raises(CorruptData, match="not what"):
        restored(backup, tmp_path / "new")
    assert not (tmp_path / "new").exists()


async def test_a_manifest_that_somebody_changed_is_refused(backup):
    check_state(backup, read_manifest(backup))
    fields = json.loads((backup / "manifest.json").read_text())
    (backup / "manifest.json").write_text(json.dumps({**fields, "index": 2}))
    with pytest.raises(CorruptData, match="checksum"):
        read_manifest(backup)


async def test_an_unfinished_backup_is_none(backup):
    (backup / "manifest.json").unlink()
    with pytest.raises(InvalidConfig, match="no backup"):
        read_manifest(backup)


async def test_a_peer_that_is_not_born_has_nothing_to_back_up(tmp_path):
    addresses = {name: f"127.0.0.1:{PORTS.take()}" for name in NAMES}
    peer, _ = await started(tmp_path, addresses, "p1")
    with pytest.raises(NoLeader, match="not born"):
        await peer.backup(tmp_path / "backup", timeout_ms=1_000)
    assert not (tmp_path / "backup").exists()
    await peer.stop()
