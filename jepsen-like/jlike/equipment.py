"""What some faults need besides processes and links, whether it can be had here, and who gets it.

Used by `jlike.runner` (before a run), `jlike.peers` (hands it out) and `jlike.doctor` (tells).
"""

from __future__ import annotations

import enum
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from jlike import disks, environments, shim
from jlike.disks import Disk, PowerDisk


class Need(enum.Enum):
    POWER = "a disk whose power can be cut"
    ROOM = "a small disk"
    SHIM = "a library that is loaded into peers"


NEEDS: Mapping[str, Need] = {
    "power": Need.POWER,
    "diskfull": Need.ROOM,
    "slowsync": Need.SHIM,
    "failsync": Need.SHIM,
    "clock": Need.SHIM,
}
"""Kinds of faults that need more."""
HOW_TO_GET: Mapping[Need, str] = {
    Need.POWER: "root, loop devices, mkfs.ext4 (Debian: e2fsprogs)",
    Need.ROOM: "root, or user namespaces for users (kernel.unprivileged_userns_clone=1)",
    Need.SHIM: "a C compiler and libc's headers (Debian: gcc libc6-dev)",
}


def why_not(need: Need) -> str:
    """Empty: it can be had. Tried, not guessed; leaves nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        match need:
            case Need.POWER:
                if os.geteuid() != 0:
                    return "only root mounts loop devices"
                if shutil.which(disks.MAKE_FILE_SYSTEM) is None:
                    return f"no {disks.MAKE_FILE_SYSTEM}"
                return environments.tried_in_child(lambda: _lose_power(folder / "disk"))
            case Need.ROOM:
                return environments.tried_in_child(lambda: Disk(folder / "disk").close(keep=None))
            case Need.SHIM:
                try:
                    shim.build(folder)
                except OSError as error:
                    return str(error)
                return ""


def missing(kinds: Iterable[str]) -> dict[str, str]:
    """kind → why it cannot be made here and what would help."""
    needs = {kind: NEEDS[kind] for kind in kinds if kind in NEEDS}
    reasons = {need: why_not(need) for need in set(needs.values())}
    return {
        kind: f"{reasons[need]}; it needs {HOW_TO_GET[need]}"
        for kind, need in needs.items()
        if reasons[need]
    }


def disk_for(kinds: Iterable[str]) -> type[Disk] | None:
    """The least that serves all of them."""
    needs = {NEEDS.get(kind) for kind in kinds}
    if Need.POWER in needs:
        return PowerDisk
    return Disk if Need.ROOM in needs else None


def needs_shim(kinds: Iterable[str]) -> bool:
    return any(NEEDS.get(kind) is Need.SHIM for kind in kinds)


def _lose_power(path: Path) -> None:
    disk = PowerDisk(path)
    disk.cut()
    is_lost = disk.restore()
    disk.close(keep=None)
    if not is_lost:
        raise OSError("what was never forced to the disk was there after a power cut")
