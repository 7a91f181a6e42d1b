"""A copy that arrives in parts: what the next process finds of it, wherever the last one ended."""

from __future__ import annotations

import os
import random
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from replicante import limits
from replicante.raft import snapshot_parts
from replicante.raft.snapshot_digest import new_digest
from replicante.raft.snapshot_parts import Found, IncomingCopy, find_parts
from replicante.raft.snapshots import CopyName

PART_BYTES = 1_000
STATE = random.Random(5).randbytes(4_300)
NAME = CopyName(
    index=8,
    term=2,
    chain=b"c" * 16,
    size_bytes=len(STATE),
    digest=new_digest(STATE).digest(),
)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(limits, "SNAPSHOT_PART_BYTES", PART_BYTES)


class Process:
    """Of a peer that receives a copy; ended by `end`, as by a kill, when it is told nothing."""

    def __init__(self, folder: Path) -> None:
        self.copy = IncomingCopy(folder, wake=lambda: None)
        self._settle()

    def _settle(self) -> None:
        """Until the thread has done what it was asked for."""
        done = snapshot_parts.threading.Event()
        self.copy._work.put(done.set)
        assert done.wait(30)

    def take(self, name: CopyName, data: bytes, *, until: int, step: int = 250) -> int:
        """Parts up to `until`; where it began."""
        kept = self.copy.begin(name)
        for offset in range(kept.offset, until, step):
            self.copy.append(data[offset : min(offset + step, until)])
        self._settle()
        return kept.offset

    def end(self) -> None:
        self.copy.close()


def found_in(folder: Path) -> Found | None:
    return find_parts(folder / "incoming", folder / "incoming.parts")


def received(folder: Path, *, until: int) -> Path:
    process = Process(folder)
    process.take(NAME, STATE, until=until)
    process.end()
    return folder


def test_the_next_process_goes_on_behind_the_last_whole_part(tmp_path):
    received(tmp_path, until=2_700)
    process = Process(tmp_path)
    assert process.copy.found_index == NAME.index
    assert process.take(NAME, STATE, until=len(STATE)) == 2_000
    assert process.copy.unsynced_bytes == 0
    assert process.copy.path.read_bytes() == STATE
    process.end()


def test_the_digest_goes_on_with_what_was_found(tmp_path):
    found = found_in(received(tmp_path, until=3_000))
    assert found is not None
    found.kept.digest.update(STATE[found.kept.offset :])
    assert found.kept.digest.digest() == NAME.digest


def test_a_whole_copy_is_found_whole(tmp_path):
    found = found_in(received(tmp_path, until=len(STATE)))
    assert found is not None
    assert (found.name, found.kept.offset) == (NAME, len(STATE))


def test_who_stops_waits_for_one_part_and_not_for_all_that_was_left(tmp_path, monkeypatch):
    """A start that is refused, for a port that is taken, would else read a whole copy first."""
    received(tmp_path, until=len(STATE))
    is_read, may_go_on, pieces = threading.Event(), threading.Event(), []

    def digest(data=b""):
        if len(data) == PART_BYTES:
            pieces.append(data)
            is_read.set()
            assert may_go_on.wait(30)
        return new_digest(data)

    monkeypatch.setattr(snapshot_parts, "new_digest", digest)
    copy = IncomingCopy(tmp_path, wake=lambda: None)
    assert is_read.wait(30)
    join = copy._thread.join
    monkeypatch.setattr(copy._thread, "join", lambda: may_go_on.set() or join())
    copy.close()
    assert pieces == [STATE[:PART_BYTES]]
    found = found_in(tmp_path)
    assert found is not None
    assert found.kept.offset == len(STATE), "what is there stays for the next process"


@pytest.mark.parametrize(
    "change",
    [
        {"index": 9},
        {"term": 3},
        {"chain": b"d" * 16},
        {"size_bytes": len(STATE) + 1},
        {"digest": bytes(16)},
    ],
)
def test_nothing_stays_of_another_copy(tmp_path, change):
    received(tmp_path, until=3_000)
    other, data = replace(NAME, **change), STATE[::-1]
    process = Process(tmp_path)
    assert process.take(other, data, until=2_000) == 0
    process.end()
    found = found_in(tmp_path)
    assert found is not None
    assert (found.name, found.kept.offset) == (other, 2_000)
    assert (tmp_path / "incoming").read_bytes() == data[:2_000]


@pytest.mark.parametrize("at", [0, 999, 1_000, 2_999, 4_299])
def test_a_flipped_byte_ends_what_is_used(tmp_path, at):
    copy = received(tmp_path, until=len(STATE)) / "incoming"
    damaged = bytearray(STATE)
    damaged[at] ^= 1
    copy.write_bytes(damaged)
    found = found_in(tmp_path)
    sound_bytes = at // PART_BYTES * PART_BYTES
    assert (found.kept.offset if found else 0) == sound_bytes
    assert copy.read_bytes() == STATE[:sound_bytes]


