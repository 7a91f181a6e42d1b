"""Disks whose power is cut and whose room ends, and files that are damaged on purpose. What mounts
something does so in a child with mounts of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jlike import environments, equipment, nemesis_damage, nemesis_plan
from jlike.disks import Disk, PowerDisk
from jlike.equipment import Need

NO_POWER = equipment.why_not(Need.POWER)
NO_ROOM = equipment.why_not(Need.ROOM)


def _in_child(act: Callable[[], None]) -> None:
    assert environments.tried_in_child(act) == ""


def _loops_of(folder: Path) -> list[str]:
    found = []
    for it in Path("/sys/block").glob("loop*/loop/backing_file"):
        text = it.read_text("utf-8")
        if str(folder) in text:
            found.append(text)
    return found


@pytest.mark.skipif(bool(NO_POWER), reason=f"no power cuts: {NO_POWER}")
def test_power_takes_what_was_not_forced_and_leaves_what_was(tmp_path):
    def act() -> None:
        disk = PowerDisk(tmp_path / "disk")
        assert not (tmp_path / "disk.img").exists(), "the image has no name"
        with (disk.path / "forced").open("wb") as file:
            file.write(b"stays")
            file.flush()
            os.fsync(file.fileno())
            disk.cut()
            with pytest.raises(OSError, match="Input/output"):
                os.fsync(file.fileno())
        assert disk.restore(), "what was never forced must be lost"
        assert (disk.path / "forced").read_bytes() == b"stays"
        assert sorted(it.name for it in disk.path.iterdir()) == ["forced", "lost+found"]
        (disk.path / "data").mkdir()
        (disk.path / "data" / "log").write_bytes(b"kept")
        disk.close(keep=tmp_path / "kept")

    _in_child(act)
    assert (tmp_path / "kept" / "log").read_bytes() == b"kept"
    assert _loops_of(tmp_path) == []
    assert str(tmp_path) not in Path("/proc/mounts").read_text("utf-8")


@pytest.mark.skipif(bool(NO_POWER), reason=f"no power cuts: {NO_POWER}")
def test_a_disk_without_power_is_closed_and_says_what_could_not_be_copied(tmp_path):
    def act() -> None:
        disk = PowerDisk(tmp_path / "disk")
        (disk.path / "data").mkdir()
        (disk.path / "data" / "log").write_bytes(b"was never forced")
        disk.cut()
        disk.close(keep=tmp_path / "data")

    _in_child(act)
    assert "Input/output error" in (tmp_path / "data.lost").read_text("utf-8")
    assert _loops_of(tmp_path) == []


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(Disk, marks=pytest.mark.skipif(bool(NO_ROOM), reason=NO_ROOM)),
        pytest.param(PowerDisk, marks=pytest.mark.skipif(bool(NO_POWER), reason=NO_POWER)),
    ],
)
def test_room_ends_and_comes_back(tmp_path, kind):
    def act() -> None:
        disk = kind(tmp_path / "disk")
        assert not disk.is_full()
        assert disk.fill()
        with pytest.raises(OSError, match="No space"), (disk.path / "more").open("wb") as file:
            file.write(bytes(1_000_000))
            file.flush()
        (disk.path / "more").unlink()
        disk.free()
        assert not disk.is_full()
        disk.free()
        disk.close(keep=None)

    _in_child(act)


def test_a_disk_is_the_least_that_serves_all_kinds():
    assert equipment.disk_for(["kill", "power", "diskfull"]) is PowerDisk
    assert equipment.disk_for(["diskfull"]) is Disk
    assert equipment.disk_for(["kill", "clock"]) is None
    assert equipment.needs_shim(["kill", "clock"])
    assert not equipment.needs_shim(["kill", "power"])


def test_what_is_missing_is_told_with_what_would_help(monkeypatch):
    monkeypatch.setattr(equipment, "why_not", lambda need: "no luck" if need is Need.SHIM else "")
    told = equipment.missing(["kill", "power", "clock"])
    assert list(told) == ["clock"]
    assert "no luck" in told["clock"]
    assert "gcc" in told["clock"]


@pytest.mark.parametrize("how", nemesis_plan.DAMAGES)
def test_damage_changes_the_file_that_it_names(tmp_path, how):
    name, act = nemesis_damage.DAMAGES[how]
    file = tmp_path / name
    file.parent.mkdir()
    page = bytes(range(256)) * 16
    whole = page * 6 + bytes(4_096)
    file.write_bytes(whole)
    act(file)
    damaged = file.read_bytes()
    assert damaged != whole
    if how == "log bits flipped":
        assert damaged[: 2 * 4_096] == whole[: 2 * 4_096], "its first two pages say where it begins"
        assert damaged[6 * 4_096 :] == whole[6 * 4_096 :], "empty pages hold nothing"
        changed = sum(one != other for one, other in zip(damaged, whole, strict=True))
        assert changed == 4
