"""A file system whose power can be cut: ext4 on a loop device of its own.

The ioctl EXT4_IOC_SHUTDOWN with NOLOGFLUSH (Linux, fs/ext4/ioctl.c) drops whatever was not forced
to the disk and fails every write afterwards, as a power cut does; mounting again replays the
journal. Used by the power cut tests; only root may. Everything is gone afterwards.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

IMAGE_BYTES = 1 << 30
"""Sparse: only what is written takes room."""
COMMAND_SECONDS = 30
_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = struct.pack("I", 2)


class PowerDisk:
    def __init__(self, *, device: str, mount_point: Path) -> None:
        self._device = device
        self.path = mount_point

    def cut(self) -> None:
        """From now on nothing reaches this disk; what was not forced to it is lost."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, _NO_LOG_FLUSH)
        finally:
            os.close(descriptor)

    def restore(self) -> None:
        """Power is back. No process may still use the disk."""
        _run("umount", str(self.path))
        _run("mount", self._device, str(self.path))


@contextmanager
def power_disk(folder: Path, name: str) -> Iterator[PowerDisk]:
    """Mounted at folder/name. Skips the test where that is not allowed."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("mkfs.ext4", "losetup", "mount"))):
        pytest.skip("power cuts need root, mkfs.ext4, losetup and mount")
    image, mount_point = folder / f"{name}.img", folder / name
    mount_point.mkdir()
    with image.open("wb") as stream:
        stream.truncate(IMAGE_BYTES)
    _run("mkfs.ext4", "-q", "-F", str(image))
    try:
        device = _run("losetup", "--find", "--show", str(image)).strip()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop device here: {error.stderr.strip()}")
    try:
        _run("mount", device, str(mount_point))
        try:
            yield PowerDisk(device=device, mount_point=mount_point)
        finally:
            _run("umount", "--lazy", str(mount_point))
    finally:
        _run("losetup", "--detach", device)
        image.unlink()


def _run(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=COMMAND_SECONDS
    )
    return done.stdout