def test_a_damaged_list_never_lies(tmp_path):
    parts = received(tmp_path, until=len(STATE)) / "incoming.parts"
    sound = parts.read_bytes()
    for at in range(len(sound)):
        (tmp_path / "incoming").write_bytes(STATE)
        damaged = bytearray(sound)
        damaged[at] ^= 0x41
        parts.write_bytes(damaged)
        found = found_in(tmp_path)
        assert found is None or found.name == NAME
        if found is not None:
            assert found.kept.digest.digest() == new_digest(STATE[: found.kept.offset]).digest()


def test_what_is_dropped_is_not_found(tmp_path):
    received(tmp_path, until=3_000)
    process = Process(tmp_path)
    process.copy.drop()
    process.end()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_nothing_is_told_and_keeps_what_it_took(tmp_path, monkeypatch):
    process = Process(tmp_path)
    process.take(NAME, STATE, until=1_000)
    with monkeypatch.context() as patched:
        patched.setattr(snapshot_parts.os, "fdatasync", _refuse)
        for offset in range(1_000, 2_000, 250):
            process.copy.append(STATE[offset : offset + 250])
        process._settle()
        with pytest.raises(OSError, match="no room"):
            _ = process.copy.unsynced_bytes
    process.end()
    found = found_in(tmp_path)
    assert found is not None
    assert found.kept.offset == 1_000


def _refuse(descriptor: int) -> None:
    raise OSError(28, "no room")


# --- power cuts -----------------------------------------------------------------------------------


@dataclass
class Disk:
    """What was asked of the real one, in order: so that it can be cut off anywhere."""

    done: list[tuple[str, str, bytes]] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real_open, real_write, real_sync = os.open, os.write, os.fdatasync

        def opened(path, flags, mode=0o777):
            descriptor = real_open(path, flags, mode)
            self.names[descriptor] = Path(path).name
            return descriptor

        def written(descriptor, data):
            count = real_write(descriptor, data)
            self.done.append(("write", self.names[descriptor], bytes(data[:count])))
            return count

        def synced(descriptor):
            real_sync(descriptor)
            self.done.append(("sync", self.names[descriptor], b""))

        for name, function in (("open", opened), ("write", written), ("fdatasync", synced)):
            monkeypatch.setattr(snapshot_parts.os, name, function)

    def left_after(self, count: int, folder: Path, chance: random.Random) -> None:
        """Makes the files that a power cut after `count` steps may leave: what was synced, and of
        the rest any beginning, with any bytes of it never written."""
        synced: dict[str, bytes] = {}
        loose: dict[str, bytes] = {}
        for kind, name, data in self.done[:count]:
            if kind == "sync":
                synced[name] = synced.get(name, b"") + loose.pop(name, b"")
            else:
                loose[name] = loose.get(name, b"") + data
        folder.mkdir()
        for name in synced.keys() | loose.keys():
            rest = bytearray(loose.get(name, b"")[: chance.randint(0, 2_000)])
            if rest and chance.random() < 0.5:
                start = chance.randrange(len(rest))
                rest[start:] = bytes(len(rest) - start)
            (folder / name).write_bytes(synced.get(name, b"") + rest)


def test_a_power_cut_at_any_step_leaves_a_copy_that_is_completed(tmp_path, monkeypatch):
    chance = random.Random(20261127)
    disk = Disk()
    (tmp_path / "first").mkdir()
    with monkeypatch.context() as patched:
        disk.watch(patched)
        received(tmp_path / "first", until=len(STATE))
    assert len(disk.done) > 25
    found_bytes = set()
    for count in range(len(disk.done) + 1):
        for turn in range(3):
            folder = tmp_path / f"{count}-{turn}"
            disk.left_after(count, folder, chance)
            durable = _durable_bytes(disk.done[:count])
            process = Process(folder)
            began_at = process.take(NAME, STATE, until=len(STATE))
            process.end()
            assert began_at >= durable, "what the list promised durably is there"
            assert (folder / "incoming").read_bytes() == STATE
            found_bytes.add(began_at)
    assert found_bytes == {0, 1_000, 2_000, 3_000, 4_000, len(STATE)}


def _durable_bytes(done: list[tuple[str, str, bytes]]) -> int:
    """Up to the last part whose line in the list was synced."""
    syncs = [name for kind, name, _ in done if kind == "sync"]
    parts = syncs.count("incoming.parts") - 1  # the first one is that of the name
    return min(max(parts, 0) * PART_BYTES, len(STATE))
